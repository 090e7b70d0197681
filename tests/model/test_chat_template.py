"""Chat templates run in a sandbox and fail in one line."""

import pytest
from tiny_model import CHATML

from model.chat_template import ChatTemplate, Message
from model.errors import ModelFileError

MESSAGES: list[Message] = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]


def test_layout() -> None:
    opened = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello<|im_end|>\n"
    assert ChatTemplate(CHATML).render(MESSAGES, add_generation_prompt=False) == opened
    assert ChatTemplate(CHATML).render(MESSAGES) == opened + "<|im_start|>assistant\n"


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
