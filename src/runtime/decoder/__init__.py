"""Decoder strategies: what is proposed before a step, and what is kept of it."""
