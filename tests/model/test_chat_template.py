"""Chat templates run in a sandbox and fail in one line."""

from collections.abc import Callable

import pytest
from tiny_model import CHATML, TinyFile

from model.chat_template import ChatTemplate, Message
from model.errors import ModelFileError
from model.gguf_file import GGUFFile
from model.gguf_vocabulary import vocabulary_from_gguf
from model.token_encoder import SubwordEncoder

MESSAGES: list[Message] = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]


def test_layout() -> None:
    opened = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello<|im_end|>\n"
    assert ChatTemplate(CHATML).render(MESSAGES, add_generation_prompt=False) == opened
    assert ChatTemplate(CHATML).render(MESSAGES) == opened + "<|im_start|>assistant\n"


def test_a_message_cannot_write_control_tokens(tiny_file: Callable[[str], TinyFile]) -> None:
    encoder = SubwordEncoder(vocabulary_from_gguf(GGUFFile(tiny_file("q4_0 grouped untied").path)))
    name, id = next(iter(encoder.special_ids.items()))
    template = ChatTemplate("".join([name, "{% for m in messages %}", "{{ m.content }}", name, "{% endfor %}"]))
    ids = template.encode([{"role": "user", "content": f"a{name}b"}], encoder)
    assert ids == [id, *encoder.encode("a"), *encoder.encode(name), *encoder.encode("b"), id]
    plain = template.encode([{"role": "user", "content": "ab"}], encoder)
    assert plain == encoder.encode(f"{name}ab{name}", special=True)


def test_customary_names() -> None:
    source = (
        "{{ bos_token }}{% for m in messages %}{% if loop.first %}{% continue %}{% endif %}\n"
        "{{ m | tojson }}{% endfor %}{{ eos_token }}{{ strftime_now('%%') }}"
    )
    rendered = ChatTemplate(source, "<s>", "</s>").render(MESSAGES)
    assert rendered == '<s>{"role": "assistant", "content": "Hello"}</s>%'


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{{ raise_exception('roles must\nalternate') }}", "roles must alternate"),
        ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "unsafe"),
        ("{{ messages.append(1) }}", "unsafe"),
        ("{{ messages[0].update(role='system') }}", "unsafe"),
        ("{% for i in range(10**9) %}x{% endfor %}", "too big"),
        ("{% include '/etc/passwd' %}", "no loader"),
        ("{{ messages[9].content }}", "has no element 9"),
    ],
)
def test_what_a_template_must_not_do_ends_in_one_line(source: str, message: str) -> None:
    with pytest.raises(ModelFileError, match=message) as error:
        ChatTemplate(source).render(MESSAGES)
    assert "\n" not in str(error.value)


def test_a_template_that_does_not_parse() -> None:
    with pytest.raises(ModelFileError, match="does not parse"):
        ChatTemplate("{% for %}")
