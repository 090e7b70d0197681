"""Grammars compiled for a model's vocabulary."""

import json
from collections import OrderedDict
from collections.abc import Collection
from threading import Lock
from typing import Any

import numpy as np
from llguidance import LLMatcher
from numpy.typing import NDArray

from model.token_encoder import TokenEncoder
from runtime.errors import RequestError
from runtime.grammar.compiled import CompiledGrammar
from runtime.grammar.grammar import Grammar
from runtime.grammar.json_schema import MAX_BYTES, enforceable_schema
from runtime.grammar.matcher import LIMITS, new_matcher, one_line
from runtime.grammar.state import GrammarState
from runtime.grammar.vocabulary import TokenVocabulary

_CACHED = 128  # compiled grammars
# JSON is written as json.dumps does. With one way to write it, no model wanders off into white space, and most of what
# is not a value can be forced.
_LAYOUT: Any = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
_MAX_NESTED = 2000  # brackets and lines of a Lark grammar; the library recurses over rules and brackets
_NAMES = {"json_schema": "JSON Schema", "regex": "regular expression", "lark": "Lark grammar"}


class GrammarEnforcer:
    """Compiles grammars and starts them, from any thread.

    vocab_size: columns of the logits. fast_forward: states tell which tokens are forced; the answers are the same
    without.
    """

    def __init__(self, encoder: TokenEncoder, vocab_size: int, fast_forward: bool) -> None:
        self._vocabulary = TokenVocabulary(encoder, vocab_size)
        self._fast_forward = fast_forward
        self._compiled: OrderedDict[Grammar, CompiledGrammar] = OrderedDict()
        self._lock = Lock()

    def compile(self, grammar: Grammar) -> CompiledGrammar:
        """Raises RequestError if the grammar is not valid, cannot be enforced (of a JSON Schema it says where, as a
        JSON pointer), allows nothing, or is too large."""
        with self._lock:
            if grammar in self._compiled:
                self._compiled.move_to_end(grammar)
                return self._compiled[grammar]
        compiled = self._compile(grammar)
        with self._lock:
            self._compiled[grammar] = compiled
            if len(self._compiled) > _CACHED:
                self._compiled.popitem(last=False)
        return compiled

    def start(self, grammar: Grammar, stop_tokens: Collection[int] = ()) -> GrammarState:
        """The state of an answer that has not begun. stop_tokens: may follow once the answer may end, and only then;
        the encoder's end tokens if there are none.

        Raises RequestError as `compile` does, and if a stop token is part of texts, or there is none.
        """
        stops = sorted(stop_tokens) or self._vocabulary.end_ids
        if not stops:
            raise RequestError("a grammar needs a token that ends the answer, and the model has none: set stop_tokens")
        for token in stops:
            if not 0 <= token < self._vocabulary.size:
                raise RequestError(f"stop token {token} is not in the vocabulary of {self._vocabulary.size}: remove it")
            if self._vocabulary.is_text(token):
                raise RequestError(f"stop token {token} is part of texts: with a grammar, use control tokens only")
        compiled = self.compile(grammar)
        with self._lock:  # a matcher is for one thread at a time
            matcher = compiled.matcher.deep_copy()
        return GrammarState(self._vocabulary, compiled, matcher, frozenset(stops), self._fast_forward)

    def _compile(self, grammar: Grammar) -> CompiledGrammar:
        if grammar.kind == "json_schema":
            wanted = enforceable_schema(grammar.source, grammar.lenient, self._refusal_of_schema)
            source = _schema_source(wanted.schema)
            schema = wanted.whole if grammar.lenient else None
            return CompiledGrammar(self._matcher(grammar.kind, source), source, schema, wanted.warnings)
        if len(grammar.source.encode(errors="surrogatepass")) > MAX_BYTES:
            raise RequestError(f"the {_NAMES[grammar.kind]} is larger than {MAX_BYTES} bytes: make it smaller")
        if grammar.kind == "regex":
            source = LLMatcher.grammar_from_regex(grammar.source)
        else:
            if sum(map(grammar.source.count, "([{\n")) > _MAX_NESTED:
                raise RequestError(f"the Lark grammar has more than {_MAX_NESTED} brackets and lines: make it smaller")
            if "%json" in grammar.source and ("multipleOf" in grammar.source or "\\u" in grammar.source):
                raise RequestError(
                    "the Lark grammar has a JSON Schema without bounds: use no multipleOf and no \\u in it"
                )
            source = LLMatcher.grammar_from_lark(grammar.source)
        return CompiledGrammar(self._matcher(grammar.kind, source), source)

    def _matcher(self, kind: str, source: str) -> LLMatcher:
        """A matcher at the beginning, which has tried two steps: most of what is hopeless shows there."""
        matcher = new_matcher(self._vocabulary, source)
        taken = 0
        while not matcher.is_stopped() and taken < 2:
            allowed = self._allowed(matcher)
            if not len(allowed) and not matcher.is_error():
                break
            taken += matcher.try_consume_tokens(allowed[:1].tolist())
        if matcher.is_error():
            raise RequestError(f"the {_NAMES[kind]} is refused: {one_line(matcher.get_error())}")
        if taken == 0:
            raise RequestError(f"the {_NAMES[kind]} allows the empty answer only: let it say something")
        matcher.rollback(taken)
        return matcher

    def _allowed(self, matcher: LLMatcher) -> NDArray[np.intp]:
        """The tokens that may come next, whatever ends the answer aside."""
        mask = np.zeros(self._vocabulary.words, dtype=np.uint32)
        matcher.unsafe_compute_mask_ptr(mask.ctypes.data, mask.nbytes)
        bits = np.unpackbits(mask.view(np.uint8), bitorder="little")
        return np.flatnonzero(bits[: self._vocabulary.size])

    def _refusal_of_schema(self, schema: Any) -> str:
        """Why the library refuses a schema, empty if it does not."""
        try:
            return one_line(LLMatcher.validate_grammar(_schema_source(schema), self._vocabulary.library, limits=LIMITS))
        except ValueError as error:
            return one_line(str(error))


def _schema_source(schema: Any) -> str:
    return LLMatcher.grammar_from_json_schema(json.dumps(schema), overrides=_LAYOUT)
