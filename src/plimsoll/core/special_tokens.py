"""What each special token is for, and where the files of one tokenizer contradict each other."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import groupby

from plimsoll.domain.tokenizer import Claim, Problem, SpecialToken, TokenRows, Vocabulary
from plimsoll.runtimes.llama_cpp.special_tokens import ENDS_OF_TURN, FIM

# Roles told by a token's text alone, tried in order; files' own words come first.
_BY_TEXT: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (role, re.compile(pattern, re.IGNORECASE))
    for role, pattern in (
        ("reserved", r"reserved|unused|placeholder|dummy|extra_id|<SPECIAL_\d|^<\|?ext_|\[control_\d"),
        ("fim", r"fim[_▁-]|<\|code_(pre|suf|mid)"),
        ("tool", r"tool|function|python_tag|ipython|<\|calls?\|>|TOOLCALL|START_ACTION|END_ACTION"),
        ("think", r"think|reasoning"),
        ("video", r"video"),
        ("audio", r"audio|speech|<\|?wav"),
        ("image", r"image|img|vision|picture"),
        ("box or pointer", r"<\|?/?(box|quad|object_ref|point|bbox|loc)\w*"),
        ("turn header", r"im_start|header|start_of_turn|start_of_role|^<\|start\|>|\[/?INST\]|<\|turn|"
                        r"^<[|｜](user|assistant|system|developer|observation|message|channel|constrain)[|｜]>"),
        ("end of turn", r"im_end|eot|end_of_turn|end_of_message|^<\|end\|>|eom_id"),
        ("end of text", r"endoftext|end_of_text|end[▁_]of[▁_]sentence"),
    )
)  # fmt: skip
_SHOWN = 5


def by_text(vocabulary: Vocabulary) -> dict[str, int]:
    """Ids by stored text; added tokens go before the model's own."""
    return dict(vocabulary.entries) | {token.content: token.id for token in vocabulary.added}


def all_ids(vocabulary: Vocabulary) -> set[int]:
    """Every id that has a token."""
    return {id for _, id in vocabulary.entries} | {token.id for token in vocabulary.added}


def resolved(vocabulary: Vocabulary, claim: Claim) -> int | None:
    """The id that a claim means, or None when its text is no token."""
    return claim.id if claim.id is not None else by_text(vocabulary).get(claim.text or "")


def special_tokens(vocabulary: Vocabulary) -> tuple[SpecialToken, ...]:
    """Special and added tokens with their roles, in order of ids."""
    ids, texts = by_text(vocabulary), {id: text for text, id in vocabulary.entries}
    texts |= {token.id: token.content for token in vocabulary.added}
    said: dict[int, list[tuple[str, str]]] = {}
    for role, claims in vocabulary.claims.items():
        for claim in claims:
            id = claim.id if claim.id is not None else ids.get(claim.text or "")
            if id is not None:
                said.setdefault(id, []).append((role, claim.where))
    special = {token.id: token.is_special for token in vocabulary.added}
    out = []
    for id in sorted({*said, *special}):
        text = texts.get(id, "")
        roles = dict.fromkeys(role for role, _ in said.get(id, ()) if role != "additional")
        by_name = role_by_text(text)
        if by_name and by_name not in roles and not (by_name == "fim pad" and "pad" in roles):
            roles[by_name] = None
        out.append(
            SpecialToken(
                id=id, content=text, roles=tuple(roles), is_special=special.get(id, False),
                said_by=tuple(dict.fromkeys(where for _, where in said.get(id, ()))),
            )
        )  # fmt: skip
    return tuple(out)


def role_by_text(text: str) -> str:
    """The role that a token's text tells, or ''."""
    for role, texts in FIM.items():
        if text in texts:
            return role
    if text in ENDS_OF_TURN and "text" not in text and "sentence" not in text:
        return "end of turn"
    return next((role for role, pattern in _BY_TEXT if pattern.search(text)), "")


def unknown_ids(vocabulary: Vocabulary) -> frozenset[int]:
    """Ids of the token that stands for text which cannot be encoded."""
    found = (resolved(vocabulary, claim) for claim in vocabulary.claims.get("unk", ()))
    return frozenset(id for id in found if id is not None)


def stop_ids(vocabulary: Vocabulary) -> frozenset[int]:
    """Ids that some file names as an end: eos of any file, and a GGUF's end of turn or message."""
    ids = by_text(vocabulary)
    found = (
        claim.id if claim.id is not None else ids.get(claim.text or "")
        for role in ("eos", "end of turn", "end of message")
        for claim in vocabulary.claims.get(role, ())
    )
    return frozenset(id for id in found if id is not None)


def problems(
    vocabulary: Vocabulary,
    rows: TokenRows | None,
    *,
    named: Mapping[int, str],
    template_ends: tuple[str, ...],
) -> tuple[Problem, ...]:
    """Contradictions within and between the files. `named` are the ids that
    tokenizer_config.json gives texts to."""
    return (
        *_ids(vocabulary),
        *_texts(vocabulary),
        *_rows(vocabulary, rows),
        *_claims(vocabulary),
        *_named(vocabulary, named),
        *_stops(vocabulary, template_ends),
    )


def _ids(vocabulary: Vocabulary) -> Iterator[Problem]:
    where = "vocabulary"
    pairs = {(id, text) for text, id in vocabulary.entries} | {(t.id, t.content) for t in vocabulary.added}
    doubled = [
        (id, [text for _, text in group])
        for id, group in ((i, list(g)) for i, g in groupby(sorted(pairs), key=lambda p: p[0]))
        if len(group) > 1
    ]
    for id, texts in doubled[:_SHOWN]:
        yield Problem(
            severity="error", where=where,
            says=f"the id {id} stands for {len(texts)} tokens: {', '.join(map(ascii, texts[:4]))}",
        )  # fmt: skip
    if len(doubled) > _SHOWN:
        yield Problem(severity="error", where=where, says=f"{len(doubled) - _SHOWN} more ids stand twice")
    ids = {id for id, _ in pairs}
    if not ids:
        yield Problem(severity="error", where=where, says="the vocabulary is empty")
    elif (missing := max(ids) + 1 - len(ids)) > 0 and min(ids) >= 0:
        first = next(i for i in range(max(ids)) if i not in ids)
        yield Problem(
            severity="note", where=where,
            says=f"{missing} ids below the largest have no token (the first is {first}); a converter fills"
            " them with placeholders",
        )  # fmt: skip


def _texts(vocabulary: Vocabulary) -> Iterator[Problem]:
    seen: dict[str, int] = {}
    for text, id in vocabulary.entries:
        if seen.setdefault(text, id) != id:
            yield Problem(
                severity="error", where="vocabulary",
                says=f"the text {text!a} stands twice, as {seen[text]} and {id}; llama.cpp stops at this",
            )  # fmt: skip
            break
    broken = [text for text in seen if any("\ud800" <= c <= "\udfff" for c in text)]
    if broken:
        yield Problem(
            severity="error", where="vocabulary",
            says=f"{len(broken)} tokens hold half of a surrogate pair ({broken[0]!a}); the tokenizers"
            " library refuses such a file",
        )  # fmt: skip
    own = dict(vocabulary.entries)
    for token in vocabulary.added:
        if own.get(token.content, token.id) != token.id:
            yield Problem(
                severity="error", where="added_tokens",
                says=f"{token.content!a} is {token.id} as added token and {own[token.content]} in the"
                " vocabulary",
            )  # fmt: skip
    lost = [
        (a, b) for a, b in vocabulary.merges if a not in own or b not in own or a + b not in own
    ] if vocabulary.kind == "BPE" else []  # fmt: skip
    if lost:
        yield Problem(
            severity="error", where="merges",
            says=f"{len(lost)} merges need or make tokens that do not exist, such as"
            f" {lost[0][0]!a} + {lost[0][1]!a}; the tokenizers library refuses such a file",
        )  # fmt: skip


def _rows(vocabulary: Vocabulary, rows: TokenRows | None) -> Iterator[Problem]:
    ids = all_ids(vocabulary)
    if rows is None or not ids:
        return
    beyond = sorted(id for id in ids if id >= rows.rows_count)
    if beyond:
        yield Problem(
            severity="error", where=rows.origin.where,
            says=f"{len(beyond)} tokens have no embedding row: {rows.rows_count} rows, the largest id is"
            f" {beyond[-1]}; text with them fails or reads foreign memory",
        )  # fmt: skip
    elif (spare := rows.rows_count - (max(ids) + 1)) > 0:
        yield Problem(
            severity="note", where=rows.origin.where,
            says=f"the embedding is padded: {rows.rows_count} rows for ids up to {max(ids)}, {spare} spare",
        )  # fmt: skip


def _claims(vocabulary: Vocabulary) -> Iterator[Problem]:
    ids, known = by_text(vocabulary), all_ids(vocabulary)
    texts = {id: text for text, id in ids.items()}
    for role, claims in vocabulary.claims.items():
        for claim in claims:
            if claim.text is not None and claim.text not in ids:
                yield Problem(
                    severity="error", where=claim.where,
                    says=f"the {role} token {claim.text!a} is not in the vocabulary",
                )  # fmt: skip
            if claim.id is not None and claim.id not in known:
                yield Problem(
                    severity="error", where=claim.where, says=f"the {role} id {claim.id} has no token"
                )
        yield from _differing(role, claims, ids, texts)


def _differing(
    role: str, claims: tuple[Claim, ...], ids: Mapping[str, int], texts: Mapping[int, str]
) -> Iterator[Problem]:
    """Files that name different tokens for one role; a list of ids is one statement."""
    if role == "additional" or len({c.where.partition("#")[0] for c in claims}) < 2:
        return
    by_file: dict[str, set[int]] = {}
    for claim in claims:
        id = claim.id if claim.id is not None else ids.get(claim.text or "")
        if id is not None:
            by_file.setdefault(claim.where.partition("#")[0], set()).add(id)
    sets = list(by_file.items())
    for file, named in sets[1:]:
        first_file, first = sets[0]
        if named == first:
            continue
        disjoint = not named & first
        yield Problem(
            severity="warning" if disjoint else "note", where=f"{first_file}, {file}",
            says=f"{role}: {first_file} says {_named_ids(first, texts)},"
            f" {file} says {_named_ids(named, texts)}",
        )  # fmt: skip


def _named_ids(ids: set[int], texts: Mapping[int, str]) -> str:
    return ", ".join(f"{texts.get(id, '?')} ({id})" for id in sorted(ids)[:_SHOWN])


def _named(vocabulary: Vocabulary, named: Mapping[int, str]) -> Iterator[Problem]:
    """added_tokens_decoder of tokenizer_config.json against tokenizer.json."""
    texts = {id: text for text, id in by_text(vocabulary).items()}
    for id, text in named.items():
        if id in texts and texts[id] != text:
            yield Problem(
                severity="error", where="tokenizer_config.json#added_tokens_decoder",
                says=f"{id} is {text!a} there and {texts[id]!a} in tokenizer.json",
            )  # fmt: skip
    for text, id in vocabulary.bound_ids.items():
        if by_text(vocabulary).get(text) != id:
            yield Problem(
                severity="error", where="tokenizer.json#post_processor",
                says=f"it writes {text!a} as {id}, which is not that token's id",
            )  # fmt: skip


def _stops(vocabulary: Vocabulary, template_ends: tuple[str, ...]) -> Iterator[Problem]:
    ids, stops = by_text(vocabulary), stop_ids(vocabulary)
    for text in template_ends:
        if text in ids and stops and ids[text] not in stops:
            yield Problem(
                severity="warning", where=vocabulary.template_from,
                says=f"the chat template ends turns with {text} ({ids[text]}), which no file names as eos:"
                " an engine that does not know it by its text goes on generating",
            )  # fmt: skip
    ends = {resolved(vocabulary, c) for c in vocabulary.claims.get("eos", ())} - {None}
    pads = {resolved(vocabulary, c) for c in vocabulary.claims.get("pad", ())} - {None}
    if ends & pads:
        yield Problem(
            severity="note", where="pad, eos",
            says="pad and eos are one token: a trainer that masks padding also masks the end, and the model"
            " does not learn to stop",
        )  # fmt: skip
