"""Masks, forced tokens, rollback and forks of a grammar's state, on random answers."""

import json
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from random_answers import allowed_tokens, filled, unpacked

from experiments.schemas import schemas
from model.hub_vocabulary import vocabulary_from_hub
from model.token_encoder import SubwordEncoder, TokenEncoder
from model.world_encoder import world_encoder
from runtime.grammar.enforcer import GrammarEnforcer
from runtime.grammar.grammar import Grammar
from runtime.grammar.state import GrammarState

MODELS = Path(__file__).parents[3] / "experiments" / "models"
GRAMMARS = [
    *(Grammar("json_schema", json.dumps(schema)) for schema in schemas(24)),
    Grammar("json_schema", "{}"),
    Grammar("json_schema", json.dumps({"type": "object", "required": ["a long name that is forced", "b"]})),
    Grammar("regex", "[a-z]+@(example|test)\\.(com|org)"),
    Grammar("regex", "(the |a )*end.?"),
    Grammar("lark", 'start: sum\nsum: INT | sum " + " INT | "(" sum ")"\nINT: /[0-9]{1,3}/'),
    Grammar("lark", 'start: "<think>" /[^<]*/ "</think>" <|im_start|> ("yes" | "no")'),
]


class Bytes:
    """Bytes are tokens, but for those above 0xEF, and three that are control tokens."""

    bos_id = None
    eos_ids = frozenset((240, 241))
    special_ids = {"<|im_start|>": 242}  # noqa: RUF012
    vocab_size = 243

    def encode(self, text: str, *, special: bool = False, bos: bool = False) -> list[int]:
        return list(text.encode())

    def decode(self, ids: list[int]) -> str:
        return bytes(id for id in ids if id < 240).decode(errors="replace")

    def token_bytes(self, id: int) -> bytes:
        return bytes([id]) if 0 <= id < 240 else b""


class Vocabulary:
    def __init__(self, encoder: TokenEncoder, columns: int) -> None:
        self.encoder = encoder
        self.columns = columns
        self.enforcer = GrammarEnforcer(encoder, columns, fast_forward=True)
        self.control = {*encoder.special_ids.values(), *encoder.eos_ids}

    def start(self, grammar: Grammar) -> GrammarState:
        if "<|im_start|>" in grammar.source:
            assume("<|im_start|>" in self.encoder.special_ids)
        return self.enforcer.start(grammar)


@cache
def vocabulary(name: str) -> Vocabulary:
    if name == "bytes":
        return Vocabulary(Bytes(), 256)
    if name == "world":
        return Vocabulary(encoder := world_encoder(), encoder.vocab_size)
    encoder = SubwordEncoder(vocabulary_from_hub(MODELS / "llama-1m"))
    return Vocabulary(encoder, encoder.vocab_size + 17)  # a row of logits with padding, no multiple of 32


vocabularies = st.sampled_from(["subwords", "bytes", "world"]).map(vocabulary)
grammars = st.sampled_from(GRAMMARS)
randoms = st.integers(0, 1 << 32).map(np.random.default_rng)


def walk(state: GrammarState, columns: int, random: np.random.Generator, steps: int) -> list[int]:
    """Random tokens that the masks allow, at most so many, up to the end of the answer."""
    tokens: list[int] = []
    while len(tokens) < steps and not state.is_complete:
        tokens.append(int(random.choice(allowed_tokens(state, columns))))
        state.advance(tokens[-1])
    return tokens


def look(state: GrammarState, columns: int) -> tuple[object, ...]:
    """All that can be seen of a state."""
    return filled(state, [], columns).tolist(), state.forced(), state.is_complete, state.problems("")


@settings(deadline=None, max_examples=60)
@given(vocabulary=vocabularies, grammar=grammars, random=randoms, steps=st.integers(0, 30))
def test_masks_are_what_is_accepted(
    vocabulary: Vocabulary, grammar: Grammar, random: np.random.Generator, steps: int
) -> None:
    state, columns = vocabulary.start(grammar), vocabulary.columns
    walk(state, columns, random, steps)
    if state.is_complete:
        return
    before = look(state, columns)
    allowed = allowed_tokens(state, columns)
    some = random.choice(allowed, 10).tolist() + random.integers(0, columns, 20).tolist() + sorted(vocabulary.control)
    for token in some:
        assert state.valid_prefix([token]) == (token in allowed)
        other = state.fork()
        if token in allowed:
            other.advance(token)
            assert other.valid_prefix([token]) <= 1
            assert state.fork().take(token)
        else:
            with pytest.raises(ValueError, match=f"token {token}"):
                other.advance(token)
            assert not state.take(token)
    for token in (-1, columns, 1 << 40):
        assert state.valid_prefix([token]) == 0 and not state.take(token)
    assert look(state, columns) == before


@settings(deadline=None, max_examples=60)
@given(vocabulary=vocabularies, grammar=grammars, random=randoms, steps=st.integers(0, 20), right=st.integers(0, 6))
def test_rows_of_drafts_are_those_of_their_states(
    vocabulary: Vocabulary, grammar: Grammar, random: np.random.Generator, steps: int, right: int
) -> None:
    state, columns = vocabulary.start(grammar), vocabulary.columns
    walk(state, columns, random, steps)
    if state.is_complete:
        return
    before = look(state, columns)
    drafts = walk(state.fork(), columns, random, right) + random.integers(0, columns + 5, 2).tolist()
    rows = unpacked(filled(state, drafts, columns))
    other, valid = state.fork(), state.valid_prefix(drafts)
    for i, row in enumerate(rows[: valid + 1]):
        if i > 0:
            other.advance(drafts[i - 1])
        if not other.is_complete:
            assert np.flatnonzero(row[:columns]).tolist() == allowed_tokens(other, columns).tolist()
    assert rows[valid + 1 :].all() and rows.any(axis=1).all()
    assert look(state, columns) == before


@settings(deadline=None, max_examples=40)
@given(vocabulary=vocabularies, grammar=grammars, random=randoms, program=st.lists(st.integers(0, 9), max_size=25))
def test_rollback_and_forks_are_exact(
    vocabulary: Vocabulary, grammar: Grammar, random: np.random.Generator, program: list[int]
) -> None:
    """A state looks the same as one that has only ever got the tokens that remain."""
    columns = vocabulary.columns
    branches: list[tuple[GrammarState, list[int]]] = [(vocabulary.start(grammar), [])]
    for choice in program:
        state, tokens = branches[choice % len(branches)]
        if choice < 5:
            tokens += walk(state, columns, random, 1 + choice)
        elif choice < 8:
            count = int(random.integers(0, len(tokens) + 1))
            state.rollback(count)
            del tokens[len(tokens) - count :]
        else:
            branches.append((state.fork(), tokens.copy()))
        state.valid_prefix(random.integers(0, columns, 3).tolist())
    for state, tokens in branches:
        fresh = vocabulary.start(grammar)
        for token in tokens:
            fresh.advance(token)
        assert look(state, columns) == look(fresh, columns)
        with pytest.raises(ValueError, match="cannot take back"):
            state.rollback(len(tokens) + 1)


@settings(deadline=None, max_examples=60)
@given(vocabulary=vocabularies, grammar=grammars, random=randoms, steps=st.integers(0, 20))
def test_forced_tokens_are_the_only_continuation(
    vocabulary: Vocabulary, grammar: Grammar, random: np.random.Generator, steps: int
) -> None:
    """In tokens, as the masks have it; and in bytes, by the masks of bytes under a grammar that forces nothing."""
    state, columns = vocabulary.start(grammar), vocabulary.columns
    tokens = walk(state, columns, random, steps)
    forced = state.forced()
    for token in forced:
        assert allowed_tokens(state, columns).tolist() == [token] and not state.is_complete
        state.advance(token)
    if grammar.kind != "json_schema" or "multipleOf" in grammar.source or vocabulary.control & {*tokens, *forced}:
        return
    layout = '"x-guidance": {"whitespace_flexible": false, "item_separator": ", ", "key_separator": ": "}'
    schema = json.dumps(json.loads(grammar.source), ensure_ascii=False)[1:]
    unforced = f'%llguidance {{"no_forcing": true}}\nstart: %json {{{layout}{"" if schema == "}" else ", "}{schema}'
    plain = bytewise().start(Grammar("lark", unforced))
    before, after = (b"".join(map(vocabulary.encoder.token_bytes, some)) for some in (tokens, forced))
    assume(max(before, default=0) < 240)  # for what it has no tokens for
    for byte in before:
        plain.advance(byte)
    for byte in after:
        assert allowed_tokens(plain, 256).tolist() == [byte]
        plain.advance(byte)


@cache
def bytewise() -> GrammarEnforcer:
    return GrammarEnforcer(Bytes(), 256, fast_forward=False)


@settings(deadline=None, max_examples=30)
@given(vocabulary=vocabularies, grammar=grammars, random=randoms)
def test_an_answer_ends_by_a_stop_token_and_no_control_token_is_text(
    vocabulary: Vocabulary, grammar: Grammar, random: np.random.Generator
) -> None:
    state, columns = vocabulary.start(grammar), vocabulary.columns
    stops = vocabulary.encoder.eos_ids
    named = {vocabulary.encoder.special_ids.get("<|im_start|>")} if "<|im_start|>" in grammar.source else set()
    ended = False
    for _ in range(60):
        allowed = set(allowed_tokens(state, columns).tolist())
        assert not allowed & (vocabulary.control - stops - named)
        assert stops <= allowed or not stops & allowed
        assert not state.is_complete or allowed == stops
        if stops <= allowed:
            assert not state.forced() and state.problems("") == ()
        token = int(random.choice(sorted(allowed)))
        state.advance(token)
        if token in stops:
            ended = True
            break
    assert not ended or (state.is_complete and state.problems("") == () and state.forced() == [])


@settings(deadline=None, max_examples=30)
@given(vocabulary=vocabularies, grammar=grammars, seed=st.integers(0, 1 << 32))
def test_answers_are_the_same_without_fast_forward(vocabulary: Vocabulary, grammar: Grammar, seed: int) -> None:
    logits = np.random.default_rng(seed).standard_normal((25, vocabulary.columns))
    slow, fast = (vocabulary.start(grammar) for _ in range(2))
    expected: list[int] = []
    while len(expected) < len(logits) and not slow.is_complete:
        allowed = allowed_tokens(slow, vocabulary.columns)
        expected.append(int(allowed[logits[len(expected), allowed].argmax()]))
        slow.advance(expected[-1])
    answer: list[int] = []
    while len(answer) < len(expected):
        allowed = allowed_tokens(fast, vocabulary.columns)
        new = fast.forced() or [int(allowed[logits[len(answer), allowed].argmax()])]
        for token in new:
            fast.advance(token)
        answer += new
    assert answer[: len(expected)] == expected


def test_forced_tokens_are_spelled_as_the_encoder_spells_them() -> None:
    grammar = Grammar("json_schema", json.dumps({"type": "object", "required": ["a long name", "b"], "properties": {}}))
    for name in ("subwords", "world"):
        state, encoder = vocabulary(name).start(grammar), vocabulary(name).encoder
        forced = state.forced()
        text = encoder.decode(forced)
        assert text in '{"a long name": ' and len(text) > 12
        assert forced == encoder.encode('{"a long name": ')[: len(forced)]


def test_states_are_filled_in_parallel() -> None:
    columns = vocabulary("world").columns
    states = [vocabulary("world").start(grammar) for grammar in GRAMMARS[:-1]]
    expected = [filled(state, [], columns).tolist() for state in states]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda state: filled(state, [], columns).tolist(), states)) == expected


def test_stop_tokens_are_the_request_s() -> None:
    end, turn = 240, 242
    enforcer = GrammarEnforcer(Bytes(), 256, fast_forward=True)
    state = enforcer.start(Grammar("regex", "a+"), {turn})
    state.advance(ord("a"))
    assert allowed_tokens(state, 256).tolist() == [ord("a"), turn]
    assert state.valid_prefix([ord("a"), turn, ord("a")]) == 2 and state.valid_prefix([end]) == 0
    rows = unpacked(filled(state, [turn, ord("a")], 256))
    assert np.flatnonzero(rows[0]).tolist() == [ord("a"), turn] and rows[1:].all()
    state.advance(turn)
    assert state.is_complete and state.valid_prefix([turn]) == 0 and filled(state, [], 256).all()
    with pytest.raises(ValueError, match="after the end"):
        state.advance(turn)
    state.rollback(1)
    assert allowed_tokens(state, 256).tolist() == [ord("a"), turn]


def test_a_dead_end_lets_the_answer_end_and_tells() -> None:
    """No token spells the byte that the grammar wants next."""
    enforcer = GrammarEnforcer(Bytes(), 256, fast_forward=True)
    state = enforcer.start(Grammar("regex", "ab?(c\U00040000|d)"))
    state.advance(ord("a"))
    before = look(state, 256)
    drafts = [ord("b"), ord("c"), ord("d")]
    rows = unpacked(filled(state, drafts, 256))
    assert np.flatnonzero(rows[1]).tolist() == [ord("c"), ord("d")]
    assert np.flatnonzero(rows[2]).tolist() == [240, 241] and rows[3].all()
    assert look(state, 256) == before
    for token in drafts[:2]:
        state.advance(token)
    assert state.forced() == [] and not state.is_complete and state.valid_prefix([ord("c"), 240]) == 0
    assert allowed_tokens(state, 256).tolist() == [240, 241]
    state.advance(240)
    assert state.is_complete
    assert state.problems("abc") == ("the grammar cannot be followed further: no tokens spell it",)
    assert state.fork().problems("abc") == state.problems("abc")
    state.rollback(3)
    assert look(state, 256) == before
    state.advance(ord("d"))
    assert state.is_complete and state.problems("ad") == ()


def test_an_answer_that_is_cut_off_is_told() -> None:
    state = vocabulary("bytes").start(Grammar("json_schema", '{"type": "integer"}'))
    assert state.problems("") == ("the answer is cut off before the end that its grammar demands",)
    state.advance(ord("7"))
    assert state.problems("7") == () and not state.is_complete
