"""A request while it is being served."""

from dataclasses import dataclass, field

from runtime.grammar.state import GrammarState
from runtime.request import Request
from runtime.streaming import StreamingController


@dataclass(eq=False, slots=True)
class Sequence:
    """The tokens of a request and the cache blocks that hold their memory.

    tokens:       | prompt and accepted tokens                        | drafts (not kept here)
    in the cache: | computed               | pending: fed next
    blocks:       | page_table, ceil(tokens / block_size) while running, none while waiting

    forced: how many of the last tokens were added because the grammar allowed no others. cuts: lengths, ascending, at
    which a chunk of its prompt ends, because others will share what is computed until there. overtaken: how many of its
    priority that came later began to run before. drafted, drafts_kept: guesses that were verified, and that were right.
    """

    id: int
    request: Request
    stream: StreamingController
    tokens: list[int]
    computed: int = 0
    page_table: list[int] = field(default_factory=list)
    grammar: GrammarState | None = None
    forced: int = 0
    cuts: list[int] = field(default_factory=list)
    overtaken: int = 0
    drafted: int = 0
    drafts_kept: int = 0

    @property
    def pending(self) -> int:
        """Tokens that the model has yet to see."""
        return len(self.tokens) - self.computed

    @property
    def is_decoding(self) -> bool:
        """Whether all that is pending came out of the last step; else its prompt is (again) being fed."""
        return len(self.tokens) - self.computed == 1 + self.forced

    @property
    def only_fills(self) -> bool:
        """Whether all that is wanted is the memory of its prompt."""
        return self.request.max_new_tokens == 0

    @property
    def reusable(self) -> int:
        """Tokens whose memory, if somebody has it, spares work: the model has to see the last one itself, unless nobody
        asks what follows."""
        return len(self.tokens) - (0 if self.only_fills else 1)

    @property
    def remaining(self) -> int:
        """New tokens that it may still get."""
        return self.request.max_new_tokens - self.stream.new_tokens
