"""L0: what calls of subgraphs have given, and the memory of the texts in them."""

import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Self

from runtime.dag.execution.budget import BudgetScope
from runtime.dag.inference.kv_handles import Continuation, KVHandleTable
from runtime.dag.json_value import Json, JsonObject

Branch = tuple[int, ...]  # indices of branches on the way to a part of a run, outermost first


@dataclass(frozen=True)
class CallKey:
    """All that a call's result can depend on. path, version: of the graph, content: a hash of how it is written; model:
    fingerprint, "" if there is none; inputs, parameters: as JSON, where the order of keys counts, as templates show it;
    grant: its digest, as what is denied takes another way."""

    path: str
    version: str
    content: str
    model: str
    inputs: str
    parameters: str
    grant: str

    @classmethod
    def of(
        cls,
        path: str,
        version: str,
        content: str,
        model: str,
        inputs: JsonObject,
        parameters: JsonObject,
        grant: str,
    ) -> Self:
        return cls(path, version, content, model, json.dumps(inputs), json.dumps(parameters), grant)

    @property
    def digest(self) -> str:
        parts = [getattr(self, field.name) for field in fields(self)]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


@dataclass
class _Entry:
    """outputs: None where a part of the call was not deterministic: then there is only memory. names: of the handles in
    `outputs`, as they were called when it was recorded. callees: graphs that were called on the way, with the hashes of
    how they were written."""

    path: str
    outputs: Json
    names: dict[str, Continuation]
    pinned: list[Continuation]
    callees: dict[str, str]
    size: int


class SubgraphKVCache:
    """Remembers calls by all that they depend on, the least recently used go first.

    What a branch of a fork has called is known in that branch only, until the fork has ended: whether a sibling was
    there before shows nowhere.

    What a call gave is given again only if each part of it was deterministic. Its handles are pinned: their memory is
    not the first to go, whoever else had them, and a recalled result comes with new names for them. Where the store
    needed that memory after all, it is computed again when somebody goes on from there.
    """

    def __init__(self, most_bytes: int, handles: KVHandleTable | None = None, block_bytes: int = 0) -> None:
        """most_bytes: of results and pinned memory together. handles: None without a model."""
        self.bytes = 0
        self.hits = 0
        self.misses = 0
        self._most_bytes = most_bytes
        self._handles = handles
        self._block_bytes = block_bytes
        self._entries: OrderedDict[tuple[str, Branch], _Entry] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def recall(
        self, key: CallKey, is_current: Callable[[str, str], bool], scope: BudgetScope, branch: Branch = ()
    ) -> JsonObject | None:
        """What the call gave, None if that is not known. is_current: whether the graph of a path is still written as
        this hash says; if one that the call led to is not, it is forgotten. scope: from which memory of handles in the
        result is taken. branch: in which the call is. Raises NodeError (BUDGET_EXCEEDED) if that does not fit."""
        digest = key.digest
        for depth in range(len(branch), -1, -1):
            place = (digest, branch[:depth])
            entry = self._entries.get(place)
            if entry is not None and not all(is_current(path, content) for path, content in entry.callees.items()):
                self._drop(place)
            elif entry is not None and entry.outputs is not None:
                self._entries.move_to_end(place)
                self.hits += 1
                return self._renamed(entry, scope, branch)
        self.misses += 1
        return None

    def record(
        self,
        key: CallKey,
        outputs: JsonObject | None,
        names: Iterable[str],
        callees: Mapping[str, str],
        branch: Branch = (),
    ) -> None:
        """outputs: as the call gave them; None if it was not deterministic. names: of handles that it made, those in
        the outputs among them; if one of those was released, the outputs are not remembered. branch: in which the
        call was."""
        names, handles = list(names), self._handles
        known = {name: handles.get(name) for name in names if name in handles} if handles is not None else {}
        pinned = list({continuation.handle: continuation for continuation in known.values()}.values())
        blocks = {block for continuation in pinned for block in continuation.handle.blocks}
        if any(name not in known and _holds(outputs, name) for name in names):
            outputs = None
        text = json.dumps(outputs)
        size = len(text) + len(blocks) * self._block_bytes
        place = (key.digest, branch)
        self._drop(place)
        if size > self._most_bytes:
            return
        if handles is not None:
            for continuation in pinned:
                handles.hold(continuation)
        self._entries[place] = _Entry(key.path, json.loads(text), known, pinned, dict(callees), size)
        self.bytes += size
        while self.bytes > self._most_bytes:
            self._drop(next(iter(self._entries)))

    def branch_ended(self, branch: Branch, *, is_kept: bool) -> None:
        """Its fork has ended: what it has called is known to all around it, or, if nothing that it did counts, to
        nobody."""
        for digest, _ in [place for place in self._entries if place[1] == branch]:
            if is_kept:
                self._drop((digest, branch[:-1]))
                self._entries[digest, branch[:-1]] = self._entries.pop((digest, branch))
            else:
                self._drop((digest, branch))

    def invalidate(self, path: str) -> None:
        """A graph has changed: forgets its calls, and all that led to it."""
        for place in [each for each, entry in self._entries.items() if path == entry.path or path in entry.callees]:
            self._drop(place)

    def clear(self) -> None:
        for place in list(self._entries):
            self._drop(place)

    def _renamed(self, entry: _Entry, scope: BudgetScope, branch: Branch) -> JsonObject:
        outputs = json.loads(json.dumps(entry.outputs))
        found = [name for name in entry.names if _holds(outputs, name)]
        handles = self._handles
        if handles is None or not found:
            return dict(outputs)
        sizes = [len(entry.names[name].handle.blocks) * self._block_bytes for name in found]
        reservations = []
        try:
            for size in sizes:
                reservations.append(scope.reserve(tokens=0, kv_bytes=size))
        except BaseException:
            for reservation in reservations:
                reservation.release()
            raise
        new = {
            name: handles.name(entry.names[name], reservation, branch)
            for name, reservation in zip(found, reservations, strict=True)
        }
        return dict(_replaced(outputs, new))

    def _drop(self, place: tuple[str, Branch]) -> None:
        entry = self._entries.pop(place, None)
        if entry is None:
            return
        self.bytes -= entry.size
        if self._handles is not None:
            for continuation in entry.pinned:
                self._handles.let_go(continuation)


def _holds(value: Json, name: str) -> bool:
    if isinstance(value, dict):
        return any(_holds(member, name) for member in value.values())
    if isinstance(value, list):
        return any(_holds(member, name) for member in value)
    return bool(value == name)


def _replaced(value: Json, new: Mapping[str, str]) -> Json:
    if isinstance(value, dict):
        return {key: _replaced(member, new) for key, member in value.items()}
    if isinstance(value, list):
        return [_replaced(member, new) for member in value]
    return new.get(value, value) if isinstance(value, str) else value
