"""The image store decodes once, survives kills and full disks, and never mixes two builds."""

import errno
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from published_layouts import write_faces, write_image

from affect_core.corpora import open_corpus, open_image_store, read_image, store_building
from affect_core.corpora.image_files import find_images
from affect_core.corpora.store_building import ImageRequest
from affect_core.errors import AffectError
from affect_core.progress import ProgressBar

SIZE = 16


def stop_after_twenty(monkeypatch) -> list:
    """Ctrl-C when the twentieth image is to be read; returns the list that names those."""
    decoded = []

    def reading(path, *options):
        decoded.append(path)
        if len(decoded) == 20:
            raise KeyboardInterrupt
        return read_image(path, *options)

    monkeypatch.setattr(store_building, "read_image", reading)
    return decoded


@pytest.fixture
def root(tmp_path):
    write_faces(tmp_path, images=40)
    return tmp_path


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(store_building, "_CHUNK_ROWS", 4)


def request_of(root, size=SIZE, boxes=None):
    files = find_images(root, "faces")
    return ImageRequest(root, files.paths, files.sizes, files.modified, size, boxes)


def refuse(row, reason):
    raise AssertionError(f"row {row} {reason}")


def opened(root, on_bad_image=refuse, request=None, **options):
    return open_image_store(request or request_of(root), root / "stores", "faces", on_bad_image=on_bad_image, **options)


def one_by_one(request):
    return np.stack([read_image(request.root / file, request.size) for file in request.files])


def leftovers(root):
    return sorted(path.suffix for path in (root / "stores").iterdir())


def test_store_equals_decoding_one_by_one(root, small_chunks):
    request = request_of(root)
    store = opened(root)
    assert np.array_equal(store[:], one_by_one(request))
    assert len(store) == 40 and store.size == SIZE
    assert leftovers(root) == [".json", ".lock", ".npy"]


def test_any_rows_give_a_contiguous_uint8_copy_in_the_asked_order(root):
    store = opened(root)
    everything = store[:]
    mask = everything[:, 0, 0, 0] > 100
    for rows in ([3, 3, -1, 0], np.array([39, 1]), slice(30, None, 3), mask, [], 7, np.int64(7)):
        expected = everything[np.asarray(rows, int) if isinstance(rows, list) else rows]
        assert np.array_equal(store[rows], expected)
        assert store[rows].dtype == np.uint8 and store[rows].flags.c_contiguous and store[rows].flags.writeable
    store[[0]][:] = 0
    assert np.array_equal(store[:], everything)
    with pytest.raises(IndexError):
        store[[40]]


def test_views_compose_and_have_their_own_fingerprint(root):
    store = opened(root)
    view = store.view(np.arange(10, 30)).view(np.array([5, 0]))
    assert np.array_equal(view[:], store[[15, 10]])
    assert view.fingerprint() != store.fingerprint()
    assert view.fingerprint() == store.view(np.array([15, 10])).fingerprint()


def test_pickled_store_carries_no_pixels_and_opens_again(root):
    store = opened(root)
    before = store[:]
    data = pickle.dumps(store)
    assert len(data) < 5000
    assert np.array_equal(pickle.loads(data)[:], before)


def test_second_opening_decodes_nothing_and_takes_milliseconds(root, monkeypatch):
    opened(root)
    monkeypatch.setattr(store_building, "read_image", lambda *_: refuse(0, "is decoded again"))
    start = time.perf_counter()
    opened(root)
    assert time.perf_counter() - start < 0.5


def test_changed_file_size_and_box_ask_for_another_store(root):
    paths = {opened(root).path, opened(root, request=request_of(root, size=8)).path}
    boxes = np.tile([0, 0, 50, 50], (40, 1))
    paths.add(opened(root, request=request_of(root, boxes=boxes)).path)
    write_image(root / "faces/00000.jpg", np.random.default_rng(9), 0)
    paths.add(opened(root).path)
    assert len(paths) == 4


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_number_of_workers_and_place_do_not_change_the_pixels(root, small_chunks, workers):
    first = opened(root, workers=workers)
    again = open_image_store(request_of(root), root / "other", "faces", on_bad_image=refuse, workers=2)
    assert first.content == again.content and first.path != again.path


def test_interrupted_build_goes_on_where_it_was(root, small_chunks, monkeypatch):
    decoded = stop_after_twenty(monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        opened(root, workers=1)
    assert ".partial" in leftovers(root) and ".npy" not in leftovers(root)
    skipped = []

    class Bar(ProgressBar):
        def skip(self, n):
            skipped.append(n)

    store = opened(root, workers=1, progress=Bar)
    assert skipped == [16] and len(decoded) < 20 + 1 + 40 - 16 + 8
    assert np.array_equal(store[:], one_by_one(request_of(root)))


def test_torn_journal_and_short_partial_file_are_decoded_again(root, small_chunks, monkeypatch):
    monkeypatch.setattr(store_building.StoreBuild, "_finish", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        opened(root)
    monkeypatch.undo()
    journal = next((root / "stores").glob("*.chunks"))
    journal.write_text(journal.read_text()[:-20])
    monkeypatch.setattr(store_building, "_CHUNK_ROWS", 4)
    assert np.array_equal(opened(root)[:], one_by_one(request_of(root)))
    store = opened(root)
    store.path.rename(store.path.with_suffix(".partial"))
    os.truncate(store.path.with_suffix(".partial"), 1000)
    journal.write_text('[0, "x", []]\n')
    assert np.array_equal(opened(root)[:], one_by_one(request_of(root)))


def test_damaged_store_is_built_again(root):
    store = opened(root)
    os.truncate(store.path, 1000)
    assert np.array_equal(opened(root)[:], one_by_one(request_of(root)))


BUILD = """
import sys
from pathlib import Path
sys.path[:0] = {paths!r}
import time
from affect_core.corpora import store_building
from test_image_store import opened
store_building._CHUNK_ROWS = 4
decode = store_building.read_image
def slowly(*options):
    time.sleep({seconds})
    return decode(*options)
store_building.read_image = slowly
print("ready", flush=True)
print(opened(Path({root!r})).content)
"""


def build_in_another_process(root, seconds):
    paths = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]
    code = BUILD.format(paths=paths, seconds=seconds, root=str(root))
    unmeasured = {name: value for name, value in os.environ.items() if not name.startswith("COV")}  # it may be killed
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=unmeasured)
    assert process.stdout.readline() == "ready\n"
    return process


def test_killed_builds_are_resumed_to_the_same_store(root, small_chunks):
    for seconds in (0.05, 0.2, 0.35):
        process = build_in_another_process(root, 0.02)
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
    assert np.array_equal(opened(root)[:], one_by_one(request_of(root)))
    assert leftovers(root) == [".json", ".lock", ".npy"]


def test_two_processes_that_want_one_store_share_it(root, small_chunks, record_property):
    processes = [build_in_another_process(root, 0.01) for _ in range(2)]
    # read, not communicate: that would lose what `readline` has already taken from the pipe
    contents = {process.stdout.read().strip() for process in processes}
    for process in processes:
        assert process.wait(timeout=60) == 0
        process.stdout.close()
    assert contents == {opened(root).content}
    assert np.array_equal(opened(root)[:], one_by_one(request_of(root)))
    case = {"part": "image stores", "case": "two processes that want one store at the same time"}
    record_property("reliability", case | {"treatment": "one decodes, the other waits; both read the same pixels"})


def test_memory_map_is_opened_in_each_worker_process(root):
    store = opened(root)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert np.array_equal(pool.apply(store.__getitem__, ([1, 2],)), store[[1, 2]])


def test_no_room_is_told_before_decoding(root, monkeypatch):
    monkeypatch.setattr(store_building.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1000})())
    with pytest.raises(AffectError, match=r"has no room for the image store: .* GB needed, .* GB free"):
        opened(root)


def test_disk_that_fills_up_is_one_sentence_and_the_build_resumes(root, small_chunks, monkeypatch):
    written = []
    pwrite = os.pwrite

    def full(file, data, offset):
        written.append(offset)
        if len(written) > 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        return pwrite(file, data[: max(1, len(data) // 2)], offset)  # short writes are legal

    monkeypatch.setattr(store_building.os, "pwrite", full)
    with pytest.raises(AffectError, match="has no room for the image store"):
        opened(root, workers=1)
    monkeypatch.setattr(store_building.os, "pwrite", pwrite)
    assert np.array_equal(opened(root)[:], one_by_one(request_of(root)))


def test_store_dir_that_cannot_be_a_folder_is_one_sentence(root):
    (root / "stores").write_text("a file")
    with pytest.raises(AffectError, match="stores cannot be written for the image store"):
        opened(root)


def test_bad_images_are_told_in_row_order_remembered_and_tried_again(root, small_chunks):
    request = request_of(root)
    for row in (30, 7, 8):
        (root / request.files[row]).write_bytes(b"not an image")
    told = []
    for _ in range(2):
        store = opened(root, on_bad_image=lambda row, reason: told.append(row))
        assert told == [7, 8, 30]
        assert not store[[7, 8, 30]].any()
        told.clear()
    path = root / request.files[7]
    times = path.stat()
    good = (root / request.files[6]).read_bytes()
    path.write_bytes(good[:12])
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    request = request_of(root)
    opened(root, on_bad_image=lambda *_: None, request=request)
    path.write_bytes(good)
    opened(root, on_bad_image=lambda row, reason: told.append(row), request=request)
    assert told == [8, 30]


def test_wrong_settings_are_refused(root):
    with pytest.raises(AffectError, match="at least 1"):
        opened(root, workers=0)
    with pytest.raises(AffectError, match="no images to decode"):
        opened(root, request=ImageRequest(root, [], np.zeros(0), np.zeros(0), SIZE))


def test_progress_counts_every_image(root, small_chunks):
    bars = []

    class Bar(ProgressBar):
        def __init__(self, *options):
            super().__init__(*options)
            bars.append(self)

    open_corpus(root, "faces", size=SIZE, store_dir=root / "stores", progress=Bar)
    assert [(bar.total, bar.done, bar.description) for bar in bars] == [(40, 40, "decoding faces")]


def test_conversions_are_counted_once_also_after_an_interruption(root, small_chunks, monkeypatch):
    for path in sorted((root / "faces").rglob("*.png"))[:6]:
        Image.open(path).convert("L").save(path)
    how = "greyscale repeated in three channels"
    stop_after_twenty(monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        opened(root, workers=1)
    assert opened(root, workers=1).repairs == {how: 6}
    assert opened(root).repairs == {how: 6}
    assert opened(root).view([0]).repairs == {how: 6}  # of the file, as `ImageStore` says
