"""Captured draws are what a draw of a single row is, whatever was drawn before and wherever the logits lie."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.ops import load_ops
from kernels.reference.argmax import argmax
from kernels.reference.mask_logits import mask_logits
from kernels.reference.sample import sample
from runtime.config import FILTERS
from runtime.decoder.draw_graph import Row
from runtime.decoder.sampler import MOST_GRAPHS, Sampler
from runtime.request import GREEDY, SamplingParams

V, MOST_ROWS = 70, 3  # 70: bits of the last word are nobody's
PLACES = [torch.empty(MOST_ROWS, V) for _ in range(2)]
KINDS = [GREEDY, SamplingParams(temperature=0.7, top_k=5), SamplingParams(temperature=1.5, top_p=0.9, min_p=0.02)]


def expected_token(logits: torch.Tensor, row: Row, bits: np.ndarray | None) -> int:
    """By the oracles, alone."""
    logits, out = logits[None].clone(), torch.empty(1, dtype=torch.int32)
    if bits is not None:
        mask_logits(logits, torch.from_numpy(bits[None].copy()), torch.zeros(1, dtype=torch.int32))
    p = row.params
    if p.temperature == 0:
        return int(argmax(logits, out))
    floats, ints = ([torch.tensor([x]) for x in xs] for xs in ((p.temperature, p.top_p, p.min_p), (p.top_k,)))
    seed, position = torch.tensor([row.seed]), torch.tensor([row.position], dtype=torch.int32)
    return int(sample(logits, floats[0], ints[0].int(), floats[1], floats[2], seed, position, out, FILTERS))


ROWS = st.builds(Row, st.sampled_from(KINDS), st.integers(0, 2**62), st.integers(0, 10_000))
DRAW = st.tuples(st.integers(0, 1), st.lists(ROWS, min_size=1, max_size=MOST_ROWS), st.booleans(), st.integers(0, 999))


@settings(max_examples=60, deadline=None)
@given(st.lists(DRAW, min_size=1, max_size=8))
def test_draws_do_not_depend_on_those_before(draws: list[tuple[int, list[Row], bool, int]]) -> None:
    sampler = Sampler(load_ops("compiled"), FILTERS)
    for place, rows, masked, seed in draws:
        generator = torch.Generator().manual_seed(seed)
        logits = PLACES[place][: len(rows)]
        logits.copy_(3 * torch.randn(len(rows), V, generator=generator))
        bits = torch.randint(-(2**31), 2**31, (len(rows), 3), generator=generator, dtype=torch.int32).numpy()
        given_bits = bits if masked else None
        expected = [expected_token(logits[i], row, bits[i] if masked else None) for i, row in enumerate(rows)]
        assert sampler.draw(logits, rows, given_bits) == expected


def test_logits_that_never_lie_at_one_place_leave_little_behind() -> None:
    sampler = Sampler(load_ops("compiled"), FILTERS)
    kept = [torch.randn(1, V) for _ in range(3 * MOST_GRAPHS)]
    for logits in kept:
        assert sampler.draw(logits, [Row(GREEDY, 0, 0)]) == [int(logits.argmax())]
    assert len(sampler._graphs) <= MOST_GRAPHS
