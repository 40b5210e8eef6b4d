"""A systemd unit that keeps a model server running.

Sources: systemd.syntax(7) (comments between continued lines), systemd.service(5) (quoting of ExecStart, two
dollar signs for one), systemd.unit(5) (`%%`), systemd.exec(5) (sandboxing) of systemd 252.
"""

from __future__ import annotations

from plimsoll.core.launch_container import slug
from plimsoll.domain.launch import Command, Flag, LaunchFile, LaunchFiles, LaunchParts
from plimsoll.units import format_bytes

RUNTIMES = ("llama_cpp", "vllm", "sglang", "tensorrt_llm", "exllama", "transformers")

_HARDENING = """\
DynamicUser=yes
NoNewPrivileges=yes
PrivateTmp=yes
ProtectSystem=strict
ProtectHome=read-only
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
LockPersonality=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
SystemCallArchitectures=native
CapabilityBoundingSet=
UMask=0077
"""


_CARD_NOTES = {
    "cuda": (
        "NoNewPrivileges keeps nvidia-modprobe(1), a setuid program, from making /dev/nvidia-uvm: have "
        "nvidia-persistenced run, or call nvidia-modprobe -u -c=0 at boot",
    )
}


def files(parts: LaunchParts) -> LaunchFiles:
    """The unit and the file of its secrets and paths."""
    name = f"plimsoll-{slug(parts.serving.served_name)}"
    promised = ", ".join(f"{t.name}: {format_bytes(t.used_bytes)}" for t in parts.promise.devices)
    backend = parts.deployment.machine.devices[0].backend if parts.deployment.machine.devices else ""
    groups = ""
    if backend in ("rocm", "vulkan", "sycl"):
        groups = "# The groups that may use the card\nSupplementaryGroups=video render\n"
    text = (
        f"# {_shown(parts.deployment.model.id)}. Promised by plimsoll fit: {_shown(promised)}\n"
        "[Unit]\n"
        f"Description={_specifiers(_shown(parts.serving.served_name))} on {parts.deployment.runtime.id}\n"
        "Wants=network-online.target\nAfter=network-online.target\n"
        "StartLimitIntervalSec=600\nStartLimitBurst=5\n"
        "\n[Service]\nType=exec\n"
        + "".join(_variable(flag) for flag in parts.command.environment)
        + f"Environment=HF_HOME=%S/{name}/huggingface\nStateDirectory={name}\nWorkingDirectory=%S/{name}\n"
        "# PATH and secrets; the dash lets it be missing\n"
        f"EnvironmentFile=-/etc/plimsoll/{name}.env\n"
        f"ExecStart={_start(parts.command)}\n"
        "Restart=on-failure\nRestartSec=10\n"
        f"{groups}"
        "# What the server does not need; MemoryDenyWriteExecute would stop kernels from being compiled\n"
        f"{_HARDENING}"
        "\n[Install]\nWantedBy=multi-user.target\n"
    )
    unit = LaunchFile(name=f"{name}.service", text=text, reason="for /etc/systemd/system")
    environment = LaunchFile(
        name=f"{name}.env", text=_ENVIRONMENT, reason="for /etc/plimsoll, readable by root"
    )
    return LaunchFiles(
        files=(unit, environment), start=("systemctl", "enable", "--now", f"{name}.service"),
        notes=(
            f"copy {name}.service to /etc/systemd/system and {name}.env to /etc/plimsoll, then: "
            "systemctl daemon-reload",
            "the server runs as a user of its own: what it loads must be readable by all, and paths absolute",
            *_CARD_NOTES.get(backend, ()),
        ),
    )  # fmt: skip


_ENVIRONMENT = """\
# Where the program is found; of a virtual environment its bin folder comes first.
PATH=/usr/local/bin:/usr/bin:/bin
# Only for gated models of the Hugging Face hub:
# HF_TOKEN=
"""


def _start(command: Command) -> str:
    """env finds the program in PATH; each flag stands on a line of its own under its reason."""
    lines = [" ".join(["/usr/bin/env", "--", *map(quoted, command.program)])]
    for flag in command.flags:
        reason = f"# {_shown(flag.reason)}\n" if flag.reason else ""
        lines.append(f"{reason}    {' '.join(quoted(w) for w in (flag.name, flag.value) if w)}")
    return " \\\n".join(lines)


def _variable(flag: Flag) -> str:
    return f"# {_shown(flag.reason)}\nEnvironment={_assigned(flag)}\n"


def _assigned(flag: Flag) -> str:
    """One quoted assignment; Environment= expands no dollar signs."""
    return quoted(f"{flag.name}={flag.value}").replace("$$", "$")


def quoted(word: str) -> str:
    """A word as ExecStart reads it back: quoted, with specifiers and variables switched off."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"')
    escaped = "".join(c if c.isprintable() else _hex(c) for c in escaped)
    return f'"{_specifiers(escaped).replace("$", "$$")}"'


def _hex(character: str) -> str:
    """C escapes of the bytes: systemd knows \\xNN, and takes \\u only for characters that exist."""
    return "".join(f"\\x{byte:02x}" for byte in character.encode("utf-8", "surrogateescape"))


def _specifiers(text: str) -> str:
    return text.replace("%", "%%")


def _shown(text: str) -> str:
    """One line without control characters, which does not end in a backslash: that would continue it."""
    plain = "".join(c if c.isprintable() else "?" for c in text)
    return plain + "." if plain.endswith("\\") else plain
