"""`python -m runtime.chat`: talk to a model in the browser; settings as for `python -m runtime.run`."""

import sys
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from runtime.command_line import hydra_application, plain
from runtime.config import RunConfig
from runtime.errors import ConfigError
from runtime.job import Job
from runtime.typed_config import read_config


def run(composed: DictConfig) -> None:
    config = read_config(RunConfig, plain(composed))
    from runtime.session import serve  # torch comes in here, as in runtime.run

    serve(config, composed, Path(HydraConfig.get().runtime.output_dir), None, _prepare)


def _prepare(config: RunConfig) -> Job:
    from runtime.chat.job import Chat

    try:
        from runtime.chat.browser import browse
    except ModuleNotFoundError as error:
        if error.name != "gradio":
            raise
        raise ConfigError("the chat in the browser needs gradio: pip install -e '.[chat]'") from error
    return Chat(config, browse)


if __name__ == "__main__":
    if not any(word.startswith("workload=") for word in sys.argv[1:]):
        sys.argv.append("workload=chat")
    hydra_application(run)
