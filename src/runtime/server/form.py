"""Answers as an endpoint tells them: whole, or as a stream of chunks."""

import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from model.token_encoder import TokenEncoder
from runtime.request import FinishReason
from runtime.server import response_schema as schema
from runtime.server.answers import Piece
from runtime.server.spelling import Spelling


class Form(ABC):
    """One HTTP request's. prefix: of its id; kind, chunk_kind: what its objects are called."""

    prefix: ClassVar[str]
    kind: ClassVar[schema.Kind]
    chunk_kind: ClassVar[schema.Kind]

    def __init__(self, model: str, encoder: TokenEncoder) -> None:
        self._id = f"{self.prefix}-{uuid.uuid4().hex}"
        self._model = model
        self._created = int(time.time())
        self._spelling = Spelling(encoder)

    def whole(self, pieces: Sequence[Piece], usage: schema.Usage) -> schema.Completion:
        """All answers, each in one piece."""
        return self._object(self.kind, [self._choice(piece) for piece in pieces], usage)

    def opening(self, answers: int) -> list[schema.Completion]:
        """What a stream of so many answers begins with."""
        return [self._object(self.chunk_kind, [start]) for start in map(self._start, range(answers)) if start]

    def chunk(self, piece: Piece) -> schema.Completion:
        return self._object(self.chunk_kind, [self._part(piece)])

    def end(self, usage: schema.Usage) -> schema.Completion:
        """What a stream ends with where usage is asked for."""
        return self._object(self.chunk_kind, [], usage)

    @abstractmethod
    def _choice(self, piece: Piece) -> schema.Choice:
        """A whole answer."""

    @abstractmethod
    def _start(self, index: int) -> schema.Choice | None:
        """How a stream announces an answer."""

    @abstractmethod
    def _part(self, piece: Piece) -> schema.Choice:
        """A part of an answer."""

    def _object(
        self, kind: schema.Kind, choices: list[schema.Choice], usage: schema.Usage | None = None
    ) -> schema.Completion:
        return schema.Completion(
            id=self._id, object=kind, created=self._created, model=self._model, choices=choices, usage=usage
        )


def finish_reason(piece: Piece) -> schema.FinishReason | None:
    """An answer that was ended by its deadline was cut off like one that reached its length."""
    if piece.reason is None:
        return None
    return "stop" if piece.reason is FinishReason.STOP else "length"
