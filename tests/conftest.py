"""What every test process needs.

Tests marked ``mxnet`` are skipped where MXNet cannot be imported (a Python or NumPy too new for it).
"""

from __future__ import annotations

import gc
import os
import signal
import tempfile

import pytest

# A process that was started in the background ignores Ctrl-C, and so would each child of the tests that send it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Some thousand processes are started: without bytecode each would compile MinPy anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# Nothing is read of the user's cache, and nothing left there: not what tests compile, and not what loops that they make
# are said to have taken. The processes of one run share a folder, which goes with the first of them.
if "PYTEST_XDIST_WORKER" not in os.environ:
    _cache = tempfile.TemporaryDirectory(prefix="minpy-tests-", ignore_cleanup_errors=True)
    os.environ["MINPY_CACHE_DIR"] = _cache.name

# Read when MXNet loads: with several test processes at a time its threads would wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    marked = [item for item in items if item.get_closest_marker("mxnet")]
    if not marked:
        return
    from minpy.errors import DeviceError
    from minpy.runtime.backends import mxnet

    try:
        mxnet.load()
    except DeviceError as error:
        for item in marked:
            item.add_marker(pytest.mark.skip(reason=str(error)))


def pytest_collection_finish() -> None:
    """What was collected stays until the end: the tests that call for garbage need not look through it each time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def nothing_of_other_tests_is_waited_for() -> None:
    """Places that other tests announced and never asked would keep flags set that a test's own places share."""
    from minpy.runtime import flags

    flags._unasked.clear()
    flags._until.clear()
