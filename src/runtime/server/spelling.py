"""Tokens as clients see them."""

from model.token_encoder import TokenEncoder


class Spelling:
    """The texts of single tokens: control tokens have their names."""

    def __init__(self, encoder: TokenEncoder) -> None:
        self._encoder = encoder
        self._names = {token: name.encode() for name, token in encoder.special_ids.items()}

    def bytes(self, token: int) -> bytes:
        return self._names.get(token) or self._encoder.token_bytes(token)

    def text(self, token: int) -> str:
        """Parts of characters are U+FFFD."""
        return self.bytes(token).decode(errors="replace")

    def key(self, token: int) -> str:
        """A text that tells tokens apart even if they are parts of characters."""
        try:
            return self.bytes(token).decode()
        except UnicodeDecodeError:
            return "bytes:" + "".join(f"\\x{byte:02x}" for byte in self.bytes(token))
