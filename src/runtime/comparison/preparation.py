"""From a comparison's settings to its trials."""

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
    trials = []
    for name, configs in zip(names, settings, strict=True):
        trials += _trials(workload, name, configs, text)
    for trial in trials:
        trial.check()
    return Comparison(workload, trials)


def _trials(workload: ComparisonWorkload, model: str, configs: list[RunConfig], text: str) -> list[Trial]:
    """Of one model; configs: of the variants."""
    assembly = assemble(configs[0])
    passages = Passages(assembly.loaded.encoder.encode(text), workload.text)
    return [
        Trial(model, requests.name, variant.name, config, assembly, threads)
        for requests in workload.requests
        for threads in [make_threads(requests, passages, assembly.loaded)]
        for variant, config in zip(workload.variants, configs, strict=True)
    ]


def _settings(changes: list[str]) -> RunConfig:
    """Those of the run, with these changes."""
    try:
        return read_config(RunConfig, plain(recompose(changes)))
    except (HydraException, OmegaConfBaseException, UserError) as error:
        raise ConfigError(f"workload.variants: with {' '.join(changes)}: {explain(error)}") from error
