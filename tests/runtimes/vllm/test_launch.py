"""vLLM's command carries what the bill counts on, in words that the released parsers take."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace

import pytest

from plimsoll.domain.deployment import Adapter, Deployment, Runtime, Setting
from plimsoll.domain.launch import Serving
from plimsoll.errors import BadSetting
from plimsoll.runtimes.vllm import setup
from plimsoll.runtimes.vllm.launch import WITHOUT_FLAG, makes
from plimsoll.runtimes.vllm.parsers import _NEWER, _THOUGHT, _TOOL, parsers_of
from tests.runtimes.deployments import deployment
from tests.runtimes.launched import launched, recorded, refused, value

PUBLISHED = Serving(model_path="Qwen/Qwen3-8B", served_name="x")
RELEASES = ("0.11.0", "0.20.2", "0.26.0", "0.31.0", "0.32.0", "0.33.0")
# A value other than the default for each setting, on a model for which it means something.
OTHER: dict[str, tuple[Setting, str]] = {
    "gpu_memory_utilization": (0.8, "Qwen/Qwen3-30B-A3B"),
    "max_num_batched_tokens": (4096, "Qwen/Qwen3-30B-A3B"),
    "max_num_seqs": (64, "Qwen/Qwen3-30B-A3B"),
    "block_size": (32, "Qwen/Qwen3-30B-A3B"),
    "enable_prefix_caching": (False, "Qwen/Qwen3-30B-A3B"),
    "enforce_eager": (True, "Qwen/Qwen3-30B-A3B"),
    "kv_cache_memory_bytes": (2**33, "Qwen/Qwen3-30B-A3B"),
    "num_gpu_blocks_override": (9000, "Qwen/Qwen3-30B-A3B"),
    "language_model_only": (True, "Qwen/Qwen3-VL-4B-Instruct"),
    "enable_expert_parallel": (True, "Qwen/Qwen3-30B-A3B"),
    "pipeline_parallel_size": (2, "Qwen/Qwen3-30B-A3B"),
    "decode_context_parallel_size": (2, "Qwen/Qwen3-30B-A3B"),
    "num_speculative_tokens": (1, "zai-org/GLM-4.5-Air"),
    "disable_hybrid_kv_cache_manager": (True, "openai/gpt-oss-20b"),
    "mamba_ssm_cache_dtype": ("float32", "nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16"),
    "max_loras": (4, "Qwen/Qwen3-30B-A3B"),
    "max_lora_rank": (128, "Qwen/Qwen3-30B-A3B"),
}


def wanted(model: str, on: str = "rtx-pro-6000", **settings: Setting) -> Deployment:
    return deployment("vllm", model, on, context_tokens=8192, sequences=2, **settings)


def of(release: str, found: Deployment) -> Deployment:
    return replace(found, runtime=Runtime(id="vllm", version=release))


def with_adapters(found: Deployment) -> Deployment:
    ranks = (8, 32)
    return replace(
        found, adapters=tuple(Adapter(id=f"/a b/lora, {r}", rank=r, size_bytes=2**20) for r in ranks)
    )


@pytest.mark.parametrize("release", RELEASES)
def test_released_parsers_take_every_flag(release: str) -> None:
    options = recorded(f"vllm-{release}")["options"]
    cases = [of(release, wanted("openai/gpt-oss-120b")), of(release, with_adapters(wanted("Qwen/Qwen3-8B")))]
    for name, (other, model) in OTHER.items():
        if name == "language_model_only" and release == "0.11.0":
            continue
        case = deployment("vllm", model, "2x rtx-pro-6000", split="tensor", context_tokens=8192)
        cases.append(of(release, replace(case, settings={name: other})))
    kv_words = ["fp8", "fp8_e4m3", "bf16"] + (["f16", "int8_per_token_head"] if release >= "0.20" else [])
    cases += [of(release, replace(wanted("Qwen/Qwen3-8B"), kv_format_k=k, kv_format_v=k)) for k in kv_words]
    cases.append(of(release, replace(wanted("Qwen/Qwen3-8B"), weight_format="fp8_tensor")))
    long = deployment("vllm", "Qwen/Qwen3-8B", "rtx-pro-6000", context_tokens=131_072)
    cases.append(of(release, long))
    for case in cases:
        assert refused(launched(case, replace(PUBLISHED, model_path=case.model.id)), options) == []


@pytest.mark.parametrize("name", setup.DEFAULTS)
def test_every_setting_reaches_the_command(name: str) -> None:
    other, model = OTHER[name]
    plain = deployment("vllm", model, "2x rtx-pro-6000", split="tensor", context_tokens=8192)
    if "lora" in name:
        plain = with_adapters(plain)
    told = replace(plain, settings={name: other})
    assert name not in WITHOUT_FLAG
    assert launched(told).flags != launched(plain).flags


def test_the_command_claims_what_the_bill_counts() -> None:
    found = wanted("openai/gpt-oss-120b")
    resolved = setup.setup_of(found)
    command = launched(found)
    assert value(command, "--gpu-memory-utilization") == "0.92"
    assert value(command, "--max-num-seqs") == str(resolved.sequences_count)
    assert value(command, "--max-num-batched-tokens") == str(resolved.batched_tokens)
    assert value(command, "--max-model-len") == "8192"
    assert value(launched(of("0.11", found)), "--gpu-memory-utilization") == "0.9"
    assert command.arguments[:3] == ("vllm", "serve", "org/some model")
    assert all(flag.reason for flag in command.flags)


def test_all_adapters_stand_in_one_list() -> None:
    command = launched(with_adapters(wanted("Qwen/Qwen3-8B")))
    modules = [f for f in command.flags if f.value.startswith("{")]
    assert [m.name for m in modules] == ["--lora-modules", ""]
    assert json.loads(modules[1].value) == {"name": "lora, 32", "path": "/a b/lora, 32"}
    assert value(command, "--max-lora-rank") == "32"
    assert value(command, "--max-loras") == "2"


def test_beyond_the_trained_context_yarn_is_told_in_the_words_of_the_release() -> None:
    found = deployment("vllm", "Qwen/Qwen3-8B", "rtx-pro-6000", context_tokens=131_072)
    new = json.loads(value(launched(found), "--hf-overrides") or "")
    old = json.loads(value(launched(of("0.11.0", found)), "--hf-overrides") or "")
    assert new["rope_parameters"] == old["rope_scaling"]
    assert new["rope_parameters"]["factor"] == 131_072 / 40_960
    assert new["max_position_embeddings"] == 131_072
    windows = deployment("vllm", "google/gemma-3-1b-it", "rtx-pro-6000", context_tokens=131_072)
    with pytest.raises(BadSetting, match="beyond its 32,768 tokens is not known"):
        launched(windows)


def test_a_subset_of_the_cards_is_made_visible() -> None:
    found = deployment("vllm", "Qwen/Qwen3-8B", "3x rtx-3090", split="tensor")
    chosen = replace(found, split=replace(found.split, devices=("gpu2", "gpu0")))
    environment = {f.name: f.value for f in launched(chosen).environment}
    assert environment == {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": "2,0"}
    assert launched(found).environment == ()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"weight_format": "awq"}, "does not make awq of it"),
        ({"weight_format": "bnb_nf4"}, "stopped reading bitsandbytes"),
        ({"kv_format_v": "fp8"}, "keys and values in one format"),
        ({"settings": {"num_speculative_tokens": 2}}, "no layers of multi-token prediction"),
    ],
)
def test_what_no_flag_can_say_is_refused(change: dict[str, object], says: str) -> None:
    with pytest.raises(BadSetting, match=says):
        launched(replace(wanted("Qwen/Qwen3-8B"), **change), PUBLISHED)  # type: ignore[arg-type]


def test_weights_made_while_loading_keep_the_layout_of_the_bill() -> None:
    found = wanted("Qwen/Qwen3-8B")
    words = {
        name: value(launched(replace(found, weight_format=name), PUBLISHED), "--quantization")
        for name in ("fp8", "fp8_channel", "fp8_tensor")
    }
    assert words == {"fp8": "fp8_per_block", "fp8_channel": "fp8_per_channel", "fp8_tensor": "fp8_per_tensor"}
    assert makes(replace(found, weight_format="fp8"))
    assert not makes(of("0.11.0", replace(found, weight_format="fp8")))
    with pytest.raises(BadSetting, match="does not make fp8 of it"):
        launched(of("0.11.0", replace(found, weight_format="fp8")), PUBLISHED)
    # A path of one's own holds the format already.
    assert value(launched(replace(found, weight_format="awq")), "--quantization") is None


def test_parsers_named_are_registered_in_the_releases_they_are_told_for() -> None:
    for release in RELEASES:
        known = recorded(f"vllm-{release}")
        number = tuple(map(int, release.split(".")[:2]))
        for rows, registered in ((_TOOL, known["tool_parsers"]), (_THOUGHT, known["reasoning_parsers"])):
            told = {row[1] for row in rows if number >= (0, 20) or row[1] not in _NEWER}
            assert told <= set(registered), release


@pytest.mark.parametrize(
    ("model", "tool", "reasoning"),
    [
        ("openai/gpt-oss-120b", "openai", "openai_gptoss"),
        ("Qwen/Qwen3-30B-A3B", "hermes", "qwen3"),
        ("Qwen/Qwen3-30B-A3B-Instruct-2507", "hermes", ""),
        ("Qwen/Qwen3-30B-A3B #2", "hermes", "qwen3"),
        ("Qwen/Qwen3-Coder-30B-A3B-Instruct", "qwen3_xml", ""),
        ("Qwen/Qwen3-8B-Base", "", ""),
        ("Qwen/Qwen3-VL-4B-Instruct", "", ""),
        ("Qwen/Qwen2.5-72B-Instruct", "hermes", ""),
        ("Qwen/Qwen2.5-Coder-7B-Instruct", "", ""),
        ("zai-org/GLM-4.5V", "", ""),
        ("zai-org/GLM-4.7-Flash", "glm47", ""),
        ("meta-llama/Llama-3.3-70B-Instruct", "", ""),
    ],
)
def test_only_sourced_parsers_are_told(model: str, tool: str, reasoning: str) -> None:
    found = parsers_of(model, (0, 33))
    assert (found.tool, found.reasoning) == (tool, reasoning)


PARSE = """
import importlib, json, sys
from vllm.utils.argparse_utils import FlexibleArgumentParser
for name in ("common", "launchers", "openai"):
    try:
        module = importlib.import_module(f"vllm.entrypoints.{name}.cli_args")
    except ModuleNotFoundError as error:
        if "cli_args" not in str(error):
            raise
        continue
    if hasattr(module, "make_arg_parser"):
        break
parser = module.make_arg_parser(FlexibleArgumentParser())
for words in json.load(sys.stdin):
    told = parser.parse_args(words)
    module.validate_parsed_serve_args(told)
    facts = (told.max_model_len, told.max_num_seqs, told.max_num_batched_tokens, told.gpu_memory_utilization)
    print(json.dumps(facts))
"""


@pytest.mark.oracle
def test_vllms_own_parser_reads_the_numbers_of_the_bill() -> None:
    """PLIMSOLL_VLLM_PYTHON is a Python with vLLM (no GPU is needed to parse)."""
    python = os.environ.get("PLIMSOLL_VLLM_PYTHON")
    if not python:
        pytest.skip("PLIMSOLL_VLLM_PYTHON names no Python with vLLM")
    cases = [wanted("openai/gpt-oss-120b"), with_adapters(wanted("Qwen/Qwen3-8B"))]
    for name, (other, model) in OTHER.items():
        case = deployment("vllm", model, "2x rtx-pro-6000", split="tensor", context_tokens=8192)
        cases.append(replace(case, settings={name: other}))
    cases += [replace(wanted("Qwen/Qwen3-8B"), kv_format_k=k, kv_format_v=k) for k in ("fp8", "bf16", "f16")]
    cases += [replace(wanted("Qwen/Qwen3-8B"), weight_format=w) for w in ("fp8", "fp8_tensor", "f16")]
    cases.append(deployment("vllm", "Qwen/Qwen3-8B", "rtx-pro-6000", context_tokens=131_072))
    commands = [launched(case, replace(PUBLISHED, model_path=case.model.id)).arguments[2:] for case in cases]
    # Without a GPU vLLM infers no device and refuses to make its parser.
    told = subprocess.run(
        [python, "-c", PARSE], input=json.dumps(commands), capture_output=True, text=True, check=False,
        env={**os.environ, "VLLM_TARGET_DEVICE": "cpu"},
    )  # fmt: skip
    assert told.returncode == 0, told.stderr[-2000:]
    read = [json.loads(line) for line in told.stdout.splitlines() if line.startswith("[")]
    resolved = [setup.setup_of(case) for case in cases]
    assert [row[:3] for row in read] == [
        [s.deployment.workload.context_tokens, s.sequences_count, s.batched_tokens] for s in resolved
    ]
    assert [row[3] for row in read] == [
        s.deployment.settings.get("gpu_memory_utilization", s.era.default_utilization) for s in resolved
    ]
