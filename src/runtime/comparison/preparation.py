"""From a comparison's settings to its trials."""

from collections import Counter
from itertools import chain
from pathlib import Path

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from runtime.assembly import assemble
from runtime.command_line import explain, is_chosen, plain, recompose
from runtime.comparison.generators import Passages, make_threads
from runtime.comparison.job import Comparison
from runtime.comparison.settings import ComparisonWorkload
from runtime.comparison.trial import Trial
from runtime.config import RunConfig
from runtime.errors import ConfigError, UserError
from runtime.text_file import read_text
from runtime.typed_config import read_config


def prepare_comparison(config: RunConfig, workload: ComparisonWorkload) -> Comparison:
    """Everything that can find a fault of the user's, before anything is generated or written."""
    if workload.models and is_chosen("model"):
        raise ConfigError(
            "a comparison has models of its own: give workload.models=[<choice>,...] without model=<choice>, "
            "or workload.models=[] with it"
        )
    text = read_text(Path(workload.text))
    names = workload.models or (Path(config.model.source).stem,)
    choices = [[f"model={name}"] for name in workload.models] or [[]]
    settings = [[_settings([*choice, *variant.set]) for variant in workload.variants] for choice in choices]
    groups: list[list[Trial]] = []
    for name, configs in zip(names, settings, strict=True):
        groups += _groups(workload, name, configs, text)
    for trial in chain.from_iterable(groups):
        trial.check()
    return Comparison(workload, groups)


def _groups(workload: ComparisonWorkload, model: str, configs: list[RunConfig], text: str) -> list[list[Trial]]:
    """Of one model, for each kind of requests the trials of all variants. configs: of these."""
    assembly = assemble(configs[0])
    passages = Passages(assembly.loaded.encoder.encode(text), workload.text)
    groups = []
    for label, requests in zip(_labels(workload), workload.requests, strict=True):
        threads = make_threads(requests, passages, assembly.loaded)
        variants = zip(workload.variants, configs, strict=True)
        groups.append([Trial(model, label, variant.name, config, assembly, threads) for variant, config in variants])
    return groups


def _labels(workload: ComparisonWorkload) -> list[str]:
    """Of the requests: their kinds, numbered where one comes again."""
    seen: Counter[str] = Counter()
    labels = []
    for requests in workload.requests:
        seen[requests.name] += 1
        labels.append(f"{requests.name} {seen[requests.name]}" if seen[requests.name] > 1 else requests.name)
    return labels


def _settings(changes: list[str]) -> RunConfig:
    """Those of the run, with these changes."""
    try:
        return read_config(RunConfig, plain(recompose(changes)))
    except (HydraException, OmegaConfBaseException, UserError) as error:
        raise ConfigError(f"workload.variants: with {' '.join(changes)}: {explain(error)}") from error
