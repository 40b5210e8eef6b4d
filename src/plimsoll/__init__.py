"""Plimsoll: the load line for language models on hardware you own."""

__version__ = "0.1.0"
