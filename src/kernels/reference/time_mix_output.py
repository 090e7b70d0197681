"""Oracle of kernels.time_mix_output."""

from torch import Tensor
from torch.nn.functional import group_norm


def time_mix_output(
    y: Tensor, r: Tensor, k: Tensor, v: Tensor, g: Tensor, weight: Tensor, bias: Tensor, r_k: Tensor, eps: float,
    out: Tensor,
) -> Tensor:  # fmt: skip
    heads, _ = r_k.shape
    normed = group_norm(y.flatten(-2), heads, weight, bias, eps)
    receptance, key, value = (tensor.float().unflatten(-1, r_k.shape) for tensor in (r, k, v))
    bonus = (receptance * key * r_k).sum(dim=-1, keepdim=True) * value
    return out.copy_((normed + bonus.flatten(-2)) * g.float())
