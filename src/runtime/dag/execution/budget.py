"""What a run and its parts may use, and what they have used."""

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
        if self.deadline is not None and time.monotonic() >= self.deadline:
            raise NodeError(Code.BUDGET_EXCEEDED, "budget exceeded: time limit reached (max_duration_sec)")

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
        """What is left here, for traces and for templates as `$.budget`; -1: no limit."""
        left = {f"{name}_left": self._least(name) for name in LIMITS}
        return left | {
            "subgraph_depth_left": left["depth_left"],
            "nodes_used": self.used.nodes,
            "llm_calls_used": self.used.llm_calls,
            "tokens_used": self.used.tokens,
        }

    def _add(self, usage: Usage) -> None:
        for name, (limit_name, words) in LIMITS.items():
            wanted = getattr(usage, name)
            left = self._least(name)
            if wanted and left != UNLIMITED and wanted > left:
                message = f"budget exceeded: {words} ({limit_name}: {wanted} more wanted, {left} left)"
                raise NodeError(Code.BUDGET_EXCEEDED, message, {"limit": limit_name, "wanted": wanted, "left": left})
        for scope in self._enclosing():
            scope.used.add(usage)

    def _least(self, name: str) -> int:
        """What is left of one thing here and in all enclosing scopes."""
        limits = ((getattr(scope.limits, LIMITS[name][0]), getattr(scope.used, name)) for scope in self._enclosing())
        return min((max(limit - used, 0) for limit, used in limits if limit is not None), default=UNLIMITED)

    def _enclosing(self) -> Iterator["BudgetScope"]:
        scope: BudgetScope | None = self
        while scope is not None:
            yield scope
            scope = scope._parent


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
