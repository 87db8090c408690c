"""Freed arrays stay in the process: when, how much of them, and who inherits it."""

from __future__ import annotations

import ctypes
import json
import sys

import pytest

from minpy import memory
from minpy.cli import _options
from minpy.memory import Limits

MIB = 1 << 20
limits, why_not = memory.plan()
needs_glibc = pytest.mark.skipif(limits is None, reason=f"this machine keeps no memory: {why_not}")

# Page faults of a loop over expressions, memory after all is freed, and at its highest.
FAULTS = """
import json, resource
import numpy as np
def now():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()
start = now()
a = np.linspace(0.0, 1.0, 100_000)
def work():
    for _ in range(50):
        (a * a + a - 2 * a) / (1 + a * a)
work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
work()
faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
"""
TELL = """
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps({"faults": faults, "start": start, "end": now(), "peak": peak}))
"""


def told(outcome):
    assert outcome.status == 0, outcome.error
    return json.loads(outcome.text.splitlines()[-1])


@needs_glibc
def test_on_and_off(bench):
    """Temporaries cost no page faults when memory is kept; off, they cost what they cost under python."""
    bench.write("program.py", FAULTS + TELL)
    plain = told(bench.python("program.py"))["faults"]
    on = told(bench.minpy("run", "--no-jit", "program.py"))[
        "faults"
    ]  # a compiler at work has faults of its own
    assert plain > 1000  # else there is nothing to gain here
    assert on < plain / 10
    # As one piece, or in a compiled loop, an expression has no temporaries.
    off = [
        told(bench.minpy("run", "--no-keep-memory", "--no-fuse", "--no-jit", "program.py"))["faults"],
        told(bench.minpy("run", "--no-fuse", "--no-jit", "program.py", MINPY_KEEP_MEMORY="0"))["faults"],
        told(bench.minpy("run", "--no-fuse", "--no-jit", "program.py", MALLOC_TRIM_THRESHOLD_="131072"))[
            "faults"
        ],
        told(
            bench.minpy(
                "run", "--no-fuse", "--no-jit", "program.py", GLIBC_TUNABLES="glibc.malloc.mmap_max=65536"
            )
        )["faults"],
    ]
    assert all(each > plain / 2 for each in off), (plain, off)
    assert (
        told(bench.minpy("run", "--keep-memory", "--no-jit", "program.py", MINPY_KEEP_MEMORY="0"))["faults"]
        < plain / 10
    )


@needs_glibc
@pytest.mark.parametrize("first", ["import minpy; minpy.install()", "import numpy, minpy; minpy.install()"])
def test_install(bench, first):
    bench.write("program.py", f"import warnings; warnings.simplefilter('ignore')\n{first}\n{FAULTS}{TELL}")
    assert told(bench.python("program.py"))["faults"] < 1000
    assert told(bench.python("program.py", MINPY_KEEP_MEMORY="no"))["faults"] > 1000


# What programs do that a heap could answer with holes: arrays that grow, sizes that alternate, small objects
# between large arrays, large arrays after many middle-sized ones, threads, a fork.
SHAPES = {
    "growing": """
x = np.ones(1000)
while x.nbytes < 40e6:
    x = np.concatenate([x, x[: len(x) // 3]])
del x
""",
    "alternating": """
for k in range(60):
    x = np.ones(100_000 * (1 + 37 * k % 40))
    y = x + 1.0
del x, y
""",
    "fragments": """
keep = []
for k in range(40):
    x = np.ones(300_000)
    keep.append(np.ones(300))
many = [np.ones(400_000 + 1000 * k) for k in range(30)]
small = [np.ones(100) for k in range(3000)]
del many[::2]
del x, many
""",
    "threads": """
import threading
def work():
    for k in range(30):
        x = np.ones(500_000 + 1000 * k)
        y = np.sqrt(x) + x
threads = [threading.Thread(target=work) for _ in range(6)]
for t in threads: t.start()
for t in threads: t.join()
""",
    "fork": """
import os
x = np.ones(4_000_000)
del x
child = os.fork()
y = np.ones(3_000_000) + 1.0
assert y.sum() == 6e6
if not child:
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
del y
""",
}


@needs_glibc
@pytest.mark.parametrize("shape", SHAPES)
def test_bound(bench, shape):
    """At its highest, and when all is freed, a process has at most the bound more than under python."""
    bench.write("program.py", FAULTS + SHAPES[shape] + TELL)
    plain, ours = (told(each) for each in bench.both("program.py"))
    slack = 40 * MIB  # MinPy itself
    assert ours["peak"] <= plain["peak"] + limits.top + slack
    assert ours["end"] <= plain["end"] + limits.top + slack


@needs_glibc
def test_above_the_bound_memory_goes_back(bench):
    """What is freed at the end of the heap beyond the bound, and arrays above the limit, go back to the system."""
    count = limits.top // (16 * MIB) + 4
    work = f"""
many = [np.ones(2 * {MIB}) for _ in range({count})]
del many
huge = np.ones({limits.array} // 8 + 1000)
del huge
"""
    bench.write("program.py", FAULTS + work + TELL)
    found = told(bench.minpy("run", "program.py"))
    assert found["peak"] > limits.top
    assert found["end"] < found["start"] + limits.top // 2


@needs_glibc
def test_children_inherit(bench):
    bench.write("child.py", FAULTS + TELL)
    bench.write(
        "program.py",
        "import multiprocessing, subprocess, sys\n"
        "import numpy as np\n"
        "def task(_):\n"
        "    names = {}\n"
        f"    exec({FAULTS!r}, names)\n"
        "    return names['faults']\n"
        "if __name__ == '__main__':\n"
        "    import json\n"
        "    found = []\n"
        "    for method in ('fork', 'spawn'):\n"
        "        with multiprocessing.get_context(method).Pool(1) as pool:\n"
        "            found += pool.map(task, [0])\n"
        "    print(json.dumps(found))\n",
    )
    on = told(bench.minpy("run", "program.py"))
    off = told(bench.minpy("run", "--no-keep-memory", "program.py"))
    assert on[0] < 1000 < min(off)


def test_a_program_without_arrays_does_not_pay(bench):
    bench.write("program.py", "import sys\nprint('ctypes' in sys.modules, 'numpy' in sys.modules)")
    assert bench.minpy("run", "program.py").text == "False False\n"


def test_doctor_says_what_is_kept(bench):
    report = json.loads(bench.minpy("doctor", "--json").text)
    assert report["memory"]["array_bytes"] == (limits.array if limits else None)
    assert report["memory"]["available_bytes"] == memory.available()
    assert report["memory"]["kept"] == memory.plan()[1]
    assert "--no-keep-memory" in memory.plan(False)[1]


# --- In this process, without touching its malloc


class FakeLibrary:
    """glibc as it answers to mallopt; `refuses` is what it says no to."""

    def __init__(self, refuses=()):
        self.asked = []
        self.refuses = refuses

    def mallopt(self, parameter, value):
        self.asked.append((parameter, value))
        return int((parameter, value) not in self.refuses)


@pytest.fixture
def fake(monkeypatch):
    library = FakeLibrary()
    monkeypatch.setattr(memory, "_applied", None)
    monkeypatch.setattr(memory, "_glibc", lambda: library)
    monkeypatch.setattr(memory, "available", lambda: 8 << 30)
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    for name in memory._VARIABLES:
        monkeypatch.delenv(name, raising=False)
    return library


def test_twice_is_once(fake):
    assert memory.keep(False) is None and fake.asked == []
    assert memory.keep() == memory.keep() == Limits(128 * MIB, 512 * MIB)
    assert fake.asked == [(-1, 512 * MIB), (-3, 128 * MIB)]


def test_older_glibc_refuses_the_limit_of_arrays(fake):
    fake.refuses = [(-3, 128 * MIB)]
    assert memory.keep() == Limits(32 * MIB, 512 * MIB)
    assert fake.asked[-1] == (-3, 32 * MIB)


def test_a_library_that_refuses_all(fake):
    fake.refuses = [(-1, 512 * MIB)]
    assert memory.keep() is None and len(fake.asked) == 1


@pytest.mark.parametrize(
    ("available", "expected"),
    [
        (None, None),
        (512 * MIB, None),
        (1024 * MIB - 1, None),
        (1024 * MIB, Limits(32 * MIB, 64 * MIB)),
        (4096 * MIB, Limits(128 * MIB, 256 * MIB)),
        (1 << 50, Limits(128 * MIB, 512 * MIB)),
    ],
)
def test_limits_follow_the_memory(fake, monkeypatch, available, expected):
    monkeypatch.setattr(memory, "available", lambda: available)
    found, text = memory.plan()
    assert found == expected and text
    assert memory.keep() == expected


@pytest.mark.parametrize("name", ["GLIBC_TUNABLES", *memory._VARIABLES])
def test_what_the_user_set_stays(fake, monkeypatch, name):
    monkeypatch.setenv(name, "glibc.malloc.top_pad=1")
    assert memory.keep() is None and fake.asked == [] and name in memory.plan()[1]


def test_other_tunables_do_not_matter(fake, monkeypatch):
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.pthread.rseq=0")
    assert memory.keep() is not None


@pytest.mark.parametrize("platform", ["darwin", "win32", "emscripten"])
def test_other_platforms(monkeypatch, platform):
    monkeypatch.setattr(memory, "_applied", None)
    monkeypatch.setattr(sys, "platform", platform)
    assert memory.keep() is None and "glibc" in memory.plan()[1]


def test_musl(monkeypatch):
    """musl has no mallopt and no gnu_get_libc_version: what looks them up gets an AttributeError."""
    monkeypatch.setattr(memory, "_applied", None)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    assert memory.keep() is None and "glibc" in memory.plan()[1]


def test_options():
    assert _options([]).keep_memory is True
    assert _options(["--no-keep-memory"]).keep_memory is False
    assert _options(["--no-keep-memory", "--keep-memory"]).keep_memory is True


def test_control_groups(tmp_path):
    """The limits of all the groups around a process count, wherever the path of the group begins."""
    root, table = tmp_path / "cgroup", tmp_path / "table"
    inner = root / "a.slice" / "b.scope"
    inner.mkdir(parents=True)
    (root / "memory").mkdir()
    (root / "a.slice" / "memory.max").write_text("2000000000\n")
    (inner / "memory.max").write_text("max\n")
    (root / "memory" / "memory.limit_in_bytes").write_text("3000000000\n")
    table.write_text("0::/a.slice/b.scope\n7:cpu,cpuacct:/x\n4:memory,hugetlb:/docker/0a1b\n\nodd\n")
    assert sorted(memory._of_control_groups(str(table), str(root))) == [2000000000, 3000000000]
    assert memory._of_control_groups(str(tmp_path / "none"), str(root)) == []
