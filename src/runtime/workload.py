"""From a workload's prompts to the requests that the engine serves."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from itertools import islice
from pathlib import Path

from model.chat_template import Message
from model.loader import LoadedModel
from runtime.config import (
    FileWorkload,
    GenerationConfig,
    GreedyConfig,
    LarkGrammar,
    NoGrammar,
    PromptsWorkload,
    RegexGrammar,
    SamplingConfig,
    SchemaGrammar,
)
from runtime.errors import ConfigError, UserError
from runtime.grammar.grammar import Grammar
from runtime.request import GREEDY, Request, SamplingParams
from runtime.text_file import Line, json_object, read_lines, read_text

MAX_PATH = 4096  # longer texts are no paths


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


@dataclass(frozen=True)
class RequestMaker:
    """Requests as the settings of a run say. seed: of the first request."""

    loaded: LoadedModel
    workload: GenerationConfig
    sampling: SamplingParams
    seed: int
    grammar: Grammar | None

    def prompt(self, text: str, number: int) -> Request:
        """The request for one prompt, wrapped in the model's chat template if the workload says so; number: of the
        request, which draws with a seed of its own."""
        if self.workload.chat_template:
            return self.chat(opening(self.workload, text), number)
        return self._request(self.loaded.encoder.encode(text, bos=True), number)

    def chat(self, messages: Sequence[Message], number: int) -> Request:
        """The request for the next turn of a conversation."""
        template = self.loaded.chat_template
        if template is None:
            raise ConfigError("this model has no chat template: set workload.chat_template=false for plain prompts")
        request = self._request(template.encode(messages, self.loaded.encoder), number)
        return request if self.grammar else replace(request, stop=self.workload.stop + self.loaded.stop)

    def _request(self, prompt: list[int], number: int) -> Request:
        return Request(
            tuple(prompt),
            self.workload.max_new_tokens,
            self.workload.stop,
            self.loaded.encoder.eos_ids,
            seed=self.seed + number,
            sampling=self.sampling,
            grammar=self.grammar,
        )


def default_sampling(config: GreedyConfig | SamplingConfig) -> SamplingParams:
    """How tokens are chosen where a request does not say it itself."""
    if isinstance(config, GreedyConfig):
        return GREEDY
    values = {
        field.name: getattr(config, field.name) for field in fields(SamplingParams) if hasattr(config, field.name)
    }
    return SamplingParams(**values)


def read_grammar(config: NoGrammar | SchemaGrammar | RegexGrammar | LarkGrammar) -> Grammar | None:
    """The grammar that every answer obeys. Raises UserError if it is in a file that cannot be read."""
    if isinstance(config, NoGrammar):
        return None
    if isinstance(config, RegexGrammar):
        return Grammar("regex", config.source)
    source = config.source
    if len(source) < MAX_PATH and "\n" not in source and Path(source).is_file():
        source = read_text(Path(source))
    return Grammar(config.name, source, isinstance(config, SchemaGrammar) and config.on_unsupported == "lenient")


def opening(workload: GenerationConfig, text: str) -> list[Message]:
    """The first messages of a conversation that begins with the user's `text`."""
    system: list[Message] = [{"role": "system", "content": workload.system}] if workload.system else []
    return [*system, {"role": "user", "content": text}]


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
