import pytest
import torch
from kernel_testing import DEVICE, Guarded, integers, normal

from kernels.mask_logits import mask_logits
from kernels.reference.mask_logits import mask_logits as oracle


@pytest.mark.parametrize("vocabulary", [1, 31, 64, 75, 8201])
def test_equals_oracle(vocabulary: int, guarded: Guarded) -> None:
    shape = 5, vocabulary
    expected = normal(shape)
    actual = guarded(shape, torch.float32).copy_(expected)
    rows = integers([4, 0, 2])
    words = torch.randint(-(2**31), 2**31, (3, -(-vocabulary // 32)), dtype=torch.int32).to(DEVICE)
    words[1] = -1
    mask_logits(actual, words, rows)
    oracle(expected, words, rows)
    assert torch.equal(actual, expected)
    assert torch.equal(actual[[1, 3, 0]], normal(shape)[[1, 3, 0]])  # not named, or wholly allowed
