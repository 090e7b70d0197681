"""Oracle of kernels.wkv7_inputs."""

from torch import Tensor
from torch.nn.functional import normalize


def wkv7_inputs(
    k: Tensor, v: Tensor, alpha: Tensor, nu: Tensor | None, v_first: Tensor, k_k: Tensor, k_a: Tensor,
    head_size: int, k_out: Tensor, v_out: Tensor, a: Tensor, b: Tensor,
) -> Tensor:  # fmt: skip
    keys, values, rates = k.float(), v.float(), alpha.float()
    kappa_hat = normalize((keys * k_k).unflatten(-1, (-1, head_size)), dim=-1, eps=1e-12).flatten(-2)
    if nu is None:
        v_first.copy_(values)
    else:
        values = values + (v_first.float() - values) * nu.float()
    a.copy_(-kappa_hat)
    b.copy_(kappa_hat * rates)
    v_out.copy_(values)
    return k_out.copy_(keys * (1 + (rates - 1) * k_a))
