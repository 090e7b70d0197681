import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from runtime.memory.kv_block_allocator import KVBlockAllocator

TOTAL = 12


class AllocatorMachine(RuleBasedStateMachine):
    """The allocator beside its trivial twin: a list of the page tables that exist, a list of what the index refers to,
    and nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.allocator = KVBlockAllocator(TOTAL)
        self.tables: list[list[int]] = []
        self.index: list[int] = []

    def held(self) -> list[int]:
        return [block for table in self.tables for block in table]

    def used(self) -> set[int]:
        return {*self.held(), *self.index}

    @rule(count=st.integers(0, TOTAL))
    def allocate(self, count: int) -> None:
        if count > TOTAL - len(self.used()):
            with pytest.raises(AssertionError, match="blocks asked"):
                self.allocator.allocate(count)
            return
        blocks = self.allocator.allocate(count)
        assert len(set(blocks)) == count and not self.used() & set(blocks)
        self.tables.append(blocks)

    @precondition(lambda self: self.tables)
    @rule(data=st.data())
    def share(self, data: st.DataObject) -> None:
        table = data.draw(st.sampled_from(self.tables))
        count = data.draw(st.integers(0, len(table)))
        shared = self.allocator.share_prefix(table, count)
        assert shared == table[:count]
        self.tables.append(shared)

    @precondition(lambda self: self.index)
    @rule(data=st.data())
    def share_what_the_index_has(self, data: st.DataObject) -> None:
        block = data.draw(st.sampled_from(self.index))
        self.tables.append(self.allocator.share_prefix((block,), 1))

    @precondition(lambda self: self.held() and len(self.used()) < TOTAL)
    @rule(data=st.data())
    def write(self, data: st.DataObject) -> None:
        table = data.draw(st.sampled_from([table for table in self.tables if table]))
        place = data.draw(st.integers(0, len(table) - 1))
        block, used, is_alone = table[place], self.used(), [*self.held(), *self.index].count(table[place]) == 1
        assert self.allocator.is_shared(block) != is_alone
        table[place] = self.allocator.writable(block)
        assert table[place] == block if is_alone else table[place] not in used

    @precondition(lambda self: self.tables)
    @rule(data=st.data())
    def free(self, data: st.DataObject) -> None:
        index = data.draw(st.integers(0, len(self.tables) - 1))
        self.allocator.free(self.tables.pop(index))

    @precondition(lambda self: self.used())
    @rule(data=st.data())
    def cache(self, data: st.DataObject) -> None:
        blocks = data.draw(st.lists(st.sampled_from(sorted(self.used()))))
        self.allocator.cache(blocks)
        self.index += blocks

    @precondition(lambda self: self.index)
    @rule(data=st.data())
    def uncache(self, data: st.DataObject) -> None:
        block = data.draw(st.sampled_from(self.index))
        self.allocator.uncache((block,))
        self.index.remove(block)

    @invariant()
    def counts_are_those_of_the_lists(self) -> None:
        self.allocator.check()
        held = self.held()
        assert self.allocator.held_blocks == len(set(held))
        assert self.allocator.cached_blocks == len(set(self.index) - set(held))
        assert self.allocator.free_blocks == TOTAL - len(self.used())
        for block in range(TOTAL):
            assert self.allocator.holders(block) == held.count(block)
            assert self.allocator.index_references(block) == self.index.count(block)


TestAllocator = AllocatorMachine.TestCase


def test_a_block_cannot_be_freed_more_often_than_held() -> None:
    allocator = KVBlockAllocator(2)
    blocks = allocator.allocate(1)
    allocator.free(blocks)
    with pytest.raises(AssertionError, match="freed more often"):
        allocator.free(blocks)


def test_the_index_gives_back_what_it_took_and_no_more() -> None:
    allocator = KVBlockAllocator(2)
    blocks = allocator.allocate(1)
    with pytest.raises(AssertionError, match="uncached more often"):
        allocator.uncache(blocks)


@pytest.mark.parametrize("block", [0, 1])
def test_a_free_block_is_nobodys(block: int) -> None:
    allocator = KVBlockAllocator(2)
    with pytest.raises(AssertionError, match="nothing to share"):
        allocator.share_prefix([block], 1)
    with pytest.raises(AssertionError, match="nothing to cache"):
        allocator.cache([block])
    with pytest.raises(AssertionError, match="held by nobody"):
        allocator.writable(block)
