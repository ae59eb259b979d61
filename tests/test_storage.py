"""Whole files or none; one writer at a time."""

import errno
import multiprocessing
import os
import stat

import pytest

from affect_core.errors import AffectError
from affect_core.storage import atomic_path, exclusive, read_json, remove_unfinished, write_json, write_text


def test_a_failed_write_leaves_the_old_file_and_no_temporary(tmp_path):
    target = tmp_path / "a.txt"
    write_text(target, "old")
    with pytest.raises(RuntimeError), atomic_path(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


@pytest.fixture
def calls(monkeypatch):
    """What `os.fsync` and `os.replace` were called with, in order: "file", "rename" or "folder", and the i-node."""
    seen, fsync, replace = [], os.fsync, os.replace

    def noted_fsync(handle):
        status = os.fstat(handle)
        seen.append(("folder" if stat.S_ISDIR(status.st_mode) else "file", status.st_ino))
        fsync(handle)

    def noted_replace(source, target):
        seen.append(("rename", os.stat(source).st_ino))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "replace", noted_replace)
    return seen


def test_a_file_reaches_the_disk_before_its_name_and_its_name_before_the_end(tmp_path, calls):
    write_text(tmp_path / "below" / "a.txt", "whole")
    file, folder = (os.stat(path).st_ino for path in (tmp_path / "below" / "a.txt", tmp_path / "below"))
    assert calls == [("file", file), ("rename", file), ("folder", folder)]


def test_nothing_is_renamed_or_flushed_after_a_failed_write(tmp_path, calls):
    with pytest.raises(RuntimeError), atomic_path(tmp_path / "a.txt"):
        raise RuntimeError
    assert not {"rename", "folder"} & {what for what, _ in calls}


@pytest.mark.parametrize("number, refused", [(errno.EINVAL, False), (errno.ENOTSUP, False), (errno.EIO, True)])
def test_a_folder_that_cannot_be_flushed_is_said_only_if_the_disk_fails(tmp_path, monkeypatch, number, refused):
    fsync = os.fsync

    def refuse_folders(handle):
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(number, os.strerror(number))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", refuse_folders)
    if refused:
        with pytest.raises(AffectError, match=f"{tmp_path} cannot be flushed to disk: {os.strerror(number)}"):
            write_text(tmp_path / "a.txt", "whole")
    else:
        write_text(tmp_path / "a.txt", "whole")
    assert (tmp_path / "a.txt").read_text() == "whole"


def test_what_killed_writers_left_is_removed_and_nothing_else(tmp_path):
    ours = (".a.json.x1y2z3.tmp", ".b.pt.x1y2z3.tmp", ".tmpA1b2C3")
    theirs = ("a.json", ".lock", ".tmp", ".tmp_notes.txt")
    for name in (*ours, *theirs):
        (tmp_path / name).write_text("")
    remove_unfinished(tmp_path, "a")
    assert {path.name for path in tmp_path.iterdir()} == {*ours[1:], *theirs}
    remove_unfinished(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(theirs)


def test_json_round_trip_and_a_clear_error(tmp_path):
    write_json(tmp_path / "a.json", {"naïve": [1, 2]})
    assert read_json(tmp_path / "a.json") == {"naïve": [1, 2]}
    (tmp_path / "b.json").write_text("{")
    with pytest.raises(AffectError, match="b.json is not readable as JSON"):
        read_json(tmp_path / "b.json")


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(AffectError, match="cannot be written"):
        write_text(tmp_path / "file" / "below.txt", "x")


def _hold(lock, entered, leave):
    with exclusive(lock, "the run"):
        entered.set()
        leave.wait(20)


def test_a_second_writer_is_refused_and_the_lock_dies_with_its_process(tmp_path):
    context = multiprocessing.get_context("spawn")
    entered, leave = context.Event(), context.Event()
    holder = context.Process(target=_hold, args=(tmp_path / "lock", entered, leave))
    holder.start()
    assert entered.wait(60)
    with pytest.raises(AffectError, match="the run is in use"), exclusive(tmp_path / "lock", "the run"):
        pass
    os.kill(holder.pid, 9)
    holder.join()
    with exclusive(tmp_path / "lock", "the run"):
        pass
