"""The grammar library's matchers, which report errors instead of raising them."""

from llguidance import LLMatcher, LLParserLimits

from runtime.grammar.vocabulary import UNSPELLED, TokenVocabulary

LIMITS = LLParserLimits(verbose_errors=False)  # its own for the size of a grammar and the work of a step
_REASONS = {
    "NoExtensionBias": "no token may come next",
    "LexerTooComplex": "it is too complex",
    "ParserTooComplex": "it is too complex",
    "Parser Error": "it is too complex",
}


def new_matcher(vocabulary: TokenVocabulary, source: str) -> LLMatcher:
    """A matcher at the beginning, or one that says by `is_error` that the grammar is refused."""
    return LLMatcher(vocabulary.library, source, log_level=0, limits=LIMITS)


def one_line(message: str) -> str:
    """The gist of an error of the library, whose messages are pages long at times."""
    if UNSPELLED in message:  # which the library has taken for a crash
        return UNSPELLED
    lines = [line.strip() for line in message.splitlines()]
    gist = next((line for line in lines if line.startswith("error: ")), next(iter(lines), ""))
    gist = _REASONS.get(gist.partition(":")[0], gist.removeprefix("error: "))
    return gist if len(gist) <= 200 else f"{gist[:200]}..."
