"""`plimsoll adapter` and `plimsoll compare` end to end: answers, exit codes, errors in one sentence."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from plimsoll.ask.models import from_catalog
from plimsoll.doors.cli.main import cli
from plimsoll.errors import NotFound, PlimsollError, ReadError
from tests.ghost.adapter_files import write_adapter

ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]
FEED_FORWARD = ["gate_proj", "up_proj", "down_proj"]
EXPERTS = ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"]
NAMED = {
    "meta-llama/Llama-3.3-70B-Instruct": {"target_modules": [*ATTENTION, *FEED_FORWARD]},
    "Qwen/Qwen3-30B-A3B": {"target_modules": ATTENTION},
    "openai/gpt-oss-120b": {"target_modules": ATTENTION, "target_parameters": EXPERTS},
    "google/gemma-3-27b-it": {"target_modules": ATTENTION},
    "deepseek-ai/DeepSeek-V3": {"target_modules": ["q_a_proj", "q_b_proj", "kv_b_proj", "o_proj"]},
    "Qwen/Qwen3-Next-80B-A3B-Instruct": {"target_modules": ATTENTION},
}  # fmt: skip


def run(*words: str) -> Result:
    return CliRunner().invoke(cli, list(words))


def answer(*words: str) -> Any:
    done = run(*words, "--json", "--offline")
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return json.loads(done.stdout)


@pytest.fixture
def tone(tmp_path: Path) -> Path:
    config = {"target_modules": [*ATTENTION, *FEED_FORWARD]}
    return write_adapter(tmp_path / "tone", from_catalog("Llama-3.1-8B-Instruct"), config)


@pytest.mark.parametrize("model", NAMED)
def test_an_adapter_made_for_a_catalog_model_works_on_it(model: str, tmp_path: Path) -> None:
    found = answer("adapter", str(write_adapter(tmp_path / "a", from_catalog(model), NAMED[model])))
    assert found["check"]["verdict"] == "works"
    assert found["check"]["model"] == model
    assert {m["outcome"] for m in found["check"]["modules"]} == {"applied"}


def test_another_model_refuses_it_with_the_reason(tone: Path) -> None:
    done = run("adapter", str(tone), "--for", "Qwen3-8B", "--offline")
    assert done.exit_code == 1
    assert done.stdout.startswith("DOES NOT LOAD on Qwen/Qwen3-8B: 96 modules have other shapes")
    assert "A has 14336 inputs, the model 12288" in done.stdout


def test_zeros_in_b_are_seen_in_the_file(tmp_path: Path) -> None:
    config = {"target_modules": ATTENTION}
    path = write_adapter(tmp_path / "z", from_catalog("Llama-3.1-8B-Instruct"), config, is_zero=True)
    done = run("adapter", str(path), "--offline")
    assert done.exit_code == 1
    assert "LOADS AND CHANGES NOTHING" in done.stdout
    assert "B is zero" in done.stdout


def test_how_many_fit_is_where_one_more_does_not(tone: Path) -> None:
    found = answer("adapter", str(tone), "--on", "rtx-3090", "--context", "4k")
    counts = {use["runtime"]: use["fits_count"] for use in found["runtimes"]}
    assert found["fit"]["verdict"] in ("fits", "tight")
    for runtime, key in (("vllm", "max_loras"), ("sglang", "max_loras_per_batch")):
        for more, verdicts in ((0, ("fits", "tight")), (1, ("does_not_fit",))):
            bill = answer(
                "fit", "Llama-3.1-8B-Instruct", "--on", "rtx-3090", "--context", "4k", "--runtime", runtime,
                "--adapter", str(tone), "--set", f"{key}={counts[runtime] + more}",
            )  # fmt: skip
            assert bill["verdict"] in verdicts, (runtime, more)


def test_fit_counts_the_adapter(tone: Path) -> None:
    words = ("fit", "Llama-3.1-8B-Instruct", "--on", "rtx-3090", "--context", "4k", "--runtime", "llama.cpp")
    plain, adapted = answer(*words), answer(*words, "--adapter", str(tone))
    sizes = [x["size_bytes"] for x in adapted["bill"]["lines"] if x["component"] == "adapters"]
    # 32 layers, rank 16, f32: (inputs + outputs) of q and o, k and v, gate and up and down.
    assert sizes == [32 * 16 * 4 * (2 * 8192 + 2 * 5120 + 3 * (4096 + 14_336))]
    assert plain["headroom_bytes"] - adapted["headroom_bytes"] == sizes[0]


def test_an_adapter_without_a_base_says_so(tone: Path) -> None:
    config = json.loads((tone / "adapter_config.json").read_text())
    del config["base_model_name_or_path"]
    (tone / "adapter_config.json").write_text(json.dumps(config))
    found = answer("adapter", str(tone))
    assert found["check"] is None
    assert found["unknowns"] == ["the adapter names no base model: --for MODEL checks it against one"]
    assert run("adapter", str(tone), "--on", "rtx-3090").exception.hint == "--for MODEL says which one"  # type: ignore[union-attr]


def test_a_config_that_contradicts_the_header_is_said(tone: Path) -> None:
    config = json.loads((tone / "adapter_config.json").read_text())
    (tone / "adapter_config.json").write_text(json.dumps({**config, "r": 32, "a_new_key": 1}))
    found = answer("adapter", str(tone))
    assert found["check"]["verdict"] == "load_error"
    assert "the config makes room for 32" in found["check"]["reason"]
    assert "keys that nobody read: a_new_key" in found["notes"]


@pytest.mark.parametrize(
    ("files", "error", "says"),
    [
        ({"adapter_model.bin": b"x", "adapter_config.json": b"{}"}, ReadError, "never opened"),
        ({"adapter_config.json": b"{}"}, NotFound, "no adapter_model.safetensors"),
        ({"adapter_model.safetensors": b"x" * 9}, NotFound, "no adapter_config.json"),
        ({"adapter_model.safetensors": b"x" * 9, "adapter_config.json": b"{}"}, ReadError, "header length"),
        ({"adapter_model.safetensors": b"", "adapter_config.json": b"[]"}, ReadError, "not an object"),
        ({"adapter_model.safetensors": b"", "adapter_config.json": b"{" * 99_999}, ReadError, "JSON"),
        ({"adapter_model.safetensors": b"", "adapter_config.json": b'{"r":1,"r":2}'}, ReadError, "twice"),
        ({"a.gguf": b"GGUFxxxx"}, ReadError, "a.gguf"),
        ({}, ReadError, "no adapter in this folder"),
    ],
)
def test_broken_folders_are_one_sentence(
    files: dict[str, bytes], error: type[Exception], says: str, tmp_path: Path
) -> None:
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    done = run("adapter", str(tmp_path))
    assert isinstance(done.exception, error)
    assert isinstance(done.exception, PlimsollError)
    assert says in done.exception.message


def test_a_path_that_is_not_there() -> None:
    assert isinstance(run("adapter", "no/such/adapter").exception, NotFound)


def test_models_side_by_side() -> None:
    found = answer("compare", "Qwen3-30B-A3B", "gpt-oss-120b", "--on", "rtx-pro-6000")
    rows = {row["key"]: row["values"] for row in found["rows"]}
    assert rows["parameters"] == [30_532_122_624, 116_829_156_672]
    # 48 layers x (4 + 4) heads x 128 x 2 bytes; half of gpt-oss's layers stop at 128 tokens.
    assert rows["kv_32768"][0] == 32_768 * 48 * 8 * 128 * 2
    assert rows["kv_32768"][1] == (32_768 + 128) * 18 * 16 * 64 * 2
    assert [cell["verdict"] for cell in found["fits"]] == ["fits", "fits"]
    assert [item["what"] for item in found["continuity"][0]["items"]] == [
        "tokenizer", "chat format", "prompts", "LoRA adapters",
    ]  # fmt: skip


def test_the_named_models_compare_in_words() -> None:
    done = run("compare", *NAMED, "--offline")
    assert done.exit_code == 0, done.exception
    for model in list(NAMED)[1:]:
        assert f"from Llama-3.3-70B-Instruct to {model.rpartition('/')[2]}:" in done.stdout


def test_one_model_is_not_compared() -> None:
    assert "cannot be compared" in str(run("compare", "Qwen3-8B").exception)


@pytest.mark.parametrize("module", ["adapter", "compare"])
def test_nothing_heavy_is_imported(module: str) -> None:
    code = (
        f"import sys, plimsoll.doors.cli.{module};"
        "heavy = ('numpy', 'torch', 'transformers', 'huggingface_hub', 'httpx', 'tokenizers', 'rich');"
        "print([m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
