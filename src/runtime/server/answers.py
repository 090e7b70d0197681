"""The answers to one HTTP request, as they grow."""

import codecs
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from model.token_encoder import TokenEncoder
from runtime.events import Finished, RequestEvent, Started, TokenAccepted
from runtime.request import FinishReason, Request, TokenLogprob
from runtime.server.response_schema import PromptTokensDetails, Usage


class ScoredToken(NamedTuple):
    """offset: where its text begins in the answer, in characters."""

    token: int
    logprob: TokenLogprob
    offset: int


class Piece(NamedTuple):
    """What an answer has got since the piece before. choice: which answer; reason: set in its last."""

    choice: int
    text: str
    tokens: list[ScoredToken]
    reason: FinishReason | None
    warnings: tuple[str, ...]


class Answers:
    """Adds the events of the requests up. n: how many requests in a row have the same prompt."""

    def __init__(self, requests: Sequence[Request], numbers: Sequence[int], n: int, encoder: TokenEncoder) -> None:
        self._n = n
        self._answers = {
            number: _Answer(i, request, encoder)
            for i, (number, request) in enumerate(zip(numbers, requests, strict=True))
        }

    def add(self, event: RequestEvent) -> None:
        self._answers[event.request].add(event)

    def take(self) -> list[Piece]:
        """A piece of each answer that has one."""
        return [piece for answer in self._answers.values() if (piece := answer.take()) is not None]

    def usage(self) -> Usage:
        """Of all answers together; a prompt counts once, however many answers it gets."""
        answers = list(self._answers.values())
        firsts = answers[:: self._n]
        prompt_tokens = sum(len(answer.request.prompt) for answer in firsts)
        new_tokens = sum(answer.new_tokens for answer in answers)
        return Usage(
            prompt_tokens=prompt_tokens,
            completion_tokens=new_tokens,
            total_tokens=prompt_tokens + new_tokens,
            prompt_tokens_details=PromptTokensDetails(cached_tokens=sum(answer.reused or 0 for answer in firsts)),
        )


@dataclass
class _Answer:
    index: int
    request: Request
    encoder: TokenEncoder
    new_tokens: int = 0
    reused: int | None = None
    _text: str = ""  # since the last piece, as are the tokens
    _tokens: list[ScoredToken] = field(default_factory=list)
    _shown: int = 0  # characters in all pieces
    _finished: Finished | None = None
    _spelled: int = 0  # characters of all tokens
    _decoder: codecs.IncrementalDecoder = field(
        default_factory=lambda: codecs.getincrementaldecoder("utf-8")(errors="replace")
    )

    def add(self, event: RequestEvent) -> None:
        match event:
            case Started() if self.reused is None:  # else it had been preempted
                self.reused = event.reused
            case TokenAccepted():
                self.new_tokens += 1
                self._text += event.text
                if event.logprob is not None and event.token not in self.request.stop_tokens:
                    self._tokens.append(ScoredToken(event.token, event.logprob, self._spelled))
                    self._spelled += len(self._decoder.decode(self.encoder.token_bytes(event.token)))
            case Finished():
                self._finished = event
                self._text = event.text[self._shown :]

    def take(self) -> Piece | None:
        """Tokens without text wait for some, so that they come with what they say."""
        finished, self._finished = self._finished, None
        if not self._text and finished is None:
            return None
        reason, warnings = (finished.reason, finished.warnings) if finished else (None, ())
        piece = Piece(self.index, self._text, self._tokens, reason, warnings)
        self._shown += len(self._text)
        self._text, self._tokens = "", []
        return piece
