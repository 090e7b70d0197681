"""How World models were taught to converse: turns that begin with a name and end with an empty line."""

from model.chat_template import ChatTemplate

# No turn of a user or system has an empty line of its own, which would end it.
_TEMPLATE = r"""
{%- set names = {'system': 'System', 'user': 'User', 'assistant': 'Assistant'} -%}
{%- for message in messages -%}
    {%- if message.role not in names -%}
        {{- raise_exception('role ' ~ message.role ~ ' is none of system, user and assistant') -}}
    {%- endif -%}
    {%- set content = message.content | replace('\r\n', '\n') | trim -%}
    {%- if message.role != 'assistant' -%}
        {%- set content = content.split('\n') | select | join('\n') -%}
    {%- endif -%}
    {{- names[message.role] ~ ': ' ~ content ~ '\n\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{- 'Assistant:' -}}
{%- endif -%}
"""
WORLD_STOP = ("\n\nUser:",)  # a model that goes on by itself speaks for the user next


def world_chat_template() -> ChatTemplate:
    """The template for World models whose file has none."""
    return ChatTemplate(_TEMPLATE)
