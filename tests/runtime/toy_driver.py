"""The toy engine, driven for the nodes of a document."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

from toy_model import VOCAB_SIZE, ToyVocabulary, toy_engine

from runtime.dag.contract.grant import Grant
from runtime.dag.document.node import Budget
from runtime.dag.execution.budget import BudgetScope
from runtime.dag.inference.activity import Activity
from runtime.dag.inference.driver import InferenceDriver
from runtime.dag.inference.inference import Inference, InferenceResult
from runtime.dag.inference.model_card import ModelCard
from runtime.dag.tools.tool import Invocation
from runtime.engine import Engine

BLOCK_BYTES = 1000


class ToyEncoder(ToyVocabulary):
    """Each byte is a token; 255 (which is no text) is called <|end|>."""

    bos_id = None
    eos_ids: frozenset[int] = frozenset()
    vocab_size = VOCAB_SIZE

    def __init__(self) -> None:
        self.special_ids = {"<|end|>": 255}

    def encode(self, text: str, *, special: bool = False, bos: bool = False) -> list[int]:
        return list(text.encode())

    def decode(self, ids: Iterable[int]) -> str:
        return b"".join(map(self.token_bytes, ids)).decode(errors="replace")

    def token_bytes(self, id: int) -> bytes:
        return b"" if id == 255 else bytes([id])


def toy_driver(engine: Engine | None = None, **card: Any) -> InferenceDriver:
    made = ModelCard("toy", "toy", BLOCK_BYTES, **card)
    engine = engine or toy_engine()
    engine.vocabulary = ToyEncoder()
    return InferenceDriver(engine, ToyEncoder(), made, Activity())


def invocation(
    driver: InferenceDriver | Activity,
    *,
    branch: tuple[int, ...] = (),
    fork: str | None = None,
    scope: BudgetScope | None = None,
    deadline: float | None = None,
    node: str = "/main/node",
    timeout: float | None = None,
) -> Invocation:
    activity = driver if isinstance(driver, Activity) else driver.activity
    scope = scope or BudgetScope(Budget())
    return Invocation(node, branch, fork, scope, deadline, Grant.everything(), activity, timeout)


async def together(
    driver: InferenceDriver, inferences: Sequence[Inference], fork: str | None = None, scope: BudgetScope | None = None
) -> list[InferenceResult]:
    """As branches of a fork ask for them: each in a task of its own."""

    async def branch(number: int, inference: Inference) -> InferenceResult:
        with driver.activity.working():
            for _ in range(number * 7 % 5):  # some take longer to get there
                await asyncio.sleep(0)
            return await driver.infer(inference, invocation(driver, branch=(number,), fork=fork, scope=scope))

    with driver.activity.working():
        tasks = [asyncio.create_task(branch(*each)) for each in enumerate(inferences)]
        return list(await driver.activity.waiting(asyncio.gather(*tasks)))
