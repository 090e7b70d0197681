"""Who holds which blocks of the cache: sequences, handles, and the index of prefixes."""
