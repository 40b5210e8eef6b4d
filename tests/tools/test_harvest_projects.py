"""What is read in small packages that have the shapes of real projects; nothing of them is run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from plimsoll.errors import BadSetting
from tests.tools import packages
from tools.harvest import (
    exllama,
    fetch,
    llama_cpp,
    lmdeploy,
    mlx_lm,
    peft,
    sglang,
    torch,
    transformers,
    vllm,
)
from tools.harvest.facts import Table
from tools.harvest.projects import project_of, read_release
from tools.harvest.syntax import BadSource, Classes


def values(table: Table) -> dict[str, Any]:
    return {name: entry.value for name, entry in table.items()}


def test_vllm() -> None:
    found = vllm.read(packages.vllm())
    assert values(found["architectures"]) == {
        "LlamaForCausalLM": "llama", "PlainForCausalLM": "plain", "TunedForCausalLM": "plain",
    }  # fmt: skip
    assert values(found["refused architectures"]) == {"OldForCausalLM": "0.9.2"}
    # TunedForCausalLM inherits from a class of another file under another name.
    assert values(found["LoRA"]) == {
        "LlamaForCausalLM": True, "PlainForCausalLM": False, "TunedForCausalLM": True,
    }  # fmt: skip
    assert values(found["quantisation"]) == {"awq": 80, "awq_marlin": 80, "quark": ""}
    assert list(found["KV cache types"]) == ["auto", "fp8", "fp8_e5m2"]
    assert values(found["tool parsers"]) == {"hermes": True}
    assert values(found["reasoning parsers"]) == {"qwen3": True}
    assert list(found["attention backends"]) == ["CUSTOM", "FLASH_ATTN"]
    # 12.0 is built with newer toolkits only.
    assert values(found["CUDA architectures"]) == {"12.0": False, "7.5": True, "8.0": True, "9.0": True}
    assert list(found["ROCm architectures"]) == ["gfx90a", "gfx942"]
    assert values(found["requirements"]) == {
        "flashinfer-python": "==0.5.3", "python": ">=3.10", "torch": "==2.9.0",
    }  # fmt: skip


def test_an_ancestor_that_was_not_found_makes_no_refusal() -> None:
    files = packages.vllm()
    del files["vllm/model_executor/models/llama.py"]
    assert values(vllm.read(files)["LoRA"]) == {"PlainForCausalLM": False}


def test_sglang() -> None:
    found = sglang.read(packages.sglang())
    assert list(found["architectures"]) == ["A", "B", "LlamaForCausalLM"]
    assert values(found["quantisation"]) == {"fp8": 80}
    assert found["quantisation"]["fp8"].path == "sglang/srt/layers/quantization/fp8.py"
    assert list(found["KV cache types"]) == ["auto", "fp8_e5m2"]
    assert list(found["attention backends"]) == ["fa3", "triton"]
    assert (list(found["tool parsers"]), list(found["reasoning parsers"])) == (["glm"], ["kimi"])


def test_lmdeploy() -> None:
    found = lmdeploy.read(packages.lmdeploy())
    assert list(found["architectures"]) == ["LlamaForCausalLM"]
    assert list(found["TurboMind architectures"]) == ["LlamaForCausalLM", "X"]
    assert list(found["refused architectures"]) == ["Old"]
    assert list(found["tool parsers"]) == ["glm", "glm47"]


def test_the_smaller_ones() -> None:
    assert list(exllama.read(packages.exllamav3())["architectures"]) == ["LlamaForCausalLM"]
    mlx = mlx_lm.read(packages.mlx_lm())
    assert values(mlx["architectures"]) == {"llama": "llama", "mistral": "llama"}
    assert list(mlx["quantisation modes"]) == ["affine", "mxfp4"]
    assert list(mlx["tool parsers"]) == ["glm47"]
    hf = transformers.read(packages.transformers())
    assert values(hf["architectures"]) == {
        "AForCausalLM": "two", "BForCausalLM": "two", "LlamaForCausalLM": "llama",
    }  # fmt: skip
    assert values(hf["quantisers"]) == {"awq": "AwqQuantizer"}
    assert values(hf["requirements"]) == {"torch": "!=2.7,>=2.6"}
    adapters = peft.read(packages.peft())
    assert (list(adapters["adapter kinds"]), values(adapters["LoRA targets"])) == (
        ["LORA"], {"llama": "q_proj,v_proj"},
    )  # fmt: skip
    metadata = "Requires-Python: >=3.10\nRequires-Dist: nvidia-cuda-runtime-cu12 (==12.8.90) ; x\n\nRequires"
    assert values(torch.read({"METADATA": metadata})["requirements"]) == {"cuda": "12.8", "python": ">=3.10"}


def test_llama_cpp() -> None:
    found = llama_cpp.read(packages.llama_cpp())
    assert list(found["architectures"]) == ["llama"]
    assert found["architectures"]["llama"].path == "src/llama-arch.cpp"
    assert values(found["quantisation"]) == {"f16": False, "q4_K": True}
    assert list(found["KV cache types"]) == ["q8_0"]
    assert list(found["CUDA architectures"]) == ["50-virtual", "86-real"]
    assert values(found["commit"]) == {"llama.cpp": "0c1e57098"}


@pytest.mark.parametrize(
    ("read", "files", "path"),
    [
        (vllm.read, packages.vllm(), "vllm/model_executor/models/registry.py"),
        (sglang.read, packages.sglang(), "sglang/srt/models/llama.py"),
        (lmdeploy.read, packages.lmdeploy(), "lmdeploy/turbomind/supported_models.py"),
        (exllama.read, packages.exllamav3(), "exllamav3/architecture/architectures.py"),
        (mlx_lm.read, packages.mlx_lm(), "mlx_lm/utils.py"),
        (transformers.read, packages.transformers(), "src/transformers/models/auto/modeling_auto.py"),
        (peft.read, packages.peft(), "src/peft/utils/peft_types.py"),
    ],
)
def test_what_is_not_python(read: Any, files: dict[str, str], path: str) -> None:
    with pytest.raises(BadSource, match="it is not Python that can be read"):
        read(files | {path: "EntryClass = ((("})
    with pytest.raises(BadSource):
        read(files | {path: "EntryClass" if "sglang" in path else "()"} | dict.fromkeys(files, ""))


def test_source_nested_without_end() -> None:
    with pytest.raises(BadSource, match="it is not Python that can be read"):
        Classes({"a.py": "(" * 5_000}).of("a.py")
    with pytest.raises(BadSource, match="it is not Python that can be read"):
        Classes({"a.py": "x = " + "-" * 200_000 + "1"}).of("a.py")


def test_classes_that_inherit_from_each_other() -> None:
    classes = Classes(
        {"a.py": "from b import B\nclass A(B): pass\n", "b.py": "from a import A\nclass B(A): pass\n"}
    )
    one = classes.find("A", "a.py")
    assert one is not None
    assert [found.name for found in classes.line(one)] == ["A", "B"]
    assert classes.find("C", "a.py") is None
    turning = Classes({"a.py": "from b import C\n", "b.py": "from a import C\n"})
    assert turning.find("C", "a.py") is None


def test_a_release_is_read_from_the_cache_and_never_run(tmp_path: Path) -> None:
    trap = f"open({str(tmp_path / 'ran')!r}, 'w')\n"
    files = {path: trap + text for path, text in packages.peft().items()} | {"setup.py": trap}
    packages.tarball(tmp_path / "peft-1.0.tar.gz", files)
    found = read_release(project_of("peft"), "1.0", tmp_path)
    assert list(found.table("adapter kinds")) == ["LORA"]
    assert not (tmp_path / "ran").exists()
    (kept,) = (tmp_path / "facts").iterdir()
    assert json.loads(kept.read_text("utf-8"))["project"] == "peft"
    assert read_release(project_of("peft"), "1.0", tmp_path) == found


def test_a_version_is_no_path(tmp_path: Path) -> None:
    for version in ("../1.0", "1.0/../..", "latest", ""):
        with pytest.raises(BadSetting, match="is not a version"):
            read_release(project_of("peft"), version, tmp_path)
    with pytest.raises(BadSetting, match="'vlm' cannot be harvested"):
        project_of("vlm")


def test_the_cache_is_outside_of_the_repository(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert fetch.default_cache() == tmp_path / "plimsoll" / "harvest"
