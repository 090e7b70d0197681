"""One sequence's part of a step: any of a prefill chunk, a single decode token, drafts to verify."""

from collections.abc import Sequence
from typing import NamedTuple


class SequenceStep(NamedTuple):
    """`tokens` come after the `cached` ones; `blocks` are the sequence's cache blocks, enough for all of them; logits
    are wanted for the last `n_logits` tokens.

    lookahead: tokens of further steps that may be taken back, and all but the first of this one with them: a recurrent
    state writes none of them before.
    """

    tokens: Sequence[int]
    cached: int
    blocks: Sequence[int]
    n_logits: int
    lookahead: int = 0
