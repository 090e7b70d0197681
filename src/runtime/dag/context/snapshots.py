"""Contexts as they were before some nodes ran."""

from typing import Self

from runtime.dag.context.size import json_size
from runtime.dag.json_value import JsonObject


class Snapshots:
    """At most so many; the oldest goes when another comes. most: 0 none, None as many as are taken. most_kb: KiB of
    JSON that each may have."""

    def __init__(self, most: int | None, most_kb: int) -> None:
        self._most = most
        self._most_bytes = most_kb * 1024
        self._by_key: dict[str, JsonObject] = {}

    def __len__(self) -> int:
        return len(self._by_key)

    def take(self, key: str, context: JsonObject) -> bool:
        """Keeps a context, not a copy of it, in the place of an older one of this key. False: it is too large, or none
        are kept; then there is none of this key."""
        self._by_key.pop(key, None)
        if self._most == 0 or json_size(context, self._most_bytes) > self._most_bytes:
            return False
        self._by_key[key] = context
        if self._most is not None and len(self._by_key) > self._most:
            del self._by_key[next(iter(self._by_key))]
        return True

    def copy(self) -> Self:
        """For a branch: what either takes from here on, the other does not see."""
        other = type(self)(self._most, self._most_bytes // 1024)
        other._by_key = dict(self._by_key)
        return other

    def as_json(self) -> dict[str, JsonObject]:
        """Key -> context, oldest first."""
        return dict(self._by_key)
