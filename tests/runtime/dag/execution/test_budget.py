"""Scopes of budgets: exact limits, nothing lost, nothing charged twice."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.dag.document.node import Budget
from runtime.dag.errors import Code, NodeError
from runtime.dag.execution.budget import UNLIMITED, BudgetScope, Usage, is_of_run

limits = st.none() | st.integers(0, 6)
budgets = st.builds(
    Budget, max_nodes=limits, max_llm_calls=limits, max_subgraph_depth=limits, max_tokens=limits, max_kv_bytes=limits
)


def test_allows_exactly_as_many_as_it_says() -> None:
    scope = BudgetScope(Budget(max_nodes=3))
    for _ in range(3):
        scope.charge(nodes=1)
    with pytest.raises(NodeError, match="node limit reached") as refused:
        scope.charge(nodes=1)
    assert refused.value.code == Code.BUDGET_EXCEEDED
    assert scope.used.nodes == 3


@given(
    st.lists(budgets, min_size=1, max_size=3), st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3)), max_size=20)
)
def test_what_does_not_fit_anywhere_is_charged_nowhere(levels: list[Budget], charges: list[tuple[int, int]]) -> None:
    scopes = [BudgetScope(levels[0])]
    for level in levels[1:]:
        scopes.append(scopes[-1].child(level))
    for where, count in charges:
        chain = scopes[: min(where, len(scopes) - 1) + 1]
        fits = all(s.limits.max_nodes is None or s.used.nodes + count <= s.limits.max_nodes for s in chain)
        before = [scope.used.nodes for scope in scopes]
        if fits or count == 0:
            chain[-1].charge(nodes=count)
            assert [s.used.nodes for s in scopes] == [
                b + count * (s in chain) for b, s in zip(before, scopes, strict=True)
            ]
        else:
            with pytest.raises(NodeError):
                chain[-1].charge(nodes=count)
            assert [scope.used.nodes for scope in scopes] == before


@given(
    budgets, st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 3), st.booleans()), max_size=12)
)
def test_memory_comes_back_and_tokens_stay_as_settled(budget: Budget, wanted: list[tuple[int, int, int, bool]]) -> None:
    root = BudgetScope(budget)
    scope = root.child(Budget())
    spent, open_ones = 0, []
    for tokens, kv_bytes, used, is_settled in wanted:
        try:
            reservation = scope.reserve(tokens=tokens, kv_bytes=kv_bytes)
        except NodeError:
            continue
        open_ones.append(reservation)
        if is_settled:
            reservation.settle(tokens=min(used, tokens))
            spent += min(used, tokens)
    for reservation in open_ones * 2:  # twice: releasing again changes nothing
        reservation.release()
    assert root.used == scope.used == Usage(tokens=spent)


def test_a_settled_reservation_can_hold_less_memory() -> None:
    scope = BudgetScope(Budget(max_kv_bytes=100))
    with scope.reserve(tokens=10, kv_bytes=100) as reservation:
        reservation.settle(tokens=4, kv_bytes=30)
        assert scope.used == Usage(tokens=4, kv_bytes=30)
        scope.reserve(tokens=0, kv_bytes=70).release()
    assert scope.used == Usage(tokens=4)


def test_the_loser_of_a_race_costs_nothing() -> None:
    root = BudgetScope(Budget(max_nodes=5))
    loser, winner = root.child(Budget()), root.child(Budget())
    loser.charge(nodes=3)
    winner.charge(nodes=2)
    loser.forget()
    assert root.used.nodes == 2
    assert root.left()["nodes_left"] == 3


def test_tells_the_least_of_what_encloses_it() -> None:
    scope = BudgetScope(Budget(max_nodes=5, max_llm_calls=2)).child(Budget(max_nodes=10))
    scope.charge(nodes=1, llm_calls=1)
    left = scope.left()
    assert (left["nodes_left"], left["llm_calls_left"], left["depth_left"]) == (4, 1, UNLIMITED)


def test_deadline_is_the_earliest_and_is_checked() -> None:
    root = BudgetScope(Budget(max_duration_sec=1000))
    later = root.child(Budget(max_duration_sec=2000))
    assert later.deadline == root.deadline
    later.check_time()
    over = root.child(Budget(max_duration_sec=0))
    assert over.deadline is not None and over.deadline <= time.monotonic()
    with pytest.raises(NodeError, match="time limit"):
        over.check_time()
    with pytest.raises(NodeError, match="time limit"):
        over.child(Budget()).check_time()


def test_tells_limits_of_the_run_from_those_of_a_part() -> None:
    root = BudgetScope(Budget(max_nodes=2))
    part = root.child(Budget(max_nodes=1))
    part.charge(nodes=1)
    with pytest.raises(NodeError) as of_part:
        part.charge(nodes=1)
    root.charge(nodes=1)
    with pytest.raises(NodeError) as of_run:
        part.charge(nodes=1)
    assert (is_of_run(of_part.value), is_of_run(of_run.value)) == (False, True)


def test_a_branch_does_not_see_what_its_siblings_use() -> None:
    root = BudgetScope(Budget(max_nodes=10))
    root.charge(nodes=1)
    one, other = root.branch(), root.branch()
    other.charge(nodes=4)
    one.charge(nodes=2)
    inner = one.branch().child(Budget(max_nodes=5))
    assert [scope.left()["nodes_left"] for scope in (one, other, inner, root)] == [7, 5, 5, 3]
    assert [scope.left()["nodes_used"] for scope in (one, other, inner, root)] == [3, 5, 3, 7]
    with pytest.raises(NodeError):
        one.charge(nodes=4)  # the limit is one for all
