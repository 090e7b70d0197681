"""Oracle of kernels.rms_norm."""

from torch import Tensor


def add_rms_norm(x: Tensor, weight: Tensor, eps: float, out: Tensor, residual: Tensor | None) -> Tensor:
    hidden = x.float() if residual is None else residual.add_(x)
    return out.copy_(hidden * (hidden.square().mean(dim=-1, keepdim=True) + eps).rsqrt() * weight)
