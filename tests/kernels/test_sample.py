from typing import NamedTuple

import pytest
import torch
from kernel_testing import DEVICE, INTERPRETED, Guarded, integers, normal

from kernels.filters import FILTERS
from kernels.reference.sample import philox, survivors
from kernels.reference.sample import sample as oracle
from kernels.sample import sample

VOCABULARY = 700 if INTERPRETED else 5003


class Settings(NamedTuple):
    temperature: float
    top_k: int
    top_p: float
    min_p: float


SETTINGS = [
    Settings(0.0, 0, 1.0, 0.0),
    Settings(1.0, 0, 1.0, 0.0),
    Settings(0.7, 5, 1.0, 0.0),
    Settings(1.5, 1, 1.0, 0.0),
    Settings(1.0, 10**6, 0.9, 0.0),
    Settings(2.0, 0, 0.0, 0.0),
    Settings(1.3, 0, 1.0, 0.2),
    Settings(0.9, 40, 0.6, 0.05),
    Settings(0.0, 40, 0.6, 0.05),
]
ORDERS = [
    FILTERS,
    ("top_k", "top_p", "min_p", "temperature"),
    ("min_p", "temperature", "top_p", "top_k"),
    ("top_p", "min_p", "top_k", "temperature"),
    ("temperature", "min_p", "top_k", "top_p"),
]


def draw(function, logits, settings, seeds, positions, out, order=FILTERS):  # type: ignore[no-untyped-def]
    """sample, with the settings of each row as tensors."""
    temperature, top_k, top_p, min_p = (
        torch.tensor(column, dtype=dtype, device=DEVICE)
        for column, dtype in zip(
            zip(*settings, strict=True),
            (torch.float32, torch.int32, torch.float32, torch.float32),
            strict=True,
        )
    )
    return function(logits, temperature, top_k, top_p, min_p, seeds, positions, out, order)


def rows(count: int, vocabulary: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits, seeds and positions."""
    seeds = integers([2**40 * s + 77 * s - 2**62 for s in range(count)], torch.int64)
    return 3 * normal((count, vocabulary)), seeds, integers(list(range(count)))


@pytest.mark.parametrize("vocabulary", [1, 75, VOCABULARY])
def test_equals_oracle(vocabulary: int, guarded: Guarded) -> None:
    logits, seeds, positions = rows(len(SETTINGS), vocabulary)
    logits[:, vocabulary // 3 : vocabulary // 2] = float("-inf")  # as a grammar's mask leaves them
    actual = draw(sample, logits, SETTINGS, seeds, positions, guarded((len(SETTINGS),), torch.int32))
    expected = draw(oracle, logits, SETTINGS, seeds, positions, torch.empty_like(actual))
    assert torch.equal(actual, expected)


@pytest.mark.parametrize("allowed", [1, 7, VOCABULARY])
@pytest.mark.parametrize("scale", [0.01, 10.0, 1000.0])
def test_what_cannot_win_is_skipped(scale: float, allowed: int, guarded: Guarded) -> None:
    count = 4 if INTERPRETED else 32
    logits, seeds, positions = rows(count, VOCABULARY)
    logits *= scale
    logits[:, torch.randperm(VOCABULARY, generator=torch.Generator().manual_seed(0))[allowed:]] = float("-inf")
    settings = [Settings(1.1, 0, 1.0, 0.0)] * count
    actual = draw(sample, logits, settings, seeds, positions, guarded((count,), torch.int32))
    assert torch.equal(actual, draw(oracle, logits, settings, seeds, positions, torch.empty_like(actual)))


@pytest.mark.parametrize("order", ORDERS[1:])
def test_filters_in_any_order(order: tuple[str, ...], guarded: Guarded) -> None:
    strict = [Settings(t, k, p, m) for t in (0.6, 2.0) for k, p, m in [(9, 0.7, 0.1), (3, 0.9, 0.3), (20, 0.4, 0.0)]]
    logits, seeds, positions = rows(len(strict), 320)
    logits[:, 100:140] = float("-inf")
    actual = draw(sample, logits, strict, seeds, positions, guarded((len(strict),), torch.int32), order)
    assert torch.equal(actual, draw(oracle, logits, strict, seeds, positions, torch.empty_like(actual), order))


@pytest.mark.parametrize("order", [("temperature", "top_k", "top_p"), (*FILTERS, "top_k"), ("typical", *FILTERS[1:])])
def test_an_order_has_each_filter_once(order: tuple[str, ...]) -> None:
    logits, seeds, positions = rows(1, 8)
    with pytest.raises(ValueError, match=r"order: must have each of temperature, top_k, top_p, min_p once"):
        draw(sample, logits, [Settings(1.0, 0, 1.0, 0.0)], seeds, positions, torch.empty_like(positions), order)


def test_a_row_does_not_depend_on_its_batch(guarded: Guarded) -> None:
    logits, seeds, positions = rows(len(SETTINGS), 300)
    together = draw(sample, logits, SETTINGS, seeds, positions, guarded((len(SETTINGS),), torch.int32))
    for s, settings in enumerate(SETTINGS):
        row = slice(s, s + 1)
        out = guarded((1,), torch.int32)
        assert draw(sample, logits[row], [settings], seeds[row], positions[row], out) == together[row]


# What is left of tokens with probabilities .4 .3 .15 .1 .05; at temperature 2: .30 .26 .18 .15 .11.
KEPT_IN_ORDER = [
    (Settings(2.0, 0, 0.8, 0.0), FILTERS, 4),
    (Settings(2.0, 0, 0.8, 0.0), ("top_p", "temperature", "top_k", "min_p"), 3),
    (Settings(2.0, 0, 1.0, 0.3), FILTERS, 5),
    (Settings(2.0, 0, 1.0, 0.3), ("min_p", "temperature", "top_k", "top_p"), 3),
    (Settings(1.0, 3, 0.8, 0.0), FILTERS, 2),
    (Settings(1.0, 3, 0.8, 0.0), ("temperature", "top_p", "top_k", "min_p"), 3),
    (Settings(2.0, 3, 0.65, 0.3), ("top_k", "min_p", "top_p", "temperature"), 2),
    (Settings(1.0, 0, 1.0, 0.0), FILTERS, 5),
]


@pytest.mark.parametrize(("settings", "order", "kept"), KEPT_IN_ORDER)
def test_survivors_in_order(settings: Settings, order: tuple[str, ...], kept: int) -> None:
    logits = torch.tensor([0.4, 0.3, 0.15, 0.1, 0.05]).log()
    assert survivors(logits, *settings, order).tolist() == [i < kept for i in range(5)]


@pytest.mark.skipif(INTERPRETED, reason="too many rows for the interpreter")
@pytest.mark.parametrize(("settings", "order", "kept"), KEPT_IN_ORDER)
def test_draws_follow_the_distribution(settings: Settings, order: tuple[str, ...], kept: int, guarded: Guarded) -> None:
    """Chi-square of the frequencies at a quantile below 1e-6. All seeds are fixed."""
    draws = 100000
    logits = torch.tensor([0.4, 0.3, 0.15, 0.1, 0.05]).log()
    tokens = draw(
        sample, logits.to(DEVICE).expand(draws, -1).contiguous(), [settings] * draws,
        torch.arange(draws, device=DEVICE), integers([0] * draws), guarded((draws,), torch.int32), order,
    )  # fmt: skip
    counts = tokens.cpu().bincount(minlength=5)
    assert not counts[kept:].any()
    expected = draws * (logits[:kept] / settings.temperature).softmax(0)
    chi_square = ((counts[:kept] - expected).square() / expected).sum()
    assert chi_square < 34  # 4 degrees of freedom at most: P(chi-square > 34) = 7e-7


def test_philox_gives_the_published_words() -> None:
    """The first of Random123's known answers: key and counter 0."""
    assert philox(0, 0, 1)[0] == 0x6627E8D5


def test_survivors() -> None:
    logits = torch.tensor([0.0, 3.0, 2.0, 2.0, 1.0])  # probabilities .025 .498 .183 .183 .067 ...
    assert survivors(logits, 1.0, 1, 1.0, 0.0).tolist() == [False, True, False, False, False]
    assert survivors(logits, 1.0, 2, 1.0, 0.0).tolist() == [False, True, True, True, False]  # a tie
    assert survivors(logits, 1.0, 0, 0.5, 0.0).tolist() == [False, True, False, False, False]
    assert survivors(logits, 1.0, 0, 0.9, 0.0).tolist() == [False, True, True, True, False]
    assert survivors(logits, 1.0, 0, 1.0, 0.1).tolist() == [False, True, True, True, True]
