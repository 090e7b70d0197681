"""Templates as trees: Jinja reads them, with the few tokens that Inja and AgenticDSL add. It does not run them."""

import re
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Any, NamedTuple

from jinja2 import Environment, TemplateSyntaxError, nodes
from jinja2.lexer import TOKEN_BLOCK_BEGIN, TOKEN_NAME, TOKEN_OPERATOR, TOKEN_VARIABLE_BEGIN, Lexer, Token
from jinja2.parser import Parser

from runtime.dag.template.allowed import ROOT, check_node
from runtime.dag.template.meter import MAX_TEXT, TemplateFault

_MAX_TOKENS = 20_000
_MAX_BRACKETS = 32  # open at once
_MAX_DEPTH = 100  # of the tree


class Template(NamedTuple):
    """body: statements; whole: its expression, if it is one `{{ expression }}`, but for space around it."""

    body: list[nodes.Node]
    whole: nodes.Expr | None


def parse(text: str) -> Template:
    """Raises TemplateFault, with the line, if the text is no template or one that may not be run."""
    if len(text) > MAX_TEXT:
        raise TemplateFault(f"the template is longer than {MAX_TEXT} characters")
    try:
        tree = Parser(_environment, text).parse()
    except TemplateSyntaxError as error:
        raise TemplateFault(f"line {error.lineno}: {error.message}") from error
    except RecursionError as error:
        raise TemplateFault("the template is nested too deeply") from error
    except TemplateFault:
        raise
    except ValueError as error:
        raise TemplateFault("the template has an integer that is too large") from error
    _check(tree)
    return Template(tree.body, _whole(tree.body))


def is_plain(text: str) -> bool:
    """Whether it stands for itself."""
    return "{{" not in text and "{%" not in text and "{#" not in text


class _Lexer(Lexer):
    """Knows `$`, the root of the context; `^`, the power; and `{% else if %}`."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        for state in (TOKEN_BLOCK_BEGIN, TOKEN_VARIABLE_BEGIN):
            rule = next(rule for rule in self.rules[state] if rule.tokens == TOKEN_OPERATOR)
            for sign, token in ((ROOT, _ROOT_TOKEN), ("^", "pow")):
                self.rules[state].append(rule._replace(pattern=re.compile(re.escape(sign)), tokens=token))

    def wrap(self, stream: Iterable[Any], *args: Any) -> Iterator[Token]:
        """Raises TemplateFault for what would take too long, or too much stack, to read."""
        count, open_brackets, before, held = 0, 0, "", None
        for token in super().wrap(stream, *args):
            count += 1
            open_brackets += _BRACKETS.get(token.type, 0)
            if count > _MAX_TOKENS:
                raise TemplateFault(f"the template has more than {_MAX_TOKENS} words and signs")
            if open_brackets > _MAX_BRACKETS:
                raise TemplateFault(f"line {token.lineno}: more than {_MAX_BRACKETS} brackets are open at once")
            if token.type == _ROOT_TOKEN:
                token = Token(token.lineno, TOKEN_NAME, ROOT)
            if held is not None:
                if token.test("name:if"):
                    token = Token(token.lineno, TOKEN_NAME, "elif")
                else:
                    yield held
                held = None
            elif before == TOKEN_BLOCK_BEGIN and token.test("name:else"):
                held = token
                continue
            before = token.type
            yield token


class _Environment(Environment):
    @cached_property
    def lexer(self) -> Lexer:
        return _Lexer(self)


_ROOT_TOKEN = "root"
_BRACKETS = {"lparen": 1, "lbracket": 1, "lbrace": 1, "rparen": -1, "rbracket": -1, "rbrace": -1}
_environment = _Environment(keep_trailing_newline=True)


def _check(tree: nodes.Template) -> None:
    level: list[nodes.Node] = list(tree.body)
    for _ in range(_MAX_DEPTH):
        if not level:
            return
        for node in level:
            try:
                check_node(node)
            except TemplateFault as fault:
                raise TemplateFault(f"line {node.lineno}: {fault}") from fault
        level = [child for node in level for child in node.iter_child_nodes()]
    raise TemplateFault("the template is nested too deeply")


def _whole(body: list[nodes.Node]) -> nodes.Expr | None:
    if len(body) != 1 or not isinstance(body[0], nodes.Output):
        return None
    parts = [part for part in body[0].nodes if not isinstance(part, nodes.TemplateData) or part.data.strip()]
    return parts[0] if len(parts) == 1 and not isinstance(parts[0], nodes.TemplateData) else None
