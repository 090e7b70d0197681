"""What a template may look at, told without running it."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.dag.errors import NodeError
from runtime.dag.template.renderer import Renderer

FIELDS: dict[str, Any] = {
    "a": {"b": 1, "c": {"d": "x"}},
    "b": [1, 2, 3],
    "c": 5,
    "d": "text",
    "e": {"x": [1]},
    "f": None,
    "g": True,
    "loop": "a field",
    "x": 7,
}


class Watched(Mapping[str, Any]):
    """Remembers which fields were looked at."""

    def __init__(self) -> None:
        self.seen: set[str] = set()

    def __getitem__(self, name: str) -> Any:
        self.seen.add(name)
        return FIELDS[name]

    def __iter__(self) -> Iterator[str]:
        self.seen.add("$")
        return iter(FIELDS)

    def __len__(self) -> int:
        return len(FIELDS)


names = st.sampled_from([*FIELDS, "y", "z"])
roots = names | names.map(lambda name: f"$.{name}") | names.map(lambda name: f"$['{name}']")
atoms = roots | st.sampled_from(["1", "'a'", "[]", "true", "$", "$[d]", "exists('a.b')", "exists('$.e')", "exists(d)"])


def _grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    two = st.tuples(inner, inner)
    return st.one_of(
        inner.map(lambda each: f"({each}).b"),
        inner.map(lambda each: f"({each} is defined)"),
        inner.map(lambda each: f"({each}) | length"),
        inner.map(lambda each: f"[{each}] | map(attribute='b') | first"),
        two.map(lambda both: f"default({both[0]}, {both[1]})"),
        two.map(lambda both: f"({both[0]}) | default({both[1]})"),
        two.map(lambda both: f"({both[0]}) ~ ({both[1]})"),
        two.map(lambda both: f"({both[0]}) == ({both[1]})"),
        two.map(lambda both: f"({both[0]}) and ({both[1]})"),
        two.map(lambda both: f"({both[0]} if {both[1]} else 2)"),
        two.map(lambda both: f"({both[0]})[{both[1]}]"),
        two.map(lambda both: f"existsIn({both[0]}, {both[1]})"),
        two.map(lambda both: f"{{'k': {both[0]}}}.k"),
    )


expressions = st.recursive(atoms, _grown, max_leaves=4)
plain = st.builds("{{{{ {} }}}}".format, expressions)
variables = st.sampled_from(["c", "x", "y", "loop"])
leaves = plain | st.builds("{{% set {} = {} %}}".format, variables, expressions)
bodies = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, min_size=2, max_size=4).map("".join),
        st.builds("{{% if {} %}}{}{{% else %}}{}{{% endif %}}".format, expressions, inner, inner),
        st.builds("{{% for {} in {} %}}{}{{% else %}}{}{{% endfor %}}".format, variables, expressions, inner, inner),
        st.builds("{{% for {} in b if {} %}}{}{{% endfor %}}".format, variables, expressions, inner),
        st.builds("{{% set {} %}}{}{{% endset %}}".format, variables, inner),
    ),
    max_leaves=6,
)


@settings(max_examples=500, deadline=None)
@given(bodies)
def test_what_is_read_is_told_before(template: str) -> None:
    renderer, view = Renderer(), Watched()
    assert renderer.check(template) is None
    told = renderer.reads(template)
    given_text = _outcome(renderer, template, view)
    if told is not None:
        assert view.seen <= told
        assert _outcome(renderer, template, {name: FIELDS[name] for name in told & FIELDS.keys()}) == given_text


def _outcome(renderer: Renderer, template: str, view: Mapping[str, Any]) -> str:
    try:
        return renderer.render(template, view)
    except NodeError as failure:
        return str(failure)


@pytest.mark.parametrize(
    ("template", "fields"),
    [
        ("no template", set()),
        ("{{ $.a.b }} {{ c }} {{ $['d'].e }}", {"a", "c", "d"}),
        ("{% for c in a.b %}{{ c.x }}{{ loop.index }}{{ d }}{% endfor %}{{ loop }}", {"a", "d", "loop"}),
        ("{% for c, d in a %}{{ c }}{{ d }}{% else %}{{ c }}{% endfor %}", {"a", "c"}),
        ("{% for c in a if c and d %}{% endfor %}", {"a", "d"}),
        ("{{ c }}{% set c = a %}{{ c }}", {"a", "c"}),
        ("{% set c = a %}{{ c }}{{ $.d }}", {"a", "d"}),
        ("{% set c = 1 %}{{ $.c }}", {"c"}),
        ("{% if a %}{% set c = 1 %}{{ c }}{% endif %}{{ c }}", {"a", "c"}),
        ("{% set c %}{{ d }}{% endset %}{{ c }}", {"d"}),
        ("{{ exists('a.b') }}{{ exists('$.c') }}{{ d is defined }}", {"a", "c", "d"}),
        ("{{ default(a.b, c) }}{{ d | default('a') | upper }}{{ e.items() }}", {"a", "c", "d", "e"}),
        ("{{ a | map(attribute='b') | join(c) }}{{ {'k': d}.k }}{{ [e][0] }}", {"a", "c", "d", "e"}),
        ("{# {{ a }} #}{% raw %}{{ b }}{% endraw %}", set()),
        ("{{ $ }}", None),
        ("{{ $ | to_json }}", None),
        ("{{ $[a] }}", None),
        ("{{ $.items() }}", None),
        ("{{ exists(a) }}", None),
        ("{{ $", set()),
    ],
)
def test_tells_the_fields(template: str, fields: set[str] | None) -> None:
    assert Renderer().reads(template) == fields
