"""`python -m runtime.run`: generate text as the settings in conf/ and on the command line say."""

from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from runtime.command_line import hydra_application, plain
from runtime.config import RunConfig
from runtime.typed_config import read_config


def run(composed: DictConfig) -> None:
    """One run: a job of Hydra, alone or in a sweep."""
    config = read_config(RunConfig, plain(composed))
    from runtime.session import (
        serve,  # torch comes in here: a wrong setting has been reported without waiting for it
    )

    hydra = HydraConfig.get()
    group = "/".join(Path(hydra.sweep.dir).parts[-2:]) if hydra.mode == RunMode.MULTIRUN else None
    serve(config, composed, Path(hydra.runtime.output_dir), group)


if __name__ == "__main__":
    hydra_application(run)
