"""mlx_lm.server's command, in words that the released parsers take."""

from __future__ import annotations

from dataclasses import replace

import pytest

from plimsoll.domain.deployment import Deployment, Runtime, Setting
from plimsoll.domain.launch import Serving
from plimsoll.errors import BadSetting
from plimsoll.runtimes.mlx import memory
from plimsoll.runtimes.mlx.launch import WITHOUT_FLAG
from tests.runtimes.deployments import deployment, size
from tests.runtimes.launched import launched, recorded, refused, value

OTHER = {"prefill_step_size": 512, "kv_group_size": 32, "quantized_kv_start": 0}


def wanted(*, sequences: int = 1, kv: str = "auto", **settings: Setting) -> Deployment:
    return deployment(
        "mlx", "Qwen/Qwen3-8B", "mac-studio-m2-ultra-192gb", context_tokens=8192, sequences=sequences, kv=kv,
        **settings,
    )  # fmt: skip


@pytest.mark.parametrize("release", ["0.31.0", "0.32.2"])
def test_released_parsers_take_every_flag(release: str) -> None:
    options = recorded(f"mlx-lm-{release}")["options"]
    kv = ["auto", "q8"] if release > "0.32" else ["auto"]
    for case in [*(wanted(kv=k) for k in kv), wanted(sequences=4), wanted(prefill_step_size=512)]:
        assert refused(launched(case), options) == []


@pytest.mark.parametrize("name", memory.DEFAULTS)
def test_every_setting_reaches_the_command_or_is_refused(name: str) -> None:
    if name in WITHOUT_FLAG:
        with pytest.raises(BadSetting, match=name):
            launched(wanted(max_kv_size=4096))
        return
    assert launched(wanted(kv="q8", **{name: OTHER[name]})).flags != launched(wanted(kv="q8")).flags


def test_kept_conversations_stay_within_the_bill() -> None:
    found = wanted(sequences=4)
    assert value(launched(found), "--prompt-cache-bytes") == str(size(found, "kv"))
    assert value(launched(found), "--decode-concurrency") == "4"


def test_what_the_server_cannot_do_is_refused() -> None:
    with pytest.raises(BadSetting, match="one request at a time"):
        launched(wanted(sequences=2, kv="q8"))
    old = replace(wanted(kv="q8"), runtime=Runtime(id="mlx", version="0.31"))
    with pytest.raises(BadSetting, match="not known to have --kv-bits"):
        launched(old)
    packed = replace(wanted(), weight_format="mlx-4bit")
    with pytest.raises(BadSetting, match="makes no mlx-4bit"):
        launched(packed, Serving(model_path="Qwen/Qwen3-8B", served_name="x"))
    assert value(launched(packed), "--model") == "org/some model"
