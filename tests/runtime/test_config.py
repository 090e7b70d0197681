"""Every file in conf/ composes into its dataclass."""

from itertools import product
from typing import get_type_hints

import pytest
from hydra import compose, initialize_config_dir

from runtime.command_line import CONF, plain
from runtime.config import EngineConfig, RunConfig, ServeConfig
from runtime.errors import ConfigError
from runtime.typed_config import dotted_keys, read_config

GROUPS = [path.name for path in CONF.iterdir() if path.is_dir() and path.name != "experiment"]
ROOTS = {"config": RunConfig, "serve": ServeConfig}
CHOICES = [
    (root, f"{group}={path.stem}")
    for root, settings in ROOTS.items()
    for group in get_type_hints(settings)
    for path in (CONF / group).glob("*.yaml")
]
EXPERIMENTS = [path.stem for path in (CONF / "experiment").glob("*.yaml")]
MANDATORY = {
    "model=file": ["model.source=x.gguf"],
    "workload=file": ["workload.path=x.txt"],
    "grammar=json_schema": ['grammar.source="{}"'],
    "grammar=regex": ["grammar.source=a+"],
    "grammar=lark": ["grammar.source=x.lark"],
    "workload=eval": ["workload.path=x.txt"],
}


def read(*overrides: str, root: str = "config") -> EngineConfig:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        composed = compose(root, overrides=list(overrides))
    return read_config(ROOTS[root], plain(composed))


def test_each_group_has_a_dataclass() -> None:
    assert set(GROUPS) == {group for settings in ROOTS.values() for group in get_type_hints(settings)}


@pytest.mark.parametrize(("root", "choice"), CHOICES)
def test_each_choice_composes(root: str, choice: str) -> None:
    read(choice, *MANDATORY.get(choice, []), root=root)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_each_experiment_composes(experiment: str) -> None:
    read(f"+experiment={experiment}")


def test_a_misspelt_key_inside_an_experiment_is_found() -> None:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        settings = plain(compose("config", overrides=["+batching.max_sequence=4"]))  # as a yaml would add it
    with pytest.raises(
        ConfigError, match=r"unknown key 'batching.max_sequence': did you mean 'batching.max_sequences'"
    ):
        read_config(RunConfig, settings)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("decoder=[sampling],decoder.top_p=0", "top_p must be above 0"),
        ("decoder=[sampling],decoder.temperature=-1", "temperature must be 0 or more"),
        ("batching.token_budget=3", "token_budget .3. must be at least"),
        ("cache.block_size=24", "power of two"),
        ("workload.stop=x", "must be a list"),
        ("workload.max_new_tokens=many", "must be a whole number"),
        ("workload.max_new_tokens=true", "must be a whole number"),
        ("kernels.backend=fast", "must be one of compiled, interpret, reference"),
        ("kernels=[interpret],model.dtype=bf16", "model.dtype=f32"),
        ("decoder.name=beam", "decoder.name must be one of greedy, sampling"),
    ],
)
def test_wrong_values_are_named(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read(*override.replace("=[", "=").replace("]", "").split(","))


def test_numbers_of_either_kind_are_numbers() -> None:
    config = read("decoder=sampling", "decoder.temperature=1")
    assert isinstance(getattr(config.decoder, "temperature"), float)  # noqa: B009


def test_dotted_keys_know_which_choice_has_a_setting() -> None:
    known = list(dotted_keys(RunConfig))
    assert ("decoder.top_k", "decoder=sampling") in known
    assert ("cache.block_size", None) in known
    assert all((f"workload.{key}", f"workload={name}") in known
               for key, name in product(["stop", "name"], ["prompts", "file", "chat"]))  # fmt: skip
