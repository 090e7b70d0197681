"""What templates give."""

import copy
import json
from collections import ChainMap
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.dag.errors import Code, NodeError
from runtime.dag.template.renderer import Renderer

VIEW = {
    "a": {"b": {"c": "deep"}, "list": [1, 2.0, None, True, "x"]},
    "n": 3,
    "half": 0.5,
    "yes": True,
    "no": False,
    "nothing": None,
    "name": "Ada",
    "names": ["ada", "bob"],
    "people": [{"name": "Ada", "age": 36}, {"name": "Bob", "age": 7}],
    "object": {"z": 1, "y": {"x": "é"}},
    "items": "a field named as a method",
    "ctx_snapshots": {"/main/x": {"seen": 1}},
}

names = st.sampled_from("abcdefgh")
scalars = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
values = st.recursive(
    scalars | texts, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=8
)


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("plain $.a {n} # no template", "plain $.a {n} # no template"),
        ("{{ $.name }} {{ name }} {{ $['name'] }}", "Ada Ada Ada"),
        ("{{ $.a.b.c }} {{ a['b'].c }} {{ at(at($.a, 'b'), 'c') }}", "deep deep deep"),
        ("{{ a.list[0] }}{{ a.list[-1] }}{{ a.list.4 }}{{ name[0] }}{{ name[1:] }}", "1xxAda"),
        ("{{ $.items }} {{ $.ctx_snapshots['/main/x'].seen }}", "a field named as a method 1"),
        ("{{ yes }} {{ no }} [{{ nothing }}] {{ 42.0 }} {{ n }} {{ 1e22 }}", "true false [] 42.0 3 1e+22"),
        ("{{ object }} {{ a.list }}", '{"y":{"x":"é"},"z":1} [1,2.0,null,true,"x"]'),
        ("{{ to_json(name) }}{{ nothing | tojson }}{{ {'a': 1} | to_json(indent=1) }}", '"Ada"null{\n "a": 1\n}'),
        ("{{ 1 + 2 * 3 - 4 }} {{ 7 // 2 }} {{ 7 % 3 }} {{ 7 / 2 }} {{ 4 / 2 }}", "3 3 1 3.5 2.0"),
        ("{{ 2 ^ 10 }} {{ 2 ** 3 }} {{ 2 ^ -1 }} {{ -n }} {{ +half }}", "1024 8 0.5 -3 0.5"),
        ("{{ 'a' + 'b' }} {{ 'a' ~ 1 ~ true }} {{ '-' * 3 }} {{ [1] + [2] }}", "ab a1true --- [1,2]"),
        ("{{ 1 < 2 <= 2 != 3 }} {{ 'a' < 'b' }} {{ 1 == 1.0 }} {{ 1 == true }} {{ '1' == 1 }}",
         "true true true false false"),
        ("{{ 'ada' in names }} {{ 'z' not in object }} {{ 'da' in name }} {{ [1] in [[1.0]] }}",
         "true false true true"),
        ("{{ nothing or name }} {{ n and name }} {{ not n }} {{ 'x' if no }}", "Ada Ada false "),
        ("{{ name is defined }} {{ q.r is defined }} {{ q is not defined }} {{ n is odd }} {{ n is divisibleby 3 }}",
         "true false true true true"),
        ("{{ default(q, 'd') }} {{ default($.a.q.r, 'd') }} {{ q[0].x | default(n) }} {{ name | default('d') }}",
         "d d 3 Ada"),
        ("[{{ default(nothing, 'd') }}] {{ default('', 'd', true) }} {{ no | default('d', boolean=true) }}", "[] d d"),
        ("{{ exists('a.b.c') }} {{ exists('$.a.list.4') }} {{ exists('a.list.5') }} {{ exists('q') }}",
         "true true false false"),
        ("{{ existsIn(object, 'z') }} {{ object | existsIn('q') }}", "true false"),
        ("{% if n == 1 %}1{% else if n == 3 %}3{% else %}?{% endif %}{% if no %}{% elif yes %}y{% endif %}", "3y"),
        ("{% for x in names %}{{ loop.index }}{{ loop.index1 }}{{ x }}{% if loop.is_last %}.{% endif %}{% endfor %}",
         "01ada12bob."),
        ("{% for k, v in object %}{{ k }}={{ v }};{% endfor %}{% for k in object %}{{ k }}{% endfor %}",
         'y={"x":"é"};z=1;yz'),
        ("{% for k, v in object.items() %}{{ k }}{% endfor %}{{ object.get('q', 9) }}{{ name.upper() }}", "yz9ADA"),
        ("{% for x in [] %}x{% else %}none{% endfor %}", "none"),
        ("{% for x in [1, 2, 3] if x != 2 %}{{ loop.index }}{{ x }}{% endfor %}", "0113"),
        ("{% for x in 'ab' | list %}{% for y in [3] %}{{ loop.parent.index }}{{ y }}{% endfor %}{{ x }}{% endfor %}",
         "03a13b"),
        ("{% set t = 0 %}{% for x in [1, 2, 3] %}{% set t = t + x %}{% endfor %}{{ t }}", "6"),
        ("{% for name in names %}{% endfor %}{{ name }}{% set x, y = [1, 2] %}{{ y }}{{ x }}", "Ada21"),
        ("{% set block %}<{{ n }}>{% endset %}{{ block }}{{ block | length }}", "<3>3"),
        ("{# comment {{ q }} #}a {%- if yes %} b {%- endif %}\n{% raw %}{{ q }}{% endraw %}\n", "a b\n{{ q }}\n"),
        ("# One\n## Two {{ n }}\n### Three\n", "# One\n## Two 3\n### Three\n"),
        ("{{ people | map(attr='name') | join(', ') }} {{ people | map(attribute='age') | sum }}", "Ada, Bob 43"),
        ("{{ names | map('upper') | join }} {{ people | sort(attribute='age') | first | at('name') }}", "ADABOB Bob"),
        ("{{ '%.2f' | format(half) }} {{ format('%03d|%-4s|%x%%', n, name, 255) }} {{ '%s!' % name }}",
         "0.50 003|Ada |ff% Ada!"),
        ("{{ \"a\\\"b\" }} {{ 'a}}b' }} {{ {'a': {'b': 1}} }}", 'a"b a}}b {"a":{"b":1}}'),
        ("{{ $ is mapping }} {{ len($) > 5 }} {{ $.a == a }} {{ null is none }}", "true true true true"),
    ],
)  # fmt: skip
def test_renders(template: str, text: str) -> None:
    assert Renderer().render(template, VIEW) == text


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("{{ q }}", "there is no q; where it may be missing, use default"),
        ("{{ $.a.q.r }}", r"there is no \$.a.q.r"),
        ("{{ nothing.x }}{{ name }}", "there is no nothing.x"),
        ("{{ a.list[9] }}", r"there is no a.list\[9\]"),
        ("{{ q or 1 }}", "there is no q"),
        ("{% if q %}{% endif %}", "there is no q"),
        ("{{ q | upper }}", "there is no q"),
        ("one\ntwo {{ q }}", "line 2: there is no q"),
        ("{{ '1' + 1 }}", "needs a number, not a text; float.x. reads one"),
        ("{{ '2' > 1 }}", "`>` needs numbers only or texts only, not a text, an integer; int.x. and float.x. read"),
        ("{{ true + 1 }}", "needs a number, not a boolean"),
        ("{{ 1 / 0 }}", "division by zero"),
        ("{{ 1 % 0 }}", "by zero"),
        ("{{ 0 ^ -1 }}", "power"),
        ("{{ (-8) ^ 0.5 }}", "a number grows too large, or is none"),
        ("{% for x in n %}{% endfor %}", "`for` needs a list, not an integer"),
        ("{% for x, y in names %}{% endfor %}", "x, y need a list of 2, not a text"),
        ("{{ uper(name) }}", "line 1: there is no function 'uper'; is it 'upper'"),
        ("{{ name.uper() }}", "there is no method 'uper'; is it 'upper'"),
        ("{{ n is strange }}", "there is no test 'strange'"),
        ("{{ upper() }}", "upper: missing a required argument: 'text'"),
        ("{{ upper(name, 2) }}", "upper: too many positional arguments"),
        ("{{ default() }}", "default: it takes a value"),
        ("{{ default(q, 1, 2, 3) }}", "default: it takes a value"),
        ("{{ (upper)(name)(n) }}", "only functions can be called"),
        ("{{ upper(*names) }}", r"`\*` and `\*\*` are not allowed"),
        ("{{ first([]) }}", "a list has no item 0"),
        ("{{ max([]) }}", "max of an empty list"),
        ("{{ int('x') }}", "'x' is not an integer"),
        ("{{ float('1e999') }}", "'1e999' is not a number"),
        ("{{ n", "line 1: unexpected end of template"),
        ("a\n{% if n %}", "line 2: Unexpected end of template"),
        ("{{ }}", "Expected an expression"),
        ("{% set $.n = 1 %}", "line 1"),
        ("{% set $ = 1 %}", "`set` and `for` give values to names only"),
        ("{% set a.b = 1 %}", "give values to names only"),
        ("{% include 'x' %}", "`include` is not allowed"),
        ("{% import 'x' as y %}", "`import` is not allowed"),
        ("{% from 'x' import y %}", "`fromimport` is not allowed"),
        ("{% extends 'x' %}", "`extends` is not allowed"),
        ("{% block x %}{% endblock %}", "`block` is not allowed"),
        ("{% macro m() %}{% endmacro %}", "`macro` is not allowed"),
        ("{% call m() %}{% endcall %}", "`callblock` is not allowed"),
        ("{% for x in names recursive %}{% endfor %}", "recursive `for` is not allowed"),
        ("{% filter upper %}{% endfilter %}", "`filterblock` is not allowed"),
        ("{% set x | upper %}{% endset %}", "pipe the value"),
    ],
)
def test_says_what_is_wrong(template: str, says: str) -> None:
    with pytest.raises(NodeError, match=says) as failure:
        Renderer().render(template, VIEW)
    assert failure.value.code == Code.TEMPLATE
    assert len(str(failure.value).splitlines()) == 1


@given(st.dictionaries(names, values, min_size=1))
def test_whole_expressions_keep_their_types(view: dict[str, Any]) -> None:
    renderer, before = Renderer(), copy.deepcopy(view)
    for name, value in view.items():
        for template in (f"{{{{ $.{name} }}}}", f" {{{{{name}}}}}\n", f"{{# c #}}{{{{ $['{name}'] }}}}"):
            assert renderer.evaluate(template, view) is value
            assigned = renderer.assigned([template], view)[0]
            expected = value if isinstance(value, list | dict) else renderer.render(template, view)
            assert assigned == expected and type(assigned) is type(expected)
        assert renderer.evaluate(f"{{{{ {name} }}}}{{{{ '' }}}}", view) == renderer.render(f"{{{{ {name} }}}}", view)
        assert renderer.value({"k": [f"{{{{{name}}}}}", 1, None]}, view) == {"k": [value, 1, None]}
    assert renderer.evaluate("{{ $ }}", ChainMap(view)) == view == before


@given(values)
def test_renders_json_that_reads_back(value: Any) -> None:
    text = Renderer().render("{{ x | to_json }}", {"x": value})
    assert json.loads(text) == value
    assert text == json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    plain = value if isinstance(value, str) else "" if value is None else text
    assert Renderer().render("{{ x }}{{ string(x) }}", {"x": value}) == plain * 2


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("n > 2", True),
        ("{{ $.n > 3 }}", False),
        ("$.n == 3 and n < 4", True),
        ("'true'", True),
        ("{{ 'false' }}", False),
        (" {{ ' ' }}", False),
        ("'0'", False),
        ("'0.5'", True),
        ("{% if n == 3 %}true{% else %}false{% endif %}", True),
        ("names", True),
        ("[]", False),
        ("null", False),
        ("nothing is none", True),
        ("{% if n %}{{ n == 3 }}{% endif %}{# three #}", True),
    ],
)
def test_conditions(condition: str, holds: bool) -> None:
    assert Renderer().condition(condition, VIEW) is holds


@pytest.mark.parametrize(
    "condition", ["name", "'nan'", "'1e999'", "", "q", "n }} {{ n", "n }}", "n {# c #}", "{% raw %}x{% endraw %}"]
)
def test_refuses_what_is_no_condition(condition: str) -> None:
    with pytest.raises(NodeError) as failure:
        Renderer().condition(condition, VIEW)
    assert failure.value.code == Code.TEMPLATE


def test_checks_without_running() -> None:
    renderer = Renderer()
    assert renderer.check("{{ missing / 0 }} {% for x in 3 %}{% endfor %}") is None
    assert renderer.check("no template {") is None
    assert renderer.check("a\n{{ foo(1) }}") == "line 2: there is no function 'foo'"
    assert renderer.check("{{ '\\ud800' }}") == "line 1: a text has half a character: surrogates are no text"
    assert renderer.check("{{ " + "9" * 5000 + " }}") == "the template has an integer that is too large"
    assert renderer.reads("{{ a") == frozenset()


def test_keeps_little_of_what_it_has_parsed() -> None:
    renderer = Renderer()
    for space in ("", " " * 10_000):
        for i in range(2000 if not space else 50):
            assert renderer.render(f"{{{{ n }}}}{i}{space}", VIEW) == f"3{i}{space}"
            assert len(renderer._parsed) <= 1024
        assert sum(map(len, renderer._parsed)) <= 2**18
