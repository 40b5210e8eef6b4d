"""What is in a model: the answer of `plimsoll model`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from plimsoll.domain.config_key import KeyFacts
from plimsoll.domain.model import RopeSpec
from plimsoll.domain.origin import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """A statement and where it was read; an empty `value` is unknown."""

    value: str
    source: str = ""


UNKNOWN = Fact(value="")


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerCell:
    """One layer in words. `letter` is its sign in the layer map, lower case where the feed-forward part is
    dense in a model that also has experts; `attention` and `ffn` name what it holds."""

    index: int
    letter: str
    attention: str
    ffn: str
    shares_kv_with: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerRun:
    """`times` repetitions of a `period` of layers that starts at layer `first`."""

    first: int
    times: int
    period: tuple[LayerCell, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What one role holds: parameters, how many of them one text token touches, and bytes as published.

    Bytes include the scales of quantised matrices, which are not parameters.
    """

    role: str
    parameters_count: int
    active_parameters_count: int
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FormatShare:
    """What is stored in one format. `holds` is `weights`, or `scales` for what quantisation adds."""

    format: str
    holds: str
    size_bytes: int
    tensors_count: int
    by_role_bytes: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """Counts over the tensor table. Vendors count active parameters with or without the input embedding
    (whose rows are only looked up); where embedding and output are one matrix both counts are the same.

    `published_count` is the count that the publisher's repository shows; `other_count` of it is no
    parameter of the config's own tensors. `drafting_count` of the total are layers for multi-token
    prediction, which vendors often leave out. `stated_*` are the publisher's words, and
    `stated_active_is` says which of our counts gives them.
    """

    total_count: int
    active_with_embedding_count: int
    active_without_embedding_count: int
    drafting_count: int = 0
    published_count: int | None = None
    published_other: str = ""
    published_source: str = ""
    stated_total: str = ""
    stated_active: str = ""
    stated_active_is: str = ""
    stated_source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheRow:
    """Bytes that one sequence of `context_tokens` leaves in the cache, by format of the cache.

    None: the rows do not divide into the format's blocks. The recurrent state is not in it.
    """

    context_tokens: int
    f16_bytes: int
    q8_0_bytes: int | None
    fp8_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cache:
    """How the cache grows: `growing_layers_count` layers keep every token, `window_layers_count` stop at
    their window, `shared_layers_count` read another layer's. `state_*_bytes` is the recurrent state of one
    sequence, the same for every context."""

    growing_layers_count: int
    window_layers_count: int
    shared_layers_count: int
    state_layers_count: int
    first_token_f16_bytes: int
    later_token_f16_bytes: int
    state_f32_bytes: int
    rows: tuple[CacheRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextWindow:
    """`trained_tokens` is what the config allows; `native_tokens` what it was trained with before its
    positions were stretched, None where nothing says so."""

    trained_tokens: int | None
    native_tokens: int | None
    extension: str
    rope: RopeSpec | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Chat:
    """How a conversation is written for this model, as its chat template shows. Empty: unknown."""

    family: str = ""
    reasoning: str = ""
    tools: str = ""
    markers: tuple[str, ...] = ()
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """The tokenizer. `size_count` is the rows of the embedding; the rest is None or '' where no tokenizer
    file was read."""

    size_count: int
    kind: str = ""
    tokens_count: int | None = None
    merges_count: int | None = None
    added_count: int | None = None
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What is said about a model by its publisher: each a Fact, UNKNOWN where nobody said it."""

    license: Fact = UNKNOWN
    languages: Fact = UNKNOWN
    released_on: Fact = UNKNOWN
    base_model: Fact = UNKNOWN
    variant: Fact = UNKNOWN
    weights: Fact = UNKNOWN
    training_data: Fact = UNKNOWN
    training_code: Fact = UNKNOWN
    recipe: Fact = UNKNOWN
    checkpoint: Fact = UNKNOWN


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFile:
    """One file of the model, and what it takes on disk."""

    name: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """How one runtime is told another value; `how` is empty if it cannot be, `note` says why or what else."""

    runtime: str
    how: str
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyExplanation:
    """One line of config.json. `facts` is None for a key nobody here knows; `effects` are sentences about
    this model's value."""

    path: str
    value: str
    facts: KeyFacts | None
    effects: tuple[str, ...] = ()
    overrides: tuple[Override, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """The answer of `model`. `unknowns` names what neither the files nor the catalog say."""

    question: str
    asked: Mapping[str, object]
    id: str
    revision: str
    architecture: str
    hidden_dim: int
    layers: tuple[LayerCell, ...]
    layer_map: tuple[LayerRun, ...]
    layer_text: str
    parameters: Parameters
    shares: tuple[Share, ...]
    weight_format: str
    size_bytes: int
    formats: tuple[FormatShare, ...]
    context: ContextWindow
    cache: Cache
    vocabulary: Vocabulary
    chat: Chat
    card: Card
    files: tuple[ModelFile, ...] = ()
    keys: tuple[KeyExplanation, ...] = ()
    config_from: str = ""
    unread_keys: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    unknowns: tuple[str, ...] = ()
    sources: tuple[Source, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
