"""What a part of a run may do: it can lose rights on the way down, and never gain any."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, Self

from runtime.dag.contract.capability import ResourceEntry
from runtime.dag.contract.permission import Permission
from runtime.dag.errors import Code, NodeError
from runtime.dag.json_value import Json

ANY = "*"  # a kind that stands for all kinds

# What a document that declares a capability of the engine may ask of it.
REASONING = {
    "text_generation": "llm_generate",
    "structured_generate": "structured_generate",
    "kv_continuation": "llm_generate",
    "stream_output": "stream_output",
    "speculative_decode": "speculative_decode",
    # as `native_inference_core` names what it can do
    "model_step": "llm_generate",
    "kv_alloc": "llm_generate",
    "compile_grammar": "structured_generate",
    "stream_until": "stream_output",
    # permissions in the place of capabilities
    "llm_generate": "llm_generate",
}
_OF_ENGINE = ("reasoning", "native_inference_core")


@dataclass(frozen=True)
class Grant:
    """A set of permissions, without those that others of it imply, and without their `extras`: what they restrict is
    not known here. Make one with `Grant.of`."""

    permissions: frozenset[Permission] = field(default_factory=frozenset)

    @classmethod
    def of(cls, permissions: Iterable[Permission]) -> Self:
        """As few permissions as mean the same."""
        bare = {Permission(each.kind, each.name, each.max_depth) for each in permissions}
        if any(each.kind == ANY for each in bare):
            return cls.everything()
        return cls(frozenset(each for each in bare if not any(_implies(other, each) for other in bare - {each})))

    @classmethod
    def everything(cls) -> Self:
        return cls(frozenset([Permission(ANY)]))

    def allows(self, permission: Permission) -> bool:
        """A depth asked for (none is a depth of 1) has to be within one that is held."""
        return any(_covers(held, permission) for held in self.permissions)

    def require(self, permission: Permission) -> None:
        """Raises NodeError (PERMISSION_DENIED) if it is not allowed."""
        if self.allows(permission):
            return
        wanted = shown(permission)
        held = sorted(map(shown, self.permissions))
        message = f"permission `{wanted}` is denied; the node, its callers and, in prod, the resources must list it"
        raise NodeError(Code.PERMISSION_DENIED, message, {"permission": wanted, "granted": held})

    def narrowed(self, permissions: tuple[Permission, ...]) -> "Grant":
        """What both this and a list of permissions allow. An empty list says nothing: all is inherited."""
        if not permissions:
            return self
        return Grant.of(
            both for held in self.permissions for wanted in permissions if (both := _meet(held, wanted)) is not None
        )

    @cached_property
    def digest(self) -> str:
        """Equal for grants of the same permissions, in every process."""
        lines = sorted(json.dumps(permission) for permission in self.permissions)
        text = "\n".join(lines)
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    @cached_property
    def max_generate_depth(self) -> int | None:
        """How deep subgraphs may be generated: 0 not at all, None without limit."""
        depths = [held.max_depth for held in self.permissions if held.kind in ("generate_subgraph", ANY)]
        return None if None in depths else max((depth for depth in depths if depth is not None), default=0)


def root_grant(
    mode: Literal["dev", "prod"], resources: Iterable[ResourceEntry], tools: Mapping[str, frozenset[str]]
) -> Grant:
    """What a whole run may do. dev: everything there is. prod: what the document declares under `/__meta__/resources`,
    of a tool that is declared without capabilities all of those that it is registered with.

    tools: names -> capabilities of registered tools.
    """
    if mode == "dev":
        return Grant.everything()
    return Grant.of(permission for entry in resources for permission in _declared(entry, tools))


def shown(permission: Permission) -> str:
    """As a document would write it."""
    if permission.max_depth is not None:
        return f"{permission.kind}: {{max_depth: {permission.max_depth}}}"
    return f"{permission.kind}: {permission.name}" if permission.name else permission.kind


def _declared(entry: ResourceEntry, tools: Mapping[str, frozenset[str]]) -> Iterable[Permission]:
    if entry.type == "tool" or entry.type in _OF_ENGINE:
        name = entry.name or ("native_inference_core" if entry.type == "native_inference_core" else "")
        if name and entry.type != "reasoning":
            yield Permission("tool", name)
        offered = entry.capabilities or tuple(tools.get(name, ()))
        yield from (Permission("reasoning", REASONING[each]) for each in offered if each in REASONING)
        if entry.type == "reasoning" and not entry.capabilities:
            yield Permission("reasoning")
    elif entry.type == "generate_subgraph":
        yield Permission("generate_subgraph", "", _depth(entry.fields.get("max_depth")))
    elif entry.type == "network":
        directions: list[str] = [key for key in ("outbound", "inbound") if key in entry.fields]
        yield from (Permission("network", direction) for direction in directions or [entry.name])
    else:
        kind = "kg" if entry.type == "knowledge_graph" else entry.type
        names = entry.capabilities or (entry.name,)
        yield from (Permission(kind, name) for name in names)


def _depth(value: Json) -> int | None:
    """Without limit only if nothing is said."""
    return value if value is None or (isinstance(value, int) and not isinstance(value, bool)) else 0


def _covers(held: Permission, wanted: Permission) -> bool:
    if held.kind == ANY:
        return True
    if held.kind != wanted.kind or held.name not in ("", wanted.name):
        return False
    return held.max_depth is None or (1 if wanted.max_depth is None else wanted.max_depth) <= held.max_depth


def _implies(held: Permission, other: Permission) -> bool:
    """Whether `other` adds nothing to `held`."""
    is_as_broad = held.kind == other.kind and held.name in ("", other.name)
    return is_as_broad and (
        held.max_depth is None or (other.max_depth is not None and other.max_depth <= held.max_depth)
    )


def _meet(a: Permission, b: Permission) -> Permission | None:
    """What both allow."""
    if a.kind == ANY:
        return b
    if b.kind == ANY:
        return a
    if a.kind != b.kind or (a.name and b.name and a.name != b.name):
        return None
    depths = [depth for depth in (a.max_depth, b.max_depth) if depth is not None]
    return Permission(a.kind, a.name or b.name, min(depths, default=None))
