"""Memory that requests leave behind for those that continue them."""

from collections.abc import Sequence as Tokens
from dataclasses import dataclass

from runtime.errors import RequestError
from runtime.kv_block_allocator import KVBlockAllocator


@dataclass(frozen=True, eq=False)
class Kept:
    """A handle on the memory of a sequence that nobody serves: that of `tokens`, in the blocks of `page_table`.

    Good for one `Request.resume`. Until then the blocks may go to sequences that run short of them: resuming then costs
    the time to compute the tokens again, and changes nothing else.
    """

    tokens: tuple[int, ...]
    page_table: tuple[int, ...]


class KeptMemory:
    """All that is kept, oldest first: the first to go when blocks run short.

    truncates: see SequenceMemory.
    """

    def __init__(self, allocator: KVBlockAllocator, block_size: int, truncates: bool) -> None:
        self._allocator = allocator
        self._block_size = block_size
        self._truncates = truncates
        self._held: list[Kept] = []

    def __contains__(self, kept: Kept) -> bool:
        return kept in self._held

    def keep(self, tokens: Tokens[int], page_table: Tokens[int]) -> Kept:
        """Takes over the caller's blocks, which hold the memory of `tokens`; frees those behind it. (Of no tokens,
        nothing is kept.)"""
        used = -(-len(tokens) // self._block_size)
        self._allocator.free(page_table[used:])
        kept = Kept(tuple(tokens), tuple(page_table[:used]))
        if tokens:
            self._held.append(kept)
        return kept

    def allocate(self, tokens: Tokens[int]) -> Kept:
        """Blocks for the memory of `tokens`, which the caller writes. Raises RequestError if there are not enough."""
        blocks = -(-len(tokens) // self._block_size)
        if not self.make_room(blocks):
            raise RequestError(
                f"{len(tokens)} tokens need {blocks} blocks of the cache, but {self._allocator.free_blocks} "
                "are free: raise cache.blocks or cache.memory_mib"
            )
        return self.keep(tokens, self._allocator.allocate(blocks))

    def fit(self, kept: Kept, tokens: Tokens[int]) -> Kept | None:
        """Reduces what is kept to what a sequence of `tokens` begins with, its last token excluded, as the model has
        yet to see that; None (and nothing is kept) if that is none of it, or the memory cannot be cut."""
        common = common_length(kept.tokens, tokens[:-1])
        if kept not in self._held or common == 0 or (common < len(kept.tokens) and not self._truncates):
            self.release(kept)
            return None
        return self.keep(kept.tokens[:common], self.take(kept))

    def take(self, kept: Kept) -> list[int]:
        """Hands the blocks over to the caller."""
        self._held.remove(kept)
        return list(kept.page_table)

    def release(self, kept: Kept) -> None:
        """Frees the blocks, if they are still kept."""
        if kept in self._held:
            self._allocator.free(self.take(kept))

    def make_room(self, blocks: int, spare: Kept | None = None) -> bool:
        """Gives up what is kept, `spare` excepted, until so many blocks are free; False, and nothing given up, if even
        all of it is not enough."""
        others = [kept for kept in self._held if kept is not spare]
        if blocks > self._allocator.free_blocks + sum(len(kept.page_table) for kept in others):
            return False
        while blocks > self._allocator.free_blocks:
            self.release(others.pop(0))
        return True


def common_length(a: Tokens[int], b: Tokens[int]) -> int:
    """How many items both begin with."""
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
