"""Where blocks are found: the strict form, and all that models write."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.dag.document.blocks import find_blocks
from runtime.dag.document.parser import parse_document

BODY = "type: end"
STRICT = f"""# --- BEGIN AgenticDSL ---
{BODY}
# --- END AgenticDSL ---"""
TOLERATED = {
    "no markers": f"## AgenticDSL `/a`\n```yaml\n{BODY}\n```\n",
    "no tag": f"## AgenticDSL `/a`\n```\n{BODY}\n```\n",
    "another tag": f"## AgenticDSL `/a`\n```agentic\n{BODY}\n```\n",
    "a comment behind": f"## AgenticDSL `/a`  # the end\n```yaml\n{BODY}\n```\n",
    "single quotes": f"## AgenticDSL '/a'\n```yaml\n{BODY}\n```\n",
    "double quotes": f'## AgenticDSL "/a"\n```yaml\n{BODY}\n```\n',
    "no quotes": f"## AgenticDSL /a\n```yaml\n{BODY}\n```\n",
    "bold": f"### **AgenticDSL `/a`**\n```yaml\n{BODY}\n```\n",
    "heading in the fence": f"```yaml\n### AgenticDSL `/a`\n{BODY}\n```\n",
    "heading in the fence, markers": f"```yaml\n### AgenticDSL `/a`\n{STRICT}\n```\n",
    "no sign before the heading": f"```yaml\nAgenticDSL `/a`\n{BODY}\n```\n",
    "markers before the heading": f"```yaml\n{STRICT.replace(BODY, f'AgenticDSL `/a`{chr(10)}{BODY}')}\n```\n",
    "no fence": f"## AgenticDSL `/a`\n{BODY}\n",
    "no fence, its tag": f"## AgenticDSL `/a`\nyaml\n{BODY}\n",
    "no fence, text behind": f"## AgenticDSL `/a`\n{BODY}\n\nThat was the end of it.\n",
    "fence that never closes": f"## AgenticDSL `/a`\n```yaml\n{BODY}\n",
    "blank lines and comments": f"## AgenticDSL `/a`\n\n<!-- here\nit comes -->\n\n```yaml\n{BODY}\n```\n",
    "carriage returns": f"## AgenticDSL `/a`\r\n```yaml\r\n{BODY}\r\n```\r\n",
    "tildes": f"## AgenticDSL `/a`\n~~~yaml\n{BODY}\n~~~\n",
    "indented": f"1. do it\n\n   ## AgenticDSL `/a`\n   ```yaml\n   {BODY}\n   ```\n",
}


@pytest.mark.parametrize("level", ["#", "##", "###", "######"])
@pytest.mark.parametrize("tag", ["yaml", ""])
@pytest.mark.parametrize("reader", ["strict", "tolerant"])
def test_takes_the_form_for_files(level: str, tag: str, reader) -> None:
    text = f"Before it.\n\n{level} AgenticDSL `/a`\n\n```{tag}\n{STRICT}\n```\nBehind it.\n"
    found = find_blocks(text, reader)
    assert [(block.path, block.line, block.first_line) for block in found.blocks] == [("/a", 3, 6)]
    assert found.faults == []
    assert [graph.path for graph in parse_document(text, level=reader).graphs] == ["/a"]


@pytest.mark.parametrize("form", TOLERATED)
def test_takes_what_models_write(form: str) -> None:
    document = parse_document(TOLERATED[form])
    assert [(graph.path, graph.first.type) for graph in document.graphs] == [("/a", "end")]
    assert document.problems == ()


@pytest.mark.parametrize("form", TOLERATED)
def test_strict_says_what_is_missing(form: str) -> None:
    if form == "carriage returns":
        return
    document = parse_document(TOLERATED[form], level="strict")
    assert document.graphs == ()
    assert document.problems or "heading" in form or "sign" in form  # what is in a fence may be meant as an example


@pytest.mark.parametrize("form", TOLERATED)
@pytest.mark.parametrize("other", ["no markers", "no fence", "heading in the fence"])
def test_forms_stand_behind_each_other(form: str, other: str) -> None:
    if form == "fence that never closes":
        return
    second = TOLERATED[other].replace("/a", "/b")
    assert [block.path for block in find_blocks(TOLERATED[form] + "\n" + second, "tolerant").blocks] == ["/a", "/b"]


def test_examples_in_other_fences_are_none() -> None:
    text = f"```python\n### AgenticDSL `/a`\n{BODY}\n```\n## AgenticDSL `/b`\n```yaml\n{BODY}\n```\n"
    assert [block.path for block in find_blocks(text, "tolerant").blocks] == ["/b"]


def test_fences_in_block_scalars_end_nothing() -> None:
    text = "## AgenticDSL `/a`\n```yaml\nprompt_template: |\n  Say:\n  ```\n  x\n  ```\nllm_tool_name: m\n```\n"
    (block,) = find_blocks(text, "tolerant").blocks
    assert block.text.endswith("llm_tool_name: m")


def test_a_heading_without_yaml_is_a_fault() -> None:
    text = "## AgenticDSL `/a`\n\n## AgenticDSL `/b`\n```python\nx\n```\n## AgenticDSL `/c`\nJust a text.\n"
    document = parse_document(text)
    assert document.graphs == ()
    assert [(problem.line, problem.is_error) for problem in document.problems] == [(1, True), (3, True), (7, True)]


def test_intents() -> None:
    text = (
        'x\n<!-- LLM_INTENT: {"goal": 1} -->\n<!-- LLM_INTENT: not\njson -->\n<!-- other -->\n<!-- LLM_INTENT: open\n'
    )
    document = parse_document(text)
    assert document.llm_intents == ({"goal": 1}, "not\njson")
    assert [(problem.line, problem.is_error) for problem in document.problems] == [(3, False)]


lines = st.lists(
    st.sampled_from(
        ["```", "```yaml", "~~~", "## AgenticDSL `/a`", "AgenticDSL '/b'", "# --- BEGIN AgenticDSL ---", "<!--", "-->",
         "# --- END AgenticDSL ---", "type: end", "  - x", "", "text", "<!-- x -->", "   ```", "yaml", "{", "|"]
    ),
    max_size=30,
)  # fmt: skip


@given(lines)
def test_blocks_are_lines_of_the_text(some: list[str]) -> None:
    text = "\n".join(some)
    for level in ("strict", "tolerant"):
        found = find_blocks(text, level)
        for block in found.blocks:
            inside = block.text.split("\n")
            assert some[block.first_line - 1 : block.first_line - 1 + len(inside)] == inside
            assert block.path in some[block.line - 1]
            assert block.line < block.first_line
        numbers = [block.line for block in found.blocks]
        assert numbers == sorted(set(numbers))
        assert all(1 <= fault.line <= len(some) for fault in found.faults)


@given(lines)
def test_strict_finds_nothing_that_tolerant_does_not(some: list[str]) -> None:
    text = "\n".join(some)
    tolerant = {(block.path, block.line) for block in find_blocks(text, "tolerant").blocks}
    assert {(block.path, block.line) for block in find_blocks(text, "strict").blocks} <= tolerant
