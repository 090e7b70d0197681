import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from runtime.kv_block_allocator import KVBlockAllocator

TOTAL = 12


class AllocatorMachine(RuleBasedStateMachine):
    """The allocator beside its trivial twin: a list of the page tables that exist, and nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.allocator = KVBlockAllocator(TOTAL)
        self.tables: list[list[int]] = []

    def held(self) -> set[int]:
        return {block for table in self.tables for block in table}

    @rule(count=st.integers(0, TOTAL))
    def allocate(self, count: int) -> None:
        if count > TOTAL - len(self.held()):
            with pytest.raises(AssertionError):
                self.allocator.allocate(count)
            return
        blocks = self.allocator.allocate(count)
        assert len(set(blocks)) == count and not self.held() & set(blocks)
        self.tables.append(blocks)

    @precondition(lambda self: self.tables)
    @rule(data=st.data())
    def share(self, data: st.DataObject) -> None:
        table = data.draw(st.sampled_from(self.tables))
        count = data.draw(st.integers(0, len(table)))
        shared = self.allocator.share_prefix(table, count)
        assert shared == table[:count]
        self.tables.append(shared)

    @precondition(lambda self: self.tables)
    @rule(data=st.data())
    def free(self, data: st.DataObject) -> None:
        index = data.draw(st.integers(0, len(self.tables) - 1))
        self.allocator.free(self.tables.pop(index))

    @invariant()
    def free_blocks_are_those_in_no_table(self) -> None:
        self.allocator.check()
        assert self.allocator.free_blocks == TOTAL - len(self.held())


TestAllocator = AllocatorMachine.TestCase


def test_a_block_cannot_be_freed_more_often_than_held() -> None:
    allocator = KVBlockAllocator(2)
    blocks = allocator.allocate(1)
    allocator.free(blocks)
    with pytest.raises(AssertionError, match="freed more often"):
        allocator.free(blocks)
