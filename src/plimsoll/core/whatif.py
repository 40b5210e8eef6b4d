"""What two engines do with an edited config: compared with the tensors that the checkpoint holds.

Transformers (from_pretrained, defaults): refuses a tensor of another shape, makes up a tensor that the
checkpoint lacks, and leaves out one that the model lacks; both without an error. llama.cpp (metadata of the
GGUF overridden): refuses another shape, a missing tensor and a tensor left over.
The rules are held against both engines on tiny models: tests/ghost/edited.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from plimsoll.core.edit_overrides import in_gguf
from plimsoll.core.edits import leaf_of, topmost_of
from plimsoll.domain.config_key import KeyFacts
from plimsoll.domain.model import LayerSpec, Model, TensorSpec
from plimsoll.domain.whatif import SEVERITY, Edit, EditVerdict, EngineVerdict, Judged, TensorChange
from plimsoll.errors import UnsupportedArchitecture
from plimsoll.runtimes.llama_cpp.tensors import gguf_architecture, gguf_tensors

Table = Mapping[str, tuple[int, ...]]
_SHOWN_COUNT = 4
# A key that says which layers have a window and how long it is: the layers tell whether it matters.
_WINDOW_KEYS = frozenset({
    "sliding_window", "use_sliding_window", "max_window_layers", "sliding_window_pattern",
    "_sliding_window_pattern", "layer_types", "attention_chunk_size",
})  # fmt: skip
_DRAFT_KEYS = frozenset({"num_nextn_predict_layers", "mtp_num_hidden_layers"})
# Architectures that insist on rotating the whole head (llama_model_base::load_hparams).
_ROTATES_WHOLE = frozenset({"llama", "deci", "falcon", "llama-embed"})
# Ways of scaling positions that compute with the configuration's head_dim (modeling_rope_utils.py).
_SCALINGS_BY_WIDTH = frozenset({"yarn", "longrope", "llama3"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """What is known about an engine's code for this model: its version, the keys it reads (None: unknown),
    and what becomes of a config that does not say head_dim ('filled', 'empty', 'absent')."""

    version: str
    keys: frozenset[str] | None
    head_dim: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A set of edits with the model before and after; `after` is None where the config contradicts itself.

    `after` knows only the edits of keys that Transformers reads, `converted` only those that reach a GGUF,
    which keeps every value that it writes out as it was. `values` is the unedited text config, `read_keys`
    what Transformers reads of such a config (None: unknown).
    """

    edits: tuple[Edit, ...]
    facts: Mapping[str, KeyFacts | None]
    before: Model
    after: Model | None
    converted: Model | None
    problem: str = ""
    is_unreadable: bool = False
    values: Mapping[str, Any] = field(default_factory=dict)
    read_keys: frozenset[str] | None = None

    def before_value(self, leaf: str) -> Any:
        """What the unedited text config says, or None."""
        return self.values.get(leaf)


def judge(case: Case, transformers: Engine, llama_cpp: Engine) -> Judged:
    """Both engines' verdicts and the worst of them."""
    engines = (judge_transformers(case, transformers), judge_llama_cpp(case, llama_cpp))
    verdict = worst(e.verdict for e in engines)
    reason = next(e.reason for e in engines if e.verdict == verdict)
    return Judged(edits=case.edits, verdict=verdict, reason=reason, engines=engines)


def worst(verdicts: Iterable[EditVerdict]) -> EditVerdict:
    """The one that matters most."""
    return max(verdicts, key=SEVERITY.index)


# --- comparing tables -----------------------------------------------------------------------------------


def table_of(tensors: Iterable[TensorSpec]) -> dict[str, tuple[int, ...]]:
    """Names and shapes."""
    return {tensor.name: tensor.shape for tensor in tensors}


def built(model: Model) -> dict[str, tuple[int, ...]]:
    """What Transformers builds: everything but the draft layers."""
    return table_of(tensor for tensor in model.tensors if tensor.role != "mtp")


def changes(held: Table, wanted: Table) -> tuple[TensorChange, ...]:
    """Where the checkpoint and the edited model disagree: shapes first, then missing, then unused."""
    shapes = [
        TensorChange(name=name, kind="shape", held_shape=held[name], wanted_shape=shape)
        for name, shape in wanted.items()
        if name in held and held[name] != shape
    ]
    missing = [
        TensorChange(name=name, kind="missing", held_shape=None, wanted_shape=shape)
        for name, shape in wanted.items()
        if name not in held
    ]
    unused = [
        TensorChange(name=name, kind="unused", held_shape=shape, wanted_shape=None)
        for name, shape in held.items()
        if name not in wanted
    ]
    return (*shapes, *missing, *unused)


def _told(found: Sequence[TensorChange]) -> str:
    """'model.layers.0.mlp.gate.weight is [128, 2048] in the checkpoint, [64, 2048] by the edited config'."""
    first = found[0]
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    if first.kind == "shape":
        assert first.held_shape is not None
        assert first.wanted_shape is not None
        return (
            f"{first.name} is {list(first.held_shape)} in the checkpoint, "
            f"{list(first.wanted_shape)} by the edited config{more}"
        )
    shape = list(first.wanted_shape or first.held_shape or ())
    return f"{first.name} {shape}{more}"


def _verdict(
    engine: str, version: str, verdict: EditVerdict, reason: str, tensors: Sequence[TensorChange] = ()
) -> EngineVerdict:
    return EngineVerdict(
        engine=engine, version=version, verdict=verdict, reason=reason,
        tensors=tuple(tensors[:_SHOWN_COUNT]), tensors_count=len(tensors),
    )  # fmt: skip


# --- Transformers ---------------------------------------------------------------------------------------


def judge_transformers(case: Case, engine: Engine) -> EngineVerdict:
    """from_pretrained of the checkpoint with the edited config, then a forward pass."""

    def say(verdict: EditVerdict, reason: str, found: Sequence[TensorChange] = ()) -> EngineVerdict:
        return _verdict("transformers", engine.version, verdict, reason, found)

    if case.after is None:
        return say("unknown" if case.is_unreadable else "load_error", case.problem)
    found = changes(built(case.before), built(case.after))
    shapes = [c for c in found if c.kind == "shape"]
    if shapes:
        return say("load_error", f"the shapes differ: {_told(shapes)}", shapes)
    refusal = _config_refused(case, engine) or _cannot_run(case, case.after)
    if refusal:
        return say("load_error", refusal)
    keeps_output = _has_own_output(case)
    missing = [c for c in found if c.kind == "missing" and not _starts_at_zero(c)]
    unused = [c for c in found if c.kind == "unused" and not (keeps_output and c.name.startswith("lm_head."))]
    if missing:
        return say(
            "breaks_silently",
            f"not in the checkpoint, so filled with fresh random values: {_told(missing)}", missing,
        )  # fmt: skip
    if unused and (edit := next((e for e in case.edits if _is_empty_size(e)), None)):
        return say(
            "load_error", f"{leaf_of(edit.key)} 0 makes matrices without rows: {_told(unused)}", unused
        )
    if unused:
        return say("breaks_silently", f"in the checkpoint and left out: {_told(unused)}", unused)
    if leaf := next((e for e in case.edits if leaf_of(e.key) == "model_type"), None):
        return say("unknown", f"other code builds the model: {leaf.before} becomes {leaf.after}")
    verdicts = [_key_in_transformers(edit, case, engine) for edit in case.edits]
    verdict = worst(v for v, _ in verdicts)
    reason = "; ".join(dict.fromkeys(r for v, r in verdicts if v == verdict))
    zeros = [c for c in found if c.kind == "missing"]
    if zeros and verdict in ("safe", "changes_behaviour"):
        reason = f"{len(zeros)} biases are not in the checkpoint and start at zero: {_told(zeros)}"
        return say("safe" if len(case.edits) == 1 else verdict, reason, zeros)
    if keeps_output:
        reason = "the checkpoint holds an output matrix of its own, which Transformers keeps instead of tying"
    return say("safe" if keeps_output and len(case.edits) == 1 else verdict, reason)


def _is_empty_size(edit: Edit) -> bool:
    """Sizes of which Transformers builds the module even when they are 0."""
    return edit.after == 0 and leaf_of(edit.key) in ("shared_expert_intermediate_size", "n_shared_experts")


def _starts_at_zero(change: TensorChange) -> bool:
    """A bias of a linear layer: Transformers initialises it with zeros."""
    return change.name.endswith(("_proj.bias", "_proj_with_mqa.bias"))


def _has_own_output(case: Case) -> bool:
    """Whether embeddings get tied although the checkpoint holds both matrices."""
    return (
        case.after is not None
        and case.after.has_tied_embeddings
        and not case.before.has_tied_embeddings
        and any(t.role == "output" for t in case.before.tensors)
    )


def _config_refused(case: Case, engine: Engine) -> str:
    """Values that a configuration or the building of a model does not survive."""
    if engine.head_dim != "empty" or _edited(case, "head_dim") is not None:
        return ""
    for edit in case.edits:
        scaling = edit.after
        if leaf_of(edit.key) in ("rope_scaling", "rope_parameters") and isinstance(scaling, Mapping):
            kind = scaling.get("rope_type")
            if kind in _SCALINGS_BY_WIDTH:
                return (
                    f"its configuration leaves head_dim empty, and {kind} multiplies it (set head_dim, too)"
                )
    return ""


def _cannot_run(case: Case, after: Model) -> str:
    """Why a model that loads fails at its first token, or ''."""
    fails = "it loads, and fails at the first token"
    kv_heads, head_dim = _edited(case, "num_key_value_heads"), _edited(case, "head_dim")
    for layer in after.layers:
        if layer.experts_count and layer.active_experts_count > layer.experts_count:
            return (
                f"{fails}: {layer.active_experts_count} of {layer.experts_count} experts cannot be selected"
            )
        if layer.attention != "latent":
            continue
        if isinstance(kv_heads, int) and layer.query_heads_count // kv_heads != 1:
            return (
                f"{fails}: latent attention makes keys for all {layer.query_heads_count} heads, and would "
                f"repeat them as if there were {kv_heads}"
            )
        if isinstance(head_dim, int) and head_dim != layer.rope_dim:
            return f"{fails}: {head_dim} rotary values do not fit the {layer.rope_dim} that are rotated"
    return ""


def _key_in_transformers(edit: Edit, case: Case, engine: Engine) -> tuple[EditVerdict, str]:
    """One edit whose tensors all fit."""
    leaf, facts = leaf_of(edit.key), case.facts.get(edit.key)
    if edit.after == edit.before:
        return "safe", f"{leaf} is {edit.before!r} already"
    if engine.keys is not None and not ({topmost_of(edit.key), leaf} & engine.keys):
        if facts is None and not edit.was_present:
            return "unknown", f"nothing is known about {edit.key}"
        return "safe", f"Transformers' code of {case.before.architecture} does not read {leaf}"
    assert case.after is not None
    return _by_kind(edit, case, case.after, facts)


def _by_kind(edit: Edit, case: Case, after: Model, facts: KeyFacts | None) -> tuple[EditVerdict, str]:
    """One edit that reaches the engine, which makes `after` of it; all tensors fit."""
    leaf, before = leaf_of(edit.key), case.before
    if leaf in _WINDOW_KEYS:
        if windows(before.layers) == windows(after.layers):
            return "safe", f"no layer's window changes with {leaf}"
        return (
            "changes_behaviour",
            f"{_windows_told(before, after)}; the weights were trained with the old windows",
        )
    if leaf in ("rope_scaling", "rope_parameters"):
        return "changes_behaviour", _scaling_told(edit.after)
    if leaf in ("dtype", "torch_dtype"):
        return "changes_behaviour", f"weights and activations are rounded to {edit.after}"
    if leaf == "max_position_embeddings" and not _depends_on_length(case):
        return "safe", "only the limit that servers read: no position is encoded differently"
    if facts is None:
        return "unknown", f"the code reads {leaf}; what it does with it is not known"
    if facts.change in ("safe", "unused"):
        return "safe", f"{leaf}: {facts.because}"
    if facts.change == "shapes":
        if recut(before.layers) != recut(after.layers):
            return "breaks_silently", (
                f"all tensors still fit, but they are cut differently: {_recut_told(before, after)}; "
                f"nothing that was trained survives that"
            )
        return "safe", f"no tensor and no layer changes with {leaf}"
    return "changes_behaviour", f"{leaf}: {facts.because}"


def _depends_on_length(case: Case) -> bool:
    """Whether the way positions are scaled computes with the longest context."""
    rope = case.before.rope
    if rope is None or rope.kind in ("default", "linear", "llama3", "proportional"):
        return False
    return rope.kind != "yarn" or rope.original_context_tokens is None


def _scaling_told(scaling: Any) -> str:
    if not isinstance(scaling, Mapping) or "factor" not in scaling:
        return "positions are no longer scaled as they were in training"
    kind, factor = scaling.get("rope_type", scaling.get("type")), scaling["factor"]
    original = scaling.get("original_max_position_embeddings")
    reach = f", from {original:,} tokens to {int(original * factor):,}" if isinstance(original, int) else ""
    return (
        f"{kind} scales positions by {factor:g}{reach}, and does so at every length, short prompts included"
    )


def windows(layers: Sequence[LayerSpec]) -> tuple[tuple[str, int | None], ...]:
    """Kind and window of each layer."""
    return tuple((layer.attention, layer.window_tokens) for layer in layers)


def _windows_told(before: Model, after: Model) -> str:
    pairs = list(zip(windows(before.layers), windows(after.layers), strict=False))
    count = sum(was != now for was, now in pairs)
    first = next(pair for pair in pairs if pair[0] != pair[1])
    was, now = (f"{w:,} tokens" if w else "the whole context" for _, w in first)
    return f"{count} layers see {now} instead of {was}"


def recut(layers: Sequence[LayerSpec]) -> tuple[tuple[object, ...], ...]:
    """How the rows of the trained matrices are divided into heads."""
    return tuple(
        (
            layer.query_heads_count, layer.kv_heads_count, layer.key_dim, layer.value_dim, layer.rope_dim,
            layer.latent_dim, _state_heads(layer),
        )
        for layer in layers
    )  # fmt: skip


def _state_heads(layer: LayerSpec) -> tuple[int, ...]:
    state = layer.state
    return (state.heads_count, state.head_dim, state.state_dim, state.groups_count) if state else ()


def _recut_told(before: Model, after: Model) -> str:
    pairs = zip(before.layers, after.layers, strict=True)
    was, now = next((b, a) for b, a in pairs if recut([b]) != recut([a]))
    return f"{was.query_heads_count} heads of {was.key_dim} become {now.query_heads_count} of {now.key_dim}"


# --- llama.cpp ------------------------------------------------------------------------------------------


def judge_llama_cpp(case: Case, engine: Engine) -> EngineVerdict:
    """The GGUF of the unedited model with its metadata overridden."""

    def say(verdict: EditVerdict, reason: str, found: Sequence[TensorChange] = ()) -> EngineVerdict:
        return _verdict("llama.cpp", engine.version, verdict, reason, found)

    try:
        architecture = gguf_architecture(case.before)
    except UnsupportedArchitecture as error:
        return say("not_settable", error.message)
    set_by = {
        e.key: in_gguf(e, case.facts.get(e.key), architecture, case.before, case.read_keys)
        for e in case.edits
    }
    settable = [e for e in case.edits if set_by[e.key].pairs]
    if not settable:
        return say("not_settable", "; ".join(dict.fromkeys(m.reason for m in set_by.values())))
    read = [
        e for e in settable
        if engine.keys is None
        or any(p.key.removeprefix(f"{architecture}.") in engine.keys for p in set_by[e.key].pairs)
    ]  # fmt: skip
    if not read:
        return say("safe", f"llama.cpp's {architecture} does not read {set_by[settable[0].key].pairs[0].key}")
    refusal = _assertion(case, architecture, read)
    if refusal:
        return say("load_error", refusal)
    if case.converted is None:
        is_shape = any((f := case.facts.get(e.key)) is not None and f.changes_shapes for e in read)
        return say("load_error" if is_shape and not case.is_unreadable else "unknown", case.problem)
    try:
        found = changes(table_of(gguf_tensors(case.before)), table_of(gguf_tensors(case.converted)))
    except UnsupportedArchitecture as error:
        return say("unknown", error.message)
    except ValueError as error:
        return say("load_error", f"no GGUF can hold such a tensor: {error}")
    # the file's own frequencies stay what they are, whatever the metadata says of scaling
    found = tuple(c for c in found if c.kind == "shape" or not c.name.startswith("rope_f"))
    if found:
        words = {
            "shape": "the shapes differ",
            "missing": "a tensor is missing",
            "unused": "tensors are left over",
        }
        return say("load_error", f"{words[found[0].kind]}: {_told(found)}", found)
    verdicts = [_key_in_llama_cpp(edit, case, architecture) for edit in read]
    verdict = worst(v for v, _ in verdicts)
    return say(verdict, "; ".join(dict.fromkeys(r for v, r in verdicts if v == verdict)))


def _assertion(case: Case, architecture: str, edits: Sequence[Edit]) -> str:
    """Values on which llama.cpp gives up before it looks at a tensor (load_hparams)."""
    after = case.converted or case.after
    if after is None:
        return ""
    for layer in after.layers:
        if layer.active_experts_count > layer.experts_count:
            return f"it stops: {layer.active_experts_count} experts used of {layer.experts_count}"
    widths = case.before.layers[0].key_dim, after.layers[0].key_dim
    is_derived = widths[0] != widths[1] and "head_dim" not in {leaf_of(e.key) for e in edits}
    if architecture in _ROTATES_WHOLE and is_derived:
        return f"it stops: rope.dimension_count stays {widths[0]} while a head gets {widths[1]} values"
    groups = _edited(case, "n_group"), _edited(case, "topk_group")
    experts = max((layer.experts_count for layer in after.layers), default=0)
    if (
        isinstance(groups[0], int)
        and groups[0] > 1
        and experts
        and {"n_group", "topk_group"} & {leaf_of(e.key) for e in edits}
    ):
        if groups[0] >= experts or experts % groups[0]:
            return f"it stops: {experts} experts do not divide into {groups[0]} groups"
        if isinstance(groups[1], int) and not 0 < groups[1] < groups[0]:
            return f"it stops: {groups[1]} of {groups[0]} groups is not a selection"
    return ""


def _edited(case: Case, leaf: str) -> Any:
    return next((e.after for e in case.edits if leaf_of(e.key) == leaf), case.before_value(leaf))


def _key_in_llama_cpp(edit: Edit, case: Case, architecture: str) -> tuple[EditVerdict, str]:
    if edit.after == edit.before:
        return "safe", f"{leaf_of(edit.key)} is {edit.before!r} already"
    if leaf_of(edit.key) == "rope_scaling" and case.before.rope and case.before.rope.kind == "llama3":
        held = "the scaling of training is in the file's rope_freqs.weight, which no metadata switches off"
        return ("safe", held) if edit.after is None else ("changes_behaviour", f"{held}; this comes on top")
    if leaf_of(edit.key) in _DRAFT_KEYS:
        return "breaks_silently", "the last layers are taken for draft layers and left out of the model"
    assert case.converted is not None
    return _by_kind(edit, case, case.converted, case.facts.get(edit.key))
