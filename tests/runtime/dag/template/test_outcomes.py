"""All that a template can give."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.dag.template.outcomes import outcomes
from runtime.dag.template.renderer import Renderer

RENDERER = Renderer()
LEAVES = st.sampled_from(["'a'", "'/lib/b@v1'", "''", "none", "['a', 'c']"])
CHOICES = st.recursive(
    LEAVES,
    lambda inner: (
        st.tuples(inner, st.sampled_from(["$.x", "$.y == 1"]), inner).map("({0[0]} if {0[1]} else {0[2]})".format)
        | st.tuples(inner, inner).map("({0[0]} or {0[1]})".format)
        | st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]")
    ),
)


@given(CHOICES, st.booleans(), st.integers(0, 1))
def test_what_a_choice_gives_is_one_of_its_outcomes(expression: str, x: bool, y: int) -> None:
    template = f"{{{{ {expression} }}}}"
    possible = outcomes(template)
    given = RENDERER.evaluate(template, {"x": x, "y": y})
    if "'" in template:
        assert possible is not None and set(_texts(given)) <= possible


def _texts(value: object) -> list[str]:
    if isinstance(value, list):
        return [text for item in value for text in _texts(item)]
    return [value] if isinstance(value, str) and value else []


@pytest.mark.parametrize(
    "template",
    ["{{ $.path }}", "{{ $.path if $.x else 'a' }}", "{{ 'a' ~ $.x }}", "a{{ 'b' }}", "{% if %}'", "{{ 1 or 'a' }}"],
)
def test_what_only_a_run_can_tell(template: str) -> None:
    assert outcomes(template) is None
