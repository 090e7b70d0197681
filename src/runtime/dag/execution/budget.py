"""What a run and its parts may use, and what they have used."""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Self

from runtime.dag.document.node import Budget
from runtime.dag.errors import Code, NodeError
from runtime.dag.json_value import JsonObject

UNLIMITED = -1  # as documents and traces write it


@dataclass
class Usage:
    """nodes: executed; depth: subgraphs generated; tokens: of prompts and answers, reserved ones among them; kv_bytes:
    of memory held now. The others only grow."""

    nodes: int = 0
    llm_calls: int = 0
    depth: int = 0
    tokens: int = 0
    kv_bytes: int = 0

    def add(self, other: "Usage", sign: int = 1) -> None:
        for field in fields(Usage):
            setattr(self, field.name, getattr(self, field.name) + sign * getattr(other, field.name))


# What is counted: its limit in Budget, what it is called when it is used up.
LIMITS = {
    "llm_calls": ("max_llm_calls", "LLM call limit reached"),
    "depth": ("max_subgraph_depth", "subgraph depth limit reached"),
    "nodes": ("max_nodes", "node limit reached"),
    "tokens": ("max_tokens", "token limit reached"),
    "kv_bytes": ("max_kv_bytes", "limit of KV memory reached"),
}


class BudgetScope:
    """The limits of a part of a run. What is used in it is used in all scopes that enclose it, too.

    deadline: in seconds of time.monotonic(), the earliest of this and all enclosing scopes; None: there is none.
    """

    def __init__(self, limits: Budget, parent: "BudgetScope | None" = None) -> None:
        self.limits = limits
        self.used = Usage()
        self.deadline: float | None = None if parent is None else parent.deadline
        if limits.max_duration_sec is not None:
            own = time.monotonic() + limits.max_duration_sec
            self.deadline = own if self.deadline is None else min(own, self.deadline)
        self._parent = parent
        self._at_start: JsonObject | None = None  # what was left, for a branch

    def branch(self) -> "BudgetScope":
        """The scope of a branch: until it ends, what its siblings use does not show in its `left`."""
        scope = BudgetScope(Budget(), self)
        scope._at_start = self.left()
        return scope

    def child(self, limits: Budget) -> "BudgetScope":
        """A scope within this one, whose time begins now."""
        return BudgetScope(limits, self)

    def charge(self, *, nodes: int = 0, llm_calls: int = 0, depth: int = 0) -> None:
        """Raises NodeError (BUDGET_EXCEEDED), and charges nothing, if it does not fit here or in an enclosing scope."""
        self._add(Usage(nodes=nodes, llm_calls=llm_calls, depth=depth))

    def reserve(self, *, tokens: int, kv_bytes: int) -> "Reservation":
        """Puts aside what an inference may need at most. Raises NodeError as `charge` does."""
        usage = Usage(tokens=tokens, kv_bytes=kv_bytes)
        self._add(usage)
        return Reservation(self, usage)

    def check_time(self) -> None:
        """Raises NodeError (BUDGET_EXCEEDED) once the deadline has passed."""
        now = time.monotonic()
        over = [scope for scope in self._enclosing() if scope.deadline is not None and now >= scope.deadline]
        if over:
            raise _exceeded("time limit reached (max_duration_sec)", over[-1])

    def give_back(self, usage: Usage) -> None:
        for scope in self._enclosing():
            scope.used.add(usage, -1)

    def forget(self) -> None:
        """Takes what was used here out of the enclosing scopes, but for memory, which is still there: for a branch that
        has lost a race and ended, so that how far it came changes nothing."""
        if self._parent is not None:
            used = self.used
            self._parent.give_back(Usage(used.nodes, used.llm_calls, used.depth, used.tokens))

    def left(self) -> JsonObject:
        """What is left, for traces and for templates as `$.budget`; -1: no limit. In a branch it does not count what
        siblings use meanwhile, so that it tells the same however fast they are."""
        left = {f"{name}_left": self._seen_left(name) for name in LIMITS}
        used = {f"{name}_used": self._seen_used(name) for name in LIMITS}
        return left | used | {"subgraph_depth_left": left["depth_left"]}

    def _seen_left(self, name: str) -> int:
        left = self._own_left(name)
        if self._at_start is not None:
            above = self._at_start[f"{name}_left"]
            left = min(left, math.inf if above == UNLIMITED else above - getattr(self.used, name))
        elif self._parent is not None:
            above = self._parent._seen_left(name)
            left = min(left, math.inf if above == UNLIMITED else above)
        return UNLIMITED if left == math.inf else max(int(left), 0)

    def _seen_used(self, name: str) -> int:
        if self._at_start is not None:
            return self._at_start[f"{name}_used"] + getattr(self.used, name)
        return getattr(self.used, name) if self._parent is None else self._parent._seen_used(name)

    def _add(self, usage: Usage) -> None:
        for name, (limit_name, words) in LIMITS.items():
            wanted = getattr(usage, name)
            too_small = [scope for scope in self._enclosing() if wanted > scope._own_left(name)] if wanted else []
            if too_small:
                left = max(int(too_small[-1]._own_left(name)), 0)
                raise _exceeded(f"{words} ({limit_name}: {wanted} more wanted, {left} left)", too_small[-1])
        for scope in self._enclosing():
            scope.used.add(usage)

    def _own_left(self, name: str) -> float:
        limit = getattr(self.limits, LIMITS[name][0])
        return math.inf if limit is None else limit - getattr(self.used, name)

    def _enclosing(self) -> Iterator["BudgetScope"]:
        scope: BudgetScope | None = self
        while scope is not None:
            yield scope
            scope = scope._parent


def is_of_run(error: NodeError) -> bool:
    """Whether what was exceeded is a limit of the whole run: no node's `on_error` mends that."""
    return error.code == Code.BUDGET_EXCEEDED and error.details.get("scope") != "part"


def _exceeded(what: str, scope: BudgetScope) -> NodeError:
    details = {"scope": "run" if scope._parent is None else "part"}
    return NodeError(Code.BUDGET_EXCEEDED, f"budget exceeded: {what}", details)


class Reservation:
    """Tokens and memory put aside for an inference. `release`, or the end of a `with`, gives the rest back."""

    def __init__(self, scope: BudgetScope, held: Usage) -> None:
        self._scope = scope
        self._held = held
        self._settled = False

    @property
    def kv_bytes(self) -> int:
        return self._held.kv_bytes

    def settle(self, *, tokens: int, kv_bytes: int | None = None) -> None:
        """tokens: how many were really used, at most those reserved; they stay used. kv_bytes: what its memory takes
        from now on, at most what is reserved; None: as before."""
        if not self._settled:
            self._give_back(tokens=max(self._held.tokens - tokens, 0))
            self._settled = True
        if kv_bytes is not None:
            self._give_back(kv_bytes=max(self._held.kv_bytes - kv_bytes, 0))

    def release(self) -> None:
        """Gives memory back, and the tokens if they were never settled. Calling it again does nothing."""
        self.settle(tokens=0)
        self._give_back(kv_bytes=self._held.kv_bytes)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def _give_back(self, *, tokens: int = 0, kv_bytes: int = 0) -> None:
        usage = Usage(tokens=tokens, kv_bytes=kv_bytes)
        self._scope.give_back(usage)
        self._held.add(usage, -1)
