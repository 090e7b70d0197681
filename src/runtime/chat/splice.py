"""A longer prompt in the tokens of a shorter one, whose memory is there."""

from collections.abc import Callable, Sequence
from itertools import accumulate

from runtime.memory.common_length import common_length


def splice(
    history: Sequence[int], prompt: Sequence[int], spell: Callable[[int], bytes], encode: Callable[[str], list[int]]
) -> list[int]:
    """Tokens that spell what `prompt` does and begin, as far as they spell the same, with those of `history`.

    A model may write a text in other tokens than its tokenizer would choose, and an answer may end within a token; but
    what memory there is belongs to the tokens as they were, all but the last of the history. spell: a token's bytes, at
    least one, different for each control token; encode: text to tokens, control tokens spelled out.
    """
    ends, prompt_ends = ([0, *accumulate(len(spell(token)) for token in tokens)] for tokens in (history, prompt))
    text, prompt_text = (b"".join(map(spell, tokens)) for tokens in (history, prompt))
    common = common_length(text, prompt_text)
    for taken in range(len(history), max(-1, len(history) - 2), -1):
        if ends[taken] <= common:
            after = next(i for i, end in enumerate(prompt_ends) if end >= ends[taken])
            cut_off = prompt_text[ends[taken] : prompt_ends[after]]
            between = encode(cut_off.decode(errors="replace")) if cut_off else []
            if b"".join(map(spell, between)) == cut_off:
                return [*history[:taken], *between, *prompt[after:]]
    same = max(end for end in set(ends) & set(prompt_ends) if end <= common)
    return [*history[: ends.index(same)], *prompt[prompt_ends.index(same) :]]
