"""The index and the allocator in the hands of sequences, beside a store that shares nothing: each sequence there has
its own copy of all its tokens."""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from runtime.memory.common_length import common_length
from runtime.memory.eviction import POLICIES, EvictionPolicy, lfu, lru, replay_cost
from runtime.memory.kv_block_allocator import KVBlockAllocator
from runtime.memory.radix_prefix_index import Match, RadixPrefixIndex

TOTAL = 32
UNBOUNDED = 1 << 30  # tokens in a block that is a recurrent state

TOKENS = st.lists(st.integers(0, 2), min_size=1, max_size=12)


@dataclass(eq=False)
class Holder:
    tokens: tuple[int, ...]
    table: list[int]


class Memory:
    """What sequences write to blocks. Of each token all those before it, as its memory depends on them."""

    def __init__(self, block_size: int) -> None:
        self.block_size = block_size
        self.cells: list[dict[int, tuple[int, ...]]] = [{} for _ in range(TOTAL)]

    def write(self, block: int, tokens: tuple[int, ...]) -> None:
        """The memory of the last token."""
        self.cells[block][(len(tokens) - 1) % self.block_size] = tokens

    def holds(self, tokens: tuple[int, ...], blocks: Sequence[int]) -> bool:
        return len(blocks) >= -(-len(tokens) // self.block_size) and all(
            self.cells[blocks[i // self.block_size]].get(i % self.block_size) == tokens[: i + 1]
            for i in range(len(tokens))
        )


class States(Memory):
    """A block has the state after one sequence of tokens, and no other."""

    def write(self, block: int, tokens: tuple[int, ...]) -> None:
        self.cells[block] = {0: tokens}

    def holds(self, tokens: tuple[int, ...], blocks: Sequence[int]) -> bool:
        return not tokens or self.cells[blocks[0]] == {0: tokens}


class IndexMachine(RuleBasedStateMachine):
    truncates = True

    @initialize(policy=st.sampled_from(list(POLICIES)), block_size=st.integers(1, 5))
    def start(self, policy: str, block_size: int) -> None:
        self.block_size = block_size if self.truncates else UNBOUNDED
        self.memory = Memory(block_size) if self.truncates else States(UNBOUNDED)
        self.allocator = KVBlockAllocator(TOTAL)
        self.index = RadixPrefixIndex(self.allocator, self.block_size, self.truncates, POLICIES[policy])
        self.holders: list[Holder] = []
        self.inserted: list[tuple[int, ...]] = []  # since the index was empty
        self.has_evicted = False  # since then

    @rule(data=st.data(), tokens=TOKENS, is_remembered=st.booleans(), stays=st.booleans())
    def serve(self, data: st.DataObject, tokens: list[int], is_remembered: bool, stays: bool) -> None:
        """A request like one before, as far as that is drawn to go."""
        base = data.draw(st.sampled_from([(), *self.inserted]))
        prompt = (*base[: data.draw(st.integers(0, len(base)))], *tokens)
        match = self.match(prompt)
        holder = Holder(prompt[: match.length], self.allocator.share_prefix(match.blocks, len(match.blocks)))
        self.holders.append(holder)
        if self.extend(holder, prompt[match.length :]):
            if is_remembered:
                self.remember(holder, len(prompt))
            if not stays:
                self.release(holder)

    @precondition(lambda self: self.holders)
    @rule(data=st.data(), tokens=TOKENS)
    def append(self, data: st.DataObject, tokens: list[int]) -> None:
        self.extend(data.draw(st.sampled_from(self.holders)), tuple(tokens))

    @precondition(lambda self: self.holders)
    @rule(data=st.data())
    def fork(self, data: st.DataObject) -> None:
        source = data.draw(st.sampled_from(self.holders))
        table = self.allocator.share_prefix(source.table, len(source.table))
        self.holders.append(Holder(source.tokens, table))

    @precondition(lambda self: self.holders)
    @rule(data=st.data())
    def free(self, data: st.DataObject) -> None:
        self.release(data.draw(st.sampled_from(self.holders)))

    @precondition(lambda self: self.holders)
    @rule(data=st.data())
    def insert(self, data: st.DataObject) -> None:
        holder = data.draw(st.sampled_from(self.holders))
        count = len(holder.tokens)
        if self.truncates:
            count = data.draw(st.integers(0, count))
        self.remember(holder, count)

    @precondition(lambda self: self.index.nodes)
    @rule(count=st.integers(0, 5))
    def evict(self, count: int) -> None:
        cached, free = self.allocator.cached_blocks, self.allocator.free_blocks
        freed = self.index.evict(count)
        assert min(count, cached) <= freed <= count + 1
        assert self.allocator.free_blocks == free + freed
        self.has_evicted = self.has_evicted or count > 0

    @rule()
    def look_everything_up(self) -> None:
        for tokens in self.inserted:
            self.match((*tokens, 0))

    @precondition(lambda self: len(self.inserted) > 6)
    @rule()
    def clear(self) -> None:
        self.index.clear()
        assert self.allocator.cached_blocks == 0
        self.inserted, self.has_evicted = [], False

    @invariant()
    def the_ledger_balances(self) -> None:
        self.allocator.check()
        self.index.check()

    @invariant()
    def every_sequence_has_its_own_tokens(self) -> None:
        assert all(self.memory.holds(holder.tokens, holder.table) for holder in self.holders)

    def teardown(self) -> None:
        if not hasattr(self, "index"):
            return
        self.look_everything_up()
        for holder in list(self.holders):
            self.release(holder)
        assert self.index.evict(TOTAL) == TOTAL - self.allocator.free_blocks or self.allocator.free_blocks == TOTAL
        assert self.index.tokens == self.index.nodes == 0
        self.index.clear()
        self.the_ledger_balances()
        assert self.allocator.free_blocks == TOTAL

    def match(self, tokens: tuple[int, ...]) -> Match:
        """Looks the tokens up, and compares with what the trivial store would have found."""
        before = structure(self.index)
        match = self.index.match(list(tokens))
        assert structure(self.index) == before
        assert self.memory.holds(tokens[: match.length], match.blocks)
        assert len(match.blocks) == -(-match.length // self.block_size)
        known = max((common_length(tokens, other) for other in self.inserted), default=0)
        whole = max((len(other) for other in self.inserted if tokens[: len(other)] == other), default=0)
        length = known if self.truncates else whole
        if self.has_evicted:
            assert match.length <= length and match.known <= known and match.length <= match.known
        else:
            assert (match.length, match.known) == (length, known)
        return match

    def remember(self, holder: Holder, count: int) -> None:
        before = self.allocator.free_blocks
        self.index.insert(holder.tokens[:count], holder.table)
        assert self.allocator.free_blocks >= before
        self.inserted.append(holder.tokens[:count])
        found = self.match(holder.tokens[:count])
        assert found.length == found.known == count

    def extend(self, holder: Holder, tokens: tuple[int, ...]) -> bool:
        """Appends as the engine would: blocks as they are needed, a copy where others look on. Where the cache is full,
        the sequence goes, and False is returned."""
        for token in tokens:
            holder.tokens = (*holder.tokens, token)
            page = (len(holder.tokens) - 1) // self.block_size
            is_new = page == len(holder.table)
            if (is_new or self.allocator.is_shared(holder.table[page])) and not self.make_room():
                self.release(holder)
                return False
            if is_new:
                holder.table += self.allocator.allocate(1)
                self.memory.cells[holder.table[page]] = {}
            old, holder.table[page] = holder.table[page], self.allocator.writable(holder.table[page])
            self.memory.cells[holder.table[page]] = dict(self.memory.cells[old])
            assert not self.allocator.is_shared(holder.table[page])
            self.memory.write(holder.table[page], holder.tokens)
        return True

    def make_room(self) -> bool:
        if self.allocator.free_blocks == 0:
            self.has_evicted = True
            self.index.evict(1)
        return self.allocator.free_blocks > 0

    def release(self, holder: Holder) -> None:
        self.holders.remove(holder)
        self.allocator.free(holder.table)


class StateIndexMachine(IndexMachine):
    truncates = False


TestPages = IndexMachine.TestCase
TestPages.settings = settings(max_examples=50, stateful_step_count=50, deadline=None)
TestStates = StateIndexMachine.TestCase
TestStates.settings = settings(max_examples=50, stateful_step_count=50, deadline=None)


def structure(index: RadixPrefixIndex) -> object:
    return [(node.start, tuple(node.edge), tuple(node.blocks), tuple(node.children)) for node in index._nodes()]


def make(
    block_size: int = 4, truncates: bool = True, policy: EvictionPolicy = lru
) -> tuple[KVBlockAllocator, RadixPrefixIndex]:
    allocator = KVBlockAllocator(TOTAL)
    return allocator, RadixPrefixIndex(allocator, block_size, truncates, policy)


def remember(index: RadixPrefixIndex, allocator: KVBlockAllocator, tokens: str, block_size: int = 4) -> list[int]:
    """Inserts what a sequence with blocks of its own has computed, which is then gone; the blocks."""
    blocks = allocator.allocate(-(-len(tokens) // block_size))
    index.insert([ord(token) for token in tokens], blocks)
    allocator.free(blocks)
    return blocks


def length(index: RadixPrefixIndex, tokens: str) -> int:
    return index.match([ord(token) for token in tokens]).length


def test_a_match_ends_inside_a_page() -> None:
    allocator, index = make()
    blocks = remember(index, allocator, "abcdefghij")
    assert index.match([ord(token) for token in "abcdefxy"]) == Match(6, tuple(blocks[:2]), 6)


def test_both_halves_of_a_cut_page_refer_to_it() -> None:
    allocator, index = make()
    first = remember(index, allocator, "abcdefghij")
    second = remember(index, allocator, "abcdefxyz")
    assert index.match(list(b"abcdefghij")).blocks == tuple(first)
    assert index.match(list(b"abcdefxyz")).blocks == (first[0], *second[1:])
    assert index.match(list(b"abcdef")).blocks == tuple(first[:2])
    assert allocator.index_references(first[1]) == 2
    assert allocator.cached_blocks == 5  # the second sequence's first page repeats the first's


def test_a_longer_answer_extends_its_leaf() -> None:
    allocator, index = make()
    remember(index, allocator, "abcdef")
    blocks = remember(index, allocator, "abcdefghi")
    assert index.nodes == 1 and allocator.cached_blocks == 3
    assert index.match(list(b"abcdefghi")).blocks[1:] == tuple(blocks[1:])


def test_a_page_goes_when_all_behind_it_have_its_tokens_too() -> None:
    allocator, index = make()
    first = remember(index, allocator, "abcdefghi")
    second = remember(index, allocator, "abcdefxy")
    assert index.nodes == 3
    assert index.evict(1) == 1  # "i"
    assert index.evict(1) == 1  # "gh", in a page that "ef" has needed, but "xy" has a copy of that
    assert index.nodes == 1 and allocator.index_references(first[1]) == 0
    assert index.match(list(b"abcdefgh")) == Match(6, (first[0], second[1]), 6)


def test_what_is_held_stays() -> None:
    allocator, index = make()
    blocks = remember(index, allocator, "abcdefgh")
    remember(index, allocator, "xyz")
    allocator.share_prefix(blocks, 2)
    assert index.evict(3) == 1
    assert length(index, "abcdefgh") == 8 and length(index, "xyz") == 0


def test_what_only_hides_others_goes() -> None:
    """Two compute the same at the same time. The index has the pages of the first, and behind them one of the second,
    who still runs: that it is held must not keep the others, which nobody holds."""
    allocator, index = make()
    first, second = allocator.allocate(2), allocator.allocate(3)
    index.insert(list(b"abcdefgh"), first)
    index.insert(list(b"abcdefghi"), second)
    allocator.free(first)
    assert allocator.cached_blocks == 2
    assert index.evict(1) == 1
    assert length(index, "abcdefghi") == 4 and allocator.held_blocks == 3


def test_a_branch_point_of_states_is_known_before_it_has_one() -> None:
    allocator, index = make(UNBOUNDED, truncates=False)
    remember(index, allocator, "abcdef", UNBOUNDED)
    assert index.match(list(b"abcdxy")) == Match(0, (), 4)
    cut = remember(index, allocator, "abcd", UNBOUNDED)
    assert index.match(list(b"abcdxy")) == Match(4, tuple(cut), 4)
    assert length(index, "abcdef") == 6


@pytest.mark.parametrize(
    ("policy", "lost"),
    [
        pytest.param(lru, "xyz", id="lru: the least recently used"),
        pytest.param(lfu, "mn", id="lfu: the least often used"),
        pytest.param(replay_cost, "abcde", id="replay cost: one token behind another state"),
    ],
)
def test_which_state_goes_first(policy: EvictionPolicy, lost: str) -> None:
    allocator, index = make(UNBOUNDED, truncates=False, policy=policy)
    for tokens in ("abcd", "abcde", "xyz", "mn"):
        remember(index, allocator, tokens, UNBOUNDED)
    for tokens in ("xyz", "xyz", "abcd", "abcde", "mn" if policy is lru else "abcd"):
        length(index, tokens)
    assert index.evict(1) == 1
    assert [tokens for tokens in ("abcd", "abcde", "xyz", "mn") if length(index, tokens) < len(tokens)] == [lost]


@pytest.mark.parametrize(
    ("policy", "lost"),
    [
        pytest.param(lru, "mnopqrst", id="lru"),
        pytest.param(lfu, "abcdefgh", id="lfu"),
        pytest.param(replay_cost, "vwxyz", id="replay cost: one token in a page"),
    ],
)
def test_which_page_goes_first(policy: EvictionPolicy, lost: str) -> None:
    allocator, index = make(policy=policy)
    for tokens in ("abcdefgh", "mnopqrst", "vwxyz"):
        remember(index, allocator, tokens)
    for tokens in ("mnopqrst", "mnopqrst", "vwxyz", "vwxyz", "abcdefgh"):
        length(index, tokens)
    assert index.evict(1) == 1
    assert [tokens for tokens in ("abcdefgh", "mnopqrst", "vwxyz") if length(index, tokens) < len(tokens)] == [lost]


@pytest.mark.parametrize("policy", [lru, lfu])
def test_what_is_used_stays_though_nothing_behind_it_is(policy: EvictionPolicy) -> None:
    """A common beginning that is all that others share: it outlives both of its ends."""
    allocator, index = make(policy=policy)
    for tokens in ("abcdefgh", "abcdxy", "mnop"):
        remember(index, allocator, tokens)
    length(index, "mnop")
    for _ in range(3):
        assert length(index, "abcdz") == 4
    assert index.evict(3) == 3
    assert length(index, "abcd") == 4


def test_a_common_beginning_has_been_used_as_often_as_its_ends_together() -> None:
    allocator, index = make(policy=lfu)
    for tokens, uses in (("abcdefgh", 3), ("abcdxy", 5), ("mnop", 7)):
        remember(index, allocator, tokens)
        for _ in range(uses):
            length(index, tokens)
    assert index.evict(2) == 2
    assert [length(index, tokens) for tokens in ("abcdefgh", "abcdxy", "mnop")] == [4, 6, 0]


def test_a_state_that_was_passed_by_is_not_used() -> None:
    allocator, index = make(UNBOUNDED, truncates=False)
    for tokens in ("abc", "x", "abcde"):
        remember(index, allocator, tokens, UNBOUNDED)
    length(index, "abcde")
    assert index.evict(1) == 1
    assert length(index, "abcd") == 0 and length(index, "abcde") == 5
