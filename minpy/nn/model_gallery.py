"""Well-known networks, put together with `minpy.nn.model_builder`.

Each is a container: ``Model(residual_network(3), "softmax", (3, 32, 32))``.
"""

from __future__ import annotations

from typing import Any

from minpy.nn import checks
from minpy.nn import model_builder as builder

_ACTIVATIONS = {"ReLU": builder.ReLU, "Sigmoid": builder.Sigmoid, "Tanh": builder.Tanh}


class MultiLayerPerceptron(builder.Sequential):
    """Affine layers with activations between them.

    Parameters
    ----------
    *hidden_layers : int
        The outputs of each layer; the last are those of the network.
    activation : {'ReLU', 'Sigmoid', 'Tanh'}
    affine_monitor, activation_monitor : bool
        Keep what each affine layer, or each activation, gives for the last batch.
    storage : dict, optional
        Where: ``storage['affine0']``, ``storage['ReLU0']``.
    """

    def __init__(
        self,
        *hidden_layers: int,
        activation: str = "ReLU",
        affine_monitor: bool = False,
        activation_monitor: bool = False,
        storage: dict[str, Any] | None = None,
    ) -> None:
        checks.choice("MultiLayerPerceptron", "activation", activation, _ACTIVATIONS)
        if not hidden_layers:
            raise checks.fail("MultiLayerPerceptron", "it takes one layer at least")
        if (affine_monitor or activation_monitor) and storage is None:
            raise checks.fail("MultiLayerPerceptron", "storage must be given for the monitors: a dict")
        super().__init__()
        for i, size in enumerate(hidden_layers):
            self.append(builder.Affine(size))
            if affine_monitor:
                self.append(builder.Export(f"affine{i}", storage))
            if i < len(hidden_layers) - 1:
                self.append(_ACTIVATIONS[activation]())
                if activation_monitor:
                    self.append(builder.Export(f"{activation}{i}", storage))


def _convolution(kernel: int, number: int, stride: int = 1, pad: int = 0) -> builder.Convolution:
    return builder.Convolution((kernel, kernel), number, (stride, stride), (pad, pad), initializer="he")


def network_in_network(classes: int = 10, width: int = 192) -> builder.Sequential:
    """Network in network (Lin et al., 2014) for images of about 32 by 32.

    Parameters
    ----------
    classes : int
    width : int
        Filters of the largest layers.
    """

    def stage(kernel: int, pad: int, *numbers: int) -> list[builder.Module]:
        found: list[builder.Module] = []
        for i, number in enumerate(numbers):
            found += [
                _convolution(kernel, number, pad=pad) if i == 0 else _convolution(1, number),
                builder.ReLU(),
            ]
        return found

    half = max(1, width // 2)
    return builder.Sequential(
        *stage(5, 2, width, max(1, width * 5 // 6), half),
        builder.Pooling("max", (3, 3), (2, 2), (1, 1)),
        builder.Dropout(0.5),
        *stage(5, 2, width, width, width),
        builder.Pooling("avg", (3, 3), (2, 2), (1, 1)),
        builder.Dropout(0.5),
        *stage(3, 1, width, width, classes),
        builder.GlobalPooling("avg"),
    )


def _residual_block(number: int, stride: int, project: bool, survival: float = 1.0) -> builder.Sequential:
    branch: builder.Module = builder.Sequential(
        _convolution(3, number, stride, 1),
        builder.SpatialBatchNormalization(),
        builder.ReLU(),
        _convolution(3, number, 1, 1),
        builder.SpatialBatchNormalization(),
    )
    if survival < 1:
        branch = builder.StochasticDepth(branch, survival)
    short: builder.Module = builder.Identity()
    if project:
        short = builder.Sequential(_convolution(1, number, stride), builder.SpatialBatchNormalization())
    return builder.Sequential(builder.Add(short, branch), builder.ReLU())


def _residual(n: int, classes: int, width: int, survival: float) -> builder.Sequential:
    checks.positive("residual_network", "n", n)
    net = builder.Sequential(
        _convolution(3, width, 1, 1), builder.SpatialBatchNormalization(), builder.ReLU()
    )
    for i in range(3 * n):
        stage, first = divmod(i, n)
        smaller = stage > 0 and first == 0
        # The probability falls from layer to layer, to `survival` at the last.
        kept = 1 - (i + 1) / (3 * n) * (1 - survival)
        net.append(_residual_block(width * 2**stage, 2 if smaller else 1, smaller, kept))
    net.append(builder.GlobalPooling("avg"))
    net.append(builder.Affine(classes))
    return net


def residual_network(n: int, classes: int = 10, width: int = 16) -> builder.Sequential:
    """A residual network (He et al., 2016) of ``6 n + 2`` layers, in three stages.

    Parameters
    ----------
    n : int
        Blocks in each stage.
    classes : int
    width : int
        Filters of the first stage; they double at each.
    """
    return _residual(n, classes, width, 1.0)


def stochastic_depth_network(
    n: int, classes: int = 10, width: int = 16, survival: float = 0.5
) -> builder.Sequential:
    """`residual_network` whose blocks are left out at random in training (Huang et al., 2016).

    Parameters
    ----------
    n, classes, width : int
        As for `residual_network`.
    survival : float
        The probability that the last block takes part; those before it are left out more rarely.
    """
    checks.fraction("stochastic_depth_network", "survival", survival)
    return _residual(n, classes, width, survival)


def vgg_network(classes: int = 10, width: int = 64, hidden: int = 512) -> builder.Sequential:
    """A network in the manner of VGG-16 (Simonyan and Zisserman, 2015), for images of 32 by 32.

    Convolutions are followed by batch normalisation.

    Parameters
    ----------
    classes : int
    width : int
        Filters of the first stage; they double at each of the next three.
    hidden : int
        Outputs of the affine layer before the last.
    """
    net = builder.Sequential()
    for stage, depth in enumerate((2, 2, 3, 3, 3)):
        for _ in range(depth):
            net.append(_convolution(3, width * 2 ** min(stage, 3), 1, 1))
            net.append(builder.SpatialBatchNormalization())
            net.append(builder.ReLU())
        net.append(builder.Pooling("max", (2, 2), (2, 2)))
    for module in (
        builder.Flatten(),
        builder.Affine(hidden, initializer="he"),
        builder.BatchNormalization(),
        builder.ReLU(),
        builder.Dropout(0.5),
        builder.Affine(classes),
    ):
        net.append(module)
    return net
