"""Sums of products by labels: einsum."""

from __future__ import annotations

from typing import Any

import numpy as np

from minpy.runtime.primitives.moves import apply, cases
from minpy.runtime.primitives.table import row


def _explicit(args: tuple) -> tuple[list[list], list, list, list[int]]:
    """The labels of each operand and of the result, the operands, and their positions among `args`.

    Labels are characters or numbers; the axes of an ellipsis get the labels ``("...", i)``, counted from
    the last axis.
    """
    if isinstance(args[0], str):
        operands, positions = list(args[1:]), list(range(1, len(args)))
        text = args[0].replace(" ", "")
        terms, arrow, out = text.partition("->")
        labels: list[list] = [_letters(term) for term in terms.split(",")]
        result = _letters(out) if arrow else None
    else:
        positions = list(range(0, len(args) - len(args) % 2, 2))
        operands = [args[i] for i in positions]
        labels = [list(args[i + 1]) for i in positions]
        result = list(args[-1]) if len(args) % 2 else None
    most = 0
    for i, operand in enumerate(operands):
        if Ellipsis in labels[i]:
            count = np.ndim(operand) - len(labels[i]) + 1
            most = max(most, count)
            labels[i] = _fill(labels[i], count)
    if result is None:
        counts: dict = {}
        for term in labels:
            for label in term:
                counts[label] = counts.get(label, 0) + 1
        plain = sorted(label for label, n in counts.items() if n == 1 and not isinstance(label, tuple))
        result = _fill([Ellipsis], most) + plain
    elif Ellipsis in result:
        result = _fill(result, most)
    return labels, result, operands, positions


def _letters(term: str) -> list:
    return [Ellipsis if part == "." else part for part in term.replace("...", ".")]


def _fill(labels: list, count: int) -> list:
    at = labels.index(Ellipsis)
    return labels[:at] + [("...", i) for i in range(count, 0, -1)] + labels[at + 1 :]


def _uneinsum(position: int) -> Any:
    def rule(g: Any, ans: Any, *args: Any, **keywords: Any) -> Any:
        labels, result, operands, positions = _explicit(args)
        number = {
            label: n for n, label in enumerate(dict.fromkeys(x for term in [*labels, result] for x in term))
        }
        k = positions.index(position)
        mine, shape = labels[k], np.shape(operands[k])
        wanted = list(dict.fromkeys(mine))
        factors: list = [g, [number[x] for x in result]]
        for i, operand in enumerate(operands):
            if i != k:
                factors += [operand, [number[x] for x in labels[i]]]
        known = {x for i, term in enumerate(labels) if i != k for x in term} | set(result)
        for label in wanted:
            if label not in known:  # summed over in the operand alone: the same for every element
                factors += [np.ones(shape[mine.index(label)]), [number[label]]]
        optimize = len(factors) > 4
        d = np.einsum(*factors, [number[x] for x in wanted], optimize=optimize)
        if len(wanted) == len(mine):
            return d
        # A label twice in one operand reads its diagonal: only that gets a cotangent.
        sizes = [shape[mine.index(x)] for x in wanted]
        grid = np.ix_(*[np.arange(n) for n in sizes])
        return apply("index_scatter", d, tuple(grid[wanted.index(x)] for x in mine), shape)

    return rule


row(
    "einsum",
    cost="matmul",
    mxnet="MXNet's einsum differs from NumPy's for repeated labels and dtypes",
    vjp=_uneinsum,
    samples=cases(
        lambda a: ("ij,jk->ik", a(2, 3), a(3, 2)),
        lambda a: ("ij,jk", a(2, 3), a(3, 2)),
        lambda a: ("ii", a(3, 3)),
        lambda a: ("ii->i", a(3, 3)),
        lambda a: ("ij->ji", a(2, 3)),
        lambda a: ("ij->", a(2, 3)),
        lambda a: ("ij->i", a(2, 3)),
        lambda a: ("...ij,...jk->...ik", a(2, 2, 3), a(3, 2)),
        lambda a: ("i...->...", a(2, 3)),
        lambda a: ("i,j,k->ijk", a(2), a(3), a(2)),
        lambda a: [("bij,bjk,kl->bil", a(2, 2, 3), a(2, 3, 2), a(2, 2)), {"optimize": True}],
        lambda a: ("ij,ij->ij", a(2, 3), a(1, 3)),
        lambda a: ("iij,j->i", a(2, 2, 3), a(3)),
        lambda a: (a(2, 3), [0, 1], a(3), [1], [0]),
        lambda a: (a(2, 3), [0, Ellipsis], [Ellipsis, 0]),
        lambda a: (a(2, 2), [0, 0]),
        lambda a: (",->", a()[()], a()),
        lambda a: ("ij,jk->ik", a(2, 3), a(2, 2)),
    ),
)
row(
    "einsum_path",
    cost="host",
    geometry=True,
    mxnet="a plan, no array work",
    samples=cases(lambda a: ("ij,jk->ik", a(2, 3), a(3, 2))),
)
