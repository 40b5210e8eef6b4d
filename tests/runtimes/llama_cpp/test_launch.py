"""The llama-server command: what each setting becomes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from plimsoll.domain.deployment import Adapter, Deployment, Offload, Runtime, Split, Workload
from plimsoll.domain.launch import Command, Serving
from plimsoll.domain.machine import Device, Machine
from plimsoll.errors import BadSetting
from plimsoll.parse.config import model_from_config
from plimsoll.runtimes.llama_cpp.launch import command, draft_flags
from tests.ghost.stored import converted

GIB = 2**30
SERVING = Serving(model_path="/models/a.gguf", served_name="a")


def deployment(model_id: str = "Qwen/Qwen3-30B-A3B", *, devices: int = 1, **more: object) -> Deployment:
    cards = tuple(
        Device(id=f"gpu{i}", name="card", vendor="nvidia", architecture="ada", backend="cuda",
               memory_bytes=24 * GIB)
        for i in range(devices)
    )  # fmt: skip
    fields = {
        "model": model_from_config(converted(model_id)["config"], id=model_id),
        "machine": Machine(name="box", devices=cards, ram_bytes=128 * GIB),
        "runtime": Runtime(id="llama_cpp"),
        "workload": Workload(context_tokens=8192),
        "weight_format": "q4_k_m",
        "split": Split(kind="layer" if devices > 1 else "none", devices=tuple(d.id for d in cards)),
        **more,
    }
    return Deployment(**fields)  # type: ignore[arg-type]


def words(found: Command) -> dict[str, str]:
    return {f.name: f.value for f in found.flags}


def test_the_context_is_the_sum_over_all_slots() -> None:
    found = words(
        command(deployment(workload=Workload(context_tokens=8192, parallel_sequences_count=4)), SERVING)
    )
    assert (found["-c"], found["-np"]) == ("32768", "4")
    assert "--kv-unified" not in found
    shared = deployment(
        workload=Workload(context_tokens=8192, parallel_sequences_count=4), settings={"kv_unified": True}
    )
    assert words(command(shared, SERVING))["--kv-unified"] == ""


def test_every_flag_has_a_reason_and_no_flag_stands_twice() -> None:
    found = command(deployment(devices=2, offload=Offload(cpu_expert_layers_count=10)), SERVING)
    assert all(f.reason for f in found.flags)
    assert len({f.name for f in found.flags}) == len(found.flags)
    assert found.arguments[:3] == ("llama-server", "-m", "/models/a.gguf")


def test_llama_cpp_does_not_fit_anew_what_we_placed() -> None:
    assert words(command(deployment(), SERVING))["--fit"] == "off"
    old = deployment(runtime=Runtime(id="llama_cpp", version="b6400"))
    assert not {"--fit", "-lv"} & words(command(old, SERVING)).keys()


def test_placement_flags_say_what_the_bill_says() -> None:
    experts = words(command(deployment(offload=Offload(cpu_expert_layers_count=12)), SERVING))
    assert (experts["-ngl"], experts["--n-cpu-moe"]) == ("999", "12")
    layers = words(command(deployment(offload=Offload(gpu_layers_count=20)), SERVING))
    assert layers["-ngl"] == "20"
    moved = words(
        command(deployment(offload=Offload(overrides=(("exps", "ram"), ("attn", "gpu0")))), SERVING)
    )
    assert moved["-ot"] == "attn=CUDA0"  # the last of both
    nothing = deployment(devices=0)
    assert words(command(nothing, SERVING))["-ngl"] == "0"


def test_two_cards_are_named_with_their_shares() -> None:
    even = words(command(deployment(devices=2), SERVING))
    assert (even["-sm"], even["-ts"]) == ("layer", "1,1")
    given = deployment(devices=2, split=Split(kind="layer", devices=("gpu0", "gpu1"), shares=(3.0, 1.0)))
    assert words(command(given, SERVING))["-ts"] == "3,1"
    one = deployment(devices=2, split=Split(devices=("gpu0",)))
    assert (words(command(one, SERVING))["-sm"], words(command(one, SERVING))["-dev"]) == ("none", "CUDA0")


def test_a_context_beyond_the_trained_one_is_extended_and_not_cut_by_the_server() -> None:
    model = deployment().model
    trained = model.trained_context_tokens
    assert trained == 40960
    found = words(command(deployment(workload=Workload(context_tokens=4 * trained)), SERVING))
    assert (found["--rope-scaling"], found["--rope-scale"]) == ("yarn", "4")
    assert found["--yarn-orig-ctx"] == "40960"
    assert found["--override-kv"] == "qwen3moe.context_length=int:163840"
    assert "--rope-scaling" not in words(command(deployment(), SERVING))


@pytest.mark.parametrize(
    ("settings", "flags"),
    [
        ({"mmap": False}, {"--load-mode": "none"}),
        ({"mlock": True}, {"--load-mode": "mlock"}),
        ({"flash_attn": "off"}, {"-fa": "off"}),
        ({"offload_kqv": False}, {"-nkvo": ""}),
        ({"op_offload": False}, {"--no-op-offload": ""}),
        ({"swa_full": True}, {"--swa-full": ""}),
        ({"batch": 4096, "ubatch": 1024}, {"-b": "4096", "-ub": "1024"}),
    ],
)
def test_settings_become_flags(settings: dict[str, object], flags: dict[str, str]) -> None:
    assert words(command(deployment(settings=settings), SERVING)).items() >= flags.items()


def test_before_load_modes_the_old_flags_are_used() -> None:
    old = deployment(
        runtime=Runtime(id="llama_cpp", version="2026-05"), settings={"mmap": False, "mlock": True}
    )
    assert {"--no-mmap", "--mlock"} <= words(command(old, SERVING)).keys()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"settings": {"fork": "ik"}}, "ik_llama.cpp"),
        ({"workload": Workload(context_tokens=1)}, "one token"),
        ({"workload": Workload(context_tokens=2**20, parallel_sequences_count=2**12)}, "at most"),
        ({"settings": {"mmap": False, "mlock": True}}, "cannot lock"),
        ({"offload": Offload(overrides=((r"blk\.(1|2){1,2}", "CPU"),))}, "commas"),
        ({"offload": Offload(cpu_expert_layers_count=1), "runtime": Runtime(id="llama_cpp", version="b5781")},
         "--n-cpu-moe"),
    ],
)  # fmt: skip
def test_what_flags_cannot_say_is_refused(changes: dict[str, object], says: str) -> None:
    with pytest.raises(BadSetting, match=says):
        command(deployment(**changes), SERVING)


def test_old_prompts_may_not_take_the_rest_of_the_host() -> None:
    small = deployment(offload=Offload(cpu_expert_layers_count=48))
    small = replace(small, machine=replace(small.machine, ram_bytes=24 * GIB))
    assert 0 < int(words(command(small, SERVING))["--cache-ram"]) < 8192
    assert "--cache-ram" not in words(command(deployment(), SERVING))


def test_hostile_paths_are_no_flags() -> None:
    serving = Serving(model_path="-m.gguf", served_name="a,b", adapter_paths=('x,"y.gguf',))
    found = words(command(deployment(adapters=(Adapter(id="x", rank=8, size_bytes=1),)), serving))
    assert found["-m"] == "./-m.gguf"
    assert found["--lora"] == '"x,""y.gguf"'
    assert found["--alias"] == "a b"


# What the parsers of seven builds know, and a version that Plimsoll takes for each.
FLAGS = json.loads((Path(__file__).parents[2] / "fixtures" / "llama_server_flags.json").read_text())
KNOWN = {
    "79e0b68c178656bb0632cb8602d2940b755077f8": "2025-07-18",
    "4227c9be4268ac844921b90f31595f81236bd317": "2025-08-15",
    "b10434": "b10434", "b11434": "b11434", "b11549": "",
}  # fmt: skip
ASKED: tuple[dict[str, object], ...] = (
    {},
    {
        "workload": Workload(context_tokens=200_000, parallel_sequences_count=3),
        "settings": {"kv_unified": True},
    },
    {"offload": Offload(gpu_layers_count=10, overrides=(("exps", "CPU"),))},
    {"devices": 2, "settings": {"mmap": False, "offload_kqv": False, "op_offload": False, "swa_full": True}},
    {"devices": 2, "split": Split(devices=("gpu0",)), "settings": {"mlock": True, "flash_attn": "off"}},
    {"adapters": (Adapter(id="x", rank=8, size_bytes=1),)},
    {"offload": Offload(cpu_expert_layers_count=48), "weight_format": "f16"},
)


@pytest.mark.parametrize("build", KNOWN)
@pytest.mark.parametrize("asked", ASKED)
def test_no_flag_is_unknown_to_the_build_it_is_for(build: str, asked: dict[str, object]) -> None:
    runtime = Runtime(id="llama_cpp", version=KNOWN[build])
    try:
        found = command(deployment(**{**asked, "runtime": runtime}), SERVING)  # type: ignore[arg-type]
    except BadSetting:  # it says that this build is too old
        assert KNOWN[build].startswith("2025-0")
        return
    assert [f.name for f in found.flags if f.name not in FLAGS[build]["flags"]] == []


@pytest.mark.parametrize("build", KNOWN)
def test_flags_of_a_draft_are_known_to_the_build_or_refused(build: str) -> None:
    draft = deployment(runtime=Runtime(id="llama_cpp", version=KNOWN[build]))
    serving = Serving(model_path="m.gguf", served_name="m", draft_path="-d.gguf")
    if KNOWN[build].startswith("2025-0"):
        with pytest.raises(BadSetting, match="spec-draft-n-max"):
            draft_flags(draft, serving, 4)
        return
    found = draft_flags(draft, serving, 4)
    assert [f.name for f in found if f.name not in FLAGS[build]["flags"]] == []
    assert {f.name: f.value for f in found}["-md"] == "./-d.gguf"


def test_flags_are_left_out_only_where_the_parser_lacks_them() -> None:
    july, august = (FLAGS[c]["flags"] for c in list(KNOWN)[:2])
    assert "--n-cpu-moe" not in july
    assert "--n-cpu-moe" in august
    assert "--fit" not in august
    assert "--fit" in FLAGS["49bfddeca18e62fa3d39114a23e9fcbdf8a22388"]["flags"]
    assert "--load-mode" not in FLAGS["e3a74b299"]["flags"]
    assert not {"--mlock", "--no-mmap"} & set(FLAGS["b11549"]["flags"])
