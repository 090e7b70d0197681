"""Which blocks of the cache are in use, and by whom: integers only, no tensors."""

from collections.abc import Iterable, Sequence


class KVBlockAllocator:
    """Blocks 0 .. total-1, each referred to by holders (page tables of sequences and handles) and by the prefix index,
    which are counted apart.

    held:   at least one holder, whatever the index has
    cached: the index alone refers to it; it becomes free when the index evicts it
    free:   nobody refers to it
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self._holds = [0] * total
        self._index_references = [0] * total
        self._free = list(reversed(range(total)))  # a stack: the block freed last is still in the CPU's caches
        self._cached = 0

    @property
    def free_blocks(self) -> int:
        return len(self._free)

    @property
    def cached_blocks(self) -> int:
        return self._cached

    @property
    def held_blocks(self) -> int:
        return self.total - self._cached - len(self._free)

    def holders(self, block: int) -> int:
        """How many page tables hold the block; the index does not count."""
        return self._holds[block]

    def index_references(self, block: int) -> int:
        """How often the prefix index refers to the block."""
        return self._index_references[block]

    def is_shared(self, block: int) -> bool:
        """Whether a holder of the block may not write to it, as somebody else refers to it too."""
        return self._holds[block] > 1 or self._index_references[block] > 0

    def allocate(self, count: int) -> list[int]:
        """`count` blocks, each held once. The caller has made sure that so many are free."""
        assert 0 <= count <= len(self._free), f"{count} blocks asked, {len(self._free)} free"
        blocks = [self._free.pop() for _ in range(count)]
        for block in blocks:
            self._holds[block] = 1
        return blocks

    def share_prefix(self, page_table: Sequence[int], count: int) -> list[int]:
        """The first `count` blocks of a page table, each held once more: another page table may begin with them.

        The last one need not be full: who appends to it asks for a `writable` one first.
        """
        assert 0 <= count <= len(page_table)
        shared = list(page_table[:count])
        for block in shared:
            if self._holds[block] == 0:
                assert self._index_references[block] > 0, f"block {block} is free: nothing to share"
                self._cached -= 1
            self._holds[block] += 1
        return shared

    def writable(self, block: int) -> int:
        """The block that a holder of `block` writes to in its place: `block` itself if nobody else refers to it, else a
        new one, for which the hold on the old one is given back. The caller copies the contents, and has made sure
        that a block is free."""
        assert self._holds[block] > 0, f"block {block} is held by nobody: it is not the caller's to write to"
        if not self.is_shared(block):
            return block
        (copy,) = self.allocate(1)
        self.free((block,))
        return copy

    def free(self, blocks: Iterable[int]) -> None:
        """Gives back one hold of each block; those that nobody refers to any more become free."""
        for block in blocks:
            assert self._holds[block] > 0, f"block {block} is freed more often than held"
            self._holds[block] -= 1
            if self._holds[block] == 0:
                if self._index_references[block]:
                    self._cached += 1
                else:
                    self._free.append(block)

    def cache(self, blocks: Iterable[int]) -> None:
        """Adds one reference of the prefix index to each block."""
        for block in blocks:
            assert self._holds[block] or self._index_references[block], f"block {block} is free: nothing to cache"
            self._index_references[block] += 1

    def uncache(self, blocks: Iterable[int]) -> None:
        """Takes back one reference of the prefix index to each block; those that nobody refers to any more become
        free."""
        for block in blocks:
            assert self._index_references[block] > 0, f"block {block} is uncached more often than cached"
            self._index_references[block] -= 1
            if self._index_references[block] == 0 and self._holds[block] == 0:
                self._cached -= 1
                self._free.append(block)

    def check(self) -> None:
        """Conservation: every block is free, once, or cached, or held, and the counters say how many."""
        held = sum(holds > 0 for holds in self._holds)
        counts = zip(self._holds, self._index_references, strict=True)
        cached = sum(not holds and references > 0 for holds, references in counts)
        assert cached == self._cached, f"{cached} blocks are cached, counted as {self._cached}"
        free = len(self._free)
        assert free + cached + held == self.total, f"{free} free + {cached} cached + {held} held != {self.total}"
        assert len(set(self._free)) == free, "a block is free twice"
        assert not any(self._holds[block] or self._index_references[block] for block in self._free), (
            "a free block is referred to"
        )
