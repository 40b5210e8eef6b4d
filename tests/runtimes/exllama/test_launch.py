"""TabbyAPI's settings, under keys that its config models have."""

from __future__ import annotations

from dataclasses import replace

import pytest

from plimsoll.core.place import natural_split
from plimsoll.domain.deployment import Deployment, Setting
from plimsoll.domain.launch import Command, Serving
from plimsoll.errors import BadSetting
from plimsoll.runtimes.exllama import memory
from plimsoll.runtimes.exllama.launch import settings as told
from tests.runtimes.deployments import deployment
from tests.runtimes.launched import SERVING, launched, recorded, refused, value

OTHER = {"max_chunk_size": 512, "reserve_gib": 1.0}


def wanted(
    on: str = "2x rtx-3090", *, kv: str = "f16", tokens: int = 8192, **settings: Setting
) -> Deployment:
    found = deployment(
        "exllama", "Qwen/Qwen3-30B-A3B", on, weights="exl3-4.0bpw", context_tokens=tokens, kv=kv, **settings
    )
    return natural_split(found)


def test_keys_and_kinds_are_tabbyapis() -> None:
    options = recorded("tabbyAPI-e632af41eba6")["options"]
    tensor = wanted()
    tensor = replace(tensor, split=replace(tensor.split, kind="tensor"))
    options["model.tensor_parallel"] = ["true", "false"]
    for case in (wanted(), tensor, wanted(kv="q8")):
        flags = told(case, SERVING)
        assert refused(Command(program=("tabby",), flags=flags), options) == []
        assert all(flag.reason for flag in flags)


@pytest.mark.parametrize("name", memory.DEFAULTS)
def test_every_setting_reaches_the_command(name: str) -> None:
    assert launched(wanted(**{name: OTHER[name]})).flags != launched(wanted()).flags


def test_cache_and_reserve_are_those_of_the_bill() -> None:
    command = launched(replace(wanted(tokens=1000), kv_format_k="q8", kv_format_v="q4"))
    assert value(command, "--cache-size") == "1024"
    assert value(command, "--cache-mode") == "8,4"
    reserve = [f.value for f in command.flags if f.name == "--autosplit-reserve" or not f.name]
    assert reserve == ["512", "512"]


def test_folders_of_paths_and_hub_ids() -> None:
    def folder(path: str) -> tuple[str | None, str | None]:
        command = launched(wanted(), Serving(model_path=path, served_name="x"))
        return value(command, "--model-dir"), value(command, "--model-name")

    assert folder("/data/models/q4/") == ("/data/models", "q4")
    assert folder("org/name") == ("models", "name")
    assert folder("/q4") == ("/", "q4")


@pytest.mark.parametrize(
    ("case", "says"),
    [
        (replace(wanted(), kv_format_k="q8"), "both or neither"),
        (wanted(on="rtx-2080-ti"), "below 8.0"),
        (wanted(on="rtx-pro-6000", tokens=65_536), "extends no context"),
    ],
)
def test_what_tabbyapi_refuses(case: Deployment, says: str) -> None:
    with pytest.raises(BadSetting, match=says):
        launched(case)
