"""JSON Schemas of growing difficulty, the same every time: for tests of grammars, and to measure what they cost."""

from random import Random
from typing import Any

Schema = dict[str, Any]

_NAMES = ("name", "id", "age", "price", "tags", "kind", "size", "user id", "café", "x", "created_at", "notes")
_WORDS = ("red", "green", "blue", "small", "medium", "large", "a b", "naïve", "yes/no", 'the "best"', "日本", "")
_PATTERNS = (
    "^[a-z]{2,8}$",
    "^(GET|POST) /[a-z]+$",
    "^\\d{3}-\\d{4}$",
    "[0-9]{2}",
    "^#[0-9a-fA-F]{6}$",
    "^\\w{1,8}@\\w{2,5}\\.com$",
)
_FORMATS = ("date", "date-time", "time", "email", "ipv4", "ipv6", "uuid", "hostname", "duration", "uri")


def schemas(count: int = 200, seed: int = 0) -> list[Schema]:
    """Begins with numbers and words, and ends with nested choices that refer to each other."""
    return [_Writer(Random(f"{seed}/{i}"), hardness=4 * i / count).document() for i in range(count)]


class _Writer:
    """hardness: 0 to 4; what it knows grows with it."""

    def __init__(self, random: Random, hardness: float) -> None:
        self._random = random
        self._hardness = hardness

    def document(self) -> Schema:
        if self._hardness < 1:
            return self._scalar()
        if self._hardness < 3.2 or self._chance(0.3):
            return self._object(depth=1 + int(self._hardness / 2))
        return self._recursive()

    def _schema(self, depth: int) -> Schema:
        kinds = [self._scalar, self._scalar]
        if self._hardness >= 2:
            kinds += [self._text_of_form, lambda: {"type": self._random.sample(["integer", "string", "null"], 2)}]
        if depth > 0:
            kinds += [lambda: self._object(depth - 1), lambda: self._array(depth - 1)]
            if self._hardness >= 2.5:
                kinds += [lambda: self._choice(depth - 1), lambda: self._tuple(depth - 1)]
            if self._hardness >= 3:
                kinds += [lambda: self._map(depth - 1), lambda: self._merged(depth - 1)]
        return self._random.choice(kinds)()

    def _scalar(self) -> Schema:
        low, extent = self._random.randint(-1000, 1000), self._random.randint(0, 5000)
        return self._random.choice(
            [
                lambda: {"type": "boolean"},
                lambda: {"type": "integer", "minimum": low, "maximum": low + extent},
                lambda: {"type": "integer", "exclusiveMinimum": low},
                lambda: {"type": "number", "minimum": low / 8, "exclusiveMaximum": (low + extent + 1) / 8},
                lambda: {"type": "integer", "minimum": 0, "maximum": 999, "multipleOf": self._random.randint(2, 12)},
                lambda: {"type": "string", "maxLength": self._random.randint(1, 12)},
                lambda: {"type": "string", "minLength": 2, "maxLength": 2 + self._random.randint(0, 10)},
                lambda: {"enum": self._random.sample(_WORDS, self._random.randint(1, 5))},
                lambda: {"enum": [None, True, low, self._random.choice(_WORDS)]},
                lambda: {"const": self._random.choice([low, "fixed", [1, 2], {"a": None}])},
            ]
        )()

    def _text_of_form(self) -> Schema:
        if self._chance(0.5):
            return {"type": "string", "pattern": self._random.choice(_PATTERNS)}
        return {"type": "string", "format": self._random.choice(_FORMATS)}

    def _object(self, depth: int) -> Schema:
        names = self._random.sample(_NAMES, self._random.randint(1, 2 + int(2 * self._hardness)))
        schema: Schema = {
            "type": "object",
            "properties": {name: self._schema(depth) for name in names},
            "required": [name for name in names if self._chance(0.6)],
        }
        if self._chance(0.7):
            schema["additionalProperties"] = False
        elif self._hardness >= 2 and self._chance(0.5):
            schema["additionalProperties"] = self._scalar()
        return schema

    def _array(self, depth: int) -> Schema:
        least = self._random.randint(0, 2)
        return {
            "type": "array",
            "items": self._schema(depth),
            "minItems": least,
            "maxItems": least + self._random.randint(1, 3),
        }

    def _tuple(self, depth: int) -> Schema:
        parts = [self._schema(depth) for _ in range(self._random.randint(1, 3))]
        return {"type": "array", "prefixItems": parts, "items": False, "minItems": len(parts)}

    def _choice(self, depth: int) -> Schema:
        if self._chance(0.5):
            return {"anyOf": [self._schema(depth) for _ in range(self._random.randint(2, 4))]}
        kinds = self._random.sample(("circle", "square", "point", "line"), 2)
        return {"oneOf": [self._tagged(kind, depth) for kind in kinds]}

    def _tagged(self, kind: str, depth: int) -> Schema:
        schema = self._object(depth)
        schema["properties"] = {"kind": {"const": kind}} | {
            name: value for name, value in schema["properties"].items() if name != "kind"
        }
        schema["required"] = sorted({"kind", *schema["required"]})
        return schema

    def _map(self, depth: int) -> Schema:
        return {
            "type": "object",
            "patternProperties": {"^x-[a-z]{1,6}$": self._schema(depth), "^[0-9]{1,4}$": self._scalar()},
            "additionalProperties": False,
        }

    def _merged(self, depth: int) -> Schema:
        return {
            "type": "object",
            "allOf": [
                {"properties": {"left": self._schema(depth)}, "required": ["left"]},
                {"properties": {"right": self._schema(depth)}},
            ],
        }

    def _recursive(self) -> Schema:
        """A tree, or two kinds of node that hold each other."""
        leaf = self._schema(1)
        if self._chance(0.5):
            node = {"value": leaf, "children": {"type": "array", "items": {"$ref": "#/$defs/node"}, "maxItems": 2}}
            definitions = {"node": _closed(node, "value")}
        else:
            definitions = {
                "node": {"anyOf": [{"$ref": "#/$defs/pair"}, leaf]},
                "pair": _closed({"first": {"$ref": "#/$defs/node"}, "rest": {"$ref": "#/$defs/node"}}, "first"),
            }
        return {
            "$defs": definitions,
            "type": "object",
            "properties": {"root": {"$ref": "#/$defs/node"}, **{name: self._schema(2) for name in ("meta", "more")}},
            "required": ["root"],
            "additionalProperties": False,
        }

    def _chance(self, probability: float) -> bool:
        return self._random.random() < probability


def _closed(properties: dict[str, Schema], *required: str) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }
