"""A node from its fields."""

from dataclasses import replace
from typing import cast, get_args

from runtime.dag.contract.permission import Permission
from runtime.dag.contract.read_permissions import read_permissions
from runtime.dag.document.body_readers import BODY_FIELDS, read_body
from runtime.dag.document.fields import Fields
from runtime.dag.document.node import Budget, MergeStrategy, Node, Wait
from runtime.dag.json_value import Json

STRATEGIES: tuple[str, ...] = get_args(MergeStrategy)
COMMON_FIELDS = (
    "id", "type", "next", "wait_for", "permissions", "context_merge_policy", "on_success", "on_error",
    "expected_output", "curriculum_level", "metadata", "signature", "execution_budget", "version", "stability",
    "requires", "graph_type", "entry", "nodes", "name", "description", "on_timeout", "loop_until", "max_loop",
)  # fmt: skip
DROPPED_FIELDS = ("on_timeout", "loop_until", "max_loop")  # since 3.3
LIMITS = ("max_nodes", "max_llm_calls", "max_subgraph_depth", "max_snapshots", "snapshot_max_size_kb",
          "max_tokens", "max_kv_bytes")  # fmt: skip


def read_node(fields: Fields, path: str) -> Node:
    """A node of the path `path`; what is wrong with it is noted in the problems of `fields`."""
    fields = replace(fields, node=path)
    node_type = fields.needed_text("type")
    metadata = dict(fields.object("metadata"))
    if "curriculum_level" in fields:
        metadata.setdefault("curriculum_level", fields.raw("curriculum_level"))
    for key in DROPPED_FIELDS:
        if key in fields:
            fields.fault(key, "is no part of AgenticDSL since 3.3 and does nothing", is_error=False)
    fields.warn_of_typos((*COMMON_FIELDS, *BODY_FIELDS.get(node_type, ())))
    body = read_body(node_type, fields)
    return Node(
        path,
        node_type,
        body,
        next=fields.targets("next"),
        wait_for=_wait(fields, node_type),
        on_error=fields.reference("on_error"),
        on_success=_on_success(fields),
        permissions=read_permission_list(fields),
        context_merge_policy=read_merge_policy(fields),
        expected_output=fields.raw("expected_output"),
        snapshot=fields.inner("metadata").flag("snapshot_before_execution"),
        budget=read_budget(fields),
        metadata=metadata,
        line=fields.yaml.line(*fields.place),
    )


def _wait(fields: Fields, node_type: str) -> Wait | None:
    """At the top, under `metadata`, or under `join`."""
    places = [fields, fields.inner("metadata"), *([fields.inner("join")] if node_type == "join" else [])]
    return next((wait for place in places if (wait := read_wait(place, "wait_for"))), None)


def read_wait(fields: Fields, key: str) -> Wait | None:
    """A path, a list, a template, {all_of: ..} or {any_of: ..}."""

    def wait(value: Json) -> Wait:
        if not isinstance(value, dict):
            return Wait(fields.read_targets(value))
        if len(value) != 1 or next(iter(value)) not in ("all_of", "any_of"):
            raise ValueError("is an object; it can have one of all_of and any_of")
        ((quantifier, targets),) = value.items()
        return Wait(fields.read_targets(targets), is_any=quantifier == "any_of")

    found = fields.read(key, wait, None)
    if found is not None and not found.targets:
        fields.fault(key, "names nothing to wait for")
        return None
    return found


def read_permission_list(fields: Fields) -> tuple[Permission, ...]:
    return fields.read("permissions", read_permissions, ())


def read_merge_policy(fields: Fields) -> dict[str, MergeStrategy]:
    """context_merge_policy: field path or wildcard → strategy; one strategy alone is that of all fields."""
    if isinstance(fields.raw("context_merge_policy"), str):
        strategy = fields.choice("context_merge_policy", STRATEGIES)
        return {"*": cast("MergeStrategy", strategy)} if strategy else {}
    policy = fields.inner("context_merge_policy")
    read = {key: policy.choice(key, STRATEGIES) for key in policy.value}
    return {key.removeprefix("$."): cast("MergeStrategy", strategy) for key, strategy in read.items() if strategy}


def read_budget(fields: Fields) -> Budget | None:
    """execution_budget; -1 is no limit."""
    if "execution_budget" not in fields:
        return None
    limits = fields.inner("execution_budget")
    limits.warn_of_typos((*LIMITS, "max_duration_sec", "enable_snapshots"))
    limited = [key for key in (*LIMITS, "max_duration_sec") if str(limits.raw(key)).strip() not in ("-1", "-1.0")]
    whole = {key: limits.whole(key) for key in LIMITS if key in limited}
    budget = Budget(**whole)
    if "max_duration_sec" in limited:
        budget = replace(budget, max_duration_sec=limits.number("max_duration_sec"))
    if "enable_snapshots" in limits and not limits.flag("enable_snapshots"):
        budget = replace(budget, max_snapshots=0)
    return budget


def _on_success(fields: Fields) -> str | None:
    """archive_to("/lib/x@v1"), or a path."""
    text = fields.text("on_success").strip()
    if not text:
        return None
    inside = archive_target(text)
    try:
        reference = fields.refer(inside if inside is not None else text)
    except ValueError as error:
        fields.fault("on_success", str(error))
        return None
    return f'archive_to("{reference}")' if inside is not None else str(reference)


def archive_target(on_success: str) -> str | None:
    """The path in archive_to(".."), None if it is none."""
    if not (on_success.startswith("archive_to(") and on_success.endswith(")")):
        return None
    return on_success.removeprefix("archive_to(").removesuffix(")").strip().strip("\"'")
