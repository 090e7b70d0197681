"""What is kept of drafts never changes what is chosen; penalties and log-probabilities are as they are defined."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_model import reference_ops

from kernels.ops import load_ops
from runtime.config import FILTERS
from runtime.decoder.sampling import Sampling
from runtime.decoder.strategy import Accepted
from runtime.request import GREEDY, Request, SamplingParams
from runtime.scheduler import Scheduled
from runtime.sequence import Sequence
from runtime.streaming import StreamingController

V = 8
DRAWS = 100_000
CHI_SQUARE_63 = 103.4  # exceeded once in a thousand by 63 degrees of freedom


def make_sequence(number: int, tokens: list[int], params: SamplingParams, seed: int = 0, prompt: int = 1) -> Sequence:
    request = Request(tuple(tokens[:prompt]), 99, seed=seed, sampling=params)
    stream = StreamingController(request, lambda token: b"")
    return Sequence(number, request, stream, list(tokens), computed=len(tokens) - 1)


def accept(
    decoder: Sampling, logits: torch.Tensor, sequences: list[Sequence], drafts: list[list[int]]
) -> list[Accepted]:
    """logits: of all rows of all sequences."""
    entries = [Scheduled(s, [s.tokens[-1], *d], len(d)) for s, d in zip(sequences, drafts, strict=True)]
    decoder.begin(entries)
    return decoder.accept(logits.clone(), entries)


@pytest.mark.parametrize("drafter", ["coupled", "uniform"])
def test_speculative_draws_have_the_models_distribution(drafter: str) -> None:
    """Two tokens each of 1e5 requests, whose first is guessed well or at random: all 64 pairs come as
    often as the model says (chi-square)."""
    generator = torch.Generator().manual_seed(1)
    first = torch.randn(V, generator=generator) * 1.5
    second = torch.randn(V, V, generator=generator) * 1.5  # after each first token
    params = SamplingParams(temperature=1.3, top_p=0.95)
    decoder = Sampling(load_ops("compiled"), V, FILTERS)
    weak = (first + 0.7 * torch.randn(V, generator=generator)).expand(DRAWS, V)
    sequences = [make_sequence(i, [0], params, seed=i) for i in range(DRAWS)]
    if drafter == "coupled":  # another model, drawing with the same keys
        guesses = [run.tokens for run in accept(decoder, weak, sequences, [[]] * DRAWS)]
    else:
        guesses = torch.randint(0, V, (DRAWS, 1), generator=generator).tolist()
    logits = torch.stack([torch.stack([first, second[guess]]) for (guess,) in guesses]).flatten(0, 1)
    runs = accept(decoder, logits, sequences, guesses)
    for sequence, run in zip(sequences, runs, strict=True):
        sequence.tokens += run.tokens
        assert run.drafts == len(run.tokens) - 1
    late = [sequence for sequence in sequences if len(sequence.tokens) == 2]
    for sequence, run in zip(
        late, accept(decoder, second[[s.tokens[1] for s in late]], late, [[]] * len(late)), strict=True
    ):
        sequence.tokens += run.tokens
    counts = np.zeros((V, V))
    for sequence in sequences:
        counts[sequence.tokens[1], sequence.tokens[2]] += 1
    expected = filtered(first)[:, None] * torch.stack([filtered(row) for row in second]) * DRAWS
    likely = expected.numpy() > 0
    assert counts[~likely].sum() == 0
    assert (((counts - expected.numpy()) ** 2)[likely] / expected.numpy()[likely]).sum() < CHI_SQUARE_63
    kept = sum(run.drafts for run in runs) / DRAWS
    assert kept > {"coupled": 0.6, "uniform": 0.09}[drafter]


def filtered(logits: torch.Tensor) -> torch.Tensor:
    """The distribution at temperature 1.3, cut to the likeliest tokens with 0.95 of the weight."""
    p = torch.softmax(logits / 1.3, 0)
    best, order = p.sort(descending=True)
    keep = order[: int((best.cumsum(0) < 0.95).sum()) + 1]
    cut = torch.zeros(V, dtype=torch.float64)
    cut[keep] = p[keep].double()
    return cut / cut.sum()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, V - 1), max_size=4),
    st.integers(0, 2**31),
    st.sampled_from(
        [GREEDY, SamplingParams(temperature=1.0), SamplingParams(repetition_penalty=1.5, frequency_penalty=0.7)]
    ),
)
def test_drafts_are_kept_as_far_as_they_are_what_is_chosen(
    drafts: list[int], seed: int, params: SamplingParams
) -> None:
    """One verification of several drafts gives what choosing token by token does, penalties of all tokens included."""
    logits = torch.randn(len(drafts) + 1, V, generator=torch.Generator().manual_seed(seed))
    decoder = Sampling(reference_ops(), V, FILTERS)
    (run,) = accept(decoder, logits, [make_sequence(0, [1, 2], params, seed)], [drafts])
    single = make_sequence(1, [1, 2], params, seed)
    expected: list[int] = []
    for row in logits:
        (step,) = accept(decoder, row[None], [single], [[]])
        expected += step.tokens
        single.tokens += step.tokens
        if len(expected) > len(drafts) or step.tokens[0] != drafts[len(expected) - 1]:
            break
    assert run.tokens == expected and run.drafts == len(expected) - 1


def test_penalties_and_bias_change_what_they_should() -> None:
    params = SamplingParams(
        repetition_penalty=2.0, presence_penalty=0.5, frequency_penalty=0.25, logit_bias=((5, 1.5), (1, -1.0))
    )
    sequence = make_sequence(0, [1, 2, 3, 3, 4], params, prompt=2)  # 3, 3, 4 were generated
    logits = torch.tensor([[1.0, 1.0, -1.0, 2.0, -2.0, 0.0, 0.5, 0.25]])
    entries = [Scheduled(sequence, [4])]
    decoder = Sampling(reference_ops(), V, FILTERS)
    decoder.accept(logits, entries)
    expected = [1.0, 1.0 / 2 - 1.0, -1.0 * 2, 2.0 / 2 - 0.5 - 2 * 0.25, -2.0 * 2 - 0.5 - 0.25, 0.0 + 1.5, 0.5, 0.25]
    torch.testing.assert_close(logits, torch.tensor([expected]))


def test_log_probabilities_are_the_models_own() -> None:
    """Before bias and temperature, with the likeliest alternatives, for each token of a verified run."""
    generator = torch.Generator().manual_seed(4)
    logits = torch.randn(3, V, generator=generator)
    params = SamplingParams(logit_bias=((2, 100.0),), logprobs=3)
    (run,) = accept(Sampling(reference_ops(), V, FILTERS), logits, [make_sequence(0, [1], params)], [[2, 2]])
    assert run.tokens == [2, 2, 2] and run.drafts == 2
    expected = torch.log_softmax(logits, -1)
    for row, report in zip(expected, run.logprobs, strict=True):
        assert report is not None
        assert report.logprob == pytest.approx(float(row[2]), abs=1e-5)
        values, tokens = row.topk(3)
        assert [token for token, _ in report.top] == tokens.tolist()
        assert [value for _, value in report.top] == pytest.approx(values.tolist(), abs=1e-5)


def test_what_was_remembered_of_a_sequence_is_forgotten() -> None:
    decoder = Sampling(reference_ops(), V, FILTERS)
    sequence = make_sequence(0, [1, 2], SamplingParams(presence_penalty=1.0))
    accept(decoder, torch.zeros(1, V), [sequence], [[]])
    assert decoder._penalties._histories
    decoder.forget(sequence)
    assert not decoder._penalties._histories


class Table:
    """A grammar that allows tokens by the one before."""

    is_complete = False

    def __init__(self, allowed: list[list[int]], last: int) -> None:
        self.allowed = allowed
        self.last = last

    def fill(self, drafts: list[int], out: np.ndarray) -> None:
        out[:] = -1
        last = self.last
        for row, draft in zip(out, [*drafts, -1], strict=True):
            row[:] = sum(1 << token for token in self.allowed[last])
            if draft not in self.allowed[last]:
                break
            last = draft

    def take(self, token: int) -> bool:
        if token not in self.allowed[self.last]:
            return False
        self.last = token
        return True

    def advance(self, token: int) -> None:
        assert self.take(token)

    def forced(self) -> list[int]:
        return []


some_tokens = st.lists(st.integers(0, V - 1), min_size=1, max_size=V, unique=True)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(some_tokens, min_size=V, max_size=V),
    st.lists(st.lists(st.integers(0, V - 1), max_size=4), min_size=1, max_size=4),
    st.integers(0, 2**31),
    st.sampled_from([GREEDY, SamplingParams(temperature=1.5), SamplingParams(temperature=1.5, top_p=0.7)]),
    st.lists(st.booleans(), min_size=4, max_size=4),
)
def test_choices_are_those_of_masked_logits(
    allowed: list[list[int]], drafts: list[list[int]], seed: int, params: SamplingParams, bound: list[bool]
) -> None:
    """Whether a mask was computed or not, one row after the other; and only those are bound that have a grammar."""
    logits = torch.randn(sum(1 + len(d) for d in drafts), V, generator=torch.Generator().manual_seed(seed))
    decoder = Sampling(reference_ops(), V, FILTERS)
    sequences = [make_sequence(i, [i], params, seed + i) for i in range(len(drafts))]
    for sequence, is_bound in zip(sequences, bound, strict=False):
        sequence.grammar = Table(allowed, sequence.id) if is_bound else None  # type: ignore[assignment]
    runs = accept(decoder, logits, sequences, drafts)
    rows = iter(logits)
    for sequence, guesses, run, is_bound in zip(sequences, drafts, runs, bound, strict=False):
        single = make_sequence(0, [sequence.id], params, seed + sequence.id)
        expected: list[int] = []
        for draft, row in zip([*guesses, -1], rows, strict=False):
            if not expected or expected == guesses[: len(expected)]:
                masked = torch.full((1, V), float("-inf"))
                kept = allowed[single.tokens[-1]] if is_bound else list(range(V))
                masked[0, kept] = row[kept]
                (step,) = accept(decoder, masked, [single], [[]])
                expected += step.tokens
                single.tokens += step.tokens
            if draft < 0:
                break
        assert run.tokens == expected and run.drafts == len(expected) - 1
