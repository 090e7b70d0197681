"""The same requests with and without a mechanism: what it changes, and that it changes no answer."""
