"""A request while it is being served."""

from dataclasses import dataclass, field

from runtime.kept import Kept
from runtime.request import Request
from runtime.streaming import StreamingController


@dataclass(eq=False)
class Sequence:
    """The tokens of a request and the cache blocks that hold their keys and values.

    tokens:       | prompt and accepted tokens                        | drafts (not kept here)
    in the cache: | computed               | pending: fed next
    blocks:       | page_table, ceil(tokens / block_size) while running, none while waiting

    resumes: kept memory of its first tokens, which it takes over when it starts to run.
    """

    id: int
    request: Request
    stream: StreamingController
    tokens: list[int]
    computed: int = 0
    page_table: list[int] = field(default_factory=list)
    resumes: Kept | None = None

    @property
    def pending(self) -> int:
        """Tokens that the model has yet to see: 1 when decoding, more while the prompt is being fed."""
        return len(self.tokens) - self.computed

    @property
    def remaining(self) -> int:
        """New tokens that it may still get."""
        return self.request.max_new_tokens - self.stream.new_tokens
