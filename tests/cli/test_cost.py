"""The cost model: what it predicts, what it chooses, and that only figures in order are believed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minpy.runtime import calibration, cost

CLASSES = st.sampled_from([name for name in cost.OP_CLASSES if not name.startswith("to_")] + ["solve"])
SIZES = st.integers(1, 10**9)
BACKENDS = st.sampled_from(cost.BUILT_IN.backends)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MINPY_CACHE_DIR", str(tmp_path / "cache"))


@given(CLASSES, BACKENDS)
def test_predicts_what_was_measured(op_class, backend):
    for size, time in cost.BUILT_IN.points[backend].get(op_class, ()):
        assert cost.BUILT_IN.predict(op_class, size, backend) == pytest.approx(time)


@given(CLASSES, BACKENDS, SIZES, SIZES)
def test_more_work_takes_no_less_time(op_class, backend, one, other):
    small, large = sorted((one, other))
    predict = cost.BUILT_IN.predict
    assert 0 < predict(op_class, small, backend) <= predict(op_class, large, backend) * (1 + 1e-9)


def test_beyond_the_largest_it_goes_on_growing():
    predict = cost.BUILT_IN.predict
    assert predict("arith", 10**8, "numpy") > 50 * predict("arith", 10**6, "numpy")
    # A product of twice the side takes about eight times as long.
    ratio = predict("matmul", 4 * 2**22, "numpy") / predict("matmul", 2**22, "numpy")
    assert 6 < ratio < 11


@given(CLASSES, SIZES, st.booleans())
def test_the_choice_is_the_faster_one(op_class, size, resident):
    model = cost.BUILT_IN
    for device in ("mxnet-cpu", "mxnet-gpu"):
        on_numpy = model.predict(op_class, size, "numpy")
        on_device = model.predict(op_class, size, device)
        if resident:
            on_numpy += model.predict("to_host", size, device)
        else:
            on_device += model.predict("to_device", size, device)
        assert model.best(op_class, size, resident, device) == (device if on_device < on_numpy else "numpy")


def test_choices_that_must_hold():
    best = cost.BUILT_IN.best
    # On a CPU MXNet wins none of the classes, and small work is NumPy's everywhere.
    for op_class in cost.OP_CLASSES:
        if not op_class.startswith("to_"):
            for size in (10, 1000, 10**6, 10**7):
                assert best(op_class, size, device="mxnet-cpu") == "numpy"
            assert best(op_class, 10) == "numpy"
    # A copy to the GPU for one addition does not pay, a large product does; on data that is there, both do.
    assert best("arith", 10**7) == "numpy"
    assert best("matmul", 2**20) == "mxnet-gpu"
    assert best("arith", 10**6, resident=True) == "mxnet-gpu"
    # Views cost nothing where the data is; what no device can do is NumPy's.
    assert best("free", 10**6, resident=True) == "mxnet-gpu" and best("free", 10**6) == "numpy"
    assert best("host", 10**9, resident=True) == "numpy"


def test_every_cost_class_of_the_table_has_a_price():
    from minpy.runtime.primitives.table import COSTS

    for op_class in COSTS:
        assert cost.BUILT_IN.best(op_class, 100) == "numpy"


def test_unknown_class_is_an_error():
    with pytest.raises(KeyError):
        cost.BUILT_IN.best("arithmetic", 10)


def test_measured_model_without_gpu_takes_its_figures_from_the_built_in_one():
    numpy_only = cost.CostModel({"numpy": cost.BUILT_IN.points["numpy"]}, True)
    assert numpy_only.best("matmul", 2**20) == "mxnet-gpu"


@pytest.fixture(scope="module")
def measured():
    return calibration.calibrate(["numpy"], budget=0.15)


def test_calibration_is_in_order_and_survives_saving(measured):
    assert measured.measured and measured.backends == ("numpy",)
    path = cost.save(measured)
    assert os.path.dirname(path) == os.environ["MINPY_CACHE_DIR"]
    assert [name for name in os.listdir(os.path.dirname(path)) if name.endswith(".tmp")] == []
    loaded = cost.load()
    assert loaded.points == measured.points and loaded.measured


@pytest.mark.mxnet
@pytest.mark.skipif(find_spec("mxnet") is None, reason="MXNet is not installed")
def test_calibration_of_mxnet():
    model = calibration.calibrate(budget=0.2)
    assert model.backends[:2] == ("numpy", "mxnet-cpu")
    assert set(model.points["mxnet-cpu"]) == set(cost.OP_CLASSES)
    # A launch of MXNet takes microseconds where NumPy takes a fraction of one: true on every machine.
    assert model.predict("arith", 10, "mxnet-cpu") > model.predict("arith", 10, "numpy")
    assert (
        cost.from_json(json.loads(json.dumps({"machine": model.machine, "points": model.points}))).points
        == model.points
    )


SPOILED = {
    "empty": lambda data: "",
    "cut off": lambda data: json.dumps(data)[:-20],
    "not JSON": lambda data: "\x00\xff",
    "a list": lambda data: "[]",
    "another machine": lambda data: json.dumps({**data, "machine": {**data["machine"], "cpu": "other"}}),
    "no points": lambda data: json.dumps({**data, "points": {}}),
    "no numpy": lambda data: json.dumps({**data, "points": {"mxnet-cpu": data["points"]["numpy"]}}),
    "a class missing": lambda data: changed(data, lambda points: points.pop("sort")),
    "times that fall": lambda data: changed(data, lambda points: points["sort"].reverse()),
    "a negative time": lambda data: changed(data, lambda points: points["sort"].__setitem__(0, [10, -1])),
    "a word": lambda data: changed(data, lambda points: points["sort"].__setitem__(0, [10, "fast"])),
    "one point": lambda data: changed(data, lambda points: points.__setitem__("sort", [[10, 1]])),
    "no number": lambda data: changed(data, lambda points: points["sort"].append([1e9, float("nan")])),
    "endless": lambda data: changed(data, lambda points: points["sort"].append([1e9, float("inf")])),
    "deep": lambda data: "[" * 100000,
}


def changed(data, change):
    change(data["points"]["numpy"])
    return json.dumps(data)


@pytest.mark.parametrize("spoiled", SPOILED)
def test_file_that_cannot_be_trusted_is_ignored(measured, spoiled):
    path = cost.save(measured)
    with open(path, encoding="utf-8") as file:
        data = json.load(file)
    with open(path, "w", encoding="latin-1") as file:
        file.write(SPOILED[spoiled](data))
    assert cost.load() is cost.BUILT_IN
    cost.save(measured)
    assert cost.load().measured


def test_no_cache_folder(measured, monkeypatch):
    from minpy.transform import cache

    monkeypatch.setattr(cache, "cache_dir", lambda: "")
    assert cost.load() is cost.BUILT_IN and cost.calibration_path() == ""
    with pytest.raises(OSError, match="MINPY_CACHE_DIR"):
        cost.save(measured)


def test_import_is_light():
    heavy = ("numpy", "mxnet", "libcst", "rich")
    text = f"import sys, minpy.runtime.cost; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, env={**os.environ, "MINPY_ACTIVE": ""}
    )
    assert done.stdout == "[]\n"


def test_machine_is_the_same_before_and_after_mxnet_sets_its_threads(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = cost.machine()
    monkeypatch.setenv("OMP_NUM_THREADS", before["cores"])
    assert cost.machine() == before
    monkeypatch.setenv("OMP_NUM_THREADS", "77")
    assert cost.machine() != before


@given(CLASSES, st.booleans())
def test_thresholds_are_where_the_choice_changes(op_class, resident):
    model = cost.BUILT_IN
    found = model.threshold(op_class, resident=resident)
    if found is None:
        assert model.best(op_class, 1e8, resident) == "numpy"
    else:
        for factor in (1, 3, 100):
            assert model.best(op_class, found * factor, resident) == "mxnet-gpu"
        if found > 10:
            assert model.best(op_class, found / 10**0.25, resident) == "numpy"


@pytest.mark.parametrize("factor", [1e-3, 1e3])
def test_what_is_out_of_all_proportion_is_not_believed(factor):
    """A figure that only a disturbed measurement can have given."""
    points = {
        backend: {name: [list(pair) for pair in pairs] for name, pairs in classes.items()}
        for backend, classes in cost.BUILT_IN.points.items()
    }
    assert cost.implausible(points) == []
    for pair in points["numpy"]["sort"]:
        pair[1] *= factor
    assert cost.implausible(points) == [("numpy", "sort")]
    cost.save(cost.CostModel(points, True, cost.machine()))
    assert cost.load() is cost.BUILT_IN


def test_what_was_disturbed_is_built_in(monkeypatch):
    """A busy machine: what was not measured is said, kept and read again."""
    monkeypatch.setattr(calibration, "_time", lambda *_: 1.0)
    monkeypatch.setattr(cost, "_PROPORTION", 20.0)
    found = calibration.calibrate(["numpy"], budget=0.0)
    assert "sort on numpy" in found.disturbed
    assert found.points["numpy"]["sort"] == cost.BUILT_IN.points["numpy"]["sort"]
    cost.save(found)
    again = cost.load()
    assert again.measured and again.disturbed == found.disturbed


def test_figures_hold_for_one_blas(monkeypatch):
    before = cost.calibration_path()
    monkeypatch.setattr(cost, "_blas", lambda: "another 1.0")
    assert cost.machine()["blas"] == "another 1.0" and cost.calibration_path() != before


def test_after_the_deadline_one_batch_must_do():
    calls = []
    assert calibration._time(lambda: calls.append(1), 0.0, deadline=0.0) > 0
    few = len(calls)
    assert calibration._time(lambda: calls.append(1), 0.0) > 0
    assert len(calls) - few > few
