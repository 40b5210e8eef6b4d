"""Bytes or dicts become nouns here. No I/O."""
