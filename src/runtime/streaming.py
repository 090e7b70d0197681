"""From tokens to the text a caller sees: whole characters, stop strings, stop tokens, a predicate, length."""

import codecs
from collections.abc import Callable

from runtime.request import FinishReason, Request


class StreamingController:
    """The text of one request, token by token.

    Tokens hold parts of characters, so bytes wait until a character is whole (what never becomes one is
    U+FFFD); and a stop string may span tokens, so text that could be its beginning waits too. The answer ends
    at the first character that completes a stop string, wherever token boundaries fall; or with the token after which
    the request's predicate is true of all text so far.
    """

    def __init__(self, request: Request, token_bytes: Callable[[int], bytes]) -> None:
        self.text = ""  # shown so far
        self.new_tokens = 0
        self.reason: FinishReason | None = None
        self._request = request
        self._token_bytes = token_bytes
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._held = ""  # characters that may turn out to begin a stop string

    def push(self, token: int) -> str:
        """Takes the next token; returns the text that can now be shown. `reason` is set once the answer
        ends."""
        assert self.reason is None, "a finished answer takes no more tokens"
        self.new_tokens += 1
        if token in self._request.stop_tokens:
            return self.finish(FinishReason.STOP)
        self._held += self._decoder.decode(self._token_bytes(token))
        stops = self._request.stop
        if stops and (cut := self._stop_string()):
            self._held = self._held[: cut[0]]
            self._decoder.reset()
            return self.finish(FinishReason.STOP)
        until = self._request.until
        if until is not None and until(self.text + self._held):
            return self.finish(FinishReason.STOP)
        if self.new_tokens == self._request.max_new_tokens:
            return self.finish(FinishReason.LENGTH)
        return self._show(len(self._held) - (self._possible_stop() if stops else 0))

    def finish(self, reason: FinishReason) -> str:
        """Ends the answer; returns what was held back."""
        self.reason = reason
        self._held += self._decoder.decode(b"", final=True)
        return self._show(len(self._held))

    def _show(self, count: int) -> str:
        piece, self._held = self._held[:count], self._held[count:]
        self.text += piece
        return piece

    def _stop_string(self) -> tuple[int, int] | None:
        """Start and end in the held text of the stop string that is complete first (of several, the
        longest)."""
        found = [(self._held.find(stop), stop) for stop in self._request.stop]
        spans = [(start, start + len(stop)) for start, stop in found if start >= 0]
        return min(spans, key=lambda span: (span[1], span[0]), default=None)

    def _possible_stop(self) -> int:
        """Length of the longest tail of the held text with which a stop string begins."""
        longest = min(len(self._held), max(map(len, self._request.stop)) - 1)
        for length in range(longest, 0, -1):
            tail = self._held[-length:]
            if any(stop.startswith(tail) for stop in self._request.stop):
                return length
        return 0
