"""Summaries: what is written, what TensorBoard reads, and what happens when nothing can be written."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import time
import urllib.parse
import urllib.request

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import minpy.numpy as mnp
from minpy.errors import ArgumentError, SummaryError
from minpy.nn import layers
from minpy.nn.callbacks import Callback
from minpy.nn.io import NDArrayIter
from minpy.nn.model import ModelBase
from minpy.nn.solver import Solver
from minpy.visualization import summaryOps
from minpy.visualization.writer import LegacySummaryWriter

NORM = "squared L2-norm of the gradient"


class Line(ModelBase):
    def __init__(self):
        super().__init__()
        self.add_param("w", (3, 4)).add_param("b", (4,), init_rule="constant")

    def forward(self, X, mode):
        return layers.affine(X, self.params["w"], self.params["b"])

    def loss(self, predict, y):
        return layers.softmax_loss(predict, y)


def make(folder, **options):
    np.random.seed(0)
    y = np.random.randint(4, size=60)
    x = np.random.randn(60, 3) + y[:, None]
    options = {"num_epochs": 3, "verbose": False, "visualize": True, "summaries_dir": folder, **options}
    return Solver(Line(), NDArrayIter(x, y, 20, shuffle=True), NDArrayIter(x, y, 20), **options)


def read(folder):
    """Steps and values of each scalar of a run, as TensorBoard's own reader sees them."""
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0, "tensors": 0}).Reload()
    tags = events.Tags()["scalars"]
    return {
        tag: ([e.step for e in events.Scalars(tag)], [e.value for e in events.Scalars(tag)]) for tag in tags
    }


# ----- the functions of the manual


@pytest.mark.parametrize(
    "value",
    [1.5, np.float64(1.5), np.array(1.5), np.array([[1.5]], np.float16), mnp.array([1.5])],
    ids=["float", "numpy number", "0-d", "one element", "minpy array"],
)
def test_scalars_come_in_every_form(value, tmp_path):
    """One number, whatever it is wrapped in."""
    with LegacySummaryWriter(tmp_path) as writer:
        writer.add_summary(summaryOps.scalarSummary("loss", value), 7)
        writer.add_summary(summaryOps.scalarSummary("loss", 3).SerializeToString(), 8)
    assert read(tmp_path) == {"loss": ([7, 8], [1.5, 3.0])}


def test_a_value_that_is_being_differentiated_can_be_written(tmp_path):
    """The loss inside of the differentiated function is a number, too."""
    from minpy.core import grad

    with LegacySummaryWriter(tmp_path) as writer:

        def loss(w):
            value = mnp.sum(w * w)
            writer.add_summary(summaryOps.scalarSummary("loss", value), 0)
            return value

        assert np.array_equal(grad(loss)(np.array([1.0, 2.0])), [2.0, 4.0])
    assert read(tmp_path) == {"loss": ([0], [5.0])}


def test_histograms_images_and_texts_are_read(tmp_path):
    """TensorBoard's reader finds them, and the picture's pixels are those that were given."""
    from PIL import Image

    grey, rgb = np.arange(6, dtype=np.uint8).reshape(2, 3), np.zeros((4, 5, 3))
    rgb[1, 2] = (1.0, 0.5, 2.0)
    with LegacySummaryWriter(tmp_path) as writer:
        writer.add_summary(summaryOps.histogramSummary("weights", [[0.0, 1.0], [1.0, 4.0]], buckets=4), 1)
        writer.add_summary(summaryOps.imageSummary("grey", grey), 1)
        writer.add_summary(summaryOps.imageSummary("rgb", rgb), 1)
        writer.add_summary(summaryOps.textSummary("note", "**hello**"), 1)
    events = EventAccumulator(str(tmp_path)).Reload()
    tensors = {tag: events.Tensors(tag)[0].tensor_proto for tag in events.Tags()["tensors"]}
    assert set(tensors) == {"weights", "note"}
    from tensorboard.util.tensor_util import make_ndarray

    assert make_ndarray(tensors["weights"]).tolist() == [[0, 1, 1], [1, 2, 2], [2, 3, 0], [3, 4, 1]]
    assert make_ndarray(tensors["note"]).item() == b"**hello**"

    def pixels(tag):
        return np.array(Image.open(io.BytesIO(events.Images(tag)[0].encoded_image_string)))

    assert np.array_equal(pixels("grey"), grey)
    assert pixels("rgb")[1, 2].tolist() == [255, 128, 255]
    assert (events.Images("rgb")[0].height, events.Images("rgb")[0].width) == (4, 5)


@pytest.mark.parametrize(
    ("make_it", "text"),
    [
        (lambda: summaryOps.scalarSummary("a", [1.0, 2.0]), "not of shape (2,)"),
        (lambda: summaryOps.scalarSummary("a", "1"), "real numbers"),
        (lambda: summaryOps.scalarSummary("a", 1j), "real numbers, not complex128"),
        (lambda: summaryOps.scalarSummary("", 1), "tag must be a name"),
        (lambda: summaryOps.histogramSummary("a", [1.0, np.nan]), "1 of 2 that are not finite"),
        (lambda: summaryOps.histogramSummary("a", [1.0], buckets=0), "buckets must be"),
        (lambda: summaryOps.imageSummary("a", np.zeros(3)), "not (3,)"),
        (lambda: summaryOps.imageSummary("a", np.zeros((2, 2, 2))), "not (2, 2, 2)"),
        (lambda: summaryOps.imageSummary("a", np.zeros((2, 2), int)), "bytes, or floating-point"),
        (lambda: summaryOps.textSummary("a", 1), "text must be a string"),
    ],
)
def test_wrong_values_are_named(make_it, text):
    """What cannot be shown is refused, with the argument's name."""
    with pytest.raises(ArgumentError, match=re.escape(text)):
        make_it()


def test_writers_of_the_branch(tmp_path):
    """The other spelling is the same writer."""
    from minpy.visualize import event_file_writer, summary_ops, visualizer, writer

    assert writer.SummaryWriter is event_file_writer.EventFileWriter is LegacySummaryWriter
    board = visualizer.Tensorboard(tmp_path)
    board.single_scalar_summary("train", "loss", 1, 2.5)
    board.norm_summary("test", "norm", 2, {"a": np.array([1.0, 2.0]), "b": np.array([[2.0]])})
    board.writers["train"].add_summary(summary_ops.scalar_summary("loss", 1), 2)
    assert board.writers["train"].get_logdir() == str(tmp_path / "train")
    board.writers["train"].add_run_metadata(b"", "graph", 1), board.writers["train"].flush()
    board.close()
    assert EventAccumulator(str(tmp_path / "train")).Reload().Tags()["run_metadata"] == ["graph"]
    assert read(tmp_path / "train") == {"loss": ([1, 2], [2.5, 1.0])}
    assert read(tmp_path / "test") == {"norm": ([2], [9.0])}
    nothing = visualizer.NoVisualize()
    (
        nothing.single_scalar_summary("train", "loss", 1, 2.5),
        nothing.norm_summary("t", "n", 1, []),
        nothing.close(),
    )


def test_a_closed_writer_says_so_and_can_be_reopened(tmp_path):
    """It does not lose what it is given."""
    writer = LegacySummaryWriter(tmp_path)
    writer.add_summary(summaryOps.scalarSummary("a", 1), 1)
    writer.close(), writer.close()
    with pytest.raises(SummaryError, match="is closed"):
        writer.add_summary(summaryOps.scalarSummary("a", 2), 2)
    writer.reopen()
    writer.add_summary(summaryOps.scalarSummary("a", 3), 3)
    writer.close()
    assert read(tmp_path) == {"a": ([1, 3], [1.0, 3.0])}
    with pytest.raises(ArgumentError, match="'a' was a summary of another kind"):
        writer.add_summary(summaryOps.histogramSummary("a", [1.0]), 4)
    with pytest.raises(ArgumentError, match=r"function of minpy\.visualization\.summaryOps"):
        writer.add_summary(1.5, 1)


# ----- the solver


def test_the_solver_writes_its_course(tmp_path):
    """Loss and gradient of each iteration, the evaluations of each epoch: the solver's own numbers."""
    norms = []

    class Norms(Callback):
        def on_gradients(self, solver, grads):
            norms.append(sum(float(np.sum(g**2)) for g in grads.values()))

    solver = make(tmp_path, callbacks=[Norms()])
    solver.train()
    train, test = read(tmp_path / "train"), read(tmp_path / "test")
    assert set(train) == {"loss", "accuracy", NORM} and set(test) == {"accuracy"}
    assert train["loss"] == (list(range(1, 10)), np.float32(solver.loss_history).tolist())
    assert train["accuracy"] == ([1, 2, 3], np.float32(solver.train_acc_history).tolist())
    assert test["accuracy"] == ([1, 2, 3], np.float32(solver.val_acc_history).tolist())
    assert train[NORM][0] == list(range(1, 10))
    np.testing.assert_allclose(train[NORM][1], norms, rtol=1e-6)


def test_two_runs_do_not_mix(tmp_path, capsys):
    """Another training in the same folder has a folder of its own in there; one that goes on has not."""
    first = make(tmp_path, num_epochs=1)
    first.train()
    make(tmp_path, num_epochs=2, verbose=True).train()
    assert f"Summaries are written to {tmp_path}/run-2;" in capsys.readouterr().out
    first.train()
    assert read(tmp_path / "train")["loss"][0] == [1, 2, 3, 4, 5, 6]
    assert read(tmp_path / "run-2" / "train")["loss"][0] == [1, 2, 3, 4, 5, 6]
    assert sorted(os.listdir(tmp_path)) == ["run-2", "test", "train"]
    first.init()
    first.train()
    assert read(tmp_path / "run-3" / "train")["loss"][0] == [1, 2, 3]


class Stop(Exception):
    pass


class StopAt(Callback):
    def __init__(self, iteration):
        self.iteration = iteration

    def on_step(self, solver, loss):
        if solver.iteration == self.iteration:
            raise Stop


def test_a_resumed_run_appends(tmp_path):
    """What came after the checkpoint is written again, and TensorBoard shows it once, as if nothing had happened."""
    log, file = tmp_path / "log", tmp_path / "state.npz"
    make(log, num_epochs=1).train()
    whole = make(tmp_path / "whole")
    whole.train()
    with pytest.raises(Stop):
        make(log, checkpoint=file, callbacks=[StopAt(5)]).train()
    assert read(log / "run-2" / "train")["loss"][0] == [1, 2, 3, 4]
    make(log, checkpoint=file, resume=True).train()
    assert read(log / "run-2" / "train") == read(tmp_path / "whole" / "train")
    assert read(log / "run-2" / "test") == read(tmp_path / "whole" / "test")
    assert sorted(os.listdir(log)) == ["run-2", "test", "train"]


# ----- what goes wrong


def test_a_folder_that_cannot_be_written_is_an_error_before_training(tmp_path):
    """It names the folder; nothing was trained."""
    (tmp_path / "file").write_text("")
    for place in ("file", "file/below"):
        solver = make(tmp_path / place)
        with pytest.raises(SummaryError, match=rf"no summaries can be written to {tmp_path}/{place}.*MP054"):
            solver.train()
        assert solver.iteration == 0
    with pytest.raises(SummaryError, match="no summaries can be written to"):
        LegacySummaryWriter(tmp_path / "file")


FULL = """
import resource, sys, warnings
sys.path[:0] = [{here!r}]
from test_visualization import make, LegacySummaryWriter, summaryOps, SummaryError
solver = make({folder!r}, num_epochs=40)
with LegacySummaryWriter({folder!r} + "/own") as writer:
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    solver.train()
    print("trained", solver.iteration)
    try:
        for step in range(1000):
            writer.add_summary(summaryOps.scalarSummary("a", step), step)
    except SummaryError as error:
        print(step, error)
"""


def test_a_full_disk_does_not_end_the_training(tmp_path):
    """It goes on with one warning; a writer of one's own raises; what was written before stays readable."""
    program = FULL.format(here=os.path.dirname(__file__), folder=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "trained 120\n" in done.stdout
    warned = [line for line in done.stderr.splitlines() if "SummaryWarning" in line]
    assert len(warned) == 1 and "File too large" in warned[0] and "goes on without summaries" in warned[0]
    step = re.search(r"^(\d+) a summary cannot be written to .*File too large.*MP054.*$", done.stdout, re.M)[
        1
    ]
    assert read(tmp_path / "own")["a"][0] == list(range(int(step)))
    steps, _ = read(tmp_path / "train")["loss"]
    assert steps == list(range(1, len(steps) + 1)) and 5 < len(steps) < 120


def test_a_process_that_is_killed_loses_nothing(tmp_path):
    """Each summary is in the file when `add_summary` returns."""
    program = (
        "import os, sys\nfrom minpy.visualization import LegacySummaryWriter, summaryOps\n"
        "writer = LegacySummaryWriter(sys.argv[1])\n"
        "for step in range(50): writer.add_summary(summaryOps.scalarSummary('a', step), step)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], timeout=120)
    assert done.returncode == -9
    assert read(tmp_path)["a"][0] == list(range(50))


@pytest.mark.parametrize(
    ("hidden", "text"),
    [
        ("tensorboard", "pip install 'minpy\\[viz\\]'"),
        ("google", "TensorBoard does not load: .*pip install --force-reinstall tensorboard"),
    ],
)
def test_a_missing_package_is_one_clear_error(hidden, text, tmp_path):
    """With the command that installs it; nothing else of MinPy needs it."""
    program = (
        f"import sys\nsys.modules[{hidden!r}] = None\n"
        "import minpy.nn.solver, minpy.visualization, minpy.visualize\n"
        "from minpy.visualization.writer import LegacySummaryWriter\n"
        "LegacySummaryWriter(sys.argv[1])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 1
    assert re.search(
        rf"minpy.errors.SummaryError: .*{text}.*\[MP054\]$", done.stderr.strip().splitlines()[-1]
    )


def test_tensorflow_is_not_loaded(tmp_path):
    """Not even where it is installed."""
    (tmp_path / "tensorflow.py").write_text("raise SystemExit('TensorFlow was loaded')")
    program = (
        "import sys\nimport numpy as np\nfrom minpy.visualization import LegacySummaryWriter, summaryOps as ops\n"
        "with LegacySummaryWriter(sys.argv[1] + '/log') as w:\n"
        "    for s in (ops.scalarSummary('a', 1), ops.histogramSummary('b', [1.0, 2.0]), ops.textSummary('c', 'd'),\n"
        "              ops.imageSummary('e', np.zeros((2, 2)))): w.add_summary(s, 0)\n"
        "print('written')\n"
    )
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.stdout, done.returncode) == ("written\n", 0), done.stderr


# ----- the real TensorBoard


def test_tensorboard_serves_what_was_written(tmp_path):
    """Started on a loopback port, it gives the tags and the solver's values over HTTP."""
    solver = make(tmp_path)
    solver.train()
    with LegacySummaryWriter(tmp_path / "more") as writer:
        writer.add_summary(summaryOps.histogramSummary("weights", solver.model.params["w"]), 1)
        writer.add_summary(summaryOps.imageSummary("picture", np.abs(solver.model.params["w"])), 1)
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(tmp_path), "--host", "127.0.0.1"]
    server = subprocess.Popen([*command, "--port", "0"], stderr=subprocess.PIPE, text=True)
    try:
        said = ""
        for line in server.stderr:
            said += line
            if found := re.search(r"http://127\.0\.0\.1:\d+/", line):
                break
        else:
            pytest.fail(f"TensorBoard did not start: {said}")

        def get(what, **query):
            address = f"{found[0]}data/plugin/{what}?{urllib.parse.urlencode(query)}"
            with urllib.request.urlopen(address, timeout=20) as answer:
                return json.load(answer)

        for _ in range(100):  # it reads the files in the background
            tags = get("scalars/tags")
            if set(tags) == {"train", "test"} and get("images/tags"):
                break
            time.sleep(0.2)
        assert set(tags["train"]) == {"loss", "accuracy", NORM} and set(tags["test"]) == {"accuracy"}
        losses = get("scalars/scalars", run="train", tag="loss")
        assert [step for _, step, _ in losses] == list(range(1, 10))
        assert [value for *_, value in losses] == np.float32(solver.loss_history).tolist()
        assert "weights" in get("histograms/tags")["more"] and "picture" in get("images/tags")["more"]
        [(_, step, buckets)] = get("histograms/histograms", run="more", tag="weights")
        assert step == 1 and sum(count for *_, count in buckets) == solver.model.params["w"].size
    finally:
        server.terminate()
        server.wait(20)
