"""The memory of all sequences of one model: who shares what, what is remembered, and what goes when room is needed."""

from collections.abc import Callable
from typing import NamedTuple

from model.memory import SequenceMemory
from runtime.memory.common_length import common_length
from runtime.memory.handle import Handle
from runtime.memory.handle_shelf import HandleShelf
from runtime.memory.kv_block_allocator import KVBlockAllocator
from runtime.memory.radix_prefix_index import Match, RadixPrefixIndex
from runtime.sequence import Sequence

NO_MATCH = Match(0, (), 0)


class Ledger(NamedTuple):
    """Blocks: free, cached (only the prefix index has them), held (by sequences and handles); they add up to total."""

    free: int
    cached: int
    held: int
    total: int


class BlockStore:
    """Hands blocks to sequences, and shares them.

    A sequence starts with the blocks of a handle or of the index, and writes to a block only when nobody else refers to
    it: otherwise to a copy. When blocks run short, what the index alone has goes first, then handles. index: None
    shares nothing but handles. snapshot_gap: so many tokens a recurrent state must spare somebody to be worth a
    snapshot. model: fingerprint of the weights.
    """

    def __init__(
        self,
        memory: SequenceMemory,
        allocator: KVBlockAllocator,
        index: RadixPrefixIndex | None,
        handles: HandleShelf,
        snapshot_gap: int,
        model: str,
    ) -> None:
        self.memory = memory
        self.allocator = allocator
        self.index = index
        self.handles = handles
        self.snapshot_gap = snapshot_gap
        self.model = model
        self.block_size = memory.block_size

    @property
    def capacity(self) -> int:
        """Tokens that fit when one sequence has all of it."""
        return self.allocator.total * self.block_size

    def ledger(self) -> Ledger:
        """Raises AssertionError if the blocks do not add up."""
        allocator = self.allocator
        ledger = Ledger(allocator.free_blocks, allocator.cached_blocks, allocator.held_blocks, allocator.total)
        assert ledger.free + ledger.cached + ledger.held == ledger.total, ledger
        return ledger

    def match(self, sequence: Sequence) -> Match:
        """What the index has of a sequence's tokens."""
        return self.index.match(sequence.tokens[: sequence.reusable]) if self.index else NO_MATCH

    def attach(self, sequence: Sequence) -> Match:
        """Gives a sequence without blocks those of the most tokens that somebody has computed before, and sets
        `computed`; returns what the index knows."""
        match, resumed = self.match(sequence), self._resumable(sequence)
        length, blocks = max((match.length, match.blocks), resumed, key=lambda found: found[0])
        sequence.page_table = self.allocator.share_prefix(blocks, len(blocks))
        sequence.computed = length
        return match

    def missing(self, sequence: Sequence, tokens: int) -> int:
        """Blocks that it takes for the sequence to hold the memory of so many tokens, copies on write included."""
        table = sequence.page_table
        first = sequence.computed // self.block_size  # block that is written first
        copies = first < len(table) and self.allocator.is_shared(table[first])
        return max(0, -(-tokens // self.block_size) - len(table)) + copies

    def has_room(self, blocks: int) -> bool:
        """Whether so many are free, or need but be taken from the index or from handles."""
        available = self.allocator.free_blocks + self.allocator.cached_blocks
        return blocks <= available or (len(self.handles) > 0 and blocks <= available + self.handles.own_blocks)

    def grow(self, sequence: Sequence, tokens: int) -> bool:
        """Makes the sequence ready to hold the memory of so many tokens, and to write behind what is computed; False,
        and nothing happens to it, if there is no room."""
        missing = self.missing(sequence, tokens)
        if not missing:
            return True
        if not self._make_room(missing):
            return False
        table = sequence.page_table
        first = sequence.computed // self.block_size
        if first < len(table):
            table[first] = self._writable(table[first])
        table += self.allocator.allocate(max(0, -(-tokens // self.block_size) - len(table)))
        return True

    def publish(self, sequence: Sequence) -> None:
        """Lets others share what a running sequence has computed: its full pages; and at a cut, all of it, with a copy
        of what it goes on writing to."""
        if self.index is None:
            return
        full = sequence.computed // self.block_size
        if full:
            self.index.insert(sequence.tokens[: full * self.block_size], sequence.page_table[:full])
        is_cut_in_block = sequence.computed in sequence.cuts and sequence.computed % self.block_size > 0
        is_spare = self.allocator.free_blocks + self.allocator.cached_blocks > 0
        if is_cut_in_block and is_spare and self._make_room(1):
            (copy,) = self.allocator.allocate(1)
            self.memory.copy_block(sequence.page_table[full], copy)
            self.index.insert(sequence.tokens[: sequence.computed], [*sequence.page_table[:full], copy])
            self.allocator.free([copy])

    def release(self, sequence: Sequence) -> None:
        """The same, but what they hold is remembered in the index."""
        if self.index is not None and sequence.computed:
            used = -(-sequence.computed // self.block_size)
            self.index.insert(sequence.tokens[: sequence.computed], sequence.page_table[:used])
        self.detach(sequence)

    def detach(self, sequence: Sequence) -> None:
        """Takes all blocks from the sequence."""
        self.allocator.free(sequence.page_table)
        sequence.page_table = []
        sequence.computed = 0

    def hold(self, sequence: Sequence) -> Handle:
        """A handle on all that the sequence has computed."""
        used = -(-sequence.computed // self.block_size)
        blocks = self.allocator.share_prefix(sequence.page_table, used)
        return self._shelve(tuple(sequence.tokens), sequence.computed, blocks)

    def restore(self, tokens: tuple[int, ...], write: Callable[[list[int]], None]) -> Handle | None:
        """A handle on blocks for the memory of `tokens`, which `write` fills, and may raise; None if there is no
        room."""
        count = -(-len(tokens) // self.block_size)
        if not self._make_room(count):
            return None
        blocks = self.allocator.allocate(count)
        try:
            write(blocks)
        except Exception:
            self.allocator.free(blocks)
            raise
        if self.index is not None:
            self.index.insert(tokens, blocks)
        return self._shelve(tokens, len(tokens), blocks)

    def _shelve(self, tokens: tuple[int, ...], computed: int, blocks: list[int]) -> Handle:
        handle = Handle(tokens, computed, tuple(blocks), self.model, self.memory.layout)
        self.handles.put(handle)
        return handle

    def _resumable(self, sequence: Sequence) -> tuple[int, tuple[int, ...]]:
        """How many tokens' memory the handle that the request resumes spares, and its blocks."""
        handle = sequence.request.resume
        if handle is None or handle not in self.handles:
            return 0, ()
        self.handles.use(handle)
        length = common_length(handle.tokens[: handle.computed], tuple(sequence.tokens[: sequence.reusable]))
        if length < handle.computed and not self.memory.truncates:
            return 0, ()
        return length, handle.blocks[: -(-length // self.block_size)]

    def _writable(self, block: int) -> int:
        own = self.allocator.writable(block)
        if own != block:
            self.memory.copy_block(block, own)
        return own

    def _make_room(self, blocks: int) -> bool:
        """Frees blocks until there are so many; False, and nothing is given up, if that cannot be."""
        if not self.has_room(blocks):
            return False
        while (missing := blocks - self.allocator.free_blocks) > 0:
            evicted = self.index.evict(missing) if self.index else 0
            if not evicted and not self.handles.give_up_one():
                return False
        return True
