"""SGLang's command carries what the bill counts on, in words that the released parsers take."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace

import pytest

from plimsoll.domain.deployment import Adapter, Deployment, Runtime, Setting
from plimsoll.domain.launch import Serving
from plimsoll.errors import BadSetting
from plimsoll.runtimes.sglang import memory
from plimsoll.runtimes.sglang.launch import WITHOUT_FLAG, makes, release
from tests.runtimes.deployments import deployment
from tests.runtimes.launched import launched, recorded, refused, value

RELEASES = ("0.5.9", "0.5.16", "0.5.23")
QWEN, GPT_OSS, NEMOTRON = "Qwen/Qwen3-8B", "openai/gpt-oss-20b", "nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16"
OTHER: dict[str, tuple[Setting, str]] = {
    "mem_fraction_static": (0.8, QWEN), "chunked_prefill_size": (4096, QWEN), "cuda_graph_max_bs": (64, QWEN),
    "max_running_requests": (8, QWEN), "page_size": (64, QWEN), "swa_full_tokens_ratio": (0.5, GPT_OSS),
    "mamba_full_memory_ratio": (0.5, NEMOTRON), "disable_radix_cache": (True, QWEN),
    "disable_cuda_graph": (True, QWEN), "enable_expert_parallel": (True, "Qwen/Qwen3-30B-A3B"),
    "language_only": (True, "Qwen/Qwen3-VL-4B-Instruct"), "pipeline_parallel_size": (2, QWEN),
    "max_loras_per_batch": (4, QWEN), "max_lora_rank": (64, QWEN),
}  # fmt: skip


def wanted(model: str = QWEN, **settings: Setting) -> Deployment:
    found = deployment("sglang", model, "2x rtx-pro-6000", split="tensor", context_tokens=8192, **settings)
    if any("lora" in name for name in settings) or model == "adapters":
        found = with_adapters(found)
    return found


def with_adapters(found: Deployment) -> Deployment:
    adapters = tuple(
        Adapter(id=f"/a/{rank}", rank=rank, size_bytes=2**20, targets=("q_proj",)) for rank in (8, 32)
    )
    return replace(found, adapters=adapters)


def of(version: str, found: Deployment) -> Deployment:
    return replace(found, runtime=Runtime(id="sglang", version=version))


@pytest.mark.parametrize("version", RELEASES)
def test_released_parsers_take_every_flag(version: str) -> None:
    options = recorded(f"sglang-{version}")["options"]
    cases = [with_adapters(wanted()), wanted(GPT_OSS), wanted(NEMOTRON)]
    cases += [wanted(model, **{name: other}) for name, (other, model) in OTHER.items()]
    cases += [replace(wanted(), kv_format_k=k, kv_format_v=k) for k in ("bf16", "fp8_e4m3", "fp4_e2m1")]
    cases += [replace(wanted(), weight_format=name) for name in ("fp8", "f16")]
    cases.append(deployment("sglang", QWEN, "rtx-pro-6000", context_tokens=131_072))
    as_published = Serving(model_path=QWEN, served_name="x")
    for case in cases:
        serving = replace(as_published, model_path=case.model.id)
        assert refused(launched(of(version, case), serving), options) == []


@pytest.mark.parametrize("name", memory.DEFAULTS)
def test_every_setting_reaches_the_command_or_is_refused(name: str) -> None:
    if name in WITHOUT_FLAG:
        with pytest.raises(BadSetting, match=name):
            launched(wanted(**{name: 2**30 if "bytes" in name else "swa"}))
        return
    other, model = OTHER[name]
    plain = with_adapters(wanted(model)) if "lora" in name else wanted(model)
    assert launched(replace(plain, settings={name: other})).flags != launched(plain).flags


def test_the_command_claims_what_the_bill_counts() -> None:
    setup = memory.setup_of(wanted())
    command = launched(wanted())
    assert value(command, "--mem-fraction-static") == f"{setup.static_share:g}"
    assert value(command, "--chunked-prefill-size") == str(setup.chunk_tokens)
    assert value(command, "--cuda-graph-max-bs-decode") == str(setup.graph_batch)
    assert value(command, "--tp-size") == "2"


def test_yarn_in_the_words_of_the_release() -> None:
    found = deployment("sglang", QWEN, "rtx-pro-6000", context_tokens=131_072)
    new = json.loads(value(launched(found), "--json-model-override-args") or "")
    old = json.loads(value(launched(of("0.5.9", found)), "--json-model-override-args") or "")
    assert new["rope_parameters"]["rope_theta"] == 1_000_000
    assert old["rope_scaling"]["factor"] == new["rope_parameters"]["factor"] == 3.2
    assert "rope_theta" not in old["rope_scaling"]


def test_weights_that_sglang_does_not_make_need_a_path() -> None:
    found = replace(wanted(), weight_format="awq")
    assert not makes(found)
    with pytest.raises(BadSetting, match="does not make awq"):
        launched(found, Serving(model_path=QWEN, served_name="x"))
    assert value(launched(found, Serving(model_path="/m/awq", served_name="x")), "--quantization") is None


def test_release_numbers() -> None:
    assert release("0.5.9.post1") == (0, 5, 9)
    assert release("") == release("nightly") == (0, 5, 23)


PARSE = """
import argparse, json, sys
from sglang.srt.server_args import ServerArgs
parser = argparse.ArgumentParser()
ServerArgs.add_cli_args(parser)
for words in json.load(sys.stdin):
    told = parser.parse_args(words)
    facts = (told.context_length, told.mem_fraction_static, told.chunked_prefill_size, told.tp_size)
    print(json.dumps(facts))
"""


@pytest.mark.oracle
def test_sglangs_own_parser_reads_the_numbers_of_the_bill() -> None:
    """PLIMSOLL_SGLANG_PYTHON is a Python with SGLang (no GPU is needed to parse)."""
    python = os.environ.get("PLIMSOLL_SGLANG_PYTHON")
    if not python:
        pytest.skip("PLIMSOLL_SGLANG_PYTHON names no Python with SGLang")
    cases = [with_adapters(wanted()), wanted(GPT_OSS), wanted(NEMOTRON)]
    cases += [wanted(model, **{name: other}) for name, (other, model) in OTHER.items()]
    cases += [replace(wanted(), kv_format_k=k, kv_format_v=k) for k in ("bf16", "fp8_e4m3", "fp4_e2m1")]
    cases += [replace(wanted(), weight_format=name) for name in ("fp8", "f16")]
    commands = [
        launched(case, Serving(model_path=case.model.id, served_name="x")).arguments[3:] for case in cases
    ]
    told = subprocess.run(
        [python, "-c", PARSE], input=json.dumps(commands), capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stderr[-2000:]
    read = [json.loads(line) for line in told.stdout.splitlines() if line.startswith("[")]
    setups = [memory.setup_of(case) for case in cases]
    assert read == [[8192, s.static_share, s.chunk_tokens, s.tensor_parallel] for s in setups]
