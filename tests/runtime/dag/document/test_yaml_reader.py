"""YAML of documents: what scalars are, what is refused, where values stand, and shorthands."""

import json
import math

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from runtime.dag.document.yaml_reader import YamlError, read_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1), ("-7", -7), ("+7", 7), ("007", 7), ("0x1F", 31), ("1.5", 1.5), ("-.5", -0.5), ("1e3", 1000.0),
        ("true", True), ("False", False), ("null", None), ("~", None), ("", None),
        ("yes", "yes"), ("no", "no"), ("on", "on"), ("off", "off"), ("y", "y"), ("0o17", "0o17"), ("1_000", "1_000"),
        ("2026-01-02", "2026-01-02"), ("12:30:45", "12:30:45"), ("'15'", "15"), ('"true"', "true"), ("'~'", "~"),
        ("v1.2.3", "v1.2.3"), ("1.2.3", "1.2.3"), ("-", None), ("tRue", "tRue"), ("|\n  a\n  b", "a\nb"),
        ('"{{ $.a }}"', "{{ $.a }}"), ("=", "="), ("a#b", "a#b"), ("a #b", "a"),
    ],
)  # fmt: skip
def test_scalars(text: str, value: object) -> None:
    got = read_yaml(f"k: {text}", repairs=False).value["k"] if text != "-" else read_yaml("k: ~").value["k"]
    assert got == value and type(got) is type(value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("b: &x 2", "anchor"), ("b: *x", "alias"), ("b: !!int 2", "tag"), ("<<: {b: 2}", "merge"), ("a: 2", "twice"),
        ("b: .inf", "no number"), ("b: .nan", "no number"), ("b: 1e999", "no number"), ("---\nb: 2", "second"),
        ("? [b]\n: 2", "key"), ("\tb: 2", "no YAML"), ("b: {{ x }}\nc: [", "no YAML"), ("b: " + "9" * 400, "digits"),
        ("b: " + "[" * 70, "within each other"), ("b: \a", "U\\+0007"), ("b: \ud800", "surrogate"),
    ],
)  # fmt: skip
def test_refuses_with_the_line(text: str, says: str) -> None:
    with pytest.raises(YamlError, match=says) as refused:
        read_yaml("a: 1\n" + text, 10)
    assert 11 <= refused.value.line <= 12 + text.count("\n")
    assert "\n" not in str(refused.value)


def test_there_is_a_limit_of_values() -> None:
    with pytest.raises(YamlError, match="values") as refused:
        read_yaml("[" + "1," * 50 + "1]", most_values=20)
    assert refused.value.is_limit


def test_lines() -> None:
    text = "a: 1\nb:\n  - c: 2\n    d:\n      e: 3\n  -\n    x: |\n      1\n      2\nz: 1"
    read = read_yaml(text, 5)
    places = {(): 5, ("a",): 5, ("b",): 6, ("b", 0): 7, ("b", 0, "d", "e"): 9, ("b", 1, "x"): 11, ("z",): 14}
    assert {place: read.line(*place) for place in places} == places
    assert read.line("b", 0, "d", "e", "f", "g") == 9  # of what is around it


def test_shorthands() -> None:
    text = """inputs:
  - name: prompt; type: string; required: true
  - name: "a; b: c"; default: [1, 2]; type: array
perms:
  - tool: web_search → scope: read_only
  - runtime: python3 → allow_imports: [json, re]
text: {{ $.a }} and 'more'
list:
  - {{ $.b }}
kept: |
  - name: x; type: y
  {{ $.c }}
"""
    assert read_yaml(text).value == {
        "inputs": [
            {"name": "prompt", "type": "string", "required": True},
            {"name": "a; b: c", "default": [1, 2], "type": "array"},
        ],
        "perms": [
            {"tool": "web_search", "scope": "read_only"},
            {"runtime": "python3", "allow_imports": ["json", "re"]},
        ],
        "text": "{{ $.a }} and 'more'",
        "list": ["{{ $.b }}"],
        "kept": "- name: x; type: y\n{{ $.c }}\n",
    }


def test_lines_are_those_before_the_repair() -> None:
    read = read_yaml("a:\n  - x: 1; y: 2; z: 3\nb: 1\n", 1)
    assert (read.line("a", 0, "z"), read.line("b")) == (2, 3)
    with pytest.raises(YamlError) as refused:
        read_yaml("a:\n  - x: 1; y: 2; z: 3\nb: [\n", 1)
    assert refused.value.line >= 3


def test_what_is_yaml_is_not_repaired() -> None:
    assert read_yaml("a: 'x; y: z'\nb:\n  - c; d").value == {"a": "x; y: z", "b": ["c; d"]}


texts = st.text(st.characters(exclude_categories=("Cs", "Cc", "Cn", "Co", "Zl", "Zp"), exclude_characters="\ufeff"))
numbers = st.integers(-(10**20), 10**20) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)


@given(values)
def test_json_is_read_as_it_is(value: object) -> None:
    """Flow YAML with all strings quoted is JSON."""
    got = read_yaml(json.dumps(value, ensure_ascii=False)).value
    assert got == value or (isinstance(value, float) and math.isclose(got, value))


@given(values)
def test_dumped_yaml_is_read_as_it_is(value: object) -> None:
    text = yaml.safe_dump(value, allow_unicode=True, sort_keys=False)
    plain = yaml.safe_load(text)
    try:
        assert read_yaml(text).value == plain
    except YamlError as error:
        assert "alias" in str(error) or "anchor" in str(error)  # the dumper shares equal values


@given(st.text(st.characters(codec="utf-8") | st.sampled_from("\n:-{}[]|>;→'\"#&*!% "), max_size=200))
def test_any_text_is_a_value_or_an_error_in_one_of_its_lines(text: str) -> None:
    try:
        read = read_yaml(text, 7)
    except YamlError as error:
        assert (
            7
            <= error.line
            <= 7 + text.count("\n") + text.count("\r") + text.count("\x85") + 2 * text.count("\u2028") + 1
        )
        assert str(error).isprintable()
    else:
        json.dumps(read.value)
