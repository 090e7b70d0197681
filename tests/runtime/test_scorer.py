"""A score depends on its own tokens only, not on what it is packed with or how it is cut."""

import math
from statistics import stdev

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_model import ToyExecutor, ToyPages, ToyStates, reference_ops, toy_logits

from runtime.errors import UserError
from runtime.evaluation.mean import Mean, perplexity
from runtime.evaluation.scorer import Scorer
from runtime.evaluation.span import Score, Span, continuation_span, window_spans

LOG_PROBS = reference_ops().log_probs
LONGEST = 48  # tokens fed

caches = st.one_of(
    st.builds(ToyPages, st.integers(LONGEST // 4, LONGEST), st.just(4)), st.builds(ToyStates, st.integers(1, 6))
)


@st.composite
def spans(draw: st.DrawFn) -> Span:
    tokens = draw(st.lists(st.integers(0, 255), min_size=2, max_size=LONGEST + 1))
    return Span(tokens, draw(st.integers(1, len(tokens) - 1)))


def expected(span: Span) -> Score:
    positions = range(len(span.tokens) - span.scored, len(span.tokens))
    rows = [toy_logits(list(span.tokens[:i])) for i in positions]
    log_probs = [float(row.log_softmax(0)[span.tokens[i]]) for row, i in zip(rows, positions, strict=True)]
    best = [int(row.argmax()) == span.tokens[i] for row, i in zip(rows, positions, strict=True)]
    return Score(log_probs, best)


@settings(max_examples=60, deadline=None)
@given(st.lists(spans(), max_size=8), st.integers(1, 60), st.integers(1, 5), caches)
def test_any_packing_gives_each_span_its_own_score(
    packed: list[Span], token_budget: int, max_sequences: int, cache: ToyPages | ToyStates
) -> None:
    executor = ToyExecutor(cache)
    steps = list(Scorer(executor, LOG_PROBS, token_budget, max_sequences).steps(packed))
    scores = [score for _, done in steps for score in done]
    for span, score in zip(packed, scores, strict=True):
        assert score.best == expected(span).best
        assert score.log_probs == pytest.approx(expected(span).log_probs, abs=1e-5)
    fed = [stepped.prefill_tokens for stepped, _ in steps]
    assert fed == executor.batch_tokens
    assert sum(fed) == sum(len(span.tokens) - 1 for span in packed) and max(fed, default=0) <= token_budget
    if steps:
        assert steps[-1][0].free_blocks == cache.num_blocks


def test_steps_are_full() -> None:
    scorer = Scorer(ToyExecutor(ToyPages(64, 4)), LOG_PROBS, 16, 8)
    fed = [stepped.prefill_tokens for stepped, _ in scorer.steps([Span(range(n), 1) for n in (12, 3, 40, 9, 7)])]
    assert fed == [16, 16, 16, 16, 2]


def test_the_most_likely_token_is_best() -> None:
    tokens = [5, 9]
    tokens += [int(toy_logits(tokens).argmax())]
    tokens += [(int(toy_logits(tokens).argmax()) + 1) % 256]
    ((_, (score,)),) = Scorer(ToyExecutor(ToyStates(1)), LOG_PROBS, 16, 2).steps([Span(tokens, 2)])
    assert score.best == [True, False]


@given(st.integers(0, 60), st.integers(1, 20), st.data())
def test_windows_score_each_token_but_the_first_once(size: int, window: int, data: st.DataObject) -> None:
    stride = data.draw(st.integers(1, window))
    tokens = list(range(size))
    cut = window_spans(tokens, window, stride)
    assert [token for span in cut for token in span.tokens[-span.scored :]] == tokens[1:]
    for span in cut:
        assert len(span.tokens) <= window + 1
        assert span.tokens[0] == 0 or len(span.tokens) - span.scored > window - stride


class Letters:
    """Encodes letters as their codes, `ab` as one token, and the start of a text, if asked for, as 1."""

    bos_id: int | None = 1
    eos_ids = frozenset({3, 2})

    def __init__(self, starts: bool = False) -> None:
        self.starts = starts

    def encode(self, text: str, *, special: bool = False, bos: bool = False) -> list[int]:
        return [1] * (bos and self.starts) + [ord(letter) for letter in text.replace("ab", "\x07")]


def test_a_continuation_is_scored_after_its_context() -> None:
    assert continuation_span(Letters(), "xa", "ca", 9) == Span([*map(ord, "xaca")], 2)
    assert continuation_span(Letters(starts=True), "x", "yz", 9) == Span([1, *map(ord, "xyz")], 2)
    assert continuation_span(Letters(), "xa", "b", 9) == Span([*map(ord, "xab")], 1)  # no token ends between a and b
    assert continuation_span(Letters(), "uvwx", "yz", 3) == Span([*map(ord, "wxyz")], 2, dropped=2)
    assert continuation_span(Letters(), "", "z", 3) == Span([1, ord("z")], 1)
    without_start = Letters()
    without_start.bos_id = None
    assert continuation_span(without_start, "", "z", 3) == Span([2, ord("z")], 1)
    for nothing_or_too_much in ("", "wxyz"):
        with pytest.raises(UserError, match="must be 1 to 3"):
            continuation_span(Letters(), "a", nothing_or_too_much, 3)


def test_a_mean_and_its_error() -> None:
    numbers = torch.randn(50, dtype=torch.double, generator=torch.Generator().manual_seed(3)).add(100).tolist()
    mean = Mean()
    for number in numbers:
        mean.add(number)
    assert mean.value == pytest.approx(sum(numbers) / 50)
    assert mean.error == pytest.approx(stdev(numbers) / math.sqrt(50))
    assert math.isnan(Mean().value) and math.isnan(Mean(1, 2.0).error)
    assert perplexity(-1e9) == math.inf
