import pytest
import torch
from kernel_testing import ACTIVATIONS, Guarded, assert_close, normal

from kernels.layer_norm import add_layer_norm, bytes_moved
from kernels.reference.layer_norm import add_layer_norm as oracle


@pytest.mark.parametrize("dtype", ACTIVATIONS)
@pytest.mark.parametrize("with_residual", [False, True])
@pytest.mark.parametrize("shape", [(1, 2), (3, 75), (2, 768)])
def test_equals_oracle(shape: tuple[int, int], with_residual: bool, dtype: torch.dtype, guarded: Guarded) -> None:
    x, weight, bias, residual = normal(shape, dtype), normal(shape[1:], seed=1), normal(shape[1:], seed=2), None
    if with_residual:
        residual = guarded(shape, torch.float32).copy_(normal(shape, seed=3))
    expected_residual = None if residual is None else residual.clone()
    expected = oracle(x, weight, bias, 1e-5, torch.empty_like(x), expected_residual)
    out = guarded(shape, dtype)
    assert add_layer_norm(x, weight, bias, 1e-5, out, residual) is out
    assert_close(out, expected, dtype)
    if residual is not None and expected_residual is not None:
        assert torch.equal(residual, expected_residual)


def test_a_large_mean_does_not_swallow_the_variance(guarded: Guarded) -> None:
    x = normal((2, 96)) + 4096
    ones, zeros = torch.ones_like(x[0]), torch.zeros_like(x[0])
    exact = x.double() - x.double().mean(dim=-1, keepdim=True)
    expected = exact / exact.square().mean(dim=-1, keepdim=True).sqrt()
    assert (add_layer_norm(x, ones, zeros, 0.0, guarded((2, 96), torch.float32), None) - expected).abs().max() < 1e-2


def test_a_wrong_argument_is_named() -> None:
    x, vector = normal((2, 8)), normal((8,))
    with pytest.raises(ValueError, match=r"^bias"):
        add_layer_norm(x, vector, vector[:7], 1e-5, torch.empty_like(x), None)
    with pytest.raises(ValueError, match=r"^residual"):
        add_layer_norm(x, vector, vector, 1e-5, torch.empty_like(x), x.half())


def test_bytes_moved_are_those_of_the_tensors() -> None:
    x, vector, residual = normal((3, 40), torch.float16), normal((40,)), normal((3, 40))
    moved = 2 * x.nbytes + 2 * vector.nbytes + 2 * residual.nbytes
    assert bytes_moved(3, 40, torch.float16, residual=True) == moved
