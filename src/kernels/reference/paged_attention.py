"""Oracle of kernels.paged_attention."""

import torch
from torch import Tensor


def paged_attention(
    q: Tensor, k_cache: Tensor, v_cache: Tensor, block_tables: Tensor, cu_seqlens: Tensor,
    context_lens: Tensor, scratch: Tensor, out: Tensor, scale: float, max_query_len: int,
) -> Tensor:  # fmt: skip
    block_size = k_cache.shape[2]
    group = q.shape[1] // k_cache.shape[1]
    for table, start, end, context in zip(
        block_tables, cu_seqlens.tolist(), cu_seqlens[1:].tolist(), context_lens.tolist(), strict=False
    ):
        pages = table[: -(-context // block_size)].long()
        k, v = (
            cache[pages].transpose(0, 1).flatten(1, 2)[:, :context].float().repeat_interleave(group, dim=0)
            for cache in (k_cache, v_cache)
        )  # [Hq, context, Dh]
        scores = scale * q[start:end].float().transpose(0, 1) @ k.transpose(1, 2)  # [Hq, queries, context]
        last = torch.arange(context - (end - start), context, device=q.device)
        hidden = torch.arange(context, device=q.device) > last[:, None]
        weights = scores.masked_fill(hidden, float("-inf")).softmax(dim=-1)
        out[start:end] = (weights @ v).transpose(0, 1).to(out.dtype)
    return out
