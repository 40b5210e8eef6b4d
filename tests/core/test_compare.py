"""What carries over: the same answer as the adapter check gives module by module."""

from __future__ import annotations

from itertools import permutations

import pytest

from plimsoll.ask.models import from_catalog
from plimsoll.core import compare
from plimsoll.core.adapter import check
from plimsoll.core.lora_modules import offered
from plimsoll.domain.adapter import AdapterTensor, LoraAdapter
from plimsoll.domain.comparison import Continuity, TokenizerPrint
from plimsoll.domain.explanation import Chat
from plimsoll.domain.model import Model
from plimsoll.domain.tokenizer import Vocabulary
from plimsoll.parse.config import model_from_config
from tests.ghost.adapted import with_changes
from tests.ghost.adapter_cases import FAMILIES

DENSE = {
    "llama": FAMILIES["llama"], "wider": with_changes(FAMILIES["llama"], {"hidden_size": 64}),
    "deeper": with_changes(FAMILIES["llama"], {"num_hidden_layers": 4}), "qwen2": FAMILIES["qwen2"],
    "heads": with_changes(FAMILIES["llama"], {"num_attention_heads": 8}),
    "words": with_changes(FAMILIES["llama"], {"vocab_size": 128}), "gemma": FAMILIES["gemma3_text"],
    "ffn": with_changes(FAMILIES["llama"], {"intermediate_size": 64}),
}  # fmt: skip


def tiny(name: str) -> Model:
    return model_from_config(DENSE[name], id=name)


def everywhere(model: Model) -> LoraAdapter:
    """An adapter with a pair for every linear layer and the embedding."""
    found = offered(model)
    tensors = []
    for module, (out, width) in {**found.linears, **found.embeddings}.items():
        is_embedding = module in found.embeddings
        rows, columns = (width, out) if is_embedding else (out, width)
        kinds = (
            ("lora_embedding_A", "lora_embedding_B") if is_embedding else ("lora_A.weight", "lora_B.weight")
        )
        for part, kind, shape in zip("ab", kinds, ((4, columns), (rows, 4)), strict=True):
            tensors.append(
                AdapterTensor(
                    name=f"base_model.model.{module}.{kind}", module=module, part=part,  # type: ignore[arg-type]
                    shape=shape, format="f32", size_bytes=0, is_embedding=is_embedding, is_zero=False,
                )
            )  # fmt: skip
    leaves = sorted({m.rpartition(".")[2] for m in (*found.linears, *found.embeddings)})
    return LoraAdapter(
        id="all",
        naming="peft",
        base="",
        rank=4,
        alpha=8,
        tensors=tuple(tensors),
        file_bytes=0,
        targets=tuple(leaves),
    )


def between(first: Model, other: Model) -> Continuity:
    prints = (TokenizerPrint(rows_count=first.vocab_size), TokenizerPrint(rows_count=other.vocab_size))
    return compare.continuity(first, other, prints, (Chat(), Chat()), ("", ""))


@pytest.mark.parametrize(("one", "two"), list(permutations(DENSE, 2)))
def test_what_carries_over_is_what_the_adapter_check_applies(one: str, two: str) -> None:
    first, other = tiny(one), tiny(two)
    found = between(first, other)
    carried = sum(g.modules_count for g in found.lora if g.carries)
    rows = check(everywhere(first), other).modules
    assert carried == sum(1 for r in rows if r.outcome == "applied")


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ("wider", "hidden size"),
        ("words", "vocabulary"),
        ("heads", "query heads"),
        ("ffn", "feed-forward width"),
    ],
)
def test_the_reason_names_what_differs(other: str, reason: str) -> None:
    groups = between(tiny("llama"), tiny(other)).lora
    assert reason in {g.reason.partition(":")[0] for g in groups if not g.carries}


def test_a_deeper_model_leaves_layers_untrained_and_a_shallower_one_loses_them() -> None:
    up = between(tiny("llama"), tiny("deeper")).items[3]
    assert (up.verdict, "14 more stay untrained" in up.reason) == ("partly", True)
    down = between(tiny("deeper"), tiny("llama")).items[3]
    assert (down.verdict, "layers (14)" in down.reason) == ("partly", True)


def test_the_same_shapes_are_portable() -> None:
    found = between(from_catalog("Llama-3.1-70B-Instruct"), from_catalog("Llama-3.3-70B-Instruct")).items[3]
    assert found.verdict == "portable"


def test_a_mixture_takes_no_dense_feed_forward_part() -> None:
    groups = between(from_catalog("Qwen3-8B"), from_catalog("Qwen3-30B-A3B")).lora
    assert {g.reason for g in groups if ".mlp." in g.module} == {"expert layout: the other has experts there"}


def vocabulary(*words: str, merges: tuple[tuple[str, str], ...] = (("a", "b"),)) -> Vocabulary:
    return Vocabulary(
        kind="BPE", style="byte-level", entries=tuple((w, i) for i, w in enumerate(words)), merges=merges
    )


def tokenizers(a: Vocabulary | None, b: Vocabulary | None, **ids: int) -> str:
    model = tiny("llama")
    prints = [compare.print_of(model, v, ids if i == 0 else {}, "x") for i, v in enumerate((a, b))]
    return (
        compare.continuity(model, model, (prints[0], prints[1]), (Chat(), Chat()), ("", "")).items[0].verdict
    )


def test_tokenizers_are_told_apart_by_tokens_and_merges() -> None:
    same = vocabulary("a", "b", "ab")
    assert tokenizers(same, vocabulary("a", "b", "ab")) == "portable"
    assert tokenizers(same, vocabulary("a", "b", "ab", "<new>")) == "partly"
    assert tokenizers(same, vocabulary("a", "b", "ba", merges=(("b", "a"),))) == "not"
    assert tokenizers(same, None) == "unknown"
    assert tokenizers(None, None, eos_token_id=500) == "not"


def test_chat_formats_and_prompts() -> None:
    def said(a: Chat, b: Chat, templates: tuple[str, str] = ("", "")) -> tuple[str, str]:
        items = compare.continuity(
            tiny("llama"), tiny("llama"), (TokenizerPrint(rows_count=96),) * 2, (a, b), templates
        ).items
        return items[1].verdict, items[2].verdict

    chatml, llama = Chat(family="ChatML", markers=("<|im_start|>",)), Chat(family="Llama 3")
    assert said(Chat(), Chat()) == ("unknown", "unknown")
    assert said(Chat(), Chat(), ("{{ x }}", "{{ x }}")) == ("portable", "partly")
    assert said(chatml, chatml) == ("portable", "partly")
    assert said(chatml, llama) == ("not", "partly")
    assert said(chatml, Chat(family="ChatML", markers=("<|im_start|>",), reasoning="<think>"))[0] == "partly"
