import pytest
import torch
from kernel_testing import DEVICE, Guarded, integers, normal

from kernels.adjust_logits import adjust_logits
from kernels.reference.adjust_logits import adjust_logits as oracle


def entries(count: int, rows: int, vocabulary: int) -> tuple[torch.Tensor, ...]:
    """Rows, tokens, factors and offsets of different places."""
    places = torch.randperm(rows * vocabulary, generator=torch.Generator().manual_seed(1))[:count].int().to(DEVICE)
    factors = normal((count,), seed=2).abs() + 0.1
    return places // vocabulary, places % vocabulary, factors, 3 * normal((count,), seed=3)


@pytest.mark.parametrize(("count", "vocabulary"), [(1, 1), (5, 1), (75, 31), (256, 300), (700, 5003)])
def test_equals_oracle(count: int, vocabulary: int, guarded: Guarded) -> None:
    before = normal((5, vocabulary))
    before[2, : vocabulary // 2] = float("-inf")  # as a grammar's mask leaves them
    before[3, 0] = 0.0
    arguments = entries(count, *before.shape)
    actual = guarded(before.shape, torch.float32).copy_(before)
    expected = before.clone()
    adjust_logits(actual, *arguments)
    oracle(expected, *arguments)
    torch.testing.assert_close(actual, expected, rtol=1e-6, atol=1e-6)
    others = torch.ones_like(before, dtype=torch.bool)
    others[arguments[0].long(), arguments[1].long()] = False
    assert torch.equal(actual[others], before[others])
    assert torch.equal(actual.isinf(), before.isinf())


def test_a_penalty_lowers_either_sign() -> None:
    logits = torch.tensor([[3.0, -3.0, 0.0]], device=DEVICE)
    factors, offsets = torch.full((3,), 1.5, device=DEVICE), torch.tensor([0.0, 0.0, -1.0], device=DEVICE)
    adjust_logits(logits, integers([0, 0, 0]), integers([0, 1, 2]), factors, offsets)
    assert logits.tolist() == [[2.0, -4.5, -1.0]]


def test_factor_one_and_offset_zero_change_no_bit() -> None:
    logits = normal((2, 50))
    before = logits.clone()
    rows, tokens, factors, offsets = entries(100, 2, 50)
    adjust_logits(logits, rows, tokens, torch.ones_like(factors), torch.zeros_like(offsets))
    assert torch.equal(logits, before)


def test_no_entries(guarded: Guarded) -> None:
    logits = guarded((2, 5), torch.float32).fill_(1.0)
    adjust_logits(logits, *entries(0, 2, 5))
    assert (logits == 1.0).all()
