"""Configuration files: every option is one that the released program has (recorded names), in every case."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from plimsoll.ask.train_plan import TrainQuestion, train_plan
from plimsoll.core.training_config import CONFIGS
from plimsoll.core.training_frameworks import FRAMEWORKS

RECORDED: dict[str, dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "fixtures" / "training_options.json").read_text("utf-8")
)
CASES: list[dict[str, Any]] = [
    {"method": "lora"}, {"method": "lora", "targets": ("all-linear",), "is_padded": True},
    {"method": "qlora", "optimizer": "paged-adamw-8bit"}, {"method": "lora", "base_bits": 8},
    {"method": "dora", "attention": "eager"}, {"method": "full", "optimizer": "adafactor"},
    {"method": "full", "sharding": "zero3", "on": "2x rtx-pro-6000"}, {"method": "lora", "loss": "plain"},
    {"method": "lora", "is_checkpointed": False, "dropout": 0.1},
]  # fmt: skip
MOE: list[tuple[str, dict[str, Any]]] = [
    *(
        ("qwen3-30b-a3b", {"method": "lora", "targets": ("experts",), "configs": (p,)})
        for p in ("trl", "axolotl", "ms-swift")
    ),
    *(("qwen3-30b-a3b", {"method": "router-only", "configs": (p,)}) for p in ("axolotl", "ms-swift")),
    ("qwen3-30b-a3b", {"method": "qlora", "configs": ("axolotl",)}),
    *(
        ("qwen3-8b", {"method": "full", "optimizer": "muon", "configs": (p,)})
        for p in ("axolotl", "llama-factory", "ms-swift")
    ),
]  # fmt: skip


def file_of(model: str, **values: Any) -> tuple[str, dict[str, Any]]:
    on = values.pop("on", "rtx-pro-6000")
    answer = train_plan(TrainQuestion(model=model, on=on, offline=True, **values))
    return answer.files[0].program, yaml.safe_load(answer.files[0].text)


def keys(told: dict[str, Any]) -> set[str]:
    """Names at every level that the program reads as options; a data set's own are its format's."""
    found = set(told)
    for name, value in told.items():
        if isinstance(value, dict):
            found |= keys(value)
        elif name == "datasets":
            found |= {k for entry in value for k in entry}
    return found


@pytest.mark.parametrize("program", CONFIGS)
@pytest.mark.parametrize("case", CASES, ids=lambda c: " ".join(map(str, c.values())))
def test_every_option_is_one_the_release_has(program: str, case: dict[str, Any]) -> None:
    _, told = file_of("qwen3-8b", configs=(program,), **case)
    assert keys(told) <= set(RECORDED[program]["options"])


@pytest.mark.parametrize(("model", "case"), MOE)
def test_so_is_every_option_for_experts_routers_and_muon(model: str, case: dict[str, Any]) -> None:
    program, told = file_of(model, **case)
    assert keys(told) <= set(RECORDED[program]["options"])


def test_the_record_is_of_the_versions_that_the_files_name() -> None:
    for program in CONFIGS:
        assert RECORDED[program]["version"] == FRAMEWORKS[program].version  # type: ignore[index]


def test_qlora_of_experts_asks_axolotl_to_pack_them() -> None:
    _, told = file_of("qwen3-30b-a3b", method="qlora", configs=("axolotl",))
    assert (told["load_in_4bit"], told["quantize_moe_experts"]) == (True, True)


def test_trl_is_told_the_type_because_it_would_load_f32() -> None:
    _, told = file_of("qwen3-8b", configs=("trl",))
    assert told["dtype"] == "bfloat16"


def written(program: str, tmp_path: Path, **case: Any) -> Path:
    on = case.pop("on", "rtx-pro-6000")
    answer = train_plan(TrainQuestion(model="qwen3-8b", on=on, offline=True, configs=(program,), **case))
    path = tmp_path / answer.files[0].name
    path.write_text(answer.files[0].text, "utf-8")
    return path


@pytest.mark.oracle
@pytest.mark.parametrize("case", CASES, ids=lambda c: " ".join(map(str, c.values())))
def test_trl_parses_its_file(case: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trl = pytest.importorskip("trl")
    from trl.scripts.utils import DatasetMixtureConfig

    monkeypatch.chdir(tmp_path)
    path = written("trl", tmp_path, **case)
    text = path.read_text("utf-8").replace("bf16: true", "bf16: false")  # no card here to run bf16 on
    path.write_text(text, "utf-8")
    parser = trl.TrlParser((trl.ScriptArguments, trl.SFTConfig, trl.ModelConfig, DatasetMixtureConfig))
    _, training, model, data = parser.parse_args_and_config(
        ["--config", str(path)], fail_with_unknown_args=True
    )
    assert training.max_length == 2048
    assert model.use_peft == (case["method"] != "full")
    assert data.datasets[0].data_files == "your-data.jsonl"


@pytest.mark.oracle
@pytest.mark.parametrize("case", CASES, ids=lambda c: " ".join(map(str, c.values())))
def test_unsloth_validates_its_file(case: dict[str, Any], tmp_path: Path) -> None:
    import importlib.util

    found = importlib.util.find_spec("unsloth_cli")
    if found is None or not found.submodule_search_locations:
        pytest.skip("unsloth is not installed")
    place = Path(found.submodule_search_locations[0]) / "config.py"
    spec = importlib.util.spec_from_file_location("unsloth_config", place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    told = module.Config.model_validate(
        yaml.safe_load(written("unsloth", tmp_path, **case).read_text("utf-8"))
    )
    assert told.training.training_type == ("full" if case["method"] == "full" else "lora")


@pytest.mark.oracle
@pytest.mark.parametrize("case", CASES, ids=lambda c: " ".join(map(str, c.values())))
def test_llama_factory_parses_its_file(
    case: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It wants an older Transformers to train with; its options are the same.
    monkeypatch.setenv("DISABLE_VERSION_CHECK", "1")
    hparams = pytest.importorskip("llamafactory.hparams")
    from transformers import HfArgumentParser

    told = yaml.safe_load(written("llama-factory", tmp_path, **case).read_text("utf-8"))
    classes = (hparams.ModelArguments, hparams.DataArguments, hparams.FinetuningArguments)
    known = {f for c in classes for f in c.__dataclass_fields__}
    model, data, finetuning = HfArgumentParser(classes).parse_dict(
        {k: v for k, v in told.items() if k in known}
    )
    assert data.cutoff_len == 2048 - bool(told.get("neat_packing"))  # it keeps a token back for itself
    assert finetuning.finetuning_type == ("full" if case["method"] == "full" else "lora")
    assert model.model_name_or_path == "Qwen/Qwen3-8B"
