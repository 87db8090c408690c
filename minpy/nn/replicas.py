"""`Replicas`: one model on several devices, each with its share of every batch.

The first device holds the parameters. At each step the others get copies, every device computes the gradient of its
share, the gradients are added up in the order of the devices, weighted by samples, and the first device takes the
step. So the parameters are the same bits everywhere, whatever the update rule, and a checkpoint is that of one device.

One thread starts the work of all devices, in their order, and waits for none of them: random numbers are drawn in the
same order in each run.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy

import minpy.numpy as np
from minpy.errors import DeviceFailure
from minpy.nn import checks
from minpy.nn.io import DataBatch
from minpy.runtime.array import host
from minpy.runtime.collective import KINDS, Group
from minpy.runtime.context import Context


def contexts_of(context: Any) -> tuple[Context, ...]:
    """The devices that a solver was given: none, one, or several different ones of one type."""
    if context is None:
        return ()
    given = (context,) if isinstance(context, Context) else context
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise checks.fail(
            "Solver", f"context must be a context such as gpu(0), or a list of them, not {context!r}"
        )
    contexts = tuple(given)
    for each in contexts:
        if not isinstance(each, Context):
            raise checks.fail("Solver", f"context must hold contexts such as gpu(0), not {each!r}")
    if not contexts:
        raise checks.fail("Solver", "context must hold at least one context such as gpu(0)")
    for each in contexts:
        if contexts.count(each) > 1:
            raise checks.fail("Solver", f"context has {each} twice: each device takes one share of a batch")
        if each.device_type != contexts[0].device_type:
            raise checks.fail(
                "Solver", f"context has devices of two kinds, {contexts[0]} and {each}: they must be of one"
            )
    return contexts


def of(contexts: tuple[Context, ...], kvstore: Any, dataiter: Any) -> Replicas | None:
    """The replicas on these devices; None where there is only one."""
    if len(contexts) < 2:
        return None
    size = int(getattr(dataiter, "batch_size", 0) or 0)
    if 0 < size < len(contexts):
        raise checks.fail("Solver", f"batch_size is {size}, which {len(contexts)} devices cannot share")
    if isinstance(kvstore, str) or kvstore is None:
        # The store of several processes adds what each process has added up on its devices.
        return Replicas(contexts, kvstore if kvstore in KINDS else "device")
    return Replicas(contexts, "device", None if kvstore.type.startswith("dist") else kvstore)


class Replicas:
    """The devices that share each batch of a solver.

    Parameters
    ----------
    contexts : sequence of Context
    kind : {'local', 'device', 'nccl'}
        Where sums are made.
    store : mxnet.kv.KVStore, optional
        Makes them.
    """

    def __init__(self, contexts: tuple[Context, ...], kind: str = "device", store: Any = None) -> None:
        self.contexts, self.group = contexts, Group(contexts, kind, store)

    def grad_and_loss(self, solver: Any, batch: DataBatch) -> tuple[dict[str, Any], float]:
        """As `Solver.grad_and_loss`, each device with its share of the batch."""
        shares = split(batch, len(self.contexts))
        numbers = [len(share.data[0]) for share in shares]
        total = sum(numbers)
        try:
            return self._computed(solver, shares, [number / total for number in numbers])
        except DeviceFailure as error:
            said = str(error).rpartition(" [")[0] or str(error)
            raise DeviceFailure(
                f"{said}. The training on {', '.join(map(str, self.contexts))} cannot go on; with Solver(checkpoint=…, "
                "resume=True), the same program goes on from the last checkpoint, with any number of devices"
            ) from error

    def _computed(
        self, solver: Any, shares: list[DataBatch], weights: list[float]
    ) -> tuple[dict[str, Any], float]:
        model = solver.model
        names = list(model.param_configs)
        first = {name: model.params[name] for name in names}
        aux = dict(model.aux_params)
        beside = [name for name, value in aux.items() if isinstance(value, numpy.ndarray)]
        copies = self.group.spread([*first.values(), *(aux[name] for name in beside)])
        gradients: list[list[Any] | None] = []
        kept: list[dict[str, Any]] = []
        losses: list[Any] = []
        try:
            for context, share, weight, values in zip(self.contexts, shares, weights, copies, strict=True):
                if not weight:
                    gradients.append(None)
                    continue
                model.aux_params.update(aux)
                model.aux_params.update(zip(beside, values[len(names) :], strict=True))
                if context != self.contexts[0]:
                    model.params.update(zip(names, values, strict=False))
                with context:
                    grads, loss = solver.differentiated(share)
                    gradients.append([_weighted(grads[name], weight) for name in names])
                losses.append(loss)
                kept.append(dict(model.aux_params))
                if context != self.contexts[0]:
                    for name, copy in zip(names, values, strict=False):
                        if model.params.get(name) is copy:  # what the model replaced stays replaced
                            model.params[name] = first[name]
        except BaseException:
            model.params.update(first)
            model.aux_params.update(aux)
            raise
        used = [weight for weight in weights if weight]
        self.group.check()
        sums = self.group.sum(gradients)
        model.aux_params.update(kept[0])
        self._average(model.aux_params, aux, kept, used)
        loss = sum(
            weight * float(np.asarray(host(each)).reshape(()))
            for weight, each in zip(used, losses, strict=True)
        )
        self.group.check()
        return dict(zip(names, sums, strict=True)), loss

    def _average(
        self, target: dict[str, Any], before: dict[str, Any], kept: list[dict[str, Any]], weights: list[float]
    ) -> None:
        """What the model keeps beside its parameters, such as running means: the mean over the devices."""
        if len(kept) < 2:
            return
        names = [
            name
            for name, value in kept[0].items()
            if getattr(getattr(value, "dtype", None), "kind", "") == "f" and value is not before.get(name)
        ]
        if not names:
            return
        parts: list[list[Any] | None] = []
        for context, values, weight in zip(self.contexts, kept, weights, strict=False):
            with context:
                parts.append([_weighted(values[name], weight) for name in names])
        parts += [None] * (len(self.contexts) - len(parts))
        target.update(zip(names, self.group.sum(parts), strict=True))


def _weighted(value: Any, weight: float) -> Any:
    return value if weight == 1.0 else np.multiply(value, weight)


def split(batch: DataBatch, parts: int) -> list[DataBatch]:
    """The shares of a batch: rows in order, as many in each as can be, and the padding where it is."""
    number = len(batch.data[0])
    whole = number - (batch.pad or 0)
    shares = []
    for part in range(parts):
        # (The first shares are the larger ones: a batch of one row is the first device's.)
        start, stop = -(-part * number // parts), -(-(part + 1) * number // parts)
        data, label = ([array[start:stop] for array in arrays or ()] for arrays in (batch.data, batch.label))
        index = None if batch.index is None else batch.index[start:stop]
        shares.append(DataBatch(data, label, max(0, stop - max(start, whole)), index))
    return shares
