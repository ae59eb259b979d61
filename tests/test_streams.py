"""Several batches at once: the same answers in the same order, few batches in memory, torch's threads as they were."""

import os
import signal
import threading
import time
from contextlib import closing

import numpy as np
import pandas as pd
import pytest
import torch
from export_models import cotex, emma
from PIL import Image

from affect_core.folder_prediction import predict_folder
from affect_core.prediction import Predictor
from affect_core.streams import FEWEST, in_streams, streams_for


@pytest.fixture
def two_threads():
    """torch with two threads, as on two cores; the tests run with one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(threads)


def threads_of_a_new_thread() -> int:
    said = []
    thread = threading.Thread(target=lambda: said.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    return said[0]


def test_results_come_in_order_and_really_from_two_at_once():
    both = threading.Barrier(2, timeout=300)  # passed only by two at once; the time is against a hang

    def work(number):
        both.wait()
        return 10 * number

    assert list(in_streams(work, range(8), 2)) == [10 * number for number in range(8)]


def test_one_stream_is_the_callers_own_thread():
    assert set(in_streams(lambda item: threading.current_thread(), range(3), 1)) == {threading.current_thread()}


def test_each_stream_has_its_share_of_the_threads_and_they_are_given_back(two_threads):
    assert list(in_streams(lambda item: torch.get_num_threads(), range(6), 2)) == [1] * 6
    assert torch.get_num_threads() == threads_of_a_new_thread() == 2


def test_no_more_items_are_taken_than_streams_and_one():
    taken = []
    with closing(in_streams(lambda item: item, map(lambda item: taken.append(item) or item, range(100)), 2)) as results:
        for number in range(5):
            assert next(results) == number and len(taken) <= number + 3
    assert len(taken) <= 7


def test_an_error_ends_the_streams(two_threads):
    before = set(threading.enumerate())
    with pytest.raises(ZeroDivisionError):
        list(in_streams(lambda item: 1 // item, [1, 2, 0, 3, 4], 2))
    assert set(threading.enumerate()) <= before and threads_of_a_new_thread() == 2


def test_after_an_interruption_what_is_at_work_is_awaited_and_what_waits_is_dropped(two_threads):
    before, begun, busy = set(threading.enumerate()), [], threading.Barrier(2, timeout=300)  # only against a hang

    def work(number):
        begun.append(number)
        busy.wait()
        if number == 0:
            time.sleep(0.5)  # by then the main thread waits for this answer, and starts no threads any more
            os.kill(os.getpid(), signal.SIGINT)  # Ctrl-C, which wakes the main thread
        time.sleep(3)

    with pytest.raises(KeyboardInterrupt):
        list(in_streams(work, range(9), 2))
    assert sorted(begun) == [0, 1]
    assert set(threading.enumerate()) <= before and threads_of_a_new_thread() == 2


def test_streams_are_for_predictors_on_the_cpu_and_for_batches_that_are_worth_it(two_threads):
    predictor = Predictor(emma(), cotex())
    assert [streams_for(predictor, size) for size in (1, FEWEST, 2 * FEWEST - 1, 2 * FEWEST, 100)] == [1, 1, 1, 2, 2]
    assert streams_for(predictor.predict_batch, 100) == 1, "nobody said that it may be called in two threads"
    elsewhere = Predictor(emma().to("meta"), cotex())
    assert streams_for(elsewhere, 100) == 1
    torch.set_num_threads(1)
    assert streams_for(predictor, 100) == 1


def test_a_folder_in_two_streams_gives_the_answers_of_one_and_names_what_is_broken(two_threads, tmp_path, monkeypatch):
    (tmp_path / "faces").mkdir()
    rng = np.random.default_rng(0)
    for number in range(70):
        Image.fromarray(rng.integers(0, 256, (40, 40, 3), np.uint8)).save(tmp_path / "faces" / f"{number:02d}.png")
    for number in (0, 33, *range(40, 60)):  # among them a whole batch
        (tmp_path / "faces" / f"{number:02d}.png").write_bytes(b"broken")
    asked_in, original = set(), Predictor.predict_batch
    monkeypatch.setattr(Predictor, "predict_batch", lambda self, pictures: asked_in.add(threading.get_ident())
                        or original(self, pictures))  # fmt: skip
    predictor = Predictor(emma(), cotex())
    report = predict_folder([tmp_path / "faces"], tmp_path / "two.csv", predictor, batch_size=2 * FEWEST)
    assert threading.get_ident() not in asked_in
    torch.set_num_threads(1)
    assert predict_folder([tmp_path / "faces"], tmp_path / "one.csv", predictor, batch_size=2 * FEWEST) == report
    assert threading.get_ident() in asked_in and report.written == 48
    broken = [f"{tmp_path}/faces/{number:02d}.png" for number in (0, 33, *range(40, 60))]
    assert [name for name, _ in report.unreadable] == broken
    two, one = (pd.read_csv(tmp_path / name) for name in ("two.csv", "one.csv"))
    pd.testing.assert_frame_equal(two, one, rtol=0, atol=1e-5)
