"""The vocabulary of a Hugging Face model: tokenizer.json and the small files beside it.

Each file may say which token has which role; all are kept, so that contradictions can be told.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from plimsoll.domain.tokenizer import AddedToken, Claim, Style, Vocabulary
from plimsoll.errors import MalformedConfig
from plimsoll.parse.tokenizer import facts_from_tokenizer_json

TOKENIZER, SETTINGS, MAP = "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"
GENERATION, CONFIG, TEMPLATE = "generation_config.json", "config.json", "chat_template.jinja"
OLD_TEMPLATE, ADDED = "chat_template.json", "added_tokens.json"
SMALL_FILES = (SETTINGS, MAP, GENERATION, CONFIG, OLD_TEMPLATE, ADDED)
ROLES = ("bos", "eos", "unk", "pad", "sep", "cls", "mask")
_NOT_ROLES = frozenset({"chat_template", "added_tokens_decoder", "tokenizer_class", "model_max_length"})


def vocabulary_from_json(files: Mapping[str, Any], *, template: str = "", where: str = "") -> Vocabulary:
    """The vocabulary of parsed files by name; tokenizer.json must be among them, the others may be.

    `template` is the text of chat_template.jinja, which goes before the one in tokenizer_config.json.
    Raises MalformedConfig for a tokenizer.json that holds no vocabulary.
    """
    tokenizer = files[TOKENIZER]
    settings = _object(files.get(SETTINGS))
    at = f"{where}/{TOKENIZER}" if where else TOKENIZER
    facts = facts_from_tokenizer_json(tokenizer, settings, where=at)
    model = tokenizer["model"]
    chosen, chosen_from = _template(template, settings, _object(files.get(OLD_TEMPLATE)))
    return Vocabulary(
        kind=facts.kind, style=_style(tokenizer, facts.kind), entries=_entries(model, at),
        merges=tuple(_merges(model, at)), added=_added(tokenizer, at),
        scores=_scores(model), claims=_claims(files), pipeline=_pipeline(tokenizer, facts.kind),
        adds_bos=_flag(settings, "add_bos_token"), adds_eos=_flag(settings, "add_eos_token"),
        adds_space=_flag(settings, "add_prefix_space"), ignores_merges=model.get("ignore_merges") is True,
        ids_are_places=isinstance(model.get("vocab"), list),
        template=chosen, template_from=chosen_from, bound_ids=_bound_ids(tokenizer.get("post_processor")),
        notes=tuple(_notes(tokenizer)),
    )  # fmt: skip


def named_ids(files: Mapping[str, Any]) -> dict[int, str]:
    """Ids of added_tokens_decoder in tokenizer_config.json with their texts."""
    decoder = _object(_object(files.get(SETTINGS)).get("added_tokens_decoder"))
    return {
        int(key): _content(value) or "" for key, value in decoder.items() if key.isdecimal() and len(key) < 10
    }


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _flag(settings: Mapping[str, Any], key: str) -> bool | None:
    value = settings.get(key)
    return value if isinstance(value, bool) else None


def _entries(model: Mapping[str, Any], where: str) -> tuple[tuple[str, int], ...]:
    vocab = model.get("vocab")
    if isinstance(vocab, Mapping):
        return tuple(vocab.items())
    rows = vocab or []
    if not all(isinstance(row, list) and row and isinstance(row[0], str) for row in rows):
        raise MalformedConfig("model.vocab holds a row that is no [text, score]", where=where)
    return tuple((row[0], i) for i, row in enumerate(rows))


def _scores(model: Mapping[str, Any]) -> tuple[float, ...]:
    vocab = model.get("vocab")
    if not isinstance(vocab, list):
        return ()
    return tuple(float(r[1]) if len(r) > 1 and isinstance(r[1], int | float) else 0.0 for r in vocab)


def _merges(model: Mapping[str, Any], where: str) -> Iterator[tuple[str, str]]:
    """'a b' in old files, ['a', 'b'] in new ones."""
    for index, merge in enumerate(model.get("merges") or []):
        pair = merge.split(" ", 1) if isinstance(merge, str) else merge
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(p, str) for p in pair):
            raise MalformedConfig(f"model.merges[{index}] is no pair of texts", where=where)
        yield pair[0], pair[1]


def _added(tokenizer: Mapping[str, Any], where: str) -> tuple[AddedToken, ...]:
    out = []
    for index, token in enumerate(tokenizer.get("added_tokens") or []):
        if (
            not isinstance(token, Mapping)
            or type(token.get("id")) is not int
            or not isinstance(token.get("content"), str)
        ):
            raise MalformedConfig(f"added_tokens[{index}] lacks an id or a text", where=where)
        out.append(
            AddedToken(
                id=token["id"], content=token["content"], is_special=token.get("special") is True,
                strips_right=token.get("rstrip") is True,
            )
        )  # fmt: skip
    return tuple(out)


def _style(tokenizer: Mapping[str, Any], kind: str) -> Style:
    """How pieces are stored, told by the decoder or, without one, by the pre-tokenizer."""
    steps = [*_steps(tokenizer.get("decoder")), *_steps(tokenizer.get("pre_tokenizer"))]
    names = {str(step.get("type")) for step in steps}
    if "ByteLevel" in names:
        return "byte_level"
    if "Metaspace" in names or "ByteFallback" in names or '"▁"' in str(steps).replace("'", '"'):
        return "sentencepiece"
    return "wordpiece" if kind == "WordPiece" else "plain"


def _steps(node: Any, depth: int = 0) -> Iterator[Mapping[str, Any]]:
    """A step, or the steps of a Sequence, in order."""
    if not isinstance(node, Mapping) or depth > 8:
        return
    lists = ("pretokenizers", "normalizers", "decoders", "processors")
    inner = [step for key in lists for step in _list(node.get(key))]
    if inner:
        for child in inner:
            yield from _steps(child, depth + 1)
    else:
        yield node


def _pipeline(tokenizer: Mapping[str, Any], kind: str) -> dict[str, str]:
    found = {}
    for key in ("normalizer", "pre_tokenizer", "post_processor", "decoder"):
        names = [str(step.get("type", "?")) for step in _steps(tokenizer.get(key))]
        found[key.replace("_", "-")] = ", ".join(names) or "none"
    return {"normalizer": found.pop("normalizer"), "pre-tokenizer": found.pop("pre-tokenizer"),
            "model": kind, **found}  # fmt: skip


def _bound_ids(processor: Any) -> dict[str, int]:
    """Texts and ids that the post-processor writes down itself."""
    found: dict[str, int] = {}
    for step in _steps(processor):
        for name, token in _object(step.get("special_tokens")).items():
            ids = _object(token).get("ids")
            if isinstance(ids, list) and len(ids) == 1 and type(ids[0]) is int:
                found[name] = ids[0]
        for key in ("sep", "cls"):
            pair = step.get(key)
            if (
                isinstance(pair, list)
                and len(pair) == 2
                and isinstance(pair[0], str)
                and type(pair[1]) is int
            ):
                found[pair[0]] = pair[1]
    return found


def _notes(tokenizer: Mapping[str, Any]) -> Iterator[str]:
    limit = _object(tokenizer.get("truncation")).get("max_length")
    if limit is not None:
        yield f"tokenizer.json cuts texts at {limit} tokens; the counts here are of the whole text"
    if tokenizer.get("padding") is not None:
        yield "tokenizer.json pads texts; padding is not counted here"


def _claims(files: Mapping[str, Any]) -> dict[str, tuple[Claim, ...]]:
    claims: dict[str, tuple[Claim, ...]] = {}

    def add(role: str, claim: Claim) -> None:
        claims[role] = (*claims.get(role, ()), claim)

    for name in (SETTINGS, MAP):
        for role, text in _texts(_object(files.get(name))):
            add(role, Claim(where=f"{name}#{role}", text=text))
    model = _object(_object(files.get(TOKENIZER)).get("model"))
    if unk := _content(model.get("unk_token")):
        add("unk", Claim(where=f"{TOKENIZER}#model.unk_token", text=unk))
    if type(model.get("unk_id")) is int:
        add("unk", Claim(where=f"{TOKENIZER}#model.unk_id", id=model["unk_id"]))
    config = _object(files.get(CONFIG))
    for where, values in (
        (GENERATION, _object(files.get(GENERATION))), (CONFIG, config),
        (f"{CONFIG}#text_config", _object(config.get("text_config"))),
    ):  # fmt: skip
        for key, value in values.items():
            if key.endswith("_token_id") and key.removesuffix("_token_id") in ROLES:
                for id in value if isinstance(value, list) else [value]:
                    if type(id) is int:
                        add(key.removesuffix("_token_id"), Claim(where=f"{where}#{key}", id=id))
    return claims


def _texts(settings: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(role, text) of '<role>_token' keys and of the lists of further special tokens."""
    for key, value in settings.items():
        if key in ("additional_special_tokens", "extra_special_tokens"):
            named = value.items() if isinstance(value, Mapping) else (("", v) for v in _list(value))
            for name, inner in named:
                if text := _content(inner):
                    yield (str(name).removesuffix("_token") or "additional"), text
        elif key.endswith("_token") and key not in _NOT_ROLES and (text := _content(value)):
            yield key.removesuffix("_token"), text


def _content(value: Any) -> str | None:
    """The text of a token written as a string or as an object."""
    if isinstance(value, Mapping):
        value = value.get("content")
    return value if isinstance(value, str) and value else None


def _template(jinja: str, settings: Mapping[str, Any], old: Mapping[str, Any]) -> tuple[str, str]:
    """The chat template that Transformers would take: its own file, then tokenizer_config.json.

    Of several named ones, the one called 'default', else the first.
    """
    if jinja:
        return jinja, TEMPLATE
    for name, value in ((SETTINGS, settings.get("chat_template")), (OLD_TEMPLATE, old.get("chat_template"))):
        if isinstance(value, str) and value:
            return value, f"{name}#chat_template"
        if isinstance(value, list):
            named = {str(_object(v).get("name")): _object(v).get("template") for v in value}
            chosen = "default" if "default" in named else next(iter(named), "")
            if isinstance(named.get(chosen), str):
                return str(named[chosen]), f"{name}#chat_template[{chosen}]"
    return "", ""
