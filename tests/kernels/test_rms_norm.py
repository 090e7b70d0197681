import pytest
import torch
from kernel_testing import ACTIVATIONS, Guarded, assert_close, normal

from kernels.reference.rms_norm import add_rms_norm as oracle
from kernels.rms_norm import add_rms_norm


@pytest.mark.parametrize("dtype", ACTIVATIONS)
@pytest.mark.parametrize("with_residual", [False, True])
@pytest.mark.parametrize("shape", [(1, 1), (3, 75), (2, 576)])
def test_equals_oracle(shape: tuple[int, int], with_residual: bool, dtype: torch.dtype, guarded: Guarded) -> None:
    x, weight, residual = normal(shape, dtype), normal((shape[1],), seed=1), None
    if with_residual:
        residual = guarded(shape, torch.float32).copy_(normal(shape, seed=2))
    expected_residual = None if residual is None else residual.clone()
    expected = oracle(x, weight, 1e-5, torch.empty_like(x), expected_residual)
    actual = add_rms_norm(x, weight, 1e-5, guarded(shape, dtype), residual)
    assert_close(actual, expected, dtype)
    if residual is not None and expected_residual is not None:
        assert torch.equal(residual, expected_residual)
