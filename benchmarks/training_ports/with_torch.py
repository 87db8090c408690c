"""The networks in PyTorch: its layers, and its optimizers as they are by default."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.training_ports import data


class LSTM(nn.Module):
    """A recurrent layer, and one that reads its last state."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(data.INPUTS, data.HIDDEN, batch_first=True)
        self.last = nn.Linear(data.HIDDEN, data.CLASSES)
        self.lstm.bias_hh_l0.requires_grad_(False)  # a second bias, that MinPy's layer does not have

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.lstm(x)[0][:, -1])


def _mlp() -> nn.Module:
    return nn.Sequential(
        nn.Linear(3072, 512), nn.ReLU(), nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, data.CLASSES)
    )


def _cnn() -> nn.Module:
    first, second = data.FILTERS
    return nn.Sequential(
        nn.Conv2d(3, first, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(first, second, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(second * 8 * 8, 128),
        nn.ReLU(),
        nn.Linear(128, data.CLASSES),
    )


MODELS: dict[str, Callable[[], nn.Module]] = {"mlp": _mlp, "mlp_adam": _mlp, "cnn": _cnn, "lstm": LSTM}


def _turned(name: str, key: str, value: np.ndarray) -> np.ndarray:
    """A parameter from MinPy's layout to PyTorch's, or back: weights of layers are transposed, and gates exchanged."""
    if name == "lstm" and key in ("wx", "wh", "b"):
        axis = 0 if value.shape[0] == 4 * data.HIDDEN else 1
        i, f, third, fourth = np.split(value, 4, axis)
        value = np.concatenate([i, f, fourth, third], axis)
    return value.T if value.ndim == 2 else value


def gradient(
    name: str, parameters: dict[str, np.ndarray], constants: dict[str, np.ndarray], threads: int, how: str
) -> Callable[[], Any]:
    """A call that makes one step and gives the loss before it."""
    torch.set_num_threads(threads)
    x, labels = (torch.from_numpy(each) for each in constants.values())
    model = MODELS[name]().to(x.dtype)
    learned = [each for each in model.parameters() if each.requires_grad]
    with torch.no_grad():
        for key, each in zip(parameters, learned, strict=True):
            each.copy_(torch.from_numpy(_turned(name, key, parameters[key]).copy()))
        if name == "lstm":
            model.lstm.bias_hh_l0.zero_()  # type: ignore[union-attr, operator]
    if name in data.BY_ADAM:
        optimizer: torch.optim.Optimizer = torch.optim.Adam(learned, data.LEARNING_RATE)
    else:
        optimizer = torch.optim.SGD(learned, data.LEARNING_RATE, data.MOMENTUM)

    def run() -> float:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), labels)
        loss.backward()
        optimizer.step()
        return loss.item()

    def read(loss: float) -> Any:
        now = [each.detach().numpy() for each in learned]
        return loss, [_turned(name, key, w) - parameters[key] for key, w in zip(parameters, now, strict=True)]

    run.read, run.first = read, 3  # type: ignore[attr-defined]
    return run
