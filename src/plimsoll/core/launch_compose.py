"""Docker Compose: the model server with Open WebUI and n8n beside it.

Sources: compose-spec/compose-spec@170098ba07d9 (schema, `$$` for a dollar sign, ${VAR:?text} for what must be
told); open_webui/config.py, env.py and main.py of Open WebUI 0.12.4 (OPENAI_API_BASE_URL, OPENAI_API_KEY,
ENABLE_OLLAMA_API, WEBUI_SECRET_KEY, /health); n8n's hosting documentation (N8N_ENCRYPTION_KEY, /healthz,
/home/node/.n8n).
"""

from __future__ import annotations

from plimsoll.core.launch_container import (
    HUB_CACHE,
    KEY_VARIABLES,
    PORT,
    RUNTIMES,
    Container,
    contained,
    gpu_numbers,
    keeps_numbers,
    ranks_count,
    slug,
    startup_seconds,
)
from plimsoll.core.yaml_text import Noted, Value, document
from plimsoll.domain.launch import LaunchFile, LaunchFiles, LaunchParts
from plimsoll.runtimes.tensorrt_llm.launch import EXTRA_FILE
from plimsoll.units import format_bytes

__all__ = ["RUNTIMES", "files"]

SECRETS = "secrets.env"
# Written under another name: files written anew must not take keys that were filled in.
_TEMPLATE = "secrets.env.example"
_OPEN_WEBUI = "ghcr.io/open-webui/open-webui:v0.12.4"
_N8N = "docker.n8n.io/n8nio/n8n:2.41.3"
_SECRETS_TEXT = """\
# Secrets of compose.yaml: copy this file to secrets.env and fill in what is empty.
# A key may be the output of: openssl rand -hex 32. Keep the copy to yourself: chmod 600 secrets.env
# What Open WebUI and n8n send to the model server:
MODEL_API_KEY=
# Signs the sessions of Open WebUI:
WEBUI_SECRET_KEY=
# Encrypts the credentials stored in n8n; without it they cannot be read again:
N8N_ENCRYPTION_KEY=
# Only for gated models of the Hugging Face hub:
HF_TOKEN=
"""


def files(parts: LaunchParts) -> LaunchFiles:
    """compose.yaml and the template of its secrets; ports are open to this machine only."""
    made = contained(parts)
    name = slug(parts.serving.served_name)
    services: dict[str, Value] = {
        "model": Noted(_model(parts, made), _what(parts)),
        "open-webui": Noted(_open_webui(made), "Chat in a browser: http://127.0.0.1:3000"),
        "n8n": Noted(_n8n(), "Automation in a browser: http://127.0.0.1:5678"),
    }
    volumes: dict[str, Value] = {"open-webui": {}, "n8n": {}}
    if made.is_hub:
        volumes = {"hub-cache": {}, **volumes}
    text = document({"name": f"plimsoll-{name}", "services": services, "volumes": volumes})
    wanted = [
        LaunchFile(name="compose.yaml", text=text, reason="the services"),
        LaunchFile(name=_TEMPLATE, text=_secrets(made), reason=f"copy it to {SECRETS} and fill it in"),
    ]
    if made.extra:
        reason = "what no option of trtllm-serve says (JSON is YAML)"
        wanted.append(LaunchFile(name=EXTRA_FILE, text=made.extra + "\n", reason=reason))
    return LaunchFiles(
        files=tuple(wanted), start=("docker", "compose", "--env-file", SECRETS, "up", "-d", "--wait"),
        notes=tuple(_notes(parts, made)),
    )  # fmt: skip


def _what(parts: LaunchParts) -> str:
    promised = [f"{t.name}: {format_bytes(t.used_bytes)}" for t in parts.promise.devices]
    return f"{parts.deployment.model.id}. Promised by plimsoll fit: {', '.join(promised)}"


def _text(text: str) -> str:
    """Text that Compose reads as it is: a dollar sign would start a variable."""
    return text.replace("$", "$$")


def _model(parts: LaunchParts, made: Container) -> dict[str, Value]:
    deployment = parts.deployment
    image: Value = _text(made.image) or "${MODEL_SERVER_IMAGE:?name an image: no source names one}"
    service: dict[str, Value] = {
        "image": Noted(image, "; ".join(made.notes)), "restart": "unless-stopped",
        "entrypoint": [_text(word) for word in made.command.program],
        "command": _flags(made), "environment": _environment(parts, made),
        "ports": [Noted(f"{_address(parts.serving.host)}{parts.serving.port}:{PORT}", _reach(parts))],
        "volumes": _volumes(made),
    }  # fmt: skip
    if deployment.machine.devices:
        service |= _devices(parts)
    if ranks_count(deployment) > 1:
        service["ipc"] = Noted("host", "the ranks of one model exchange data through shared memory")
    seconds = startup_seconds(deployment)
    service["healthcheck"] = {
        "test": ["CMD", *(_text(word) for word in made.probe)],
        "interval": "30s", "timeout": "10s", "retries": 3,
        "start_period": Noted(f"{seconds}s", "the weights at 1 Gbit/s and 10 minutes to start; a slower "
                              "download needs more"),
    }  # fmt: skip
    return service


def _reach(parts: LaunchParts) -> str:
    is_local = parts.serving.host in ("127.0.0.1", "localhost", "::1")
    return "open to this machine only" if is_local else "open to other machines, as asked"


def _address(host: str) -> str:
    """The part of a port mapping before the port: IPv6 stands in brackets."""
    host = "127.0.0.1" if host == "localhost" else host
    return f"[{host}]:" if ":" in host else f"{_text(host)}:"


def _flags(made: Container) -> list[Value]:
    found: list[Value] = []
    for flag in made.command.flags:
        words = [_text(word) for word in (flag.name, flag.value) if word]
        found += [Noted(words[0], flag.reason) if flag.reason else words[0], *words[1:]]
    return found


def _environment(parts: LaunchParts, made: Container) -> dict[str, Value]:
    found: dict[str, Value] = {}
    if keeps_numbers(parts.deployment):
        found |= {f.name: Noted(_text(f.value), f.reason) for f in parts.command.environment}
    if variable := KEY_VARIABLES.get(parts.deployment.runtime.id):
        found[variable] = "${MODEL_API_KEY:?fill in " + SECRETS + "}"
    if made.is_hub:
        found["HF_TOKEN"] = "${HF_TOKEN:-}"
    return found


def _volumes(made: Container) -> list[Value]:
    found: list[Value] = []
    if made.is_hub:
        found.append({"type": "volume", "source": "hub-cache", "target": HUB_CACHE})
    else:
        source = _text(made.model_folder) if made.is_told else "${MODEL_FOLDER:?tell where the model lies}"
        found.append(_bind(source, made.mounted_at))
    found += [_bind(_text(path), inside) for path, inside in made.adapters]
    if made.extra:
        found.append(_bind(f"./{EXTRA_FILE}", f"/{EXTRA_FILE}"))
    return found


def _bind(source: str, target: str) -> dict[str, Value]:
    if not source.startswith(("/", ".", "~", "$")):
        source = f"./{source}"
    return {"type": "bind", "source": source, "target": _text(target), "read_only": True}


def _devices(parts: LaunchParts) -> dict[str, Value]:
    deployment = parts.deployment
    numbers = gpu_numbers(deployment)
    backend = deployment.machine.devices[0].backend
    if backend == "cuda":
        count = len(deployment.machine.devices)
        given = tuple(map(str, range(count))) if keeps_numbers(deployment) else numbers
        reserved = {"driver": "nvidia", "device_ids": list(given), "capabilities": ["gpu"]}
        note = f"{len(given)} of {count} cards, as nvidia-smi counts them"
        devices: Value = [Noted(reserved, note)]
        return {"deploy": {"resources": {"reservations": {"devices": devices}}}}
    nodes = ["/dev/kfd", "/dev/dri"] if backend == "rocm" else ["/dev/dri"]
    groups: Value = ["${VIDEO_GROUP:?getent group video | cut -d: -f3}",
                     "${RENDER_GROUP:?getent group render | cut -d: -f3}"]  # fmt: skip
    return {"devices": list(nodes), "group_add": Noted(groups, "numbers: the image knows no names of groups")}


def _open_webui(made: Container) -> dict[str, Value]:
    return {
        "image": _OPEN_WEBUI, "restart": "unless-stopped",
        "depends_on": {"model": {"condition": "service_healthy"}},
        "environment": {
            "OPENAI_API_BASE_URL": f"http://model:{PORT}/v1",
            "OPENAI_API_KEY": "${MODEL_API_KEY:?fill in " + SECRETS + "}",
            "ENABLE_OLLAMA_API": "false",
            "WEBUI_SECRET_KEY": "${WEBUI_SECRET_KEY:?fill in " + SECRETS + "}",
        },
        "ports": ["127.0.0.1:3000:8080"],
        "volumes": [{"type": "volume", "source": "open-webui", "target": "/app/backend/data"}],
        "healthcheck": {
            "test": ["CMD", "curl", "--fail", "--silent", "--output", "/dev/null", "http://127.0.0.1:8080/health"],
            "interval": "30s", "timeout": "10s", "retries": 5, "start_period": "120s",
        },
    }  # fmt: skip


def _n8n() -> dict[str, Value]:
    ask = (
        "fetch('http://127.0.0.1:5678/healthz').then(r => process.exit(r.ok ? 0 : 1), () => process.exit(1))"
    )
    return {
        "image": _N8N, "restart": "unless-stopped",
        "environment": {
            "N8N_ENCRYPTION_KEY": "${N8N_ENCRYPTION_KEY:?fill in " + SECRETS + "}",
            "N8N_DIAGNOSTICS_ENABLED": "false",
        },
        "ports": ["127.0.0.1:5678:5678"],
        "volumes": [{"type": "volume", "source": "n8n", "target": "/home/node/.n8n"}],
        "healthcheck": {
            "test": ["CMD", "node", "-e", ask], "interval": "30s", "timeout": "10s", "retries": 5,
            "start_period": "60s",
        },
    }  # fmt: skip


def _secrets(made: Container) -> str:
    lines = [_SECRETS_TEXT]
    if not made.image:
        lines.append("# An image that holds the model server:\nMODEL_SERVER_IMAGE=\n")
    if not made.is_told:
        lines.append(f"# The folder that is mounted at {made.mounted_at}:\nMODEL_FOLDER=\n")
    return "".join(lines)


def _notes(parts: LaunchParts, made: Container) -> list[str]:
    found = list(made.notes) if not made.image else []
    found.append(f"before the start: copy {_TEMPLATE} to {SECRETS} and fill it in")
    found.append(
        f"in n8n, add an OpenAI credential with the base URL http://model:{PORT}/v1 and MODEL_API_KEY"
    )
    if parts.deployment.runtime.id not in KEY_VARIABLES:
        found.append("this server asks clients for no key; only the containers and this machine reach it")
    folder = made.model_folder
    if folder and not folder.startswith("/"):
        found.append(f"{folder} is taken from where compose.yaml lies")
    return found
