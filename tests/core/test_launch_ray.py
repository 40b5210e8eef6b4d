"""serve.yaml for Ray Serve LLM: vLLM's own flags as keyword arguments."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from plimsoll.domain.deployment import Deployment, Split
from plimsoll.domain.launch import Serving
from plimsoll.errors import BadSetting
from tests.core.launch_files import HOSTILE, made, of, wanted, with_adapter
from tests.runtimes.deployments import deployment
from tests.runtimes.launched import recorded

CHECK = """
import sys, yaml
from ray.serve.schema import ServeDeploySchema
from ray.llm._internal.serve.core.configs.llm_config import LLMConfig
found = yaml.safe_load(open(sys.argv[1]))
ServeDeploySchema.model_validate(found)
for each in found["applications"][0]["args"]["llm_configs"]:
    print(LLMConfig.model_validate(each).model_id)
"""


def config(found: Deployment, serving: Serving | None = None) -> dict[str, Any]:
    read = yaml.safe_load(made("ray", found, serving).files[0].text)
    (application,) = read["applications"]
    assert application["import_path"] == "ray.serve.llm:build_openai_app"
    (one,) = application["args"]["llm_configs"]
    return one  # type: ignore[no-any-return]


def test_arguments_are_the_flags_of_vllm() -> None:
    one = config(wanted())
    options = recorded("vllm-0.26.0")["options"] | recorded("vllm-0.31.0")["options"]
    for name, value in one["engine_kwargs"].items():
        takes = options["--" + name.replace("_", "-")]
        if takes == "switch":
            assert isinstance(value, bool)
        elif takes in ("int", "float"):
            assert isinstance(value, int | float)
    assert one["engine_kwargs"]["tensor_parallel_size"] == 2
    assert not {"model", "served_model_name", "host", "port"} & set(one["engine_kwargs"])


def test_switches_and_objects() -> None:
    found = replace(wanted(), settings={"enable_prefix_caching": False})
    assert config(found)["engine_kwargs"]["enable_prefix_caching"] is False
    long = deployment("vllm", "Qwen/Qwen3-8B", "rtx-pro-6000", context_tokens=65_536)
    assert config(long)["engine_kwargs"]["hf_overrides"]["max_position_embeddings"] == 65_536


def test_one_bundle_for_each_device() -> None:
    found = replace(wanted(on="4x rtx-3090"), split=Split(kind="pipeline"))
    assert config(found)["placement_group_config"]["bundles"] == [{"CPU": 1, "GPU": 1}] * 4
    assert config(found)["engine_kwargs"]["pipeline_parallel_size"] == 4


def test_what_ray_carries_is_said() -> None:
    assert any("vLLM 0.29.0" in note for note in made("ray", wanted()).notes)
    assert not any("vLLM 0.29.0" in note for note in made("ray", of("0.29.0", wanted())).notes)
    with pytest.raises(BadSetting, match="storage path"):
        made("ray", with_adapter(wanted()))


@pytest.mark.oracle
def test_rays_own_models_take_it(tmp_path: Path) -> None:
    """PLIMSOLL_RAY_PYTHON is a Python that has ray[serve]==2.60.0 and pyarrow."""
    python = os.environ.get("PLIMSOLL_RAY_PYTHON")
    if not python:
        pytest.skip("PLIMSOLL_RAY_PYTHON names no Python with Ray")
    hostile = Serving(model_path="/m/" + "".join(HOSTILE[:-1]), served_name="".join(HOSTILE[:-1]))
    for serving in (Serving(model_path="Qwen/Qwen3-30B-A3B", served_name="qwen"), hostile):
        path = tmp_path / "serve.yaml"
        path.write_text(made("ray", wanted(), serving).files[0].text, "utf-8")
        told = subprocess.run([python, "-c", CHECK, str(path)], check=False, capture_output=True, text=True)
        assert told.returncode == 0, told.stderr[-2000:]
        assert told.stdout == serving.served_name + "\n"
