import pytest
import torch
from kernel_testing import ACTIVATIONS, Guarded, assert_close, normal

from kernels.reference.wkv7_inputs import wkv7_inputs as oracle
from kernels.wkv7_inputs import bytes_moved, wkv7_inputs


def check(
    tokens: int, heads: int, head_size: int, dtype: torch.dtype, gated: bool, in_place: bool, guarded: Guarded
) -> None:
    shape = tokens, heads * head_size
    k, v = (guarded(shape, dtype).copy_(normal(shape, dtype, seed)) for seed in (0, 1))
    alpha = normal(shape, dtype, 2).sigmoid()
    nu = normal(shape, dtype, 3).sigmoid() if gated else None
    v_first = guarded(shape, dtype)
    if gated:
        v_first.copy_(normal(shape, dtype, 4))
    weights = normal(shape[1:], seed=5), normal(shape[1:], seed=6)
    expected_first = v_first.clone()
    expected = [torch.empty_like(k) for _ in range(4)]
    oracle(k, v, alpha, nu, expected_first, *weights, head_size, *expected)
    k_out, v_out = (k, v) if in_place else (guarded(shape, dtype), guarded(shape, dtype))
    actual = [k_out, v_out, guarded(shape, dtype), guarded(shape, dtype)]
    assert wkv7_inputs(k, v, alpha, nu, v_first, *weights, head_size, *actual) is k_out
    for mine, theirs in zip([*actual, v_first], [*expected, expected_first], strict=True):
        assert_close(mine, theirs, dtype)


@pytest.mark.parametrize("dtype", ACTIVATIONS)
@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("in_place", [False, True])
def test_equals_oracle(in_place: bool, gated: bool, dtype: torch.dtype, guarded: Guarded) -> None:
    check(3, 3, 64, dtype, gated, in_place, guarded)


@pytest.mark.parametrize("head_size", [16, 32, 128])
def test_head_sizes(head_size: int, guarded: Guarded) -> None:
    check(2, 5, head_size, torch.float32, True, False, guarded)


def test_a_key_of_zeros_removes_nothing(guarded: Guarded) -> None:
    x, weight = normal((1, 32)), normal((32,))
    zeros, outputs = torch.zeros_like(x), [guarded((1, 32), torch.float32) for _ in range(4)]
    wkv7_inputs(zeros, x, x, x, x, weight, weight, 16, *outputs)
    for out in (outputs[0], outputs[2], outputs[3]):
        assert (out == 0).all()


def test_a_wrong_argument_is_named() -> None:
    x, weight = normal((2, 64)), normal((64,))
    outputs = [torch.empty_like(x) for _ in range(4)]
    with pytest.raises(ValueError, match=r"^head_size"):
        wkv7_inputs(x, x, x, x, x, weight, weight, 48, *outputs)
    with pytest.raises(ValueError, match=r"^nu"):
        wkv7_inputs(x, x, x, x[:1], x, weight, weight, 16, *outputs)
    with pytest.raises(ValueError, match=r"^k_a"):
        wkv7_inputs(x, x, x, None, x, weight, weight.half(), 16, *outputs)
    with pytest.raises(ValueError, match=r"^b"):
        wkv7_inputs(x, x, x, None, x, weight, weight, 16, *outputs[:3], x.half())


def test_bytes_moved_are_those_of_the_tensors() -> None:
    x, weight = normal((3, 64), torch.float16), normal((64,))
    assert bytes_moved(3, 64, torch.float16) == 9 * x.nbytes + 2 * weight.nbytes
