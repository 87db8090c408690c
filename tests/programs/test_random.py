"""Five hundred random programs: gradients in both modes against differences, and every side effect as in the plain run.

`campaign.py` (``make campaign``) runs as many as one likes.
"""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from differences import WrongGradient, check, make, run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minpy.runtime.adoption import COUNTED

COUNT, SHARDS = 500, 10


@pytest.mark.parametrize("shard", range(SHARDS))
def test_programs(shard: int) -> None:
    """None wrong, none an unexplained error; nearly all are differentiated and compared."""
    seeds = range(shard, COUNT, SHARDS)
    outcomes, wrong = Counter(), []
    for seed in seeds:
        try:
            outcomes[run(seed).partition(":")[0]] += 1
        except WrongGradient as error:
            wrong.append(str(error))
            if len(wrong) == 5:
                break
    assert not wrong, "\n\n".join(wrong)
    assert outcomes["right"] >= (0.9 if COUNTED else 0.75) * len(seeds)
    assert outcomes["kink"] <= 0.03 * len(seeds) + 1


@settings(
    max_examples=25, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
@given(st.randoms(use_true_random=False), st.integers(0, 99))
def test_programs_that_hypothesis_writes(rng: Random, seed: int) -> None:
    """The same grammar, with every choice drawn by hypothesis: what fails is shrunk to a small program."""
    text, dims = make(rng, 8)
    try:
        check(text, dims, seed)
    except Exception as error:
        raise WrongGradient(f"{type(error).__name__}: {error}\n\n{text}") from error
