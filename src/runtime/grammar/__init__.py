"""Output that obeys a grammar: JSON Schema, regular expressions, context-free grammars."""
