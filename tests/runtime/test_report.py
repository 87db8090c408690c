"""The profile's text: units, totals, copies and reasons."""

from __future__ import annotations

import io

import numpy as np
import pytest

from minpy.runtime import cost, profile
from minpy.runtime.entry import routed
from minpy.runtime.report import duration, print_profile, size


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0"),
        (3e-10, "0.30 ns"),
        (8.98e-8, "89.8 ns"),
        (8.98e-5, "89.8 µs"),
        (1e-3, "1.00 ms"),
        (0.1714, "171 ms"),
        (0.9999, "1000 ms"),
        (1.816, "1.82 s"),
        (75.04, "75.0 s"),
        (3600, "3600 s"),
    ],
)
def test_duration(seconds, text):
    """Three digits and the unit a person would choose."""
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("nbytes", "text"),
    [
        (0, "0 B"),
        (512, "512 B"),
        (1023, "1023 B"),
        (1024, "1.00 KiB"),
        (1536 * 1024, "1.50 MiB"),
        (5 * 2**40, "5120 GiB"),
    ],
)
def test_size(nbytes, text):
    """Powers of 1024, up to GiB."""
    assert size(nbytes) == text


def printed(recorder: profile.Recorder) -> str:
    stream = io.StringIO()
    print_profile(recorder, stream)
    return stream.getvalue()


def test_profile_of_nothing_says_so():
    """A program without array work gets one line, not an empty table."""
    assert printed(profile.Recorder()) == "MinPy profile: no array operation was routed.\n"


def test_profile_has_totals_copies_and_every_reason():
    """Rows by time, a total, the bytes each way, and each reason with its count."""
    recorder = profile.Recorder()
    recorder.operation("dot", profile.MXNET, 0.002, None)
    recorder.operation("dot", profile.MXNET, 0.001, None)
    recorder.operation("sort", profile.NUMPY, 0.5, "MP101 MXNet has no such operator")
    recorder.operation("dot", profile.NUMPY, 0.25, "MP102 MXNet has no dtype complex128")
    recorder.copy("host to device", 2048, 0.001)
    text = printed(recorder)
    lines = [line.split() for line in text.splitlines()]
    assert ["sort", "1", "500", "ms"] in lines
    assert ["dot", "1", "250", "ms", "2", "3.00", "ms"] in lines
    assert lines.index(["sort", "1", "500", "ms"]) < lines.index(["dot", "1", "250", "ms", "2", "3.00", "ms"])
    assert ["Total", "2", "750", "ms", "2", "3.00", "ms"] in lines
    assert "Copied host to device: 2.00 KiB in 1 transfer, 1.00 ms" in text
    assert "MP101 MXNet has no such operator (1 call)" in text
    assert "MP102 MXNet has no dtype complex128 (1 call)" in text


def test_long_reasons_and_names_with_brackets_are_printed_whole():
    """A reason is text, not markup: brackets stay."""
    recorder = profile.Recorder()
    recorder.operation("pad", profile.NUMPY, 1.0, "MP104 mode [reflect] is not covered")
    assert "mode [reflect] is not covered" in printed(recorder)


def test_recording_counts_routed_calls_and_stops():
    """A recorder sees calls between start and stop, and none after."""
    from minpy.runtime.entry import routed

    recorder = profile.start(profile.Recorder())
    try:
        routed.np.exp(np.ones(3))
    finally:
        profile.stop(recorder)
    routed.np.exp(np.ones(3))
    assert dict(recorder.calls) == {("exp", profile.NUMPY): 1}
    assert routed.np is np


def test_profile_shows_what_the_cost_model_predicted(tmp_path, monkeypatch):
    """Predicted beside measured, for what the model has figures for; nothing where nobody asks for times."""
    monkeypatch.setenv("MINPY_CACHE_DIR", str(tmp_path))
    a = np.ones((40, 50))
    recorders = profile.Recorder(timed=True), profile.Recorder()
    for each in recorders:
        profile.start(each)
    try:
        for _ in range(3):
            routed.np.exp(a)
        routed.np.shape(a)
    finally:
        for each in recorders:
            profile.stop(each)
    timed, untimed = recorders
    expected = 3e-6 * cost.BUILT_IN.predict("transcendental", 2000, "numpy")
    assert timed.expected["exp", profile.NUMPY] == pytest.approx(expected)
    assert not untimed.expected and "Predicted" not in printed(untimed)
    lines = printed(timed).splitlines()
    assert lines[1].endswith("Predicted")
    (line,) = [line for line in lines if line.startswith("exp")]
    assert line.endswith(duration(expected))
