"""Oracle of kernels.top_log_probs."""

from torch import Tensor
from torch.nn.functional import pad


def top_log_probs(logits: Tensor, tokens: Tensor, out: Tensor) -> Tensor:
    k = tokens.shape[1]
    numbers = logits.nan_to_num(nan=float("-inf"), posinf=float("inf"), neginf=float("-inf"))
    # k may exceed the vocabulary.
    numbers, log_probs = (pad(x, (0, k), value=float("-inf")) for x in (numbers, logits.log_softmax(dim=-1)))
    order = numbers.argsort(dim=-1, descending=True, stable=True)[:, :k]
    tokens.copy_(order.masked_fill(numbers.gather(1, order) == float("-inf"), -1))
    return out.copy_(log_probs.gather(1, order))
