"""``minpy doctor``: what it says of this machine, and of machines on which things are broken."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy
import pytest

from minpy import doctor, doctor_devices, doctor_text
from minpy.runtime import cost

NO_CUDA = {"CUDA_VISIBLE_DEVICES": ""}


def examined(outcome):
    return json.loads(outcome.text)


def mxnet_of(bench, **environ):
    """What doctor says of MXNet, without the rest."""
    script = (
        "import json; from minpy import doctor_devices; print(json.dumps(doctor_devices.examine_mxnet()))"
    )
    return json.loads(bench.python("-c", script, **environ).text)


def fake(bench, files, **distributions):
    """A folder before site-packages with a package ``mxnet`` and the records of distributions that own it."""
    for name, text in files.items():
        bench.write(f"fake/{name}", text)
    for name, owned in distributions.items():
        name = name.replace("_", "-")
        folder = f"fake/{name.replace('-', '_')}-1.9.1.dist-info"
        bench.write(f"{folder}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.9.1\n")
        bench.write(f"{folder}/RECORD", "".join(f"{file},,\n" for file in owned))
        bench.write(f"{folder}/top_level.txt", "mxnet\n")
    bench.environ["PYTHONPATH"] = f"{bench.folder / 'fake'}:{bench.environ['PYTHONPATH']}"


def test_this_machine(bench, capsys):
    """The exit status says whether there are problems, and the text says what the JSON says."""
    outcome = bench.minpy("doctor", "--json")
    report = examined(outcome)
    assert outcome.status == (1 if report["problems"] else 0)
    assert report["python"]["version"] == sys.version.split()[0]
    assert {"numpy", "libcst", "minpy", "astunparse"} <= set(report["packages"])
    assert report["cache"]["bytecode"] == str(bench.folder.parent / "cache" / "bytecode")
    assert report["cache"]["writable"] is True
    assert report["hook"]["installed"] is False
    assert report["threads"]["usable"] >= 1
    assert report["mxnet"]["state"] in ("loads", "absent", "broken")
    doctor_text.render(report)
    text = capsys.readouterr().out
    for part in ("Versions", "MXNet", "GPUs", "Cache", "Threads", "Hook", "Cost model: built in", "matmul"):
        assert part in text
    assert "\x1b" not in text  # not a terminal
    assert text.endswith("no problems found\n") == (not report["problems"])


@pytest.mark.parametrize(
    "found, said",
    [
        ((None, None, None), "not by an OpenBLAS"),
        (("Zen", None, None), "its kernels for Zen"),
        (("Prescott", "Haswell", None), "could not be loaded"),
        (("Zen", None, "the extra mkl, 2026.2"), "the layers of minpy.nn use the extra mkl, 2026.2"),
        (
            ("Prescott", "Haswell", "a copy", (32e-3, 6.4e-3)),
            "32.0 ms a product of two matrices of 450 rows, 6.4 by",
        ),
        (("Zen", None, None, None, {"mkl": "no room"}), "the extra mkl is not used: no room"),
        (("Zen", None, None, None, {"copy": "no room"}), "a copy of NumPy's OpenBLAS is not used: no room"),
        (("Prescott", "Haswell", None), "run on vectors of AVX-512 in its place, with the same bits"),
        (("Prescott", "Haswell", None, None, {}, "off"), "products are no faster: off"),
    ],
)
def test_what_multiplies(found, said):
    given = {"numpy": None, "better": None, "ours": None, "seconds": None, "failures": {}, "narrow": ""}
    names = ("numpy", "better", "ours", "seconds", "failures", "narrow")
    rows = doctor_text._blas(given | dict(zip(names, found, strict=False)))
    assert said in str(rows)
    assert ("OPENBLAS_CORETYPE=Haswell" in str(rows)) == (found[1:2] == ("Haswell",) and bool(found[2]))


def test_the_parts_of_the_cache(tmp_path):
    """Files of the folder itself, and what is below each folder in it."""
    for name, size in (("calibration.json", 10), ("loops/a.loop", 20), ("blas/1/lib.so", 3_000_000)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(bytes(size))
    parts = doctor._sizes(str(tmp_path))
    assert parts == {"blas": 3_000_000, "loops": 20, "calibration.json": 10}
    report = {"bytecode": "x", "files": 0, "bytes": 0, "writable": True, "calibration": "y", "parts": parts}
    assert "3.0 MB (copies of OpenBLAS 3.0, compiled code 0.0" in str(doctor_text._cache(report))


@pytest.mark.mxnet
@pytest.mark.skipif(not doctor_devices._owners(), reason="MXNet is not installed")
def test_mxnet_loads_in_a_process_of_its_own(bench):
    found = mxnet_of(bench, **NO_CUDA)
    assert found["state"] == "loads" and found["version"] == "1.9.1"


BROKEN = {
    "a crash": (
        "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n",
        "signal 11",
        "--force-reinstall",
    ),
    "an exit": ("import os\nos._exit(3)\n", "status 3", "--force-reinstall"),
    "a missing CUDA library": (
        "raise OSError('libcudnn.so.8: cannot open shared object file: No such file or directory')\n",
        "libcudnn.so.8",
        "minpy[cu112]",
    ),
    "no driver": (
        "raise OSError('libcuda.so.1: cannot open shared object file')\n",
        "no NVIDIA driver",
        "minpy[cpu]",
    ),
    "a missing system library": (
        "raise OSError('libgfortran.so.3: cannot open shared object file')\n",
        "system library",
        "libquadmath0",
    ),
    "no distutils": ("import no_distutils_here_setuptools\n", "setuptools", "pip install setuptools"),
    "half removed": ("from mxnet import base\n", "in part", "--force-reinstall --no-deps mxnet==1.9.1"),
    "something else": ("raise AttributeError('no nd')\n", "AttributeError: no nd", "--force-reinstall"),
    "wrong results": (
        "class nd:\n    @staticmethod\n    def ones(shape):\n        import numpy\n"
        "        class A(numpy.ndarray):\n            def asscalar(self): return 0.0\n"
        "        return numpy.zeros(shape).view(A)\n",
        "",
        "--force-reinstall",
    ),
}


@pytest.mark.skipif(
    sys.version_info >= (3, 13) or numpy.__version__ >= "2",
    reason="too new for MXNet, which is then all that is said",
)
@pytest.mark.parametrize("broken", BROKEN)
def test_broken_mxnet(bench, broken):
    """The reason and the command that repairs it; one that crashes does not take doctor along."""
    text, reason, repair = BROKEN[broken]
    fake(bench, {"mxnet/__init__.py": text}, mxnet=["mxnet/__init__.py"])
    found = mxnet_of(bench)
    assert found["state"] == "broken"
    assert reason in found["reason"] and repair in found["repair"]


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="there is no MXNet for this Python, broken or not")
def test_remains_of_an_uninstalled_mxnet(bench):
    """`pip uninstall` of one of two: the record is there, the package is an empty folder."""
    fake(bench, {"mxnet/leftover.txt": ""}, mxnet_cu112=["mxnet/__init__.py"])
    # This interpreter's own mxnet would be found behind the fake folder.
    outcome = bench.python("-c", ALONE)
    report = json.loads(outcome.text)
    assert report["state"] == "broken", outcome.error
    assert "gone in part" in report["reason"]
    assert report["repair"] == "pip install --force-reinstall --no-deps mxnet-cu112==1.9.1"


ALONE = """
import json, sys
from importlib import metadata
sys.path[:] = [p for p in sys.path if "site-packages" not in p]
from minpy import doctor_devices
failure = {"loads": False, "error": "ModuleNotFoundError", "text": "No module named 'mxnet.base'"}
doctor_devices._try_mxnet = lambda: failure
print(json.dumps(doctor_devices.examine_mxnet()))
"""


def test_two_mxnets(monkeypatch):
    monkeypatch.setattr(doctor_devices, "_owners", lambda: ["mxnet", "mxnet-cu112"])
    monkeypatch.setattr(doctor_devices, "_spec", lambda name: True)
    monkeypatch.setattr(
        doctor_devices, "_try_mxnet", lambda: {"loads": True, "version": "1.9.1", "gpus": 0, "seconds": 1.0}
    )
    found = doctor_devices.examine_mxnet()
    assert found["state"] == "loads"
    assert "overwrite each other" in found["reason"]
    assert found["repair"].startswith("pip uninstall -y mxnet mxnet-cu112 && pip install")
    assert found["repair"].endswith("mxnet-cu112==1.9.1")


@pytest.mark.parametrize("version, said", [((3, 13), "Python newer than 3.12"), ((3, 11), "not installed")])
def test_no_mxnet(monkeypatch, version, said):
    """Not a problem: the NumPy path is used."""
    monkeypatch.setattr(doctor_devices, "_owners", list)
    monkeypatch.setattr(doctor_devices, "_spec", lambda name: False)
    monkeypatch.setattr(doctor_devices.sys, "version_info", (*version, 0, "final", 0))
    found = doctor_devices.examine_mxnet()
    assert found["state"] == "absent" and said in found["reason"] and "NumPy path is used" in found["reason"]


def test_numpy_too_new(monkeypatch):
    monkeypatch.setattr(doctor_devices, "version", lambda name: "2.1.0")
    monkeypatch.setattr(doctor_devices, "_spec", lambda name: True)
    monkeypatch.setattr(doctor_devices.sys, "version_info", (3, 12, 0, "final", 0))
    reason, repair = doctor_devices.diagnose("AttributeError", "np.PZERO was removed", ["mxnet"])
    assert "needs numpy 1.x, not 2.1.0" in reason and repair == "pip install 'numpy<2'"


@pytest.mark.parametrize(
    "variables, said",
    [
        ({"MINPY_POLICY": "fast"}, "unknown policy"),
        ({"MINPY_THREADS": "x"}, "MINPY_THREADS"),
        ({"MINPY_CONTEXT": "gpu:77"}, "MINPY_CONTEXT=gpu:77"),
    ],
)
def test_environment_that_asks_for_what_is_not_there(monkeypatch, variables, said):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    problems = []
    doctor._options(
        {"state": "loads", "gpus": 0, "distributions": []}, doctor_devices.examine_gpus(), problems
    )
    assert len(problems) == 1 and said in problems[0]["what"] and problems[0]["repair"]


H200 = {"index": 0, "name": "NVIDIA H200", "capability": "9.0", "memory_bytes": 2**37}
A100 = {"index": 0, "name": "NVIDIA A100", "capability": "8.0", "memory_bytes": 2**36}
NOTHING = {
    "backend": "",
    "why": "no library that drives NVIDIA H200 is installed",
    "repair": "pip install it",
}
BY_MXNET = {"backend": "mxnet", "why": "it has code for it", "repair": ""}


@pytest.mark.parametrize(
    "device, seen, said",
    [
        (H200 | NOTHING, 1, "no library that drives NVIDIA H200"),
        (A100 | BY_MXNET, 0, "this MXNet sees no GPU"),
        (A100 | BY_MXNET, 1, None),
        (H200 | BY_MXNET | {"backend": "cupy"}, 0, None),
    ],
)
def test_gpu_asked_for(monkeypatch, device, seen, said):
    monkeypatch.setenv("MINPY_CONTEXT", "gpu:0")
    problems = []
    gpus = {"driver": "CUDA 12.4", "reason": "", "devices": [device]}
    doctor._options({"state": "loads", "gpus": seen, "distributions": ["mxnet"]}, gpus, problems)
    assert [said in problem["what"] for problem in problems] == ([True] if said else [])


def test_cache_that_cannot_be_written(bench):
    """Programs run uncached: worth saying, not a problem."""
    bench.write("file", "")
    fake(bench, {"mxnet/__init__.py": "raise OSError('libcuda.so.1')\n"}, mxnet=["mxnet/__init__.py"])
    outcome = bench.minpy("doctor", "--json", MINPY_CACHE_DIR=str(bench.folder / "file" / "below"))
    report = examined(outcome)
    assert outcome.status == 1 and report["cache"]["writable"] is False
    assert [problem["what"].partition(":")[0] for problem in report["problems"]] == ["MXNet does not load"]


def test_calibrate(bench, monkeypatch, capsys):
    """Measured, kept, shown."""
    first = examined(bench.minpy("doctor", "--json", "--calibrate", OMP_NUM_THREADS="1", **NO_CUDA))
    assert first["cost"]["measured"] is True
    monkeypatch.setenv("MINPY_CACHE_DIR", bench.environ["MINPY_CACHE_DIR"])
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert doctor._cost(first["mxnet"], first["gpus"]) == first["cost"]
    monkeypatch.setenv("OMP_NUM_THREADS", "77")  # the figures hold for one number of threads
    assert doctor._cost(first["mxnet"], first["gpus"])["measured"] is False
    doctor_text.render(first)
    assert "measured on this machine" in capsys.readouterr().out


def test_calibration_that_cannot_be_kept(monkeypatch, tmp_path):
    """What was asked for did not happen: a problem."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MINPY_CACHE_DIR", str(tmp_path / "file" / "below"))
    measured = json.dumps(cost.as_json(cost.BUILT_IN))
    done = subprocess.CompletedProcess([], 0, measured, "")
    monkeypatch.setattr(doctor.subprocess, "run", lambda *words, **options: done)
    problems = []
    doctor._calibrate({"state": "absent"}, {"devices": []}, problems)
    assert ["calibration" in problem["what"] for problem in problems] == [True]
