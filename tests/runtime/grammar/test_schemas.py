"""Random answers under 200 schemas of growing difficulty: all that end are what the schema says."""

import json
import re
from datetime import date
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlparse
from uuid import UUID

import pytest
from jsonschema import Draft202012Validator, FormatChecker
from random_answers import closing_noise, random_answer

from experiments.schemas import schemas
from model.hub_vocabulary import vocabulary_from_hub
from model.token_encoder import SubwordEncoder, TokenEncoder
from model.world_encoder import world_encoder
from runtime.grammar.enforcer import GrammarEnforcer
from runtime.grammar.grammar import Grammar

MODELS = Path(__file__).parents[3] / "experiments" / "models"
FORMATS = FormatChecker(())
for name, kind in {"ipv4": ip_address, "ipv6": ip_address, "uuid": UUID}.items():
    FORMATS.checks(name, raises=ValueError)(lambda text, kind=kind: bool(kind(text)))
FORMATS.checks("date", raises=ValueError)(lambda text: is_date(text))
FORMATS.checks("date-time", raises=ValueError)(lambda text: is_date(text[:10]) and text[10] in "tT")
FORMATS.checks("uri", raises=ValueError)(lambda text: bool(urlparse(text).scheme))
FORMATS.checks("email")(lambda text: re.fullmatch(r"[^@\s]+@[^@\s]+", text) is not None)


def is_date(text: str) -> bool:
    """Of the grammar's calendar, in which every February has 29 days, and there is a year 0."""
    return date.fromisoformat("2004" + text[4:]) is not None and text[:4].isdecimal()


@pytest.mark.parametrize(("first", "encoder"), [(0, "subwords"), (1, "subwords"), (0, "world")])
def test_answers_are_valid(first: int, encoder: str) -> None:
    tokens: TokenEncoder = world_encoder()
    if encoder == "subwords":
        tokens = SubwordEncoder(vocabulary_from_hub(MODELS / "llama-1m"))
    enforcer = GrammarEnforcer(tokens, tokens.vocab_size, fast_forward=True)
    noise = closing_noise(tokens, tokens.vocab_size, seed=first)
    finished = 0
    step = 2 if encoder == "subwords" else 20
    asked = schemas()[first::step]
    for schema in asked:
        state = enforcer.start(Grammar("json_schema", json.dumps(schema)))
        answer = random_answer(state, noise, tokens.vocab_size, most=300)
        if answer is not None:
            text = tokens.decode(answer)
            Draft202012Validator(schema, format_checker=FORMATS).validate(json.loads(text))
            assert state.problems(text) == ()
            finished += 1
    assert finished >= 0.9 * len(asked)


def test_schemas_are_the_same_every_time_and_grow() -> None:
    assert schemas() == schemas() and len(schemas()) == 200
    lengths = [len(json.dumps(schema)) for schema in schemas()]
    quarters = [sum(lengths[i : i + 50]) for i in range(0, 200, 50)]
    assert quarters == sorted(quarters)
    for schema in schemas()[::10]:
        Draft202012Validator.check_schema(schema)
    assert len({json.dumps(schema) for schema in schemas()}) > 190
