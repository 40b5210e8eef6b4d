"""One small file per model family: `model_type` -> layers and tensors.

A family module defines `build(keys: Keys) -> Layout`. `FAMILIES` maps every known `model_type`
to the module that builds it; a module is imported only when its model is asked for.
"""

from __future__ import annotations

FAMILIES: dict[str, str] = {
    "llama": "llama",
}
