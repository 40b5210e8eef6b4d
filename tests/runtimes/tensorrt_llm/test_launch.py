"""trtllm-serve's command and its YAML."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from plimsoll.domain.deployment import Deployment, Setting
from plimsoll.domain.launch import Serving
from plimsoll.errors import BadSetting
from plimsoll.runtimes.tensorrt_llm import memory
from plimsoll.runtimes.tensorrt_llm.launch import EXTRA_FILE
from tests.runtimes.deployments import deployment
from tests.runtimes.launched import launched, recorded, refused, value

OTHER: dict[str, Setting] = {
    "free_gpu_memory_fraction": 0.8, "tokens_per_block": 64, "max_batch_size": 64, "max_num_tokens": 4096,
    "pipeline_parallel_size": 2, "max_gpu_total_bytes": 2**34,
}  # fmt: skip
# KvCacheConfig of tensorrt_llm/llmapi/llm_args.py.
KEYS = {"dtype", "tokens_per_block", "max_gpu_total_bytes", "free_gpu_memory_fraction"}


def wanted(*, kv: str = "auto", tokens: int = 8192, **settings: Setting) -> Deployment:
    return deployment(
        "tensorrt_llm", "Qwen/Qwen3-30B-A3B", "2x rtx-pro-6000", split="tensor", context_tokens=tokens, kv=kv,
        **settings,
    )  # fmt: skip


@pytest.mark.parametrize("name", memory.DEFAULTS)
def test_every_setting_reaches_a_command_that_the_server_takes(name: str) -> None:
    options = recorded("tensorrt-llm-00209af149e7")["options"]
    plain, told = launched(wanted()), launched(wanted(**{name: OTHER[name]}))
    assert refused(plain, options) == refused(told, options) == []
    assert (told.flags, told.notes) != (plain.flags, plain.notes)


def test_what_only_the_file_says_stands_in_the_file() -> None:
    command = launched(wanted(kv="fp8", tokens_per_block=64))
    assert value(command, "--extra_llm_api_options") == EXTRA_FILE
    assert value(command, "--kv_cache_free_gpu_memory_fraction") is None
    config = json.loads(command.notes[0].partition(": ")[2])["kv_cache_config"]
    assert config == {"dtype": "fp8", "tokens_per_block": 64, "free_gpu_memory_fraction": 0.9}
    assert set(config) <= KEYS


def test_experts_are_shared_out_over_the_ranks() -> None:
    found = wanted()
    found = replace(found, split=replace(found.split, kind="expert"))
    assert value(launched(found), "--ep_size") == value(launched(found), "--tp_size") == "2"


@pytest.mark.parametrize(
    ("case", "says"),
    [(wanted(kv="int8"), "is not known"), (wanted(tokens=65_536), "beyond 40,960 tokens"),
     (replace(wanted(), weight_format="fp8"), "makes no fp8")],
)  # fmt: skip
def test_what_nothing_says_is_refused(case: Deployment, says: str) -> None:
    with pytest.raises(BadSetting, match=says):
        launched(case, Serving(model_path="Qwen/Qwen3-30B-A3B", served_name="x"))
