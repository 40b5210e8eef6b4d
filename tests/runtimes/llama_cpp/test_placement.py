"""Which device gets which layer."""

from __future__ import annotations

from dataclasses import replace

import pytest

from plimsoll.domain.bill import HOST
from plimsoll.domain.deployment import Offload, Split
from plimsoll.domain.model import TensorSpec
from plimsoll.errors import BadSetting
from plimsoll.runtimes.llama_cpp.placement import place
from tests.runtimes.llama_cpp.test_memory import deployment, machine

MODEL = "Qwen/Qwen3-0.6B"
TWO = Split(kind="layer", devices=("gpu0", "gpu1"))


def tensor(name: str, layer: int | None = None) -> TensorSpec:
    return TensorSpec(name=name, shape=(1, 32), format="f16", size_bytes=64, role="other", layer=layer)


def test_everything_on_one_device() -> None:
    found = place(deployment(MODEL, on=machine()), 28)
    assert set(found.layers) == {"gpu0"}
    assert found.output == "gpu0"
    assert found.of(tensor("token_embd.weight")) == HOST
    assert found.of(tensor("output_norm.weight")) == "gpu0"
    assert found.of(tensor("blk.0.attn_q.weight", 0)) == "gpu0"


@pytest.mark.parametrize(
    ("layers", "on_host"), [(0, 28), (1, 28), (2, 27), (28, 1), (29, 0), (99, 0), (-1, 0)]
)
def test_gpu_layers_count_the_output_first(layers: int, on_host: int) -> None:
    found = place(deployment(MODEL, on=machine(), offload=Offload(gpu_layers_count=layers)), 28)
    assert found.layers.count(HOST) == on_host
    assert found.layers[:on_host] == (HOST,) * on_host
    assert found.output == (HOST if layers == 0 else "gpu0")


@pytest.mark.parametrize(("layers", "on_host", "output"), [(22, 6, HOST), (28, 0, HOST), (29, 0, "gpu0")])
def test_before_december_2025_the_output_came_last(layers: int, on_host: int, output: str) -> None:
    old = deployment(MODEL, on=machine(), offload=Offload(gpu_layers_count=layers), version="2025-11")
    found = place(old, 28)
    assert found.layers.count(HOST) == on_host
    assert found.output == output


def test_no_devices_means_host() -> None:
    found = place(deployment(MODEL), 28)
    assert {*found.layers, found.output} == {HOST}


def test_even_split_by_free_memory() -> None:
    found = place(deployment(MODEL, on=machine(2), split=TWO), 28)
    assert found.layers.count("gpu0") == 15  # 29 places, the first half and the middle one
    assert found.output == "gpu1"


def test_shares_decide() -> None:
    split = replace(TWO, shares=(3.0, 1.0))
    found = place(deployment(MODEL, on=machine(2), split=split), 28)
    assert found.layers.count("gpu0") == 22
    only = place(deployment(MODEL, on=machine(2), split=replace(TWO, shares=(40.0, 0.0))), 28)
    assert {*only.layers, only.output} == {"gpu0"}


def test_without_a_split_the_first_device_takes_all() -> None:
    found = place(deployment(MODEL, on=machine(2), split=Split(devices=("gpu1", "gpu0"))), 28)
    assert set(found.layers) == {"gpu1"}


def test_overrides_and_experts() -> None:
    offload = Offload(cpu_expert_layers_count=2, overrides=((r"blk\.5\.ffn", "CPU"), (r"attn_q", "CUDA0")))
    found = place(deployment(MODEL, on=machine(), offload=offload), 28)
    assert found.of(tensor("blk.1.ffn_up_exps.weight", 1)) == HOST
    assert found.of(tensor("blk.2.ffn_up_exps.weight", 2)) == "gpu0"
    assert found.of(tensor("blk.5.ffn_up.weight", 5)) == HOST
    assert found.of(tensor("blk.5.attn_q.weight", 5)) == "gpu0"


@pytest.mark.parametrize("override", [("ffn(", "CPU"), ("ffn", "CUDA7"), ("ffn", "nowhere")])
def test_bad_overrides_are_refused(override: tuple[str, str]) -> None:
    with pytest.raises(BadSetting):
        place(deployment(MODEL, on=machine(), offload=Offload(overrides=(override,))), 28)


def test_an_unknown_device_is_refused() -> None:
    with pytest.raises(BadSetting, match="no device"):
        place(deployment(MODEL, on=machine(), split=Split(devices=("gpu9",))), 28)
