"""What an engine is asked to do, and what it answers: the two ends of a child process. Standard library
only."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Case:
    """Feeds `batch` prompts of `context` tokens; then either the feeding is timed (steps 0) or so many
    decode steps."""

    name: str
    batch: int
    context: int
    steps: int

    @property
    def tokens(self) -> int:
        """Tokens that the timed part handles."""
        return self.batch * (self.steps or self.context)


_COMMON = (Case("prefill 512", 1, 512, 0), Case("decode, empty", 1, 1, 128), Case("decode, at 512", 1, 512, 128))
ATTENTION_CASES = (
    _COMMON[0],
    Case("prefill 8x512", 8, 512, 0),
    *_COMMON[1:],
    Case("decode, 8 seqs", 8, 16, 128),
)
RECURRENT_CASES = (*_COMMON, Case("decode, 8 seqs", 8, 16, 64), Case("decode, 32 seqs", 32, 16, 32))


@dataclass(frozen=True)
class Spec:
    """The same for all engines. model: the file; prompts: token ids, as many and as long as any case needs; text: ids
    of running text, on which the engines' predictions are compared. variant: what only one kind of engine
    understands."""

    model: str
    cases: tuple[Case, ...]
    threads: int
    runs: int
    prompts: list[list[int]]
    text: list[int]
    variant: str
    output: str  # file that the answer is written to
    cache_dir: str


@dataclass
class Result:
    """Tokens a second (medians) by case, of those that the engine can run; predictions: the most likely next token
    after each token of the text."""

    version: str
    peak_rss_mib: float = 0.0
    rates: dict[str, float] = field(default_factory=dict)
    outside_load: float = 0.0  # the most of the CPUs' time that other processes took during a counted run
    predictions: list[int] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def load_spec(text: str) -> Spec:
    values = json.loads(text)
    return Spec(**values | {"cases": tuple(Case(**case) for case in values["cases"])})


def dump_spec(spec: Spec) -> str:
    return json.dumps(asdict(spec))


def load_result(path: Path) -> Result:
    return Result(**json.loads(path.read_text(encoding="utf-8")))


def dump_result(result: Result, path: str) -> None:
    Path(path).write_text(json.dumps(asdict(result)), encoding="utf-8")
