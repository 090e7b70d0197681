"""How far an answer has got in its grammar."""

from collections.abc import Sequence

import numpy as np
from llguidance import LLMatcher
from numpy.typing import NDArray

from runtime.grammar.compiled import CompiledGrammar
from runtime.grammar.matcher import new_matcher, one_line
from runtime.grammar.text_check import violations
from runtime.grammar.vocabulary import TokenVocabulary


class GrammarState:
    """For one thread at a time; states of their own, and forks, may be used in parallel.

    stop_tokens: may come next once the answer may end.
    """

    def __init__(
        self,
        vocabulary: TokenVocabulary,
        compiled: CompiledGrammar,
        matcher: LLMatcher,
        stop_tokens: frozenset[int],
        fast_forward: bool,
    ) -> None:
        self._vocabulary = vocabulary
        self._compiled = compiled
        self._matcher = matcher
        self._stops = stop_tokens
        self._fast_forward = fast_forward
        self._tokens: list[int] = []  # which the matcher has consumed
        self._ended = False  # by a stop token, which the matcher does not know of
        self._failure = ""
        self._known_forced: list[int] | None = None
        self._mask = np.empty(vocabulary.words, dtype=np.int32)  # the library's, with its own end
        self._mask_address = self._mask.ctypes.data
        stop_bits = np.zeros(-(-vocabulary.size // 32), dtype=np.uint32)
        for token in stop_tokens:
            stop_bits[token >> 5] |= np.uint32(1 << (token & 31))
        self._stop_bits = stop_bits.view(np.int32)

    @property
    def is_complete(self) -> bool:
        """Nothing may follow any more, stop tokens aside: the answer ends here."""
        return self._ended or self._matcher.is_stopped()

    def fill(self, drafts: Sequence[int], out: NDArray[np.int32]) -> None:
        """Which tokens are allowed: before the first draft, and after each.

        out int32 [1 + len(drafts), ceil(V / 32)]: bit i & 31 of word i >> 5 is 1 if token i is, as mask_logits has it.
        There is no row without any. Rows behind a draft that is not allowed, or ends the answer, allow everything. The
        state stays as it is.
        """
        out.fill(-1)
        if self._ended:
            return
        consumed = 0
        for i, row in enumerate(out):
            self._fill_row(row)
            if i == len(drafts) or not self._follow(drafts[i]):
                break
            consumed += 1
        self._take_back(consumed)

    def take(self, token: int) -> bool:
        """Whether the token is allowed. It has been chosen then; else the state stays as it is."""
        if self._ended:
            return False
        taken = self._try(token)
        if not taken:
            self._take_back(0)
        return taken

    def advance(self, token: int) -> None:
        """The token was chosen. Where the grammar turns out to be a dead end, or too much for the library, a stop token
        ends the answer and `problems` tells.

        Raises ValueError if the token is not allowed.
        """
        if self._ended:
            raise ValueError(f"token {token} comes after the end of the answer")
        if self._try(token):
            return
        if not self._is_dead_end():
            raise ValueError(f"the grammar does not allow token {token} here")
        self._failure = f"the grammar cannot be followed further: {one_line(self._matcher.get_error())}"
        self._ended = True

    def forced(self) -> list[int]:
        """Tokens that come next whatever is chosen, as the encoder spells what the grammar forces; a token is left out
        at the end if it could also begin something longer. The state stays as it is."""
        if not self._fast_forward or self._ended:
            return []
        tokens = list(self._forced_here())
        self._take_back(0)
        return tokens

    def valid_prefix(self, tokens: Sequence[int]) -> int:
        """How many of these could come next, a stop token the last. The state stays as it is."""
        consumed = ends = 0
        for token in [] if self._ended else tokens:
            if self._is_end(token):
                ends = 1
            elif self._follow(token):
                consumed += 1
                continue
            break
        self._take_back(consumed)
        return consumed + ends

    def fork(self) -> "GrammarState":
        """A state of its own at the same place."""
        copy = GrammarState(
            self._vocabulary, self._compiled, self._matcher.deep_copy(), self._stops, self._fast_forward
        )
        copy._tokens, copy._ended, copy._failure = self._tokens.copy(), self._ended, self._failure
        return copy

    def rollback(self, count: int) -> None:
        """Take the last tokens back. Raises ValueError if there have not been so many."""
        if not 0 <= count <= len(self._tokens) + self._ended:
            raise ValueError(f"cannot take back {count} tokens of {len(self._tokens) + self._ended}")
        if count and self._ended:
            self._ended, self._failure = False, ""
            count -= 1
        del self._tokens[len(self._tokens) - count :]
        self._take_back(count)

    def problems(self, text: str) -> tuple[str, ...]:
        """What is wrong with the answer's text at the end, and what was not enforced; () if it is as promised."""
        found = [self._failure] if self._failure else []
        if not found and not self._ended and not self._matcher.is_accepting():
            found.append("the answer is cut off before the end that its grammar demands")
        found += self._compiled.warnings
        if self._compiled.schema is not None:
            found += violations(text, self._compiled.schema)
        return tuple(found)

    def _is_end(self, token: int) -> bool:
        """Whether it is a stop token that ends the answer here, not one that a grammar has named."""
        return token in self._stops and self._matcher.validate_tokens([token]) != 1 and self._matcher.is_accepting()

    def _try(self, token: int) -> bool:
        """Whether the token is allowed, and has been taken; else the library may have failed."""
        if self._is_end(token):
            self._ended = True
        elif self._follow(token):
            self._tokens.append(token)
        else:
            return False
        return True

    def _follow(self, token: int) -> bool:
        """Whether the token is allowed as text, and the matcher has taken it. As the masks have it: where the bytes are
        forced, so are the tokens."""
        forced = self._forced_here()
        may_be = token == forced[0] if forced else self._vocabulary.is_known(token)
        if not may_be or self._matcher.try_consume_tokens([token]) != 1:
            return False
        self._known_forced = None
        return True

    def _forced_here(self) -> list[int]:
        """What the library says is forced after the tokens it has; asked once, as it can take as long as a mask."""
        if self._known_forced is None:
            self._known_forced = self._matcher.compute_ff_tokens()
        return self._known_forced

    def _is_dead_end(self) -> bool:
        """Whether no token can come next, which shows in the attempt to say which could."""
        self._matcher.unsafe_compute_mask_ptr(self._mask_address, self._mask.nbytes)
        return self._matcher.is_error()

    def _fill_row(self, row: NDArray[np.int32]) -> None:
        """Where the library fails, which `is_error` tells, it says that the answer may end."""
        if forced := self._forced_here():
            row[:] = 0
            row.view(np.uint32)[forced[0] >> 5] = 1 << (forced[0] & 31)
            return
        self._matcher.unsafe_compute_mask_ptr(self._mask_address, self._mask.nbytes)
        row[:] = self._mask[: len(row)]
        end = self._vocabulary.end
        if self._mask.item(end >> 5) >> (end & 31) & 1:
            row |= self._stop_bits

    def _take_back(self, count: int) -> None:
        """Take the last tokens back from the matcher; `_tokens` are what remains."""
        if self._matcher.is_error():
            self._rebuild()
        elif count:
            self._matcher.rollback(count)
            self._known_forced = None

    def _rebuild(self) -> None:
        """A matcher that has met an error is of no use, not even for what came before."""
        self._known_forced = None
        self._matcher = new_matcher(self._vocabulary, self._compiled.source)
        self._matcher.try_consume_tokens(self._tokens)
