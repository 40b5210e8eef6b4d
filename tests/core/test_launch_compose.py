"""compose.yaml: what a reader of the Compose format finds in it, whatever the names hold."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from plimsoll.core.launch_container import image_of, slug, startup_seconds
from plimsoll.domain.deployment import Deployment
from plimsoll.domain.launch import Serving
from plimsoll.errors import BadSetting
from tests.core.launch_files import HOSTILE, made, of, parts, text_of, wanted, with_adapter
from tests.runtimes.deployments import deployment

RUNTIMES = ("vllm", "sglang", "llama_cpp", "tensorrt_llm")
_VARIABLE = re.compile(r"\$(?:\$|\{(\w+):[?-][^}]*\}|\{?\w)")
HOSTILE_SERVING = Serving(
    model_path="/m/" + "".join(HOSTILE[:-1]), served_name="".join(HOSTILE[:-1]), adapter_paths=("/a/$x: y",)
)


def services(runtime: str, serving: Serving | None = None, on: str = "2x rtx-pro-6000") -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(
        text_of(made("compose", wanted(runtime, on=on), serving), "compose.yaml")
    )
    return found["services"]  # type: ignore[no-any-return]


def plain(text: str) -> str:
    """Text after Compose's interpolation, where nothing but $$ may be replaced."""
    kinds = {m.group(0) for m in _VARIABLE.finditer(text)}
    assert kinds <= {"$$"}, kinds
    return text.replace("$$", "$")


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_the_server_gets_the_command_word_by_word(runtime: str) -> None:
    for serving in (None, HOSTILE_SERVING):
        model = services(runtime, serving)["model"]
        words = [plain(w) for w in (*model["entrypoint"], *model["command"])]
        name = (serving or parts(wanted(runtime, on="2x rtx-pro-6000")).serving).served_name
        if runtime not in ("tensorrt_llm",):
            assert name in words
        assert words[words.index("--host") + 1] == "0.0.0.0"
        assert all(isinstance(word, str) for word in words)


def test_only_this_machine_reaches_the_ports() -> None:
    found = services("vllm")
    ports = [port for service in found.values() for port in service["ports"]]
    assert ports == ["127.0.0.1:8000:8000", "127.0.0.1:3000:8080", "127.0.0.1:5678:5678"]
    other = Serving(model_path="Qwen/Qwen3-30B-A3B", served_name="x", host="::", port=9000)
    assert services("vllm", other)["model"]["ports"] == ["[::]:9000:8000"]


def test_secrets_stand_in_their_own_file_only() -> None:
    files = made("compose", wanted())
    compose, secrets = text_of(files, "compose.yaml"), text_of(files, "secrets.env.example")
    told = set(re.findall(r"\$\{(\w+):\?", compose))
    assert told == {"MODEL_API_KEY", "WEBUI_SECRET_KEY", "N8N_ENCRYPTION_KEY"}
    empty = set(re.findall(r"^(\w+)=$", secrets, re.MULTILINE))
    assert told | {"HF_TOKEN"} == empty
    # What was filled in is not written over.
    assert "secrets.env" not in {file.name for file in files.files}
    found = yaml.safe_load(compose)["services"]
    assert found["open-webui"]["environment"]["OPENAI_API_BASE_URL"] == "http://model:8000/v1"


def test_devices_and_shared_memory() -> None:
    two, one = services("vllm")["model"], services("vllm", on="rtx-pro-6000")["model"]
    reserved = two["deploy"]["resources"]["reservations"]["devices"]
    assert reserved == [{"driver": "nvidia", "device_ids": ["0", "1"], "capabilities": ["gpu"]}]
    assert two["ipc"] == "host"
    assert "ipc" not in one
    assert "ipc" not in services("llama_cpp")["model"]
    radeon = services("llama_cpp", on="rx-7900-xtx")["model"]
    assert radeon["devices"] == ["/dev/kfd", "/dev/dri"]
    assert "deploy" not in radeon


def test_cards_keep_their_numbers_where_flags_or_the_order_name_them() -> None:
    machine = wanted(on="3x rtx-3090")
    some = replace(machine, split=replace(machine.split, kind="pipeline", devices=("gpu0", "gpu2")))
    turned = replace(some, split=replace(some.split, devices=("gpu2", "gpu0")))

    def model(found: Deployment) -> tuple[list[str], str | None]:
        read = yaml.safe_load(text_of(made("compose", found), "compose.yaml"))["services"]["model"]
        (reserved,) = read["deploy"]["resources"]["reservations"]["devices"]
        return reserved["device_ids"], read["environment"].get("CUDA_VISIBLE_DEVICES")

    assert model(some) == (["0", "2"], None)
    assert model(turned) == (["0", "1", "2"], "2,0")
    # llama.cpp says CUDA2 in its own flags.
    llama = wanted("llama_cpp", on="3x rtx-3090")
    chosen = replace(llama, split=replace(llama.split, kind="layer", devices=("gpu2",)))
    assert model(chosen) == (["0", "1", "2"], None)
    with pytest.raises(BadSetting, match="Kubernetes chooses"):
        made("kubernetes", chosen)


def test_a_local_model_is_mounted_and_a_hub_id_is_kept_in_a_volume() -> None:
    hub, local = services("vllm")["model"], services("vllm", HOSTILE_SERVING)["model"]
    assert hub["volumes"] == [{"type": "volume", "source": "hub-cache", "target": "/root/.cache/huggingface"}]
    mount = local["volumes"][0]
    assert mount["read_only"] is True
    assert plain(mount["source"]) == HOSTILE_SERVING.model_path
    assert local["entrypoint"][-1] == mount["target"]
    file = Serving(model_path="/m/x-00001-of-00003.gguf", served_name="x")
    model = services("llama_cpp", file)["model"]
    assert model["volumes"][0]["source"] == "/m"
    assert "/models/x-00001-of-00003.gguf" in model["command"]
    untold = made("compose", wanted("llama_cpp"), Serving(model_path="MODEL.gguf", served_name="x"))
    assert "${MODEL_FOLDER:?" in text_of(untold, "compose.yaml")
    assert "MODEL_FOLDER=\n" in text_of(untold, "secrets.env.example")


def test_adapters_are_mounted_where_the_command_looks() -> None:
    found = with_adapter(wanted())
    serving = Serving(model_path=found.model.id, served_name="x", adapter_paths=("/a/$x: y",))
    model = yaml.safe_load(text_of(made("compose", found, serving), "compose.yaml"))["services"]["model"]
    assert {"type": "bind", "source": "/a/$$x: y", "target": "/adapters/0", "read_only": True} in model[
        "volumes"
    ]
    told = next(word for word in model["command"] if word.startswith("{"))
    assert json.loads(told) == {"name": "my-lora", "path": "/adapters/0"}


def test_images_are_named_with_a_tag_or_not_at_all() -> None:
    assert image_of(wanted())[0] == "vllm/vllm-openai:v0.33.0"
    assert image_of(of("0.20.2", wanted()))[0] == "vllm/vllm-openai:v0.20.2"
    assert image_of(of("0.31", wanted()))[0] == "vllm/vllm-openai:v0.31.0"
    assert image_of(of("0.5.23", wanted("sglang")))[0] == "lmsysorg/sglang:v0.5.23"
    assert "CUDA 13" in image_of(of("0.5.20", wanted("sglang")))[1][1]
    assert len(image_of(of("0.5.19", wanted("sglang")))[1]) == 1
    assert image_of(of("nightly 2026-05", wanted()))[0] == ""
    assert image_of(wanted("llama_cpp"))[0].startswith("ghcr.io/ggml-org/llama.cpp:server-cuda-b")
    assert ":server-cuda13-b" in image_of(wanted("llama_cpp", on="rtx-pro-6000"))[0]
    assert ":server-rocm-b" in image_of(wanted("llama_cpp", on="rx-7900-xtx"))[0]
    radeon = made("compose", deployment("vllm", "Qwen/Qwen3-8B", "rx-7900-xtx", context_tokens=4096))
    assert "${MODEL_SERVER_IMAGE:?" in text_of(radeon, "compose.yaml")
    assert any("no source names" in note for note in radeon.notes)
    for runtime in RUNTIMES:
        assert not image_of(wanted(runtime, on="2x rtx-pro-6000"))[0].endswith(":latest")


def test_what_no_option_says_is_written_beside() -> None:
    found = replace(wanted("tensorrt_llm", on="2x rtx-pro-6000"), kv_format_k="fp8", kv_format_v="fp8")
    files = made("compose", found)
    assert yaml.safe_load(text_of(files, "trtllm.yaml"))["kv_cache_config"]["dtype"] == "fp8"
    model = yaml.safe_load(text_of(files, "compose.yaml"))["services"]["model"]
    assert "/trtllm.yaml" in model["command"]
    assert {"type": "bind", "source": "./trtllm.yaml", "target": "/trtllm.yaml", "read_only": True} in model[
        "volumes"
    ]


def test_a_mac_runs_no_container_with_its_device() -> None:
    found = deployment(
        "llama_cpp",
        "Qwen/Qwen3-8B",
        "mac-studio-m2-ultra-192gb",
        weights="q4_k_m",
        kv="f16",
        context_tokens=4096,
    )
    with pytest.raises(BadSetting, match="no Metal device"):
        made("compose", found)


def test_time_to_start_grows_with_the_weights() -> None:
    small = deployment("vllm", "Qwen/Qwen3-8B", "rtx-3090", context_tokens=4096)
    size = sum(t.size_bytes for t in small.model.tensors)
    assert startup_seconds(small) == 600 + -(-size // 125_000_000)


@pytest.mark.parametrize("name", [*HOSTILE, "", "9b", "Qwen3-30B-A3B", "x" * 90])
def test_names_of_services_are_plain(name: str) -> None:
    assert re.fullmatch(r"[a-z]([a-z0-9-]{0,45}[a-z0-9])?", slug(name))


@pytest.mark.oracle
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_the_schema_and_the_program_take_it(runtime: str, tmp_path: Path) -> None:
    """PLIMSOLL_COMPOSE_SCHEMA is schema/compose-spec.json of compose-spec/compose-spec; docker-compose 1.29
    knows all but `name`."""
    jsonschema = pytest.importorskip("jsonschema")
    where = os.environ.get("PLIMSOLL_COMPOSE_SCHEMA")
    program = shutil.which("docker-compose")
    if not where or not program:
        pytest.skip("no schema or no docker-compose")
    schema = json.loads(Path(where).read_text("utf-8"))
    for serving in (None, HOSTILE_SERVING):
        files = made("compose", wanted(runtime, on="2x rtx-pro-6000"), serving)
        text = text_of(files, "compose.yaml")
        found = yaml.safe_load(text)
        jsonschema.Draft7Validator(schema).validate(found)
        nameless = re.sub("^name: .*\n", "", text)
        (tmp_path / "compose.yaml").write_text(nameless, "utf-8")
        secrets = re.sub("=$", "=/x", text_of(files, "secrets.env.example"), flags=re.MULTILINE)
        (tmp_path / "secrets.env").write_text(secrets, "utf-8")
        told = subprocess.run(
            [program, "--env-file", "secrets.env", "-f", "compose.yaml", "config"], cwd=tmp_path, check=True,
            capture_output=True, text=True,
        )  # fmt: skip
        model = yaml.safe_load(told.stdout)["services"]["model"]
        # It prints what it read, with dollar signs doubled again.
        assert model["command"] == found["services"]["model"]["command"]
        assert model["entrypoint"] == found["services"]["model"]["entrypoint"]
