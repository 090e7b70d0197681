import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from runtime.memory.eviction import POLICIES, Evictable, EvictionPolicy, EvictionQueue, lfu, lru, replay_cost


class Costly(Evictable):
    def __init__(self, cost: int) -> None:
        super().__init__()
        self.cost = cost


class QueueMachine(RuleBasedStateMachine):
    """The queue beside its trivial twin: a list that is searched for the least."""

    @initialize(policy=st.sampled_from(list(POLICIES)))
    def start(self, policy: str) -> None:
        self.policy = POLICIES[policy]
        self.queue: EvictionQueue[Costly] = EvictionQueue(self.policy, lambda entry: entry.cost)
        self.entries: list[Costly] = []
        self.popped: list[Costly] = []

    def worth(self, entry: Costly) -> tuple[float, int]:
        return self.policy(entry, entry.cost), entry.last

    @rule(cost=st.integers(1, 9))
    def add(self, cost: int) -> None:
        entry = Costly(cost)
        self.queue.use(entry)
        self.queue.push(entry)
        self.entries.append(entry)

    @precondition(lambda self: self.entries)
    @rule(data=st.data(), is_use=st.booleans())
    def use(self, data: st.DataObject, is_use: bool) -> None:
        entry = data.draw(st.sampled_from(self.entries))
        before = self.worth(entry)
        (self.queue.use if is_use else self.queue.refresh)(entry)
        assert self.worth(entry) > before

    @precondition(lambda self: self.entries)
    @rule(data=st.data(), more=st.integers(0, 9))
    def grow(self, data: st.DataObject, more: int) -> None:
        data.draw(st.sampled_from(self.entries)).cost += more

    @precondition(lambda self: self.popped)
    @rule(data=st.data())
    def push_back(self, data: st.DataObject) -> None:
        entry = data.draw(st.sampled_from(self.popped))
        self.popped.remove(entry)
        self.queue.push(entry)
        self.entries.append(entry)

    @rule()
    def push_again(self) -> None:
        for entry in self.entries:
            self.queue.push(entry)

    @rule()
    def pop(self) -> None:
        least = min(self.entries, key=self.worth, default=None)
        assert self.queue.pop() is least
        if least is not None:
            self.entries.remove(least)
            self.popped.append(least)


TestQueue = QueueMachine.TestCase
TestQueue.settings = settings(max_examples=50, stateful_step_count=40, deadline=None)


def order(queue: EvictionQueue[Costly], entries: dict[str, Costly]) -> str:
    names = {entry: name for name, entry in entries.items()}
    return "".join(names[entry] for entry in iter(queue.pop, None) if entry is not None)


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        pytest.param(lru, "bca", id="lru"),
        pytest.param(lfu, "cba", id="lfu: of those used once, none is older"),
        pytest.param(replay_cost, "cab", id="replay cost"),
    ],
)
def test_who_goes_first(policy: EvictionPolicy, expected: str) -> None:
    queue: EvictionQueue[Costly] = EvictionQueue(policy, lambda entry: entry.cost)
    entries = {"a": Costly(5), "b": Costly(9), "c": Costly(1)}
    for name in "abbca" if policy is not lfu else "abbaca":
        queue.use(entries[name])
    for entry in entries.values():
        queue.push(entry)
    assert order(queue, entries) == expected


def test_what_was_dear_once_does_not_stay_for_ever() -> None:
    queue: EvictionQueue[Costly] = EvictionQueue(replay_cost, lambda entry: entry.cost)
    dear = Costly(100)
    queue.use(dear)
    queue.push(dear)
    survived = 0
    while True:
        cheap = Costly(10)
        queue.use(cheap)
        queue.push(cheap)
        if queue.pop() is dear:
            break
        survived += 1
    assert survived == 9  # each brought it nearer by 10
