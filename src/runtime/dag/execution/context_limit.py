"""How large the context of a run may become."""

from runtime.dag.context.size import json_size
from runtime.dag.errors import Code, NodeError
from runtime.dag.json_value import Json, JsonObject

MOST_CONTEXT = 1 << 20  # bytes, as JSON


class ContextLimit:
    """Measures contexts that come from each other: of fields that stayed the same, the size is known."""

    def __init__(self) -> None:
        self._sizes: dict[str, tuple[Json, int]] = {}

    def check(self, context: JsonObject) -> None:
        """Raises NodeError (INVALID_INPUT) if it is too large."""
        total = 0
        for key, value in context.items():
            known = self._sizes.get(key)
            if known is None or known[0] is not value:
                known = self._sizes[key] = (value, json_size(value, MOST_CONTEXT))
            total += len(key) + known[1]
        if total > MOST_CONTEXT:
            text = f"the context would be larger than {MOST_CONTEXT >> 10} KiB: keep less in it"
            raise NodeError(Code.INVALID_INPUT, text, {"bytes": total})
