"""Whole files or none; one writer at a time."""

import multiprocessing
import os

import pytest

from affect_core.errors import AffectError
from affect_core.storage import atomic_path, exclusive, read_json, write_json, write_text


def test_a_failed_write_leaves_the_old_file_and_no_temporary(tmp_path):
    target = tmp_path / "a.txt"
    write_text(target, "old")
    with pytest.raises(RuntimeError), atomic_path(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


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
