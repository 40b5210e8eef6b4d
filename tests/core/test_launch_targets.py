"""Files for llama-server as a router, Ollama and LM Studio: what they hold, and what they cannot say."""

from __future__ import annotations

import configparser
import json
import re
from typing import Any

import pytest

from plimsoll.ask.fit import FitQuestion
from plimsoll.ask.launch import LaunchQuestion, launch
from plimsoll.domain.launch import LaunchAnswer
from plimsoll.errors import BadSetting

FLAGS = {"m", "c", "np", "ngl", "fa", "ctk", "ctv", "b", "ub", "fit", "jinja", "lv"}


def answer(target: str, on: str = "rtx-3090 + 64GiB ram", **more: Any) -> LaunchAnswer:
    own = {k: more.pop(k) for k in ("model_path", "served_name") if k in more}
    fields = {"runtime": "llama.cpp", "weights": "q4_k_m", "context_tokens": 8192, "offline": True, **more}
    question = FitQuestion(models=("Qwen/Qwen3-30B-A3B",), on=on, **fields)
    own = {"model_path": "/models/a b.gguf", **own}
    return launch(LaunchQuestion(fit=question, target=target, **own))


def test_a_preset_holds_every_flag_but_the_routers() -> None:
    found = answer("preset", parallel_sequences_count=2)
    (file,) = found.files
    ini = configparser.ConfigParser(comment_prefixes=(";",))
    ini.read_string("[top]\n" + file.text)
    section = dict(ini["Qwen3-30B-A3B"])
    assert section.keys() >= FLAGS
    assert not {"host", "port", "alias"} & section.keys()
    assert (section["c"], section["np"], section["m"]) == ("16384", "2", "/models/a b.gguf")
    assert found.start[:3] == ("llama-server", "--models-preset", "presets.ini")
    assert found.command is None


def test_patterns_are_joined_in_one_key() -> None:
    text = answer("preset", overrides=(("up", "CPU"), ("gate", "CPU"))).files[0].text
    assert "ot = up=CPU,gate=CPU\n" in text


@pytest.mark.parametrize(
    "wrong",
    [{"model_path": "/a;b.gguf"}, {"model_path": "/a#b.gguf"}, {"served_name": "a]b"}, {"served_name": "*"},
     {"runtime": "llama.cpp==b6400"}],
)  # fmt: skip
def test_what_a_preset_cannot_hold_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(BadSetting):
        answer("preset", **wrong)


def test_a_modelfile_says_the_context_of_one_sequence_and_the_server_how_many() -> None:
    found = answer("modelfile", parallel_sequences_count=4, kv="q8_0", cpu_expert_layers_count=8)
    modelfile, variables = found.files
    said = dict(re.findall(r"^PARAMETER (\w+) (\S+)$", modelfile.text, re.MULTILINE))
    assert said == {"num_ctx": "8192", "num_batch": "512", "num_gpu": "999"}
    assert modelfile.text.startswith("FROM /models/a b.gguf\n")
    values = dict(re.findall(r"^(\w+)=(.*)$", variables.text, re.MULTILINE))
    assert values["OLLAMA_NUM_PARALLEL"] == "4"
    assert values["OLLAMA_KV_CACHE_TYPE"] == "q8_0"
    assert values["LLAMA_ARG_FIT"] == "off"
    assert values["LLAMA_ARG_N_CPU_MOE"] == "8"
    assert found.start == ("ollama", "create", "qwen3-30b-a3b", "-f", "Modelfile")


def test_every_shard_is_named() -> None:
    text = answer("modelfile", model_path="/m/x-00001-of-00003.gguf").files[0].text
    assert re.findall(r"^FROM (.*)$", text, re.MULTILINE) == [
        f"/m/x-0000{i}-of-00003.gguf" for i in (1, 2, 3)
    ]


@pytest.mark.parametrize(
    "wrong",
    [{"kv": "q8_0/q4_0"}, {"kv": "bf16"}, {"context_tokens": 81920}, {"model_path": "/a\nb.gguf"},
     {"settings": {"op_offload": False}}],
)  # fmt: skip
def test_what_ollama_cannot_be_told_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(BadSetting):
        answer("modelfile", **wrong)


def test_lm_studio_gets_its_own_keys() -> None:
    (file,) = answer("lm-studio", kv="q8_0", gpu_layers_count=24).files
    found = json.loads(file.text)
    fields = {field["key"]: field["value"] for field in found["load"]["fields"]}
    assert fields["llm.load.contextLength"] == 8192
    assert fields["llm.load.llama.acceleration.offloadRatio"] == round(24 / 49, 4)
    assert fields["llm.load.llama.kCacheQuantizationType"] == {"checked": True, "value": "q8_0"}
    assert found.keys() == {"preset", "operation", "load"}


@pytest.mark.parametrize(
    "wrong",
    [{"parallel_sequences_count": 2}, {"cpu_expert_layers_count": 4}, {"overrides": (("exps", "CPU"),)},
     {"context_tokens": 81920}, {"on": "rtx-3090, rtx-4060-ti-16gb, 64GiB ram"}, {"kv": "bf16"}],
)  # fmt: skip
def test_what_lm_studio_has_no_setting_for_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(BadSetting):
        answer("lm-studio", **wrong)


@pytest.mark.parametrize("target", ["preset", "modelfile", "lm-studio"])
def test_another_runtime_is_not_forced_into_them(target: str) -> None:
    with pytest.raises(BadSetting, match=r"llama\.cpp"):
        answer(target, runtime="vllm", weights="", on="rtx-pro-6000")
