import pytest
import torch
from kernel_testing import Guarded, normal

from kernels.argmax import argmax
from kernels.reference.argmax import argmax as oracle


@pytest.mark.parametrize("vocabulary", [1, 75, 5000])
def test_equals_oracle(vocabulary: int, guarded: Guarded) -> None:
    logits = normal((6, vocabulary))
    logits[1] = logits[1].round()  # many ties: the lowest index wins
    logits[2] = float("-inf")
    logits[3] = 0.0
    logits[4, vocabulary // 2 :] = float("nan")
    actual = argmax(logits, guarded((6,), torch.int32))
    assert torch.equal(actual, oracle(logits, torch.empty_like(actual)))
    assert actual[2] == actual[3] == 0
