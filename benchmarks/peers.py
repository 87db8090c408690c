"""Forward and backward of 500 chained operations on 10 elements: NumPy, MinPy and the peers that are installed.

python -m benchmarks peers
"""

from __future__ import annotations

import platform
from typing import Any

import numpy as np

import minpy
from benchmarks import frameworks
from benchmarks.timing import clocked, duration, ratio, rounds, summary, table

# 500 operations in all, and a sum.
ROUNDS = 125


def arithmetic(np: Any, x: Any, a: Any, b: Any) -> Any:
    """Operators with arrays that are not differentiated."""
    for _ in range(ROUNDS * 2):
        x = x * a
        x = x + b
    return np.sum(x)


def mixed(np: Any, x: Any, a: Any, b: Any) -> Any:
    """Operators and functions, with the value itself twice among the operands."""
    for _ in range(ROUNDS):
        x = np.sin(x)
        x = x * a
        x = x + b
        x = x * x
    return np.sum(x)


@minpy.accelerate
def _arithmetic(x: Any, a: Any, b: Any) -> Any:
    for _ in range(ROUNDS * 2):
        x = x * a
        x = x + b
    return np.sum(x)


@minpy.accelerate
def _mixed(x: Any, a: Any, b: Any) -> Any:
    for _ in range(ROUNDS):
        x = np.sin(x)
        x = x * a
        x = x + b
        x = x * x
    return np.sum(x)


CHAINS = {"arithmetic": arithmetic, "mixed": mixed}
# The same as a NumPy program has it, with the module's own `np`, rewritten.
ROUTED = {"arithmetic": _arithmetic, "mixed": _mixed}


def measure(fast: bool, only: list[str] | None = None) -> dict[str, Any]:
    """Times and ratios for each chain, of all frameworks in the same rounds."""
    rng = np.random.default_rng(1)
    x, a, b = rng.uniform(0.5, 1.0, 10), rng.uniform(0.9, 0.99, 10), rng.uniform(0.01, 0.02, 10)
    versions = {"NumPy": np.__version__, "Python": platform.python_version()}
    found: dict[str, Any] = {"versions": versions, "absent": frameworks.absent(), "chains": []}
    for name in only or CHAINS:
        program = CHAINS[name]
        ours = ROUTED[name]
        gradient = minpy.value_and_grad(ours)
        forward: dict[str, Any] = {
            "NumPy": lambda p=program: p(np, x, a, b),
            "MinPy": lambda f=ours: f(x, a, b),
        }
        both: dict[str, Any] = {"MinPy": lambda f=gradient: f(x, a, b)}
        for peer in frameworks.present():
            versions[peer.name] = peer.version
            once, twice = peer.chain(program, a, b)
            forward[peer.name], both[peer.name] = (lambda f=once: f(x)), (lambda f=twice: f(x))
        _agree({n: f() for n, f in both.items()})
        # Its threads and its long rounds would disturb the others: JAX has rounds of its own, with MinPy again.
        others = [n for n in forward if not n.startswith("JAX")]
        groups = [(others, 4.0 if fast else 20.0)]
        if len(others) < len(forward):
            groups.append((["MinPy", *(n for n in forward if n not in others)], 4.0 if fast else 10.0))
        result: dict[str, Any] = {"chain": name, "forward": {}, "both": {}, "minpy_to": {}}
        for names, seconds in groups:
            things = {f"{n} forward": clocked(forward[n], again=3) for n in names}
            things |= {f"{n} both": clocked(both[n], again=3) for n in names if n in both}
            times = rounds(things, seconds, most=1000)
            for n in names:
                if n not in result["forward"]:
                    result["forward"][n] = summary(times[f"{n} forward"])
                    if n in both:
                        result["both"][n] = summary(times[f"{n} both"])
                if n != "MinPy":
                    run = "forward" if n == "NumPy" else "both"
                    result["minpy_to"][n] = ratio(times["MinPy both"], times[f"{n} {run}"])
        found["chains"].append(result)
    return found


def _agree(results: dict[str, Any]) -> None:
    value, gradient = results["MinPy"]
    for name, (v, g) in results.items():
        if not (np.allclose(v, value) and np.allclose(np.asarray(g), gradient)):
            raise AssertionError(f"{name} and MinPy do not agree")


def text(found: dict[str, Any]) -> str:
    """The figures as tables."""
    parts = ["  " + ", ".join(f"{name} {version}" for name, version in found["versions"].items())]
    for chain in found["chains"]:
        lines = []
        for name in chain["forward"]:
            forward, both = chain["forward"][name], chain["both"].get(name)
            to = chain["minpy_to"].get(name)
            lines.append(
                [
                    name,
                    f"{duration(forward['median'])} ± {duration(forward['spread'])}",
                    f"{duration(both['median'])} ± {duration(both['spread'])}" if both else "",
                    duration(both["best"]) if both else "",
                    f"{to['value']:.3f} ± {to['spread']:.3f}" if to else "",
                    f"{to['best']:.3f}" if to else "",
                ]
            )
        heads = ["", "forward", "forward and backward", "best", "MinPy's is … times that", "of the best"]
        title = f"  {chain['chain']}: {CHAINS[chain['chain']].__doc__} (NumPy's ratio is to its forward run)"
        parts.append(title + "\n" + table(heads, lines))
    return "\n\n".join([*parts, *found["absent"]])


if __name__ == "__main__":
    from benchmarks.timing import main

    main(measure)
