"""The vocabulary of a GGUF file, byte-level BPE (`gpt2`) or SentencePiece (`llama`), as a Tokenizer."""

from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

from model.errors import ModelFileError
from model.gguf_file import GGUFFile
from model.vocabulary import Spelling, Vocabulary, end_ids

_KEY = "tokenizer.ggml"
_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED = 1, 2, 3, 4
_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)"
_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
# Names of `tokenizer.ggml.pre`, with the expressions that llama.cpp splits text by, one after the other.
_SPLITS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("smollm", "starcoder", "refact", "command-r", "exaone"), (r"\p{N}", _GPT2)),
    **dict.fromkeys(("gpt-2", "olmo", "mpt"), (_GPT2,)),
    "qwen2": (_WORDS % "",),
    "llama-bpe": (_WORDS % "{1,3}",),
}


def vocabulary_from_gguf(file: GGUFFile) -> Vocabulary:
    """Read the vocabulary. Raises ModelFileError if there is none or its kind is not supported."""
    pieces = file.get(f"{_KEY}.tokens", list)
    types = file.get(f"{_KEY}.token_type", list, [_NORMAL] * len(pieces))
    if not pieces or len(types) != len(pieces) or not all(type(piece) is str for piece in pieces):
        raise ModelFileError(f"{file.path}: {_KEY}.tokens and {_KEY}.token_type do not make a vocabulary")
    kind = file.get(f"{_KEY}.model", str)
    if kind == "gpt2":
        tokenizer, starts_with_bos = _byte_level(file, pieces), _pre(file) == "llama-bpe"
    elif kind == "llama":
        tokenizer, starts_with_bos = _sentencepiece(file, pieces, types), True
    else:
        raise ModelFileError(f"{file.path}: tokenizer {kind!r} is not supported (only gpt2 and llama)")
    special_ids = {piece: id for id, piece in enumerate(pieces) if types[id] == _CONTROL}
    tokenizer.add_special_tokens([AddedToken(piece, special=True, normalized=False) for piece in special_ids])
    defined = [piece for id, piece in enumerate(pieces) if types[id] == _USER_DEFINED]
    tokenizer.add_tokens([AddedToken(piece, special=False, normalized=False) for piece in defined])
    ends = [_token_id(file, f"{name}_token_id", len(pieces)) for name in ("eos", "eot", "eom")]
    return Vocabulary(
        tokenizer=tokenizer,
        spelling=Spelling.BYTE_LEVEL if kind == "gpt2" else Spelling.SENTENCEPIECE,
        bos_id=_token_id(file, "bos_token_id", len(pieces)),
        eos_ids=end_ids(special_ids, [id for id in ends if id is not None]),
        special_ids=special_ids,
        starts_with_bos=file.get(f"{_KEY}.add_bos_token", bool, starts_with_bos),
        size=len(pieces),
    )


def _byte_level(file: GGUFFile, pieces: list[str]) -> Tokenizer:
    pre = _pre(file)
    if pre not in _SPLITS:
        raise ModelFileError(
            f"{file.path}: pre-tokenizer {pre!r} is not supported (only {', '.join(_SPLITS)})"
        )
    merges = file.get(f"{_KEY}.merges", list)
    pairs = [tuple(str(merge).split(" ", 1)) for merge in merges]
    if any(len(pair) != 2 for pair in pairs):
        raise ModelFileError(f"{file.path}: {_KEY}.merges has an entry that is not two pieces")
    tokenizer = Tokenizer(_bpe(file, vocab=_ids(pieces), merges=pairs))
    splits: list[Any] = [pre_tokenizers.Split(Regex(split), "isolated") for split in _SPLITS[pre]]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [*splits, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _sentencepiece(file: GGUFFile, pieces: list[str], types: list[int]) -> Tokenizer:
    """SentencePiece joins the neighbours whose union scores best: that is BPE with every split of every
    piece as a merge, in the order of the scores."""
    scores = file.get(f"{_KEY}.scores", list)
    if len(scores) != len(pieces) or not all(type(score) is float for score in scores):
        raise ModelFileError(f"{file.path}: {_KEY}.scores does not fit the vocabulary")
    ids = _ids(pieces)
    normal = [id for id in range(len(pieces)) if types[id] == _NORMAL and len(pieces[id]) > 1]
    merges = []
    for id in sorted(normal, key=lambda id: (-scores[id], id)):
        piece = pieces[id]
        splits = ((piece[:cut], piece[cut:]) for cut in range(1, len(piece)))
        merges += [split for split in splits if split[0] in ids and split[1] in ids]
    unknown = _token_id(file, "unknown_token_id", len(pieces))
    unknown_piece = None if unknown is None else pieces[unknown]
    bpe = _bpe(file, vocab=ids, merges=merges, byte_fallback=True, fuse_unk=True, unk_token=unknown_piece)
    tokenizer = Tokenizer(bpe)
    steps: list[Any] = [normalizers.Replace(" ", "\u2581")]
    if file.get(f"{_KEY}.add_space_prefix", bool, True):
        steps.insert(0, normalizers.Prepend("\u2581"))
    tokenizer.normalizer = normalizers.Sequence(steps)
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    return tokenizer


def _bpe(file: GGUFFile, **arguments: Any) -> models.BPE:
    try:
        return models.BPE(**arguments)
    except Exception as error:  # the library raises bare Exception
        raise ModelFileError(f"{file.path}: the vocabulary is inconsistent: {error}") from error


def _ids(pieces: list[str]) -> dict[str, int]:
    return {piece: id for id, piece in enumerate(pieces)}


def _pre(file: GGUFFile) -> str:
    return file.get(f"{_KEY}.pre", str, "gpt-2")


def _token_id(file: GGUFFile, name: str, size: int) -> int | None:
    key = f"{_KEY}.{name}"
    if key not in file.metadata:
        return None
    id = file.get(key, int)
    if not 0 <= id < size:
        raise ModelFileError(f"{file.path}: {key} {id} is not in the vocabulary of {size}")
    return id
