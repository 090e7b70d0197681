"""What an answer must be, as a request says it."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Grammar:
    """source: a JSON Schema as JSON text, a regular expression, or a Lark grammar.

    lenient: a schema with keywords that cannot be enforced is taken all the same; those are recorded as warnings, and
    the finished text is validated against all of it.
    """

    kind: Literal["json_schema", "regex", "lark"]
    source: str
    lenient: bool = False
