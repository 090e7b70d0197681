"""The settings of a run of a document."""

from dataclasses import dataclass
from typing import Literal

from runtime.errors import ConfigError


@dataclass(frozen=True)
class DagWorkload:
    """A document, and what its inferences would cost as requests that know nothing of each other."""

    name: Literal["dag"]
    document: str  # path
    context: str | None  # path of a JSON object: what the document's context begins with
    text: str  # path of a text; the field `passage` of the context is its beginning
    passage_tokens: int  # of the model's; 0: no such field
    repeats: int  # each variant is measured so often; the fastest counts

    def __post_init__(self) -> None:
        if self.repeats < 1:
            raise ConfigError(f"workload.repeats must be 1 or more, not {self.repeats}")
        if self.passage_tokens < 0:
            raise ConfigError(f"workload.passage_tokens must be 0 or more, not {self.passage_tokens}")
