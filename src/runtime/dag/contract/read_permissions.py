"""Permissions as documents write them."""

import json

from runtime.dag.contract.permission import Permission
from runtime.dag.json_value import Json

KINDS = (
    *("tool", "runtime", "network", "file", "generate_subgraph", "reasoning", "memory", "kg", "vector", "profile"),
    *("conversation", "human", "state"),
)
_ALIASES = {"knowledge_graph": "kg"}
_MOST = 256


def read_permissions(value: Json) -> tuple[Permission, ...]:
    """What `permissions` says: a list, or one entry alone, of
    - one-key maps, `tool: web_search` or `generate_subgraph: {max_depth: 2}`, and whatever they say besides (`scope`,
      `domains`, ...), which is kept as `extras`;
    - texts, "network", "file:read", "tool: web_search";
    - {action, resource, domain}.
    A list as a name stands for one permission each. Raises ValueError, one line.
    """
    entries = [] if value is None else value if isinstance(value, list) else [value]
    found = tuple(dict.fromkeys(permission for entry in entries for permission in _entry(entry)))
    if len(found) > _MOST:
        raise ValueError(f"{len(found)} permissions; at most {_MOST} can be listed")
    return found


def _entry(entry: Json) -> list[Permission]:
    if isinstance(entry, str):
        kind, _, name = entry.partition(":")
        return _named(kind, name.strip(), ())
    if not isinstance(entry, dict) or not entry or not all(isinstance(key, str) for key in entry):
        raise ValueError(f"{_shown(entry)} is no permission; write one as `tool: NAME` or `reasoning: llm_generate`")
    if "resource" in entry:
        return _of_resource(entry)
    mains = [key for key in entry if _kind(key) in KINDS]
    if len(mains) > 1:  # several one-key maps that have run together
        return [permission for key in mains for permission in _entry({key: entry[key]})]
    main = mains[0] if mains else next(iter(entry))
    return _named(main, entry[main], _extras({key: value for key, value in entry.items() if key != main}))


def _of_resource(entry: dict[str, Json]) -> list[Permission]:
    """{action: read, resource: file}: the resource is the kind, "tool:x" a kind and a name."""
    resource, action = entry["resource"], entry.get("action", "")
    if not isinstance(resource, str) or not isinstance(action, str):
        raise ValueError(f"{_shown(entry)} is no permission; `resource` and `action` have to be texts")
    kind, _, name = resource.partition(":")
    rest = {key: value for key, value in entry.items() if key not in ("resource", "action")}
    if name:
        return _named(kind, name.strip(), _extras(rest | ({"action": action} if action else {})))
    return _named(kind, action, _extras(rest))


def _named(kind: str, name: Json, extras: tuple[tuple[str, str], ...]) -> list[Permission]:
    kind = _kind(kind)
    if not kind or any(c.isspace() or not c.isprintable() for c in kind):
        raise ValueError(f"{_shown(kind)} is no kind of permission; known ones are {', '.join(KINDS)}")
    if isinstance(name, list):
        return [permission for each in name for permission in _named(kind, each, extras)]
    if kind == "generate_subgraph":
        return [Permission(kind, "", _depth(name), extras)]
    if isinstance(name, dict):
        return _of_map(kind, name, extras)
    if name is None or name is True or name == "*":
        name = ""
    if not isinstance(name, str):
        raise ValueError(f"`{kind}: {_shown(name)}` is no permission; after `{kind}:` comes a name")
    return [Permission(kind, name, None, extras)]


def _of_map(kind: str, fields: dict[str, Json], extras: tuple[tuple[str, str], ...]) -> list[Permission]:
    """`tool: {name: x, scope: y}`, or `network: {outbound: {domains: [..]}}`."""
    if "name" in fields:
        rest = {key: value for key, value in fields.items() if key != "name"}
        return _named(kind, fields["name"], tuple(sorted({*extras, *_extras(rest)})))
    if not fields:
        raise ValueError(f"`{kind}: {{}}` is no permission; after `{kind}:` comes a name")
    found = []
    for name, value in fields.items():
        inside = value if isinstance(value, dict) else {} if value is None or value is True else {"value": value}
        found += _named(kind, name, tuple(sorted({*extras, *_extras(inside)})))
    return found


def _depth(value: Json) -> int | None:
    """max_depth of generate_subgraph; None: any."""
    if isinstance(value, dict):
        value = value.get("max_depth")
    if value is None or value is True or value == "":
        return None
    if isinstance(value, str) and value.strip().isdecimal() and len(value) < 10:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{_shown(value)} is no depth; write `generate_subgraph: {{max_depth: 2}}`")
    return value


def _extras(fields: dict[str, Json]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((key, value if isinstance(value, str) else json.dumps(value)) for key, value in fields.items()))


def _kind(text: str) -> str:
    kind = text.strip()
    return _ALIASES.get(kind, kind)


def _shown(value: Json) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else text[:57] + "..."
