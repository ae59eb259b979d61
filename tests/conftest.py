"""Shared by all tests: a small rendered corpus, made once a session, and a data folder outside the checkout."""

import os

import pytest
import reliability
from killing import SEED
from reliability import pytest_addoption, pytest_configure  # noqa: F401

WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 1))
for pool in ("OMP", "MKL", "OPENBLAS", "NUMBA"):  # a worker and the processes it starts share the cores with the others
    os.environ.setdefault(f"{pool}_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // WORKERS)))

LONGEST = ("test_notebooks", "test_interruption", "test_distributed", "test_runner", "test_shipped", "test_evidence")


def pytest_report_header():
    return f"Kills at drawn moments: AFFECT_KILL_SEED={SEED}"


def pytest_collection_modifyitems(items):
    """The longest files first, so that no worker is left with one of them at the end.

    pytest-randomly has shuffled the files, and the tests in each, before; the rest of its order stays.
    """
    reliability.pytest_collection_modifyitems(items)
    items.sort(key=lambda item: LONGEST.index(item.path.stem) if item.path.stem in LONGEST else len(LONGEST))


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
