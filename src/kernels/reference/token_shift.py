"""Oracle of kernels.token_shift."""

import torch
from torch import Tensor


def token_shift(
    x: Tensor, mixes: Tensor, state: Tensor, slots: Tensor, cu_seqlens: Tensor, sequence_ids: Tensor,
    read_rows: Tensor, first_rows: Tensor, out: Tensor,
) -> Tensor:  # fmt: skip
    hidden = x.float()
    bounds = cu_seqlens.tolist()
    for slot, begin, end in zip(slots.tolist(), bounds[:-1], bounds[1:], strict=True):
        if begin == end:
            continue
        tokens = hidden[begin:end]
        first = torch.zeros_like(tokens[:1])
        if slot >= 0 and read_rows[slot] >= 0:
            first = state[slot, read_rows[slot]][None].clone()
        shift = torch.cat((first, tokens[:-1])) - tokens
        out[:, begin:end] = tokens + shift * mixes[:, None, :]
        if slot >= 0:
            row = int(first_rows[slot])
            skipped = max(0, -row)  # tokens that are not kept
            state[slot, row + skipped : max(0, row + len(tokens))] = tokens[skipped:]
    return out
