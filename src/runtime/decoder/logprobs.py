"""What the model itself says of the tokens that were chosen."""

import torch
from torch import Tensor

from kernels.ops import Ops
from runtime.request import TokenLogprob

FORCED = -1  # in place of a row: the model was not asked
CERTAIN = TokenLogprob(0.0)


def report_logprobs(
    logits: Tensor, tokens: list[int], rows: list[int], top: int, ops: Ops
) -> list[TokenLogprob | None]:
    """The log-probability of each token, and the `top` likeliest in its place. logits f32 [L, V], before penalties and
    mask; rows: which of them each token was chosen from, or FORCED."""
    asked = [(row, token) for row, token in zip(rows, tokens, strict=True) if row != FORCED]
    chosen = logits[[row for row, _ in asked]]
    targets = torch.tensor([token for _, token in asked], dtype=torch.int32, device=logits.device)
    values = ops.log_probs(chosen, targets, chosen.new_empty(len(asked)), torch.empty_like(targets)).tolist()
    alternatives: list[tuple[tuple[int, float], ...]] = [()] * len(asked)
    if top:
        ids = targets.new_empty((len(asked), top))
        likely = ops.top_log_probs(chosen, ids, chosen.new_empty((len(asked), top)))
        alternatives = [tuple(zip(*pair, strict=True)) for pair in zip(ids.tolist(), likely.tolist(), strict=True)]
    reports = map(TokenLogprob, values, alternatives)
    return [CERTAIN if row == FORCED else next(reports) for row in rows]
