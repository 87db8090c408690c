"""What a `LegacySummaryWriter` writes: named scalars, histograms, images and texts."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from minpy.errors import ArgumentError
from minpy.runtime.array import host
from minpy.visualization.events import load

__all__ = ["histogramSummary", "imageSummary", "scalarSummary", "textSummary"]


def scalarSummary(tag: str, scalar: Any) -> Any:
    """A number.

    Parameters
    ----------
    tag : str
        The name of the curve.
    scalar : float, int, or array of one element
        TensorBoard keeps it in single precision.

    Returns
    -------
    Summary
        For `add_summary`.

    Raises
    ------
    ArgumentError
        If it is no real number.
    """
    values = _numbers("scalarSummary", "scalar", scalar)
    if values.size != 1:
        raise ArgumentError(
            f"scalarSummary: scalar must be a number or an array of one element, not of shape {values.shape}"
        )
    return _summary("scalarSummary", tag, simple_value=float(values.reshape(())))


def histogramSummary(tag: str, values: Any, buckets: int = 30) -> Any:
    """How numbers are distributed: a histogram of an array of any shape.

    Parameters
    ----------
    tag : str
    values : array_like
        Numbers, all finite.
    buckets : int
        How many intervals of equal length their range is divided into.

    Raises
    ------
    ArgumentError
        If there is a NaN or an infinity among them, or what is no real number.
    """
    numbers = _numbers("histogramSummary", "values", values).astype(np.float64)
    if not np.isfinite(numbers).all():
        wrong = numbers[~np.isfinite(numbers)]
        raise ArgumentError(
            f"histogramSummary: values holds {wrong.size} of {numbers.size} that are not finite, such as {wrong[0]}"
        )
    if isinstance(buckets, bool) or not isinstance(buckets, (int, np.integer)) or buckets < 1:
        raise ArgumentError(f"histogramSummary: buckets must be a whole number above 0, not {buckets!r}")
    _tag("histogramSummary", tag)
    return load("plugins.histogram.summary_v2").histogram_pb(tag, numbers, int(buckets))


def imageSummary(tag: str, image: Any) -> Any:
    """A picture.

    Parameters
    ----------
    tag : str
    image : array_like, shape (height, width), (height, width, 1), (height, width, 3) or (height, width, 4)
        Grey, RGB or RGBA; bytes as they are, floating-point numbers from 0 to 1 (what lies outside is cut off).

    Raises
    ------
    ArgumentError
        For any other shape or type.
    """
    pixels = _numbers("imageSummary", "image", image)
    shape = pixels.shape
    if len(shape) == 3 and shape[2] == 1:
        pixels = pixels[:, :, 0]
    if pixels.ndim not in (2, 3) or 0 in shape or (pixels.ndim == 3 and shape[2] not in (3, 4)):
        raise ArgumentError(
            "imageSummary: image must have the shape (height, width), or (height, width, channels) with 1, 3 or 4 "
            f"channels, not {shape}"
        )
    if pixels.dtype.kind == "f":
        pixels = (np.clip(np.nan_to_num(pixels), 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)
    elif pixels.dtype != np.uint8:
        raise ArgumentError(
            f"imageSummary: image must hold bytes, or floating-point numbers from 0 to 1, not {pixels.dtype}"
        )
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, "PNG")
    message = load("compat.proto.summary_pb2").Summary.Image(
        height=shape[0],
        width=shape[1],
        colorspace=1 if pixels.ndim == 2 else shape[2],
        encoded_image_string=file.getvalue(),
    )
    return _summary("imageSummary", tag, image=message)


def textSummary(tag: str, text: str) -> Any:
    """A text; TensorBoard renders Markdown."""
    _tag("textSummary", tag)
    if not isinstance(text, str):
        raise ArgumentError(f"textSummary: text must be a string, not {text!r}")
    return load("plugins.text.summary_v2").text_pb(tag, text)


def _summary(function: str, tag: str, **value: Any) -> Any:
    _tag(function, tag)
    messages = load("compat.proto.summary_pb2")
    return messages.Summary(value=[messages.Summary.Value(tag=tag, **value)])


def _tag(function: str, tag: Any) -> None:
    if not isinstance(tag, str) or not tag:
        raise ArgumentError(f"{function}: tag must be a name, not {tag!r}")


def _numbers(function: str, name: str, value: Any) -> np.ndarray:
    array = value.asnumpy() if hasattr(value, "asnumpy") else host(value)
    try:
        array = np.asarray(array)
    except ValueError as error:
        raise ArgumentError(f"{function}: {name} must hold real numbers: {error}") from error
    if array.dtype.kind not in "biuf":
        raise ArgumentError(f"{function}: {name} must hold real numbers, not {array.dtype}")
    return array
