import pytest
import torch
from kernel_testing import DEVICE, Guarded, integers, normal

from kernels.log_probs import log_probs
from kernels.reference.log_probs import log_probs as oracle


def both(logits: torch.Tensor, targets: torch.Tensor, guarded: Guarded) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """(out, is_best) of the kernel and of the oracle."""
    rows = len(logits)
    results = []
    for function in (log_probs, oracle):
        out, is_best = guarded((rows,), torch.float32), guarded((rows,), torch.int32)
        assert function(logits, targets, out, is_best) is out
        results.append((out, is_best))
    return results


@pytest.mark.parametrize("vocabulary", [1, 2, 75, 5000])
def test_equals_oracle(vocabulary: int, guarded: Guarded) -> None:
    logits = 4 * normal((8, vocabulary))
    logits[1] = logits[1].round()  # many ties
    logits[2] *= 1000.0
    logits[3] -= 80000.0
    logits[4, : vocabulary // 2] = float("-inf")  # as a grammar's mask leaves them
    logits[5] = 7.0
    targets = torch.randint(vocabulary, (8,), generator=torch.Generator().manual_seed(1)).int().to(DEVICE)
    targets[6] = logits[6].argmax()
    targets[7] = vocabulary - 1
    (out, is_best), (expected, expected_best) = both(logits, targets, guarded)
    assert torch.equal(is_best, expected_best) and is_best[6] == 1
    torch.testing.assert_close(out, expected, rtol=2e-6, atol=2e-6)


def test_of_equal_logits_the_lowest_is_best(guarded: Guarded) -> None:
    logits = torch.zeros(3, 700, device=DEVICE)
    logits[:, [130, 131, 650]] = 1.0
    (_, is_best), _ = both(logits, integers([130, 131, 650]), guarded)
    assert is_best.tolist() == [1, 0, 0]


def test_probabilities_add_up(guarded: Guarded) -> None:
    logits = normal((1, 300)).expand(300, -1).contiguous()
    (out, is_best), _ = both(logits, torch.arange(300, dtype=torch.int32, device=DEVICE), guarded)
    assert float(out.double().exp().sum()) == pytest.approx(1.0, abs=1e-6)
    assert int(is_best.sum()) == 1


def test_what_is_not_a_number_stays_one(guarded: Guarded) -> None:
    logits = normal((3, 200))
    logits[0, 150] = float("nan")
    logits[1] = float("-inf")
    logits[2, 3] = float("inf")
    (out, is_best), (expected, expected_best) = both(logits, integers([7, 0, 3]), guarded)
    assert torch.equal(is_best, expected_best)
    assert out.isnan().all() and expected.isnan().all()


def test_no_rows(guarded: Guarded) -> None:
    (out, _), _ = both(torch.empty(0, 9, device=DEVICE), integers([]), guarded)
    assert out.shape == (0,)
