"""Oracle of kernels.rope."""

import torch
from torch import Tensor


def rotate(x: Tensor, cos: Tensor, sin: Tensor, interleaved: bool) -> Tensor:
    """x [T, H, Dh] with its first 2 * cos.shape[-1] dimensions rotated, in f32."""
    half = cos.shape[-1]
    rotary, rest = x.float().tensor_split([2 * half], dim=-1)
    if interleaved:
        a, b = rotary[..., 0::2], rotary[..., 1::2]
    else:
        a, b = rotary[..., :half], rotary[..., half:]
    turned = (a * cos - b * sin, a * sin + b * cos)
    joined = torch.stack(turned, dim=-1).flatten(-2) if interleaved else torch.cat(turned, dim=-1)
    return torch.cat((joined, rest), dim=-1)


def rope_and_cache(
    q: Tensor, k: Tensor, v: Tensor, positions: Tensor, cos_sin: Tensor, slots: Tensor,
    k_cache: Tensor, v_cache: Tensor, interleaved: bool,
) -> None:  # fmt: skip
    cos, sin = cos_sin[positions.long()].unsqueeze(1).chunk(2, dim=-1)
    q.copy_(rotate(q, cos, sin, interleaved))
    written = slots >= 0
    block_size = k_cache.shape[2]
    blocks, offsets = slots[written] // block_size, slots[written] % block_size
    k_cache[blocks, :, offsets] = rotate(k, cos, sin, interleaved)[written].to(k_cache.dtype)
    v_cache[blocks, :, offsets] = v[written].to(v_cache.dtype)
