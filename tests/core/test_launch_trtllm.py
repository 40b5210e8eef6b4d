"""trtllm.yaml holds what no option says."""

from __future__ import annotations

from dataclasses import replace

import pytest
import yaml

from plimsoll.errors import BadSetting
from tests.core.launch_files import made, wanted


def test_the_file_holds_what_the_command_points_at() -> None:
    found = replace(wanted("tensorrt_llm"), kv_format_k="fp8", kv_format_v="fp8")
    files = made("trtllm", replace(found, settings={"tokens_per_block": 64}))
    assert yaml.safe_load(files.files[0].text) == {
        "kv_cache_config": {"dtype": "fp8", "tokens_per_block": 64, "free_gpu_memory_fraction": 0.9}
    }
    assert files.files[0].name in files.start
    assert not any("must hold" in note for note in files.notes)


def test_without_need_there_is_no_file() -> None:
    with pytest.raises(BadSetting, match="options say everything"):
        made("trtllm", wanted("tensorrt_llm"))
