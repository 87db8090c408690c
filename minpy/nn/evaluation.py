"""How good a model is on data: right answers, or summed losses, and of how many. Padding does not count."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from minpy.nn import checks
from minpy.nn.io import DataBatch
from minpy.runtime.array import host


def batches(dataiter: Any, num_samples: int | None) -> Iterator[tuple[DataBatch, int]]:
    """A pass over (a choice of) the data: each batch with the number of its samples that count."""
    if num_samples is not None and hasattr(dataiter, "getsubiter"):
        dataiter = dataiter.getsubiter(num_samples)
    left = num_samples
    dataiter.reset()
    for batch in dataiter:
        count = len(batch.data[0]) - (batch.pad or 0)
        if left is not None:
            count = min(count, left)
            left -= count
        yield batch, count
        if left == 0:
            break


def right_answers(model: Any, dataiter: Any, num_samples: int | None) -> tuple[int, int]:
    """Of how many samples the largest score is that of their class, of how many in all.

    Labels are class numbers or one-hot rows.
    """
    right = total = 0
    for batch, count in batches(dataiter, num_samples):
        scores = _array(model.forward_batch(batch, "test"))[:count]
        label = _array(batch.label[0])[:count]
        answer = scores.argmax(axis=-1)
        if label.shape == scores.shape and scores.ndim > 1:
            label = label.argmax(axis=-1)
        elif label.size != answer.size:
            raise checks.fail(
                "check_accuracy",
                f"label has the shape {label.shape}, which fits no scores of shape {scores.shape}: it must hold "
                "class numbers or one-hot rows",
            )
        right += int(np.count_nonzero(answer == label.reshape(answer.shape)))
        total += answer.size
    return right, total


def summed_loss(model: Any, loss: Any, dataiter: Any, num_samples: int | None) -> tuple[float, int]:
    """The sum of ``loss(batch, outputs)`` over the samples, and their number."""
    total, samples = 0.0, 0
    for batch, count in batches(dataiter, num_samples):
        outputs = model.forward_batch(batch, "test")
        if count < len(batch.data[0]):
            # The model may need whole batches; its loss does not.
            outputs = _first(outputs, count)
            batch = DataBatch(_first(batch.data, count), _first(batch.label, count), 0)
        total += float(_array(loss(batch, outputs)).reshape(())) * count
        samples += count
    return total, samples


def _first(values: Any, count: int) -> Any:
    if isinstance(values, (list, tuple)):
        return type(values)(_first(each, count) for each in values)
    return values[:count]


def _array(value: Any) -> np.ndarray:
    other = hasattr(value, "asnumpy") and not isinstance(value, (np.ndarray, np.generic))  # MXNet's
    return value.asnumpy() if other else np.asarray(host(value))
