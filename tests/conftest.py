"""Shared by all tests: a small rendered corpus, made once a session, and a data folder outside the checkout."""

import os

import pytest

os.environ.setdefault("OPENBLAS_NUM_THREADS", "2")


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory):
    """Where rendered corpora and image stores go during the tests (also for notebooks, through the environment)."""
    folder = tmp_path_factory.mktemp("data")
    previous = os.environ.get("AFFECT_DATA_DIR")
    os.environ["AFFECT_DATA_DIR"] = str(folder)
    yield folder
    if previous is None:
        del os.environ["AFFECT_DATA_DIR"]
    else:
        os.environ["AFFECT_DATA_DIR"] = previous


@pytest.fixture(scope="session")
def smoke_book(data_dir, tmp_path_factory):
    """The workbook in the smoke profile on the embedded corpus."""
    from affect_core.workbook import open_workbook

    return open_workbook("smoke", run_dir=tmp_path_factory.mktemp("runs") / "smoke")
