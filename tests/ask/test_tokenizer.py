"""The answer of `plimsoll tokenizer`, from files right and wrong."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plimsoll.ask.tokenizer import TokenizerQuestion, tokenizer
from plimsoll.ask.tokenizer_files import load
from plimsoll.catalog.samples import load_all
from plimsoll.domain.answer import plain
from plimsoll.domain.tokenizer import TokenizerAnswer
from plimsoll.errors import BadSetting, MalformedConfig, NotFound, PlimsollError, ReadError, UnknownModel
from plimsoll.parse.pieces import joined

tokenizers = pytest.importorskip("tokenizers")
FOLDER = Path(__file__).parents[1] / "fixtures" / "tokenizers" / "byte_level"


@pytest.fixture(autouse=True)
def no_caches(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No model of the machine that runs the tests."""
    empty = str(tmp_path_factory.mktemp("empty"))
    for name in ("HF_HUB_CACHE", "HF_HOME", "OLLAMA_MODELS", "HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, empty)


@pytest.fixture(scope="module")
def theirs() -> Any:
    return tokenizers.Tokenizer.from_file(str(FOLDER / "tokenizer.json"))


def asked(text: str | None = None, *, model: str = str(FOLDER), **more: Any) -> TokenizerAnswer:
    return tokenizer(TokenizerQuestion(model=model, text=text, offline=True, **more))


def edited(tmp_path: Path, change: dict[str, Any] | None = None, **files: Any) -> str:
    """A copy of the fixture; `change` replaces keys of tokenizer.json, `files` whole files by stem."""
    folder = tmp_path / "edited"
    shutil.copytree(FOLDER, folder)
    whole = json.loads((FOLDER / "tokenizer.json").read_text(encoding="utf-8"))
    (folder / "tokenizer.json").write_text(json.dumps({**whole, **(change or {})}), encoding="utf-8")
    for stem, value in files.items():
        (folder / f"{stem}.json").write_text(json.dumps(value), encoding="utf-8")
    return str(folder)


def says(answer: TokenizerAnswer) -> str:
    return "\n".join(f"{p.severity}: {p.says}" for p in answer.problems)


@pytest.mark.parametrize("label", load_all())
def test_counts_equal_those_of_the_library_on_every_sample(label: str, theirs: Any) -> None:
    text = load_all()[label]
    found = asked(text).encoded[0]
    expected = theirs.encode(text, add_special_tokens=False)
    assert [t.id for t in found.tokens] == expected.ids
    assert found.tokens_count == len(expected.ids)
    assert joined([t.stored for t in found.tokens], "byte_level").decode() == text
    assert sum(s.tokens_count for s in found.scripts) == found.tokens_count
    assert sum(s.characters_count for s in found.scripts) == len(text)
    assert found.added_count == 1


@given(st.text(max_size=40))
@settings(max_examples=60, deadline=None)
def test_totals_are_those_of_the_library(text: str) -> None:
    library = tokenizers.Tokenizer.from_file(str(FOLDER / "tokenizer.json"))
    try:
        expected = library.encode(text, add_special_tokens=False).ids
    except Exception:
        return
    found = asked(text).encoded[0]
    assert found.tokens_count == len(expected)
    assert sum(s.tokens_count for s in found.scripts) == len(expected)


def test_no_text_means_the_samples_and_no_tokens_are_kept() -> None:
    answer = asked()
    assert [e.label for e in answer.encoded] == ["english", "russian", "chinese", "code", "emoji"]
    assert not any(e.tokens for e in answer.encoded)
    assert answer.exit_code == 0


def test_roles_and_contradictions_of_the_fixture() -> None:
    answer = asked("x")
    roles = {t.content: t.roles for t in answer.special_tokens}
    assert roles["<|bos|>"] == ("bos",)
    assert roles["<|eos|>"] == ("eos", "pad")
    assert roles["<think>"] == ("think",)
    assert "eos: tokenizer_config.json says <|eos|> (508), config.json says <|im_end|> (510)" in says(answer)
    assert "8 spare" in says(answer)
    assert [(s.key, s.is_known) for s in answer.settings][-1] == ("a_key_of_ours", False)
    assert answer.rows is not None
    assert (answer.rows.rows_count, answer.rows.row_bytes, answer.rows.matrices_count) == (520, 128, 2)


def test_the_template_is_told_by_its_markers() -> None:
    facts = asked("x").template
    assert facts is not None
    assert (facts.family, facts.default_system, facts.has_date) == ("ChatML", "You are a ship.", False)
    assert facts.roles == ("user", "tool")
    assert facts.ends_turn_with == ("<|im_end|>",)


def test_a_template_that_ends_with_no_eos_is_told(tmp_path: Path) -> None:
    config = json.loads((FOLDER / "config.json").read_text())
    del config["eos_token_id"]
    assert "ends turns with <|im_end|> (510), which no file names as eos" in says(
        asked("x", model=edited(tmp_path, config=config))
    )


def test_a_vocabulary_larger_than_the_matrices_is_an_error(tmp_path: Path) -> None:
    config = json.loads((FOLDER / "config.json").read_text())
    answer = asked("x", model=edited(tmp_path, config={**config, "vocab_size": 500}))
    assert "error: 12 tokens have no embedding row: 500 rows, the largest id is 511" in says(answer)


def test_doubled_ids_holes_and_lost_merges_are_listed(tmp_path: Path) -> None:
    model = json.loads((FOLDER / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    changed = copy.deepcopy(model)
    changed["vocab"]["!"] = 700
    changed["vocab"]['"'] = 2
    del changed["vocab"]["e"]
    answer = asked("x", model=edited(tmp_path, {"model": changed}))
    told = says(answer)
    assert "the id 2 stands for 2 tokens: '\"', '#'" in told
    assert "ids below the largest have no token" in told
    assert "merges need or make tokens that do not exist" in told
    assert "refuses this tokenizer" in answer.unknowns[0]
    assert answer.exit_code == 3


def test_lone_surrogates_are_listed_and_printed(tmp_path: Path) -> None:
    model = json.loads((FOLDER / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    model["vocab"]["\ud800x"] = 600
    answer = asked("x", model=edited(tmp_path, {"model": model}))
    assert "hold half of a surrogate pair ('\\ud800x')" in says(answer)
    json.dumps(plain(answer))


def test_an_empty_vocabulary_is_told(tmp_path: Path) -> None:
    answer = asked("x", model=edited(tmp_path, {
        "model": {"type": "BPE", "vocab": {}, "merges": []}, "added_tokens": [], "post_processor": None,
    }))  # fmt: skip
    assert "the vocabulary is empty" in says(answer)
    assert answer.encoded[0].tokens_count == 0


def test_truncation_and_padding_are_switched_off(tmp_path: Path) -> None:
    answer = asked("one two three four five six", model=edited(tmp_path, {
        "truncation": {"max_length": 3, "stride": 0, "strategy": "LongestFirst", "direction": "Right"},
        "padding": {"strategy": {"Fixed": 64}, "direction": "Right", "pad_id": 0, "pad_type_id": 0,
                    "pad_token": "!", "pad_to_multiple_of": None},
    }))  # fmt: skip
    assert answer.encoded[0].tokens_count == asked("one two three four five six").encoded[0].tokens_count
    assert answer.encoded[0].added_count == 1
    assert "cuts texts at 3 tokens" in answer.notes[0]


@pytest.mark.parametrize(
    "broken",
    [
        b"", b"[]", b"{", b"{}", b'{"model": 3}', b'{"model": {"vocab": {"a": 0, "a": 1}}}', b"[" * 5000,
        b'{"model": {"vocab": {"a": 1e400}}}', b'{"model": {"vocab": {}, "merges": [3]}}',
        b'{"model": {"vocab": [3]}}', b'{"model": {"vocab": {}}, "added_tokens": [{"id": "x"}]}',
        b'\xff\xfe{"model": {}}', b'{"model": {"vocab": {"a": -1}}}', b'{"model": {"vocab": {"a": NaN}}}',
    ],
)  # fmt: skip
def test_hostile_json_is_a_typed_error(broken: bytes, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_bytes(broken)
    with pytest.raises(MalformedConfig, match=r"tokenizer\.json"):
        asked("x", model=str(tmp_path))


_json = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 2**70) | st.text(max_size=5) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
_KEYS = ("model", "added_tokens", "post_processor", "decoder", "pre_tokenizer", "normalizer", "truncation")
_SETTINGS = ("bos_token", "additional_special_tokens", "extra_special_tokens", "chat_template", "eos_token",
             "added_tokens_decoder", "add_bos_token")  # fmt: skip


@given(
    st.sampled_from(_KEYS), _json, st.dictionaries(st.sampled_from(_SETTINGS), _json, max_size=3),
    st.dictionaries(st.sampled_from(("eos_token_id", "bos_token_id", "vocab_size")), _json, max_size=3),
)  # fmt: skip
@settings(max_examples=80, deadline=None)
def test_any_value_anywhere_is_answered_or_refused(
    key: str, value: Any, changed: dict[str, Any], config: dict[str, Any]
) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = edited(
            Path(folder), {key: value}, tokenizer_config=changed, config=config, generation_config=config
        )
        try:
            answer = asked("a b", model=path)
        except PlimsollError:
            return
        json.dumps(plain(answer))


def test_a_million_tokens(tmp_path: Path) -> None:
    vocab = {f"t{i}": i for i in range(1_000_000)}
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps({"model": {"type": "WordLevel", "vocab": vocab, "unk_token": "t0"}}))
    found = load(str(path)).vocabulary
    assert found is not None
    assert len(found.entries) == 1_000_000


def test_text_that_is_no_unicode_is_refused() -> None:
    with pytest.raises(BadSetting, match="not Unicode at character 1"):
        asked("a\udcff")


def test_a_catalog_model_without_files_is_unknown_with_a_hint() -> None:
    answer = asked("x", model="gpt-oss-120b")
    assert answer.exit_code == 3
    assert answer.vocab_count is None
    assert answer.rows is not None
    assert answer.rows.rows_count == 201_088
    assert "--fetch" in answer.hints[0]


def test_unknown_names_and_folders_without_a_tokenizer(tmp_path: Path) -> None:
    with pytest.raises(UnknownModel):
        asked("x", model="no-such-model-at-all")
    with pytest.raises(UnknownModel):
        asked("x", model="nobody/no-such-model-at-all")
    with pytest.raises(ReadError, match=r"has no tokenizer\.json"):
        asked("x", model=str(tmp_path))
    (tmp_path / "tokenizer.model").write_bytes(b"x")
    with pytest.raises(ReadError, match="SentencePiece"):
        asked("x", model=str(tmp_path))
    with pytest.raises(NotFound):
        asked("x", model="./nowhere")


def test_comparing_gives_ratios_against_the_first(tmp_path: Path) -> None:
    model = json.loads((FOLDER / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    other = edited(tmp_path, {"model": {**model, "merges": []}})
    answer = asked(None, compare=(other, "gpt-oss-120b"))
    first, bytewise, unknown = answer.compared
    assert first.ratio == 1.0
    assert first.context_tokens == 4096
    assert bytewise.tokens_count == sum(len(t.encode()) for t in load_all().values())
    assert bytewise.ratio == round(bytewise.tokens_count / (first.tokens_count or 1), 4)
    assert bytewise.relative_time == bytewise.ratio
    assert unknown.unknown
    assert answer.exit_code == 3


def test_without_the_extra_the_rest_is_still_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "tokenizers", None)
    answer = asked("x")
    assert answer.vocab_count == 512
    assert answer.exit_code == 3
    assert "pip install 'plimsoll-llm[tokenizer]'" in answer.hints[0]
    assert asked().exit_code == 0
