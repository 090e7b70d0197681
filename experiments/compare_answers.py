"""How many answers change with what else is in the batch, how prompts are cut, and who guesses: by rounding alone.

    python experiments/compare_answers.py            # both families, f32, bf16, and bf16 with kernels.invariant=true

Passages of a play are continued alone, one after the other, and then in other ways; half of the answers are greedy,
half sampled with penalties.
"""

from dataclasses import dataclass
from random import Random

from rich.console import Console
from rich.table import Table

from model.token_encoder import TokenEncoder
from runtime.assembly import Assembly, assemble
from runtime.command_line import CONF, compose_settings
from runtime.request import GREEDY, Request, SamplingParams

PROMPTS, NEW_TOKENS = 60, 40
SHORTEST, LONGEST = 20, 600  # characters of a prompt
DRAFTS = {"llama-4m": "rwkv7-1m", "rwkv7-4m": "llama-1m"}  # of the other family
ALONE = ["batching=one_by_one", "cache.prefix=none"]
TEXT = CONF.parent / "experiments" / "data" / "henry_vi_part_2.txt"


@dataclass(frozen=True)
class Arithmetic:
    dtype: str
    invariant: bool

    def settings(self) -> list[str]:
        types = [f"{key}={self.dtype}" for key in ("model.dtype", "cache.dtype")]
        return [*types, f"kernels.invariant={str(self.invariant).lower()}", "kernels.threads=1"]


def ways(model: str, arithmetic: Arithmetic) -> dict[str, list[str]]:
    source = "${checkout:experiments/models/" + DRAFTS[model] + "}"
    drafting = [f"speculation.model.source='{source}'", f"speculation.model.dtype={arithmetic.dtype}"]
    return {
        "eight at a time": [],
        "16 tokens a step": ["batching.token_budget=16"],
        "n-gram": ["speculation=ngram", "speculation.adaptive=false"],
        "draft model": ["speculation=draft_model", "speculation.adaptive=false", *drafting],
    }


def passages(encoder: TokenEncoder) -> list[Request]:
    random, text, requests = Random(11), TEXT.read_text(encoding="utf-8"), []
    for number in range(PROMPTS):
        start = random.randrange(len(text) - LONGEST)
        prompt = encoder.encode(text[start : start + random.randrange(SHORTEST, LONGEST)])
        sampled = SamplingParams(temperature=0.9, top_k=40, top_p=0.95, presence_penalty=0.3 * (number % 3))
        sampling = GREEDY if number % 2 else sampled
        requests.append(Request(tuple(prompt), NEW_TOKENS, seed=number, sampling=sampling))
    return requests


def answers(assembly: Assembly) -> list[list[int]]:
    return [completion.tokens for completion in assembly.engine().generate(passages(assembly.loaded.encoder))]


def main() -> None:
    table = Table(title=f"answers of {PROMPTS} that differ from those alone", title_justify="left")
    for column in ("model", "type", "invariant", *ways("llama-4m", Arithmetic("f32", False))):
        table.add_column(column)
    for model in DRAFTS:
        for arithmetic in (Arithmetic("f32", False), Arithmetic("bf16", False), Arithmetic("bf16", True)):
            settings = [f"model={model}", *arithmetic.settings()]
            expected = answers(assemble(compose_settings([*settings, *ALONE])))
            differ = []
            for way in ways(model, arithmetic).values():
                found = answers(assemble(compose_settings([*settings, "batching.max_sequences=8", *way])))
                differ.append(sum(one != other for one, other in zip(expected, found, strict=True)))
            table.add_row(model, arithmetic.dtype, str(arithmetic.invariant).lower(), *map(str, differ))
    Console().print(table)


if __name__ == "__main__":
    main()
