"""The model server in a container: its image, the paths inside, how it is asked for its health.

Sources of the image names: docs/deployment/docker.md of vLLM (vllm/vllm-openai:v<release>; --ipc=host or
shared memory for tensor parallelism), docs/docker.md of ggml-org/llama.cpp@30255fcb4dcf and its package page
(server-cuda13-b9445), docs/docs/get-started/install.mdx of SGLang@7760d5264ac1 (lmsysorg/sglang:v0.5.19-cu129
was the last for CUDA 12), NVIDIA's Quick Start Guide of TensorRT-LLM (nvcr.io/nvidia/tensorrt-llm/release).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from plimsoll.domain.deployment import Deployment
from plimsoll.domain.launch import NO_MODEL, NO_MODEL_ELSEWHERE, Command, Flag, LaunchParts, Serving
from plimsoll.errors import BadSetting
from plimsoll.runtimes import formats_of, launch_of
from plimsoll.runtimes.sglang.launch import release as release_of
from plimsoll.runtimes.tensorrt_llm.launch import EXTRA_FILE

RUNTIMES = ("vllm", "llama_cpp", "sglang", "tensorrt_llm")
# What runs on which image where no version is named.
NEWEST = {"vllm": "0.33.0", "sglang": "0.5.23", "tensorrt_llm": "1.2.1"}
_IMAGES = {
    "vllm": "vllm/vllm-openai:v{}", "sglang": "lmsysorg/sglang:v{}",
    "tensorrt_llm": "nvcr.io/nvidia/tensorrt-llm/release:{}",
}  # fmt: skip
_LLAMA_CPP = {"cuda": "server-cuda", "rocm": "server-rocm", "vulkan": "server-vulkan", "sycl": "server-intel"}
_PROGRAMS = {"sglang": ("python3", "-m", "sglang.launch_server"), "llama_cpp": ("/app/llama-server",)}
# The variable from which a server takes the key that clients must send.
KEY_VARIABLES = {"vllm": "VLLM_API_KEY", "llama_cpp": "LLAMA_API_KEY"}
HUB_CACHE = "/root/.cache/huggingface"
MODELS = "/models"
ADAPTERS = "/adapters"
PORT = 8000
_BLACKWELL = 10.0
_SGLANG_CUDA_13 = (0, 5, 20)
_GIGABIT_BYTES_PER_S = 125_000_000
_STARTING_S = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """`image` is '' where no source names one. `model_folder` of the host is mounted at `mounted_at`; it is
    '' for a hub id and where nobody told (`is_told` False). `extra` is what /trtllm.yaml must hold."""

    image: str
    notes: tuple[str, ...]
    command: Command
    is_hub: bool
    is_told: bool
    model_folder: str
    mounted_at: str
    adapters: tuple[tuple[str, str], ...]
    probe: tuple[str, ...]
    extra: str


def contained(parts: LaunchParts) -> Container:
    """The server as it runs in a container, listening to its network on PORT."""
    deployment = parts.deployment
    if any(d.backend == "metal" for d in deployment.machine.devices):
        raise BadSetting(
            "a container on macOS sees no Metal device", hint="leave out --as, and run the command"
        )
    image, notes = image_of(deployment)
    folder, inside, mounted_at = _model(parts)
    is_hub = not folder and inside == parts.serving.model_path
    adapters = tuple(
        (path, f"{ADAPTERS}/{number}") for number, path in enumerate(parts.serving.adapter_paths)
    )
    serving = replace(
        parts.serving, model_path=inside, host="0.0.0.0", port=PORT,
        adapter_paths=tuple(inner for _, inner in adapters),
    )  # fmt: skip
    command = _command(deployment, serving)
    extra = next((n.partition(": ")[2] for n in command.notes if n.startswith(EXTRA_FILE)), "")
    return Container(
        image=image, notes=notes, command=command, is_hub=is_hub, extra=extra,
        is_told=bool(folder) or is_hub, model_folder=folder, mounted_at=mounted_at, adapters=adapters,
        probe=_probe(deployment.runtime.id),
    )  # fmt: skip


def _command(deployment: Deployment, serving: Serving) -> Command:
    """The runtime's command with the paths of the container; the container sees its own devices only."""
    command: Command = launch_of(deployment.runtime.id).command(deployment, serving)
    program = _PROGRAMS.get(deployment.runtime.id, command.program)
    return replace(command, program=program, flags=tuple(map(_inside, command.flags)), environment=())


def _inside(flag: Flag) -> Flag:
    """A flag as it stands in the container."""
    if flag.name == "--host":
        return replace(flag, reason="every address of the container; its published port says who reaches it")
    return replace(flag, value=f"/{EXTRA_FILE}") if flag.value == EXTRA_FILE else flag


def _model(parts: LaunchParts) -> tuple[str, str, str]:
    """(folder of the host, path inside, where the folder is mounted)."""
    path, runtime = parts.serving.model_path, parts.deployment.runtime.id
    if path in (NO_MODEL.get(runtime), NO_MODEL_ELSEWHERE):
        return "", f"{MODELS}/{path}", MODELS
    if path == parts.deployment.model.id and not path.startswith(("/", ".", "~")) and path.count("/") == 1:
        return "", path, HUB_CACHE
    stem, _, name = path.rstrip("/").rpartition("/")
    if runtime == "llama_cpp":
        # Beside a file lie the other parts of a split GGUF.
        folder = stem or ("/" if path.startswith("/") else ".")
        return folder, f"{MODELS}/{name}", MODELS
    folder = path if path.startswith(("/", ".")) else f"./{path}"
    return folder, f"{MODELS}/{name or 'model'}", f"{MODELS}/{name or 'model'}"


def image_of(deployment: Deployment) -> tuple[str, tuple[str, ...]]:
    """The image and what is to be said of it; '' where no source names one for these devices."""
    runtime, version = deployment.runtime.id, deployment.runtime.version
    backends: set[str] = {d.backend for d in deployment.machine.devices}
    if runtime == "llama_cpp":
        return _llama_cpp(deployment, backends)
    numbers = re.fullmatch(r"v?(\d+\.\d+)(\.\d+(?:\.?\w+)?)?", version)
    release = numbers[1] + (numbers[2] or ".0") if numbers else "" if version else NEWEST[runtime]
    if backends != {"cuda"} or not release:
        what = f"{', '.join(sorted(backends)) or 'no'} devices" if backends != {"cuda"} else f"{version!r}"
        return "", (f"no source names a container image of this runtime for {what}",)
    told = "" if version else "; the newest release known, as none was named"
    notes = [f"the image's tag follows the project's scheme{told}"]
    if runtime == "sglang" and release_of(release) >= _SGLANG_CUDA_13:
        notes.append("SGLang's images since 0.5.20 carry CUDA 13, which the driver must know")
    return _IMAGES[runtime].format(release), tuple(notes)


def _llama_cpp(deployment: Deployment, backends: set[str]) -> tuple[str, tuple[str, ...]]:
    if len(backends) > 1:
        return "", ("no image of llama.cpp holds several backends that a source names",)
    tag = _LLAMA_CPP.get(next(iter(backends), ""), "server")
    if tag == "server-cuda" and any(
        float(d.compute_capability or 0) >= _BLACKWELL for d in deployment.machine.devices
    ):
        tag = "server-cuda13"
    version = deployment.runtime.version or formats_of("llama_cpp").RULES_OF
    if not re.fullmatch(r"b\d+", version):
        return "", (f"no source names a container image of llama.cpp {version}",)
    image = f"ghcr.io/ggml-org/llama.cpp:{tag}-{version}"
    return image, (
        f"the image's tag follows the project's scheme; whether {version} was published is not known",
    )


def _probe(runtime: str) -> tuple[str, ...]:
    """A program that ends with 0 once the server answers, with what its image holds."""
    url = f"http://127.0.0.1:{PORT}/health"
    if runtime == "llama_cpp":
        return ("curl", "--fail", "--silent", "--output", "/dev/null", url)
    return ("python3", "-c", f"import urllib.request; urllib.request.urlopen('{url}', timeout=5)")


def weights_bytes(deployment: Deployment) -> int:
    """Bytes of the published tensors, as they lie on a disk."""
    return sum(t.size_bytes for t in deployment.model.tensors)


def startup_seconds(deployment: Deployment) -> int:
    """Seconds until a server is given up: the weights at 1 Gbit/s, and 10 minutes to compile and to capture
    graphs. An upper limit that was chosen, not a measurement."""
    return -(-weights_bytes(deployment) // _GIGABIT_BYTES_PER_S) + _STARTING_S


def slug(name: str) -> str:
    """A name of lower-case letters, digits and dashes, at most 40, as services and units are called."""
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower())[:40].strip("-")
    return plain if plain[:1].isalpha() else f"model-{plain}".strip("-")


def gpu_numbers(deployment: Deployment) -> tuple[str, ...]:
    """The places of the used devices in the machine, as drivers count them, in the order of the split."""
    devices = deployment.machine.devices
    if not devices:
        return ()
    used = deployment.split.devices or tuple(d.id for d in devices)
    if deployment.split.kind == "none":
        used = used[:1]
    places = {d.id: str(i) for i, d in enumerate(devices)}
    return tuple(places[i] for i in used if i in places)


def keeps_numbers(deployment: Deployment) -> bool:
    """Whether the server must see the cards under the machine's own numbers: llama.cpp's flags name them, and
    others tell their order by them."""
    used = gpu_numbers(deployment)
    return deployment.runtime.id == "llama_cpp" or list(used) != sorted(used, key=int)


def ranks_count(deployment: Deployment) -> int:
    """Processes that share memory: one for each device but in llama.cpp, which is a single process."""
    return 1 if deployment.runtime.id == "llama_cpp" else len(gpu_numbers(deployment))
