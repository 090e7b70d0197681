"""A handle on the memory of a request, from which any number of others continue."""

from dataclasses import dataclass


@dataclass(frozen=True, eq=False)
class Handle:
    """Immutable: the tokens of a request, the blocks that hold the memory of the first `computed` of them, and whose
    memory it is.

    Continuing shares the blocks and copies one on the first write to it, so that nothing is computed twice and no
    continuation sees another. When the handle has expired, or its blocks were needed elsewhere, continuing costs the
    time to compute the tokens again, and changes nothing else.
    """

    tokens: tuple[int, ...]
    computed: int
    blocks: tuple[int, ...]
    model: str  # fingerprint of the weights
    layout: str  # how the memory is laid out, see SequenceMemory
