"""From a workload's prompts to the requests that the engine serves."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from model.chat_template import Message
from model.loader import LoadedModel
from runtime.config import FileWorkload, GenerationConfig, PromptsWorkload
from runtime.errors import ConfigError, UserError
from runtime.request import Request
from runtime.text_file import Line, json_object, read_lines


def read_prompts(workload: PromptsWorkload | FileWorkload) -> list[str]:
    """The prompts of a workload, in order. Raises UserError naming the file, the line and what is wrong
    with it."""
    if isinstance(workload, PromptsWorkload):
        prompts = list(workload.prompts)
    else:
        prompts = list(islice(_read_file(workload), workload.limit))
    if not prompts:
        raise ConfigError(f"workload={workload.name} has no prompts: give at least one")
    return prompts


def make_request(text: str, workload: GenerationConfig, loaded: LoadedModel, seed: int) -> Request:
    """The request for one plain prompt, wrapped in the model's chat template if the workload says so."""
    if workload.chat_template:
        return make_chat_request(opening(workload, text), workload, loaded, seed)
    return _request(loaded.encoder.encode(text, bos=True), workload, loaded, seed)


def make_chat_request(
    messages: Sequence[Message], workload: GenerationConfig, loaded: LoadedModel, seed: int
) -> Request:
    """The request for the next turn of a conversation."""
    if loaded.chat_template is None:
        raise ConfigError("this model has no chat template: set workload.chat_template=false for plain prompts")
    request = _request(loaded.chat_template.encode(messages, loaded.encoder), workload, loaded, seed)
    return replace(request, stop=workload.stop + loaded.stop)


def opening(workload: GenerationConfig, text: str) -> list[Message]:
    """The first messages of a conversation that begins with the user's `text`."""
    system: list[Message] = [{"role": "system", "content": workload.system}] if workload.system else []
    return [*system, {"role": "user", "content": text}]


def _request(prompt: list[int], workload: GenerationConfig, loaded: LoadedModel, seed: int) -> Request:
    return Request(tuple(prompt), workload.max_new_tokens, workload.stop, loaded.encoder.eos_ids, seed)


def _read_file(workload: FileWorkload) -> Iterator[str]:
    path = Path(workload.path)
    for line in read_lines(path):
        yield _jsonl_prompt(line, workload.field) if path.suffix == ".jsonl" else line.text


def _jsonl_prompt(line: Line, field: str) -> str:
    row = json_object(line)
    prompt = row.get(field)
    if not isinstance(prompt, str):
        keys = ", ".join(row)
        raise UserError(f"{line.where}: no text under '{field}' ({keys}): set workload.field to the prompt's key")
    return prompt
