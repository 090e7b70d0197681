"""Oracle of kernels.layer_norm."""

from torch import Tensor
from torch.nn.functional import layer_norm


def add_layer_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float, out: Tensor, residual: Tensor | None) -> Tensor:
    hidden = x.float() if residual is None else residual.add_(x)
    return out.copy_(layer_norm(hidden, weight.shape, weight, bias, eps))
