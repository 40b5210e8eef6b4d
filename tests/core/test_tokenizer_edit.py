"""What the judgement of an edit says is what the engines do."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from plimsoll.core.tokenizer_edit import judge
from plimsoll.domain.origin import Origin
from plimsoll.domain.tokenizer import AddedToken, Claim, EditJudgement, TokenRows, Vocabulary
from plimsoll.errors import BadSetting

FOLDER = Path(__file__).parents[1] / "fixtures" / "tokenizers" / "byte_level"
ROWS = TokenRows(
    rows_count=10, hidden_dim=4, row_bytes=8, matrices_count=2, format="bf16",
    origin=Origin(kind="file", where="test"),
)  # fmt: skip
SMALL = Vocabulary(
    kind="BPE", style="plain", entries=(("a", 0), ("b", 1), ("c", 2), ("ab", 3), ("abc", 4), ("bc", 5)),
    merges=(("a", "b"), ("ab", "c"), ("b", "c")), added=(AddedToken(id=6, content="<s>", is_special=True),),
    claims={"bos": (Claim(where="config.json#bos_token_id", id=6),)},
)  # fmt: skip


def judged(edit: str, rows: TokenRows | None = ROWS, vocabulary: Vocabulary = SMALL) -> EditJudgement:
    return judge(edit, vocabulary, rows, frozenset("abc"))


def test_a_merged_token_takes_its_merges_and_longer_tokens_with_it() -> None:
    found = judged("remove:ab")
    assert found.verdict == "load error"
    assert "2 merges need or make it: a + b, ab + c" in found.breaks
    assert "1 longer tokens can then no longer be made: abc" in found.breaks


def test_a_token_at_the_end_of_its_chain_takes_one_merge() -> None:
    assert judged("remove:abc").breaks == ("1 merges need or make it: ab + c",)


def test_special_tokens_and_bytes_break_the_model() -> None:
    assert judged("remove:<s>").verdict == "breaks the model"
    assert "it stands for a single byte: text with that byte loses it" in judged("remove:a").breaks
    assert judged("remove:a").verdict == "breaks the model"


def test_unigram_ids_are_places() -> None:
    unigram = Vocabulary(
        kind="Unigram", style="sentencepiece", entries=(("x", 0), ("y", 1), ("z", 2)), ids_are_places=True
    )
    assert "1 later tokens move down by one" in judged("remove:y", vocabulary=unigram).reason
    assert judged("remove:z", vocabulary=unigram).verdict == "changes behaviour"


def test_renumbering_swaps_or_copies_rows() -> None:
    assert judged("renumber:ab=3").verdict == "safe"
    taken = judged("renumber:ab=1")
    assert taken.verdict == "breaks the model"
    assert "give 'b' the id 3 and swap rows 3 and 1 of every matrix" in taken.to_do
    assert judged("renumber:ab=9").to_do == ("copy row 3 to row 9 in every matrix",)
    beyond = judged("renumber:ab=10")
    assert beyond.reason == "there are 10 rows: looking up 10 fails"
    assert beyond.resize_bytes == 1 * 8 * 2
    assert "config.json#bos_token_id names the id 6" in judged("renumber:<s>=8").breaks


def test_adding_uses_spare_rows_first() -> None:
    spare = judged("add:x,y,z")
    assert (spare.verdict, spare.resize_bytes) == ("changes behaviour", 0)
    grown = judged("add:x,y,z,w")
    assert (grown.verdict, grown.resize_bytes) == ("breaks the model", 16)
    assert grown.engines["transformers"].startswith("resize_token_embeddings(11)")
    assert judged("add:x", rows=None).verdict == "unknown"
    assert judged("add:x", rows=None).resize_bytes is None
    assert judged("add:<s>").verdict == "safe"
    assert judged("add:ab").verdict == "changes behaviour"


@pytest.mark.parametrize(
    "edit",
    ["", "remove", "remove:", "remove:zz", "rename:a", "renumber:a", "renumber:a=", "renumber:a=-1",
     "renumber:a=٣", "renumber:=3", "renumber:a=99999999999999999999999", "add:", "add:,", "add:x,x"],
)  # fmt: skip
def test_edits_that_cannot_be_read(edit: str) -> None:
    with pytest.raises(BadSetting):
        judged(edit)


def fixture(change: Any) -> bytes:
    whole = json.loads((FOLDER / "tokenizer.json").read_text(encoding="utf-8"))
    change(whole)
    return json.dumps(whole).encode()


def test_the_library_refuses_a_removed_token_whose_merges_stay() -> None:
    library = pytest.importorskip("tokenizers")
    with pytest.raises(Exception, match="out of vocabulary"):
        library.Tokenizer.from_buffer(fixture(lambda w: w["model"]["vocab"].pop("Ġo")))


def test_the_library_loads_a_renumbered_token_in_silence() -> None:
    library = pytest.importorskip("tokenizers")

    def change(whole: Any) -> None:
        whole["model"]["vocab"]["e"] = whole["model"]["vocab"]["$"]

    made = library.Tokenizer.from_buffer(fixture(change))
    assert made.encode("e", add_special_tokens=False).ids == made.encode("$", add_special_tokens=False).ids


def test_longer_tokens_are_lost_with_their_merges() -> None:
    library = pytest.importorskip("tokenizers")
    from plimsoll.parse.tokenizer_json import vocabulary_from_json

    whole = json.loads((FOLDER / "tokenizer.json").read_text(encoding="utf-8"))
    gone = "Ð¾"
    lost = {gone} | set(
        _longer(judge(f"remove:{gone}", vocabulary_from_json({"tokenizer.json": whole}), ROWS), whole)
    )
    changed = copy.deepcopy(whole)
    changed["model"]["merges"] = [
        m for m in whole["model"]["merges"] if gone not in (m[0], m[1], m[0] + m[1])
    ]
    made = library.Tokenizer.from_buffer(json.dumps(changed).encode())
    text = (Path(__file__).parents[2] / "src/plimsoll/catalog/sample_texts/russian.txt").read_text(
        encoding="utf-8"
    )
    used = set(made.encode(text, add_special_tokens=False).tokens)
    assert len(lost) > 3
    assert not used & lost


def _longer(found: EditJudgement, whole: Any) -> list[str]:
    """The lost tokens, by brute force: those that no merge without the removed one can make."""
    count = int(next(b for b in found.breaks if "longer tokens" in b).split(" ", 1)[0])
    merges = [tuple(m) for m in whole["model"]["merges"]]
    made = set(whole["model"]["vocab"]) - {a + b for a, b in merges}
    gone = found.edit.partition(":")[2]
    while True:
        more = {a + b for a, b in merges if a in made and b in made and a + b != gone} - made
        if not more:
            break
        made |= more
    lost = sorted(set(whole["model"]["vocab"]) - made - {gone})
    assert len(lost) == count
    return lost


@pytest.mark.oracle
def test_transformers_resizes_and_fails_as_told() -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    config = transformers.AutoConfig.for_model(**json.loads((FOLDER / "config.json").read_text()))
    model = transformers.AutoModelForCausalLM.from_config(config)
    rows = TokenRows(
        rows_count=520, hidden_dim=64, row_bytes=256, matrices_count=2, format="f32",
        origin=Origin(kind="file", where="test"),
    )  # fmt: skip
    vocabulary = Vocabulary(kind="BPE", style="plain", entries=tuple((f"t{i}", i) for i in range(512)))
    found = judge("add:" + ",".join(f"n{i}" for i in range(9)), vocabulary, rows)
    assert found.reason == "there are 520 rows: looking up 520 fails"
    with pytest.raises(IndexError):
        model(torch.tensor([[520]]))
    before = sum(p.numel() for p in model.parameters()) * 4
    model.resize_token_embeddings(521)
    model(torch.tensor([[520]]))
    assert sum(p.numel() for p in model.parameters()) * 4 - before == found.resize_bytes
