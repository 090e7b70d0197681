"""The settings of a comparison: what is asked of which models, and in which ways it is served."""

from dataclasses import dataclass, fields
from typing import Literal

from runtime.errors import ConfigError

Column = Literal[
    "prefilled_tokens",
    "reused_tokens",
    "new_tokens",
    "ttft_median",
    "ttft_p95",
    "tpot_median",
    "tpot_p95",
    "longest_gap",
    "tokens_per_second",
    "steps",
    "preemptions",
    "drafted",
    "drafts_kept",
    "held_blocks",
    "cached_blocks",
    "valid",
]  # see Figures
Panel = Literal[Column, "gaps", "turns", "blocks"]  # see plot.py


@dataclass(frozen=True)
class _Sizes:
    """Whole numbers that must be 1 or more, and temperatures."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type is int and value < 1:
                raise ConfigError(f"workload.requests: {field.name} must be 1 or more, not {value}")
            if field.type is float and value < 0:
                raise ConfigError(f"workload.requests: {field.name} must be 0 or more, not {value}")


@dataclass(frozen=True)
class SharedPrefixRequests(_Sizes):
    """All at once; they begin alike."""

    name: Literal["shared_prefix"]
    count: int
    shared_tokens: int
    own_tokens: int
    new_tokens: int


@dataclass(frozen=True)
class RequestSizes(_Sizes):
    count: int
    prompt_tokens: int
    new_tokens: int


@dataclass(frozen=True)
class LatecomerRequests(_Sizes):
    """Some at once, and others one by one while those are answered."""

    name: Literal["latecomers"]
    first: RequestSizes
    late: RequestSizes
    every: int  # new tokens, of all requests together, before the first of the late ones and between any two
    urgent: bool  # the late ones have a higher priority


@dataclass(frozen=True)
class ConversationRequests(_Sizes):
    """Conversations side by side: each prompt is all that was said before, and a new turn."""

    name: Literal["conversation"]
    count: int
    turns: int
    turn_tokens: int
    new_tokens: int  # of each answer


@dataclass(frozen=True)
class QuestionRequests(_Sizes):
    """Documents side by side, each asked one question after the other."""

    name: Literal["questions"]
    documents: int
    document_tokens: int
    questions: int  # of each document
    question_tokens: int
    new_tokens: int  # of each answer


@dataclass(frozen=True)
class JsonRequests(_Sizes):
    """All at once; each has a JSON Schema of its own, which its answer obeys if the run has a grammar."""

    name: Literal["json"]
    path: str  # JSON lines: "messages" as in a chat, "schema"
    new_tokens: int


@dataclass(frozen=True)
class PlainRequests(RequestSizes):
    """All at once; texts that do not repeat themselves."""

    name: Literal["plain"]
    temperature: (
        float  # of the answers, 0 is greedy: where the most likely always comes next, any answer repeats itself
    )


@dataclass(frozen=True)
class MixedRequests(_Sizes):
    """All at once, of sizes drawn between two."""

    name: Literal["mixed"]
    count: int
    shortest_prompt: int  # tokens
    longest_prompt: int
    fewest_new: int  # tokens
    most_new: int

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.shortest_prompt > self.longest_prompt or self.fewest_new > self.most_new:
            raise ConfigError("workload.requests: the least of mixed requests must not be more than the most")


@dataclass(frozen=True)
class RepeatingRequests(_Sizes):
    """All at once; each is one passage again and again."""

    name: Literal["repeating"]
    count: int
    passage_tokens: int
    repeats: int
    new_tokens: int
    temperature: float  # of the answers, 0 is greedy


Requests = (
    SharedPrefixRequests
    | LatecomerRequests
    | ConversationRequests
    | QuestionRequests
    | JsonRequests
    | PlainRequests
    | MixedRequests
    | RepeatingRequests
)


@dataclass(frozen=True)
class Variant:
    name: str
    set: tuple[str, ...]  # settings as at the end of a command line


@dataclass(frozen=True)
class ComparisonWorkload:
    """All requests, of all models, once in each variant. Within a model, all variants must give the same tokens."""

    name: Literal["comparison"]
    models: tuple[str, ...]  # choices of the group `model`; none: the model of the run
    text: str  # path of the text that prompts are cut from
    requests: tuple[Requests, ...]
    variants: tuple[Variant, ...]  # ratios are to the first
    repeats: int  # each trial is measured so often; the fastest counts
    may_differ: tuple[str, ...]  # variants whose answers need not be those of the first
    columns: tuple[Column, ...]  # of the table
    panels: tuple[Panel, ...]  # of the plot

    def __post_init__(self) -> None:
        names = [variant.name for variant in self.variants]
        if len(names) < 2 or len(set(names)) < len(names):
            raise ConfigError("workload.variants must be two or more, with names of their own")
        if not set(self.may_differ) <= set(names[1:]):
            raise ConfigError(f"workload.may_differ must name some of {', '.join(names[1:])}, not {self.may_differ}")
        if self.repeats < 1:
            raise ConfigError(f"workload.repeats must be 1 or more, not {self.repeats}")
        for key in ("requests", "columns", "panels"):
            if not getattr(self, key):
                raise ConfigError(f"workload.{key} is empty: give at least one")
