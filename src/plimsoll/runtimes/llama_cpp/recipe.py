"""GGUF recipes: the type llama.cpp's quantiser gives each tensor.

Source: llama.cpp at 0c1e57098, src/llama-quant.cpp: llama_ftype_get_default_type,
tensor_allows_quantization, tensor_get_category, llama_tensor_get_type_impl, tensor_type_fallback;
the order of tensors is that of weight_name_comparer in src/llama-model-loader.h, the file type ids
those of enum llama_ftype in include/llama.h.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from plimsoll.domain.model import Model, TensorSpec
from plimsoll.errors import BadSetting
from plimsoll.formulas.formats import GGUF, tensor_bytes
from plimsoll.runtimes.llama_cpp.tensors import gguf_architecture, group_size_of

Category = Literal[
    "output", "token_embd", "attn_qkv", "attn_kv_b", "attn_v", "attn_k", "attn_q", "attn_output",
    "ffn_up", "ffn_gate", "ffn_down", "other",
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the rules look at, besides the tensor itself.

    `group_size` is query heads per KV head of the first layer, 0 where that layer has no attention;
    `is_70b` is llama.cpp's own class of 80-layer models with grouped attention.
    """

    architecture: str
    layers_count: int
    experts_count: int
    group_size: int
    is_70b: bool
    has_tied_embeddings: bool
    has_imatrix: bool
    value_tensors_count: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where a tensor stands: `index` among its category's `count` (the layer, in models with experts)."""

    index: int
    count: int

    @property
    def is_first_eighth(self) -> bool:
        return self.index < self.count // 8

    @property
    def is_first_sixteenth(self) -> bool:
        return self.index < self.count // 16

    @property
    def has_more_bits(self) -> bool:
        """use_more_bits: the first and last eighth, and every third layer between."""
        eighth = self.count // 8
        return self.index < eighth or self.index >= 7 * self.count // 8 or (self.index - eighth) % 3 == 2

    @property
    def is_middle(self) -> bool:
        return self.count // 8 <= self.index < 7 * self.count // 8


Rule = Callable[[Facts, Place], str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One quantisation mixture: a base type, and rules by category that may choose another.

    A rule that answers None leaves the base type. `needs_imatrix` says that llama-quantize refuses
    the recipe without an importance matrix.
    """

    name: str
    file_type: int
    base: str
    output: str = "q6_k"
    embedding: str = ""
    needs_imatrix: bool = False
    has_low_bits: bool = False
    rules: Mapping[Category, Rule] = field(default_factory=dict)


def _grouped(yes: str, no: str | None = None) -> Rule:
    return lambda facts, place: yes if facts.group_size >= 4 else no


def _always(kind: str) -> Rule:
    return lambda facts, place: kind


def _more_bits(kind: str) -> Rule:
    return lambda facts, place: kind if place.has_more_bits else None


def _first(count: int, yes: str, no: str | None = None) -> Rule:
    return lambda facts, place: yes if place.index < count else no


def _first_eighth(yes: str, no: str | None = None) -> Rule:
    return lambda facts, place: yes if place.is_first_eighth else no


def _without_imatrix(rule: Rule, otherwise: str | None = None) -> Rule:
    return lambda facts, place: otherwise if facts.has_imatrix else rule(facts, place)


def _middle(kind: str) -> Rule:
    return lambda facts, place: kind if place.is_middle else None


def _eight_experts(yes: str, no: str | None = None) -> Rule:
    return lambda facts, place: yes if facts.experts_count == 8 else no


def _not_falcon(rule: Rule, falcon: str | Rule | None = None) -> Rule:
    def choose(facts: Facts, place: Place) -> str | None:
        if facts.architecture != "falcon":
            return rule(facts, place)
        return falcon(facts, place) if callable(falcon) else falcon

    return choose


def _q4_k_m_down_falcon(facts: Facts, place: Place) -> str | None:
    if place.is_first_sixteenth:
        return "q6_k"
    return "q5_k" if place.has_more_bits else None


def _q3_k_m_down(facts: Facts, place: Place) -> str | None:
    if place.is_first_sixteenth:
        return "q5_k"
    return "q4_k" if facts.architecture != "falcon" or place.has_more_bits else None


def _iq3_m_down(facts: Facts, place: Place) -> str | None:
    is_raised = place.is_first_eighth or (facts.experts_count == 8 and place.has_more_bits)
    return "q4_k" if is_raised else None


def _iq3_xxs_value(facts: Facts, place: Place) -> str | None:
    if facts.group_size >= 4:
        return "q4_k"
    return None if facts.has_imatrix else "iq3_s"


def _craze_guard(kind: str) -> Rule:
    """Legacy 4- and 5-bit types get an offset in the first ffn_down layers, only with an imatrix."""
    return lambda facts, place: kind if facts.has_imatrix and place.is_first_eighth else None


def _attn_output(
    no_experts: str | None = None, *, eight: str | None = "q5_k", falcon: str | None = None
) -> Rule:
    return _not_falcon(lambda facts, place: eight if facts.experts_count == 8 else no_experts, falcon)


def _low_bit_rules(raised: str, attn_output: str | None) -> dict[Category, Rule]:
    """The shared rules of IQ1 and IQ2: `raised` for values and the first eighth of ffn_down."""

    def value(facts: Facts, place: Place) -> str:
        return "q4_k" if facts.group_size >= 4 or facts.experts_count >= 4 else raised

    return {
        "attn_v": value,
        "attn_k": _eight_experts("q4_k"),
        "ffn_down": _first_eighth(raised),
        "attn_output": _eight_experts("q5_k", attn_output),
    }


def _recipe(name: str, file_type: int, base: str, *, output: str = "q6_k", embedding: str = "",
            needs_imatrix: bool = False, has_low_bits: bool = False, **rules: Rule) -> Recipe:  # fmt: skip
    table: dict[Category, Rule] = {category: rule for category, rule in rules.items()}  # type: ignore[misc]
    return Recipe(name=name, file_type=file_type, base=base, output=output, embedding=embedding,
                  needs_imatrix=needs_imatrix, has_low_bits=has_low_bits, rules=table)  # fmt: skip


def _low(
    name: str, file_type: int, base: str, raised: str, embedding: str, attn_output: str | None
) -> Recipe:
    return Recipe(name=name, file_type=file_type, base=base, output="q5_k", embedding=embedding,
                  needs_imatrix=True, has_low_bits=True,
                  rules=_low_bit_rules(raised, attn_output))  # fmt: skip


_ALL: tuple[Recipe, ...] = (
    _recipe("f32", 0, "f32"), _recipe("f16", 1, "f16"), _recipe("bf16", 32, "bf16"),
    _recipe("q4_0", 2, "q4_0", ffn_down=_craze_guard("q4_1")),
    _recipe("q4_1", 3, "q4_1"),
    _recipe("q5_0", 8, "q5_0", ffn_down=_craze_guard("q5_1")),
    _recipe("q5_1", 9, "q5_1"),
    _recipe("q8_0", 7, "q8_0", output="q8_0"),
    _recipe("q2_k", 10, "q2_k", attn_v=_grouped("q4_k", "q3_k"), ffn_down=_always("q3_k"),
            attn_output=_attn_output("q3_k")),
    _recipe("q2_k_s", 21, "q2_k", needs_imatrix=True, attn_v=_grouped("q4_k"),
            ffn_down=_first_eighth("q4_k")),
    _recipe("q3_k_s", 11, "q3_k", attn_output=_attn_output()),
    _recipe("q3_k_m", 12, "q3_k", attn_v=_first(2, "q5_k", "q4_k"), ffn_down=_q3_k_m_down,
            attn_output=_attn_output("q4_k")),
    _recipe("q3_k_l", 13, "q3_k", attn_v=_always("q5_k"), ffn_down=_not_falcon(_always("q5_k"), "q4_k"),
            attn_output=_attn_output("q5_k", eight=None, falcon="q4_k")),
    _recipe("q4_k_s", 14, "q4_k", attn_v=_first(4, "q5_k"), ffn_down=_not_falcon(_first_eighth("q5_k")),
            attn_output=_attn_output()),
    _recipe("q4_k_m", 15, "q4_k", attn_v=_more_bits("q6_k"),
            ffn_down=_not_falcon(_more_bits("q6_k"), _q4_k_m_down_falcon), attn_output=_attn_output()),
    _recipe("q5_k_s", 16, "q5_k"),
    _recipe("q5_k_m", 17, "q5_k", attn_v=_more_bits("q6_k"), ffn_down=_more_bits("q6_k")),
    _recipe("q6_k", 18, "q6_k"),
    _low("iq1_s", 24, "iq1_s", "q2_k", "q2_k", "iq2_xxs"),
    _low("iq1_m", 31, "iq1_m", "q2_k", "q2_k", "iq2_xxs"),
    _low("iq2_xxs", 19, "iq2_xxs", "q2_k", "q2_k", None),
    _low("iq2_xs", 20, "iq2_xs", "q2_k", "q2_k", None),
    _low("iq2_s", 28, "iq2_xs", "iq3_s", "iq3_s", "iq3_s"),
    _low("iq2_m", 29, "iq2_s", "iq3_s", "iq3_s", "iq3_s"),
    _recipe("iq3_xxs", 23, "iq3_xxs", output="q5_k", embedding="iq3_s", needs_imatrix=True,
            attn_v=_iq3_xxs_value,
            attn_k=_always("iq2_s"), attn_q=_always("iq2_s"),
            ffn_down=_without_imatrix(_first_eighth("q4_k", "q3_k")), attn_output=_attn_output("iq3_s")),
    _recipe("iq3_xs", 22, "iq3_s", attn_v=_grouped("q4_k"), attn_k=_always("iq3_xxs"),
            attn_q=_always("iq3_xxs"), ffn_gate=_middle("iq3_xxs"), ffn_up=_middle("iq3_xxs"),
            attn_output=_attn_output(), needs_imatrix=True),
    _recipe("iq3_s", 26, "iq3_s", attn_v=_grouped("q4_k"), attn_output=_attn_output()),
    _recipe("iq3_m", 27, "iq3_s", attn_v=_always("q4_k"), ffn_down=_iq3_m_down,
            attn_output=_attn_output("q4_k")),
    _recipe("iq4_nl", 25, "iq4_nl", attn_v=_grouped("q5_k"), ffn_down=_without_imatrix(_first_eighth("q5_k")),
            attn_output=_attn_output()),
    _recipe("iq4_xs", 30, "iq4_xs", attn_v=_grouped("q5_k"), ffn_down=_without_imatrix(_first_eighth("q5_k")),
            attn_output=_attn_output()),
    _recipe("tq1_0", 36, "tq1_0", embedding="q4_k"), _recipe("tq2_0", 37, "tq2_0", embedding="q4_k"),
    _recipe("mxfp4_moe", 38, "mxfp4", output="q8_0"),
)  # fmt: skip

RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in _ALL}

# A row that does not divide into blocks of 256 falls back to a type with blocks of 32.
_FALLBACKS = {
    **dict.fromkeys(("iq1_s", "iq1_m", "iq2_xxs", "iq2_xs", "iq2_s", "iq3_xxs", "iq3_s", "iq4_xs"), "iq4_nl"),
    **dict.fromkeys(("q2_k", "q3_k", "tq1_0", "tq2_0"), "q4_0"),
    "q4_k": "q5_0", "q5_k": "q5_1", "q6_k": "q8_0",
}  # fmt: skip

_PLAIN = ("f32", "f16", "bf16")
_NEVER = (
    "_norm.weight", "ffn_gate_inp.weight", "ffn_gate_tid2eid.weight", "altup", "laurel",
    "per_layer_model_proj",
    "ssm_conv1d", "shortconv.conv.weight", "indexer.k_proj.weight", "indexer.q_proj.weight",
    "time_mix_first.weight", "time_mix_w0.weight", "time_mix_w1.weight", "time_mix_w2.weight",
    "time_mix_v0.weight", "time_mix_v1.weight", "time_mix_v2.weight", "time_mix_a0.weight",
    "time_mix_a1.weight", "time_mix_a2.weight", "time_mix_g1.weight", "time_mix_g2.weight",
    "time_mix_decay_w1.weight", "time_mix_decay_w2.weight", "time_mix_lerp_fused.weight", "attn_rel_b.weight",
)  # fmt: skip
_NEVER_GLM5_NEXT = (
    "hc_", "indexer.attn_q_b", "indexer.attn_k", "indexer.proj", "indexer_compressor_gate",
    "indexer_compressor_ape", "ssm_f_a.weight", "ssm_f_b.weight", "ssm_g_a.weight", "ssm_g_b.weight",
    "ssm_beta.weight", "attn_kv_a_mqa.weight", "attn_k_b.weight", "attn_v_b.weight",
)  # fmt: skip
_AT_LEAST_Q8_GLM5_NEXT = ("attn_q_a", "attn_q_b", "nextn.eh_proj")
_NEVER_EXACTLY = ("position_embd.weight", "token_types.weight")
_TOKEN_TABLES = ("token_embd.weight", "per_layer_token_embd.weight")

_CATEGORIES: tuple[tuple[str, Category], ...] = (
    ("attn_qkv.weight", "attn_qkv"), ("attn_kv_b.weight", "attn_kv_b"), ("attn_v.weight", "attn_v"),
    ("attn_k.weight", "attn_k"), ("attn_q.weight", "attn_q"), ("attn_output.weight", "attn_output"),
    ("ffn_up", "ffn_up"), ("ffn_gate", "ffn_gate"), ("ffn_down", "ffn_down"),
)  # fmt: skip
_VALUE_CATEGORIES = ("attn_v", "attn_qkv", "attn_kv_b")
_COUNTED_BY_LAYER = ("ffn_down", "ffn_gate", "ffn_up")


def recipe_named(name: str) -> Recipe:
    """The recipe of that name, in any case and with '-' for '_'. Raises BadSetting with the nearest names."""
    key = name.lower().replace("-", "_")
    if key not in RECIPES:
        import difflib

        near = difflib.get_close_matches(key, RECIPES, n=3)
        hint = f"nearest: {', '.join(near)}" if near else f"known recipes: {', '.join(RECIPES)}"
        raise BadSetting(f"{name!r} is not a GGUF recipe of llama.cpp", hint=hint)
    return RECIPES[key]


def quantise(
    tensors: tuple[TensorSpec, ...], model: Model, recipe: str, *, has_imatrix: bool | None = None
) -> tuple[TensorSpec, ...]:
    """The table of `gguf_tensors` with the types `llama-quantize` would give under `recipe`.

    `has_imatrix` None takes what the recipe needs; several recipes choose other types when an
    importance matrix is given. Tensors that already carry a block format (MXFP4 experts) keep it.
    Raises BadSetting for an unknown recipe.
    """
    mixture = recipe_named(recipe)
    facts = facts_of(tensors, model, mixture.needs_imatrix if has_imatrix is None else has_imatrix)
    counters: dict[str, int] = {}
    chosen: dict[str, str] = {}
    for tensor in sorted(tensors, key=file_order):
        chosen[tensor.name] = _type_of(tensor, mixture, facts, counters)
    return tuple(_with_format(tensor, chosen[tensor.name]) for tensor in tensors)


def facts_of(tensors: tuple[TensorSpec, ...], model: Model, has_imatrix: bool) -> Facts:
    """What the rules look at, from the GGUF table and the model's layers."""
    architecture = gguf_architecture(model)
    layers_count = 1 + max((file_order(t)[0] for t in tensors), default=-1)
    group_size = group_size_of(model)
    return Facts(
        architecture=architecture, layers_count=layers_count, group_size=group_size,
        experts_count=max((layer.experts_count for layer in model.layers), default=0),
        is_70b=_is_70b(architecture, len(model.layers), group_size),
        has_tied_embeddings=all(t.name != "output.weight" for t in tensors), has_imatrix=has_imatrix,
        value_tensors_count=sum(_category(t.name) in _VALUE_CATEGORIES for t in tensors),
    )  # fmt: skip


def file_order(tensor: TensorSpec) -> tuple[int, str]:
    """How the quantiser walks a file: layer by layer (-1 outside of layers), then by name."""
    parts = tensor.name.split(".", 2)
    is_block = parts[0] == "blk" and len(parts) == 3
    return (int(parts[1]) if is_block else -1, tensor.name)


def _is_70b(architecture: str, layers_count: int, group_size: int) -> bool:
    """LLM_TYPE_70B (src/models/llama.cpp, qwen2.cpp, deci.cpp, olmo.cpp, jais2.cpp)."""
    if architecture == "llama":
        return layers_count == 80 and group_size != 1
    if architecture == "jais2":
        return layers_count == 68
    return layers_count == 80 and architecture in ("qwen2", "deci", "olmo")


def _category(name: str) -> Category:
    if name == "output.weight":
        return "output"
    if name in _TOKEN_TABLES:
        return "token_embd"
    return next((category for part, category in _CATEGORIES if part in name), "other")


def _may_quantise(tensor: TensorSpec, architecture: str) -> bool:
    """tensor_allows_quantization: weights with two or more real dimensions, except the listed small ones."""
    real_dims = len(tensor.shape)
    while real_dims > 1 and tensor.shape[-real_dims] == 1:
        real_dims -= 1
    name = tensor.name
    if real_dims < 2 or not name.endswith("weight") or name in _NEVER_EXACTLY:
        return False
    never = _NEVER + _NEVER_GLM5_NEXT if architecture == "glm5-next" else _NEVER
    return not any(part in name for part in never)


def _type_of(tensor: TensorSpec, recipe: Recipe, facts: Facts, counters: dict[str, int]) -> str:
    if tensor.format not in _PLAIN:
        return tensor.format
    if recipe.base in _PLAIN:
        return "f32" if tensor.format == "f32" else recipe.base
    if not _may_quantise(tensor, facts.architecture):
        return tensor.format
    return _fitting(tensor, _wanted(tensor, recipe, facts, counters))


def _wanted(tensor: TensorSpec, recipe: Recipe, facts: Facts, counters: dict[str, int]) -> str:
    """llama_tensor_get_type_impl: the mixture's choice, before shapes are looked at."""
    category = _category(tensor.name)
    if facts.architecture == "glm5-next" and any(part in tensor.name for part in _AT_LEAST_Q8_GLM5_NEXT):
        return "q8_0"
    if category == "output" or (facts.has_tied_embeddings and category == "token_embd"):
        is_odd = tensor.shape[-1] % GGUF[recipe.base][0] != 0
        return "q8_0" if is_odd or facts.architecture == "falcon" else recipe.output
    if recipe.base == "mxfp4":
        return _mxfp4_or_q8(tensor, category, facts)
    if category == "token_embd":
        return recipe.embedding or recipe.base
    place = _place(tensor, category, recipe, facts, counters)
    if category in _VALUE_CATEGORIES:
        return _value_type(recipe, facts, place)
    if category == "attn_k" and facts.experts_count == 8 and not recipe.has_low_bits:
        return "q8_0"
    rule = recipe.rules.get(category)
    return (rule(facts, place) if rule else None) or recipe.base


def _mxfp4_or_q8(tensor: TensorSpec, category: Category, facts: Facts) -> str:
    """MXFP4_MOE: every three-dimensional tensor in MXFP4, the rest in Q8_0."""
    is_stack = len(tensor.shape) == 3 and tensor.shape[0] > 1
    if facts.architecture == "bailingmoe3":
        is_stack = is_stack and category in _COUNTED_BY_LAYER
    return "mxfp4" if is_stack else "q8_0"


def _value_type(recipe: Recipe, facts: Facts, place: Place) -> str:
    """Types of attn_v and what contains it: raised in 70B models and in models of eight experts."""
    rule = recipe.rules.get("attn_v")
    kind = (rule(facts, place) if rule else None) or recipe.base
    if recipe.has_low_bits:
        return kind
    if facts.is_70b and kind in ("q3_k", "q4_k"):
        kind = "q5_k"
    return "q8_0" if facts.experts_count == 8 else kind


def _place(
    tensor: TensorSpec, category: Category, recipe: Recipe, facts: Facts, counters: dict[str, int]
) -> Place:
    """The running number of this tensor in its category; in models with experts the FFN goes by layer."""
    key = "attn_v" if category in _VALUE_CATEGORIES else category
    index = counters.get(key, 0)
    counters[key] = index + 1
    if key == "attn_v":
        return Place(index, facts.value_tensors_count)
    if category in _COUNTED_BY_LAYER and facts.experts_count > 1 and not recipe.has_low_bits:
        index = file_order(tensor)[0]
    return Place(index, facts.layers_count)


def _fitting(tensor: TensorSpec, kind: str) -> str:
    """tensor_type_fallback: a type whose blocks divide the row."""
    row = tensor.shape[-1]
    if row % GGUF[kind][0] == 0:
        return kind
    kind = _FALLBACKS.get(kind, kind)
    return kind if row % GGUF[kind][0] == 0 else "f16"


def _with_format(tensor: TensorSpec, kind: str) -> TensorSpec:
    if kind == tensor.format:
        return tensor
    return replace(tensor, format=kind, size_bytes=tensor_bytes(kind, tensor.shape))
