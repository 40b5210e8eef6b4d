"""The fleet file that `plimsoll fleet --example` prints."""

from __future__ import annotations

import os.path

PATH = os.path.join(os.path.dirname(__file__), "fleet_example.toml")


def text() -> str:
    """The commented file, to start from."""
    with open(PATH, encoding="utf-8") as file:
        return file.read()
