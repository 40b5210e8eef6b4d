"""The reader of released parsers: small sources of each kind, and the recordings derived anew."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from types import ModuleType

import pytest

from tests.runtimes.launched import FOLDER

ROOT = Path(__file__).parents[2]
CONFIG = """
Word = Literal["auto", "fp8"]
class CacheConfig:
    cache_dtype: Word = "auto"
    size: int | None = None
    share: float = 0.9
    prefix: bool = True
"""
ENGINE = """
def add_cli_args(parser):
    cache_kwargs = get_kwargs(CacheConfig)
    group.add_argument("--kv-cache-dtype", **cache_kwargs["cache_dtype"])
    group.add_argument("--size", "-s", **{**cache_kwargs["size"], "default": None})
    group.add_argument("--share", **cache_kwargs["share"])
    group.add_argument("--prefix", **cache_kwargs["prefix"])
    group.add_argument("--plain", choices=["a", "b"])
    group.add_argument("--headless", action="store_true")
"""
FRONT = """
class FrontendArgs:
    host: str | None = None
    lora_modules: list[Path] | None = None
"""
SGLANG = """
KINDS = ["auto", "fp8"]
class ServerArgs:
    model_path: A[str, Arg(help="x", aliases=["--model"])]
    kv_dtype: A[str, Arg(choices=KINDS)] = "auto"
    hidden: A[bool, Arg(no_cli=True)] = False
    overlap: A[bool, "help"] = False
    overrides: A[str, Arg(type_parser=json.loads)] = "{}"
    def add_cli_args(parser):
        parser.add_argument("--old", action=DeprecatedStoreTrueAction)
"""
SERVE = """
class Serve:
    def __init__(
        self, model: Annotated[str, typer.Argument()], device: Annotated[str, typer.Option()] = "auto",
        cb_blocks: Annotated[int | None, typer.Option()] = None,
    ): ...
"""
TABBY = """
CACHE = Union[Literal["FP16", "Q8"], str]
class ModelConfig(BaseModel):
    cache_size: Optional[int] = Field(None)
    cache_mode: Optional[Literal["FP16", "Q8"]] = Field("FP16")
class TabbyConfigModel(BaseModel):
    model: Optional[ModelConfig] = Field(None)
"""


def reader() -> ModuleType:
    spec = importlib.util.spec_from_file_location("read_launch_flags", ROOT / "tools/read_launch_flags.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_vllm_options_come_from_the_fields_they_unfold() -> None:
    files = {
        "vllm/config/cache.py": CONFIG, "vllm/engine/arg_utils.py": ENGINE,
        "vllm/entrypoints/openai/cli_args.py": FRONT,
    }  # fmt: skip
    options, read = reader().vllm(files)
    assert options == {
        "--kv-cache-dtype": ["auto", "fp8"], "--size": "int", "-s": "int", "--share": "float",
        "--prefix": "switch", "--plain": ["a", "b"], "--headless": "switch", "--host": "str",
        "--lora-modules": "list",
    }  # fmt: skip
    assert read == ["vllm/engine/arg_utils.py", "vllm/entrypoints/openai/cli_args.py"]


def test_other_readers() -> None:
    module = reader()
    assert module.sglang({"sglang/srt/server_args.py": SGLANG})[0] == {
        "--model-path": "str", "--model": "str", "--kv-dtype": ["auto", "fp8"], "--overlap": "switch",
        "--overrides": "json", "--old": "switch",
    }  # fmt: skip
    assert module.transformers({"transformers/cli/serve.py": SERVE})[0] == {
        "--device": "str",
        "--cb-blocks": "int",
    }
    assert module.exllama({"common/config_models.py": TABBY})[0] == {
        "model.cache_size": "int",
        "model.cache_mode": ["FP16", "Q8"],
    }


@pytest.mark.oracle
def test_recordings_are_what_the_released_wheels_say() -> None:
    """PLIMSOLL_WHEELS is a folder of wheels: pip download --no-deps vllm==0.33.0 ..."""
    folder = os.environ.get("PLIMSOLL_WHEELS")
    if not folder:
        pytest.skip("PLIMSOLL_WHEELS names no folder of wheels")
    module = reader()
    runtimes = {"vllm": "vllm", "sglang": "sglang", "mlx_lm": "mlx", "transformers": "transformers"}
    checked = 0
    for path in sorted(Path(folder).glob("*.whl")):
        runtime = runtimes.get(path.name.split("-")[0])
        kept = FOLDER / f"{'-'.join(path.name.split('-')[:2]).replace('_', '-')}.json"
        if runtime and kept.exists():
            assert module.text_of(module.record(runtime, path)) == kept.read_text("utf-8"), path.name
            checked += 1
    assert checked
