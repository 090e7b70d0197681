import pytest
import torch
from kernel_testing import DEVICE, INTERPRETED, Guarded, normal

from kernels.log_probs import log_probs
from kernels.reference.top_log_probs import top_log_probs as oracle
from kernels.top_log_probs import top_log_probs


def both(logits: torch.Tensor, k: int, guarded: Guarded) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """(tokens, out) of the kernel and of the oracle."""
    shape = len(logits), k
    results = []
    for function in (top_log_probs, oracle):
        tokens, out = guarded(shape, torch.int32), guarded(shape, torch.float32)
        assert function(logits, tokens, out) is out
        results.append((tokens, out))
    return results


@pytest.mark.parametrize("k", [1, 2, 5, 20, 32])
@pytest.mark.parametrize("vocabulary", [1, 31, 700 if INTERPRETED else 5000])
def test_equals_oracle(vocabulary: int, k: int, guarded: Guarded) -> None:
    logits = 4 * normal((8, vocabulary))
    logits[1] = logits[1].round()  # many ties
    logits[2] *= 1000.0
    logits[3] -= 80000.0
    logits[4, : vocabulary - 3] = float("-inf")  # as a grammar's mask leaves them
    logits[5] = 7.0
    logits[6] = logits[6].sort().values  # each enters
    logits[7] = logits[7].sort(descending=True).values  # none after the first
    (tokens, out), (expected_tokens, expected) = both(logits, k, guarded)
    assert torch.equal(tokens, expected_tokens)
    torch.testing.assert_close(out, expected, rtol=2e-6, atol=2e-6)


def test_of_equal_logits_the_lowest_come_first(guarded: Guarded) -> None:
    logits = torch.zeros(1, 700, device=DEVICE)
    logits[:, [650, 131, 130]] = 1.0
    (tokens, _), _ = both(logits, 5, guarded)
    assert tokens.tolist() == [[130, 131, 650, 0, 1]]


def test_fewer_tokens_than_asked_for(guarded: Guarded) -> None:
    logits = torch.full((1, 300), float("-inf"), device=DEVICE)
    logits[0, [7, 250]] = 2.0
    (tokens, out), _ = both(logits, 4, guarded)
    assert tokens.tolist() == [[7, 250, -1, -1]]
    assert out[0, :2].exp().tolist() == pytest.approx([0.5, 0.5])
    assert out[0, 2:].tolist() == [float("-inf")] * 2


def test_the_values_are_those_of_log_probs(guarded: Guarded) -> None:
    logits = 3 * normal((3, 900))
    (tokens, out), _ = both(logits, 6, guarded)
    single = guarded((3,), torch.float32)
    for j in range(6):
        is_best = guarded((3,), torch.int32)
        log_probs(logits, tokens[:, j].contiguous(), single, is_best)
        torch.testing.assert_close(out[:, j], single, rtol=1e-6, atol=1e-6)
        assert (is_best == (j == 0)).all()


def test_what_is_not_a_number_stays_one(guarded: Guarded) -> None:
    logits = normal((3, 200))
    logits[0, 150] = float("nan")
    logits[1] = float("-inf")
    logits[2, 3] = float("inf")
    (tokens, out), (expected_tokens, expected) = both(logits, 5, guarded)
    assert torch.equal(tokens, expected_tokens)
    assert out.isnan().all() and expected.isnan().all()


def test_no_rows(guarded: Guarded) -> None:
    (_, out), _ = both(torch.empty(0, 9, device=DEVICE), 3, guarded)
    assert out.shape == (0, 3)


@pytest.mark.parametrize("k", [0, 33])
def test_k_has_bounds(k: int) -> None:
    logits = normal((2, 50))
    with pytest.raises(ValueError, match=f"tokens: must have 1 to 32 columns, has {k}"):
        top_log_probs(logits, torch.empty(2, k, dtype=torch.int32, device=DEVICE), torch.empty(2, k, device=DEVICE))
