"""Chat templates: the Jinja program of a model file that lays a conversation out as text."""

import json
import re
import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NoReturn, TypedDict

from jinja2 import TemplateError
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from model.errors import ModelFileError
from model.token_encoder import TokenEncoder


class Message(TypedDict):
    """One turn: role is "system", "user" or "assistant"."""

    role: str
    content: str


class ChatTemplate:
    """A template of a model file. It is a stranger's program, so it runs in Jinja's sandbox: no attributes
    that reach the interpreter, no changes to what it is given, no files.

    Raises ModelFileError if the template does not parse.
    """

    def __init__(self, source: str, bos: str = "", eos: str = "") -> None:
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols]
        )
        environment.filters["tojson"] = _to_json
        environment.globals |= {
            "raise_exception": _refuse,
            "strftime_now": _now,
            "bos_token": bos,
            "eos_token": eos,
        }
        try:
            self._template = environment.from_string(source)
        except (TemplateError, RecursionError, MemoryError, OverflowError) as error:
            raise ModelFileError(f"the chat template does not parse: {_reason(error)}") from error

    def render(self, messages: Sequence[Message], add_generation_prompt: bool = True) -> str:
        """The conversation as text; names of control tokens inside a message look like the template's own.

        add_generation_prompt: open the model's turn at the end.
        Raises ModelFileError if the template refuses the messages or fails.
        """
        try:
            return self._template.render(
                messages=[dict(message) for message in messages], add_generation_prompt=add_generation_prompt
            )
        except Exception as error:  # a stranger's program may fail in any way
            raise ModelFileError(
                f"the chat template cannot render this conversation: {_reason(error)}"
            ) from error

    def encode(
        self, messages: Sequence[Message], encoder: TokenEncoder, add_generation_prompt: bool = True
    ) -> list[int]:
        """The conversation as token ids. Only the template writes control tokens: where a message contains the
        name of one, it is spelled out, so that nobody ends a turn from inside it.

        Raises ModelFileError as `render` does.
        """
        names = sorted(encoder.special_ids, key=len, reverse=True)
        if not any(name in message["content"] for message in messages for name in names):
            return encoder.encode(self.render(messages, add_generation_prompt), special=True, bos=True)
        mark = secrets.token_hex(8)  # unknown to whoever wrote the messages
        spelled_out = re.compile("|".join(map(re.escape, names)))
        marked = [
            Message(
                role=message["role"],
                content=spelled_out.sub(lambda name: f"{mark}{names.index(name[0])}{mark}", message["content"]),
            )
            for message in messages
        ]
        parts = re.split(f"{mark}(\\d+){mark}", self.render(marked, add_generation_prompt))
        ids: list[int] = []
        for i, part in enumerate(parts):
            ids += encoder.encode(names[int(part)]) if i % 2 else encoder.encode(part, special=True, bos=i == 0)
        return ids


def _to_json(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _now(pattern: str) -> str:
    return datetime.now().strftime(pattern)


def _refuse(message: str) -> NoReturn:
    raise TemplateError(message)


def _reason(error: BaseException) -> str:
    return str(error) or type(error).__name__
