"""The model behind an engine, as documents know it."""

from dataclasses import dataclass

from runtime.assembly import Assembly
from runtime.config import DraftModelSpeculation, NoSpeculation
from runtime.model_name import model_name


@dataclass(frozen=True)
class ModelCard:
    """name, aliases: what documents call it. fingerprint: of the weights. block_bytes: of a block of the cache. drafts:
    whether the engine guesses tokens; draft_model: the name of the model that does it, None if none does."""

    name: str
    fingerprint: str
    block_bytes: int
    aliases: frozenset[str] = frozenset()
    drafts: bool = False
    draft_model: str | None = None

    def is_called(self, name: str) -> bool:
        return name == self.name or name in self.aliases

    @classmethod
    def of(cls, assembly: Assembly, aliases: frozenset[str] = frozenset()) -> "ModelCard":
        """Its name is that of its file, without the suffix; its source as the settings have it is an alias."""
        config, speculation = assembly.config, assembly.config.speculation
        source = config.model.source
        return cls(
            model_name(source),
            assembly.fingerprint,
            assembly.block_bytes,
            aliases | {source},
            not isinstance(speculation, NoSpeculation),
            model_name(speculation.model.source) if isinstance(speculation, DraftModelSpeculation) else None,
        )
