"""`python -m runtime.serve`: a model behind an OpenAI-compatible HTTP interface, as conf/serve.yaml says."""

from omegaconf import DictConfig

from runtime.command_line import hydra_application, plain
from runtime.config import ServeConfig
from runtime.errors import ConfigError
from runtime.typed_config import read_config


def run(composed: DictConfig) -> None:
    config = read_config(ServeConfig, plain(composed))
    try:
        from runtime.server.http_server import serve  # torch comes in here, as in runtime.run
    except ModuleNotFoundError as error:
        if error.name not in ("fastapi", "uvicorn", "prometheus_client"):
            raise
        raise ConfigError(f"a server needs {error.name}: pip install -e '.[serve]'") from error
    serve(config)


if __name__ == "__main__":
    hydra_application(run, "serve", ServeConfig)
