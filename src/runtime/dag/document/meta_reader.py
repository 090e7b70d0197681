"""`/__meta__` and `/__meta__/resources`."""

from collections.abc import Iterable
from typing import Literal, cast

from runtime.dag.contract.capability import ResourceEntry
from runtime.dag.document.document import Meta
from runtime.dag.document.fields import Fields
from runtime.dag.document.node import Budget, MergeStrategy
from runtime.dag.document.node_reader import STRATEGIES, read_budget
from runtime.dag.errors import Code
from runtime.dag.json_value import Json

MOST_DECLARED = 500
META_FIELDS = ("version", "mode", "entry_point", "execution_budget", "context_merge_strategy", "layer_profile",
               "name", "description", "author")  # fmt: skip
RESOURCE_TYPES = ("tool", "runtime", "network", "memory", "knowledge_graph", "generate_subgraph", "reasoning",
                  "native_inference_core")  # fmt: skip


def read_meta(fields: Fields) -> Meta:
    fields.warn_of_typos(META_FIELDS)
    if isinstance(fields.raw("version"), float):
        text = f"is the number {fields.raw('version')}: quote it, as 3.10 is 3.1 for YAML"
        fields.fault("version", text, is_error=False)
    entry = fields.text("entry_point").strip() or None
    if entry is not None and not entry.startswith("/"):
        text = f"is {entry[:80]!r}; it has to be an absolute path such as /main/start"
        fields.fault("entry_point", text, Code.MISSING_ENTRY_POINT)
    mode = fields.choice("mode", ("dev", "prod")) or "prod"
    return Meta(
        fields.text("version") or None,
        cast("Literal['dev', 'prod']", mode),
        str(fields.reference("entry_point") or entry) if entry else None,
        read_budget(fields) or Budget(),
        cast("MergeStrategy | None", fields.choice("context_merge_strategy", STRATEGIES)),
        fields.yaml.line(),
    )


def read_resources(fields: Fields, most: int) -> tuple[ResourceEntry, ...]:
    """The entries of a `resource_declare`. most: entries and capabilities; more are refused."""
    if "next" in fields:
        fields.fault("next", "does nothing: resources are declared, not run", is_error=False)
    items = fields.raw("resources")
    if not isinstance(items, list):
        fields.fault("", "the field `resources` is missing, a list of what the document needs")
        return ()
    entries = tuple(entry for index, item in enumerate(items) if (entry := _entry(fields, index, item)))
    if declared(entries) > most:
        fields.fault("resources", f"declares more than {MOST_DECLARED} resources and capabilities")
        return ()
    return entries


def declared(entries: Iterable[ResourceEntry]) -> int:
    """How many resources and capabilities these are."""
    return sum(1 + len(entry.capabilities) for entry in entries)


def _entry(fields: Fields, index: int, item: Json) -> ResourceEntry | None:
    if not isinstance(item, dict) or item.get("type") not in RESOURCE_TYPES:
        shown = f", not {str(item.get('type'))[:40]!r}" if isinstance(item, dict) and "type" in item else ""
        text = f"has an item, number {index + 1}, whose `type` has to be one of {', '.join(RESOURCE_TYPES)}{shown}"
        fields.fault("resources", text)
        return None
    place = Fields(fields.yaml, item, ("resources", index), fields.home, fields.problems)
    name = place.text("name") or (item["type"] if item["type"] == "native_inference_core" else "")
    if item["type"] == "tool" and not name:
        place.fault("", "the field `name` is missing: which tool")
    others = {key: value for key, value in item.items() if key not in ("type", "name", "capabilities")}
    return ResourceEntry(item["type"], name, place.texts("capabilities"), others, fields.yaml.line("resources", index))
