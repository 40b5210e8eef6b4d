"""What is in this model: answered from the catalog, from a folder, from a GGUF; unknown where nobody says."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from plimsoll.ask.model import ModelQuestion, explain
from plimsoll.catalog import models as catalog
from plimsoll.domain.answer import plain
from plimsoll.domain.explanation import UNKNOWN, Explanation
from plimsoll.errors import MalformedConfig, NotFound, UnknownModel, UnsupportedArchitecture
from tests.parse import gguf_bytes

CONFIG = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 128, "vocab_size": 8,
    "tie_word_embeddings": False, "torch_dtype": "bfloat16", "max_position_embeddings": 512, "angels": 1,
}  # fmt: skip


def ask(name: str | Path, *, config: bool = False) -> Explanation:
    return explain(ModelQuestion(model=str(name), config=config, offline=True))


# Published: gpt-oss model card (5.13 B of 116.83 B, 3.61 B of 20.91 B, without the input embedding);
# DeepSeek-V3 report (671 B, 37 B; 14 B more for multi-token prediction on the hub);
# Qwen3 report (3.3 B, 22 B); Mixtral of Experts (12.9 B of 46.7 B);
# GLM-4.5 report counts 12 B of 106 B, without embedding and output.
@pytest.mark.parametrize(
    ("name", "total", "without", "with_it"),
    [
        ("openai/gpt-oss-120b", 116.83, 5.13, 5.71),
        ("openai/gpt-oss-20b", 20.91, 3.61, 4.19),
        ("deepseek-ai/DeepSeek-V3", 671.03, 36.63, 37.55),
        ("Qwen/Qwen3-30B-A3B", 30.53, 3.04, 3.35),
        ("Qwen/Qwen3-235B-A22B", 235.09, 21.57, 22.19),
        ("mistralai/Mixtral-8x7B-Instruct-v0.1", 46.70, 12.75, 12.88),
        ("zai-org/GLM-4.5-Air", 106.85, 12.80, 13.42),
    ],
)
def test_published_active_counts_are_reproduced(
    name: str, total: float, without: float, with_it: float
) -> None:
    found = ask(name).parameters
    counts = (
        found.total_count - found.drafting_count, found.active_without_embedding_count,
        found.active_with_embedding_count,
    )  # fmt: skip
    assert tuple(round(count / 1e9, 2) for count in counts) == (total, without, with_it)


def test_the_publisher_s_words_stand_beside_ours_with_their_meaning() -> None:
    found = ask("gpt-oss-120b").parameters
    assert (found.stated_active, found.stated_active_is) == ("5.1B", "without the input embedding")
    assert ask("qwen3-30b-a3b").parameters.stated_active_is == "with the input embedding"
    assert ask("Qwen/Qwen3-235B-A22B").parameters.stated_active == "22B"


def test_tied_embeddings_make_both_counts_one() -> None:
    found = ask("gemma-3-27b-it").parameters
    assert found.active_with_embedding_count == found.active_without_embedding_count


def test_every_fact_of_the_card_names_its_source_or_is_unknown() -> None:
    for name in ("gpt-oss-120b", "llama 3.3 70b", "deepseek-v3"):
        answer = ask(name)
        for field in answer.card.__slots__:
            fact = getattr(answer.card, field)
            assert bool(fact.value) == bool(fact.source), (name, field)
        assert answer.card.training_code == UNKNOWN
        assert "whether the training code is open" in answer.unknowns


def test_the_whole_catalog_is_answered_with_its_keys() -> None:
    answered = 0
    for model_id in catalog.find_all()[::6]:
        try:
            answer = ask(model_id, config=True)
        except UnsupportedArchitecture:
            continue
        answered += 1
        assert {key.path for key in answer.keys} >= set(catalog.load(model_id).config)
        json.dumps(plain(answer))
    assert answered > 30


def test_a_folder_is_answered_from_its_files(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    (tmp_path / "tokenizer.json").write_text(
        json.dumps(
            {"model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": ["a b"]}, "added_tokens": []}
        )
    )
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": "<|im_start|>"}))
    (tmp_path / "README.md").write_text("---\nlicense: mit\nlanguage: [en]\n---\n")
    answer = ask(tmp_path, config=True)
    assert answer.vocabulary.kind == "BPE"
    assert (answer.vocabulary.tokens_count, answer.vocabulary.merges_count) == (2, 1)
    assert answer.chat.family == "ChatML"
    assert answer.chat.source.endswith("tokenizer_config.json")
    assert (answer.card.license.value, answer.card.languages.value) == ("mit", "en")
    assert {file.name for file in answer.files} == {
        "config.json", "tokenizer.json", "tokenizer_config.json", "README.md",
    }  # fmt: skip
    assert [key.path for key in answer.keys] == list(CONFIG)
    assert [key.path for key in answer.keys if key.facts is None] == ["angels"]
    assert answer.unread_keys == ("angels",)


def test_the_template_in_a_file_of_its_own_comes_first(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": "<|im_start|>"}))
    (tmp_path / "chat_template.jinja").write_text("<start_of_turn>")
    assert ask(tmp_path).chat.family == "Gemma"


def test_of_several_templates_the_one_with_tools_is_read(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    several = [
        {"name": "default", "template": "[INST]"},
        {"name": "tool_use", "template": "[INST][TOOL_CALLS]"},
    ]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": several}))
    assert ask(tmp_path).chat.tools == "Mistral [TOOL_CALLS]"


def test_a_gguf_is_answered_from_its_metadata(tmp_path: Path) -> None:
    path = tmp_path / "small.gguf"
    keys = {"general.license": "mit", "tokenizer.chat_template": "<|im_start|>", "llama.angels": 7}
    path.write_bytes(gguf_bytes.llama(keys))
    answer = ask(path, config=True)
    assert answer.chat.family == "ChatML"
    assert answer.card.license.value == "mit"
    assert (answer.vocabulary.kind, answer.vocabulary.tokens_count) == ("BPE", 8)
    assert [(f.name, f.size_bytes) for f in answer.files] == [("small.gguf", path.stat().st_size)]
    known = {key.path: key.facts for key in answer.keys}
    assert known["llama.attention.head_count_kv"] is not None
    assert known["llama.angels"] is None


def test_a_template_too_long_for_the_header_is_fetched(tmp_path: Path) -> None:
    path = tmp_path / "small.gguf"
    path.write_bytes(gguf_bytes.llama({"tokenizer.chat_template": "x" * 70_000 + "<|im_start|>"}))
    assert ask(path).chat.family == "ChatML"


def test_names_that_lead_nowhere_are_typed_errors(tmp_path: Path) -> None:
    with pytest.raises(UnknownModel):
        ask("Qwen3-110B")
    with pytest.raises(NotFound):
        ask(tmp_path / "nowhere")
    (tmp_path / "config.json").write_text(json.dumps({**CONFIG, "num_hidden_layers": -1}))
    with pytest.raises(MalformedConfig):
        ask(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    (tmp_path / "tokenizer_config.json").write_text("[" * 100_000)
    with pytest.raises(MalformedConfig):
        ask(tmp_path)


def test_a_broken_tokenizer_is_a_typed_error(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    (tmp_path / "tokenizer.json").write_bytes(struct.pack("<Q", 2**60))
    with pytest.raises(MalformedConfig):
        ask(tmp_path)


def test_what_a_cache_holds_of_a_catalog_model_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = tmp_path / "models--openai--gpt-oss-120b" / "snapshots" / "0123456789abcdef"
    snapshot.mkdir(parents=True)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    (snapshot / "tokenizer_config.json").write_text(json.dumps({"chat_template": "<start_of_turn>"}))
    # A tokenizer alone is no model: the catalog answers.
    assert ask("gpt-oss-120b").chat.family == "harmony (gpt-oss)"
    (snapshot / "config.json").write_text(json.dumps(catalog.find("gpt-oss-120b").config))
    answer = ask("gpt-oss-120b", config=True)
    assert answer.chat.family == "Gemma"
    assert {file.name for file in answer.files} == {"config.json", "tokenizer_config.json"}
    assert answer.config_from.startswith("catalog/models/openai/gpt-oss-120b.json")
    assert answer.card.license.value == "apache-2.0"
