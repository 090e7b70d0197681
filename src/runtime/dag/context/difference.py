"""What has changed between two states of a context."""

from runtime.dag.json_value import JsonObject, same


def delta(before: JsonObject, after: JsonObject) -> JsonObject:
    """The top-level fields that differ, with their new values; null for those that are gone."""
    changed = {key: value for key, value in after.items() if key not in before or not same(before[key], value)}
    return changed | {key: None for key in before if key not in after}
