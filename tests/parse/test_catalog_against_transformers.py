"""Every config of the shipped catalog against `transformers`, tensor by tensor (about a minute)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import plimsoll.catalog
from plimsoll.parse.config import model_from_config
from tests.parse import transformers_oracle as oracle

pytestmark = [pytest.mark.oracle, pytest.mark.slow]

MODELS = Path(plimsoll.catalog.__file__).parent / "models"

# Where a key is silent, the class's default contradicts the published files, whose totals we equal.
_DEFAULT_CONTRADICTS_FILES = {
    "ai-sage/GigaChat3-10B-A1.8B": "q_lora_rank: the class compresses, the files do not",
    "ai-sage/GigaChat3-10B-A1.8B-base": "q_lora_rank: the class compresses, the files do not",
    "deepseek-ai/DeepSeek-Coder-V2-Lite-Base": "q_lora_rank: the class compresses, the files do not",
    "deepseek-ai/DeepSeek-V2-Lite": "q_lora_rank: the class compresses, the files do not",
    "meta-llama/Llama-4-Maverick-17B-128E-Instruct": "vision_config: the class has a default tower",
    "meta-llama/Llama-4-Scout-17B-16E-Instruct": "vision_config: the class has a default tower",
    "mistralai/Mistral-Small-3.1-24B-Instruct-2503": "tie_word_embeddings: the class ties, the files do not",
    "mistralai/Mistral-Small-4-119B-2603": "tie_word_embeddings: the class ties, the files do not",
}
_WITHOUT_CLASS = {
    "bailing_moe", "deepseek", "internlm2", "kimi_k2", "kimi_k25", "mimo", "nemotron-nas", "step3p5",
}  # fmt: skip


def records() -> list[Path]:
    """One file for each distinct config, quantisation left aside."""
    found: dict[str, Path] = {}
    for path in sorted(MODELS.glob("*/*.json")):
        config = json.loads(path.read_text())["config"]
        key = json.dumps({k: v for k, v in config.items() if k != "quantization_config"}, sort_keys=True)
        found.setdefault(key, path)
    return list(found.values())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("path", records(), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_table_equals_what_transformers_builds(path: Path) -> None:
    record = json.loads(path.read_text())
    config = record["config"]
    if config["model_type"] in _WITHOUT_CLASS:
        pytest.skip("Transformers has no class for this model")
    if config["model_type"] == "gemma3n":
        pytest.importorskip("timm")
    model = model_from_config(config, id=record["id"])
    ours = {(t.name, t.shape, t.format, t.is_buffer) for t in model.tensors if t.role not in ("mtp", "other")}
    theirs = set(oracle.rows_of(oracle.build(config)))
    if record["id"] in _DEFAULT_CONTRADICTS_FILES:
        assert ours != theirs
        return
    assert sorted(theirs - ours)[:8] == []
    assert sorted(ours - theirs)[:8] == []
