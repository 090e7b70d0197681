from typing import NamedTuple

import pytest
import torch
from kernel_testing import DEVICE, INTERPRETED, Guarded, integers, normal

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


def draw(function, logits, settings, seeds, positions, out):  # type: ignore[no-untyped-def]
    """sample, with the settings of each row as tensors."""
    temperature, top_k, top_p, min_p = (
        torch.tensor(column, dtype=dtype, device=DEVICE)
        for column, dtype in zip(
            zip(*settings, strict=True),
            (torch.float32, torch.int32, torch.float32, torch.float32),
            strict=True,
        )
    )
    return function(logits, temperature, top_k, top_p, min_p, seeds, positions, out)


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


def test_a_row_does_not_depend_on_its_batch(guarded: Guarded) -> None:
    logits, seeds, positions = rows(len(SETTINGS), 300)
    together = draw(sample, logits, SETTINGS, seeds, positions, guarded((len(SETTINGS),), torch.int32))
    for s, settings in enumerate(SETTINGS):
        row = slice(s, s + 1)
        out = guarded((1,), torch.int32)
        assert draw(sample, logits[row], [settings], seeds[row], positions[row], out) == together[row]


@pytest.mark.skipif(INTERPRETED, reason="too many rows for the interpreter")
@pytest.mark.parametrize(
    "settings", [Settings(1.0, 0, 1.0, 0.0), Settings(0.5, 4, 1.0, 0.0), Settings(2.0, 0, 0.7, 0.0)]
)
def test_draws_follow_the_distribution(settings: Settings, guarded: Guarded) -> None:
    """Chi-square of the frequencies at the 1e-6 quantile. All seeds are fixed."""
    draws = 20000
    logits = torch.tensor([1.0, 0.5, -0.3, 1.0, -2.0, 0.0, 2.0, 0.9])
    kept = survivors(logits, *settings)
    probabilities = (logits / settings.temperature).masked_fill(~kept, float("-inf")).softmax(0)
    tokens = draw(
        sample, logits.to(DEVICE).expand(draws, -1).contiguous(), [settings] * draws,
        torch.arange(draws, device=DEVICE), integers([0] * draws), guarded((draws,), torch.int32),
    )  # fmt: skip
    counts = tokens.cpu().bincount(minlength=8)
    assert not counts[~kept].any()
    expected = draws * probabilities[kept]
    chi_square = ((counts[kept] - expected).square() / expected).sum()
    assert chi_square < 42  # 7 degrees of freedom at most: P(chi-square > 42) = 5e-7


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
