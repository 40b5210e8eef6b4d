"""What a change to a vocabulary breaks, and what it takes to carry it out.

What engines do: `tokenizers` checks every merge against the vocabulary when it loads; rows of the embedding
and output matrices are found by id alone; src/llama-vocab.cpp of llama.cpp takes a token's place in the list
for its id; resize_token_embeddings of Transformers adds or drops rows at the end.
"""

from __future__ import annotations

from collections.abc import Iterable

from plimsoll.core.special_tokens import all_ids, by_text, special_tokens
from plimsoll.domain.tokenizer import EditJudgement, EditVerdict, TokenRows, Vocabulary
from plimsoll.errors import BadSetting

_HINT = "write --edit remove:TOKEN, --edit renumber:TOKEN=ID or --edit add:TOKEN,TOKEN"
LARGEST_ID = 2**31 - 1
MOST_ADDED = 100_000


def judge(
    edit: str, vocabulary: Vocabulary, rows: TokenRows | None, alphabet: frozenset[str] = frozenset()
) -> EditJudgement:
    """The judgement of one edit; `alphabet` are the pieces that stand for single bytes. Raises BadSetting."""
    kind, colon, what = edit.partition(":")
    if not colon or not what:
        raise BadSetting(f"{edit!r} is not an edit", hint=_HINT)
    if kind == "remove":
        return _remove(edit, what, vocabulary, alphabet)
    if kind == "renumber":
        return _renumber(edit, what, vocabulary, rows)
    if kind == "add":
        return _add(edit, what, vocabulary, rows)
    raise BadSetting(f"{kind!r} is not an edit of a tokenizer", hint=_HINT)


def _remove(edit: str, text: str, vocabulary: Vocabulary, alphabet: frozenset[str]) -> EditJudgement:
    id = _known(text, vocabulary)
    own = dict(vocabulary.entries)
    merges = [(a, b) for a, b in vocabulary.merges if text in (a, b, a + b)] if text in own else []
    breaks, to_do = _uses(id, text, vocabulary), []
    moved = len(own) - 1 - id if vocabulary.ids_are_places and text in own else 0
    if moved > 0:
        breaks.append(f"{moved} later tokens move down by one: each reads its neighbour's row")
        to_do.append("put a placeholder in its place instead of taking it out")
    if text in alphabet:
        breaks.append("it stands for a single byte: text with that byte loses it")
    is_fatal = bool(breaks)
    if merges:
        lost = _unreachable(text, vocabulary)
        breaks.append(f"{len(merges)} merges need or make it: {_merges_shown(merges)}")
        if lost:
            breaks.append(f"{len(lost)} longer tokens can then no longer be made: {_shown(lost)}")
        to_do.append(f"remove those {len(merges)} merges as well")
    to_do.append("leave its row in the matrices unused; taking it out renumbers every later token")
    verdict: EditVerdict = "changes behaviour"
    reason = "texts with it are cut into other tokens, as never trained"
    if is_fatal:
        verdict, reason = "breaks the model", breaks[0]
    elif merges:
        verdict, reason = "load error", "the tokenizers library refuses a file whose merges lack a token"
    return EditJudgement(
        edit=edit, verdict=verdict, reason=reason, breaks=tuple(breaks), to_do=tuple(to_do),
        engines={
            "transformers": "the matrices keep their size; the row is never looked up",
            "llama.cpp": "a token's place is its id: convert again, with a placeholder of type unused there",
        },
    )  # fmt: skip


def _renumber(edit: str, what: str, vocabulary: Vocabulary, rows: TokenRows | None) -> EditJudgement:
    text, equals, number = what.rpartition("=")
    if not equals or not text or not (number.isascii() and number.isdigit()) or int(number[:20]) > LARGEST_ID:
        raise BadSetting(f"{edit!r} lacks a token or an id", hint="write --edit renumber:TOKEN=ID")
    old, new = _known(text, vocabulary), int(number)
    if old == new:
        return EditJudgement(edit=edit, verdict="safe", reason=f"its id is {new} already")
    others = [t for t, id in by_text(vocabulary).items() if id == new and t != text]
    breaks = [f"{text} reads row {new}, which was trained for {_quoted(others[0])}" if others else
              f"{text} reads row {new}, which was trained for no token"]  # fmt: skip
    to_do = []
    if others:
        breaks.append(f"{_quoted(others[0])} and {_quoted(text)} then share an id: neither decodes surely")
        to_do.append(f"give {_quoted(others[0])} the id {old} and swap rows {old} and {new} of every matrix")
    elif rows is None or new < rows.rows_count:
        to_do.append(f"copy row {old} to row {new} in every matrix")
    resize: int | None = 0
    if rows is not None and new >= rows.rows_count:
        breaks.insert(0, f"there are {rows.rows_count} rows: looking up {new} fails")
        resize = (new + 1 - rows.rows_count) * rows.row_bytes * rows.matrices_count
        to_do.append(f"resize to {new + 1} rows, then copy row {old} to {new}")
    bound = [t for t, id in vocabulary.bound_ids.items() if t == text]
    breaks += [f"the post-processor writes {_quoted(t)} as {old}" for t in bound]
    breaks += [f"{where} names the id {old}" for where in _id_claims(old, vocabulary)]
    return EditJudgement(
        edit=edit, verdict="breaks the model", reason=breaks[0], breaks=tuple(breaks), to_do=tuple(to_do),
        resize_bytes=None if rows is None else resize,
        engines={
            "transformers": "loads in silence; ids are rows" if not resize else "fails at the look-up",
            "llama.cpp": "a token's place in the list is its id: convert again after moving the rows",
        },
    )  # fmt: skip


def _add(edit: str, what: str, vocabulary: Vocabulary, rows: TokenRows | None) -> EditJudgement:
    texts = [text for text in what.split(",") if text]
    if not texts or len(texts) > MOST_ADDED:
        raise BadSetting(f"{edit!r} names no token", hint="write --edit add:TOKEN,TOKEN")
    if len(set(texts)) != len(texts):
        raise BadSetting(f"{edit!r} names a token twice", hint="name each once")
    ids, added = by_text(vocabulary), {token.content for token in vocabulary.added}
    known = [text for text in texts if text in ids]
    new = [text for text in texts if text not in ids]
    breaks = [f"{_quoted(t)} exists already ({ids[t]})"
              + ("" if t in added else ": as an added token it is cut out of texts before merging")
              for t in known]  # fmt: skip
    if not new:
        is_same = all(text in added for text in known)
        return EditJudgement(
            edit=edit, verdict="safe" if is_same else "changes behaviour", breaks=tuple(breaks),
            reason="nothing is added" if is_same else "no new row; texts with it are cut otherwise",
        )  # fmt: skip
    first = max(all_ids(vocabulary), default=-1) + 1
    if rows is None:
        return EditJudgement(
            edit=edit, verdict="unknown", resize_bytes=None, breaks=tuple(breaks),
            reason="the number of embedding rows is unknown: give the folder with config.json",
            to_do=(f"the new ids would be {first} to {first + len(new) - 1}",),
        )  # fmt: skip
    return _with_rows(edit, new, first, rows, breaks)


def _with_rows(edit: str, new: list[str], first: int, rows: TokenRows, breaks: list[str]) -> EditJudgement:
    needed = first + len(new)
    lacking = max(0, needed - rows.rows_count)
    total = max(needed, rows.rows_count)
    ids = f"{first}" if len(new) == 1 else f"{first} to {needed - 1}"
    to_do = [f"train: no row of the new ids ({ids}) has learnt anything"]
    growth = lacking * rows.row_bytes * rows.matrices_count
    if lacking:
        to_do.insert(0, f"resize the matrices from {rows.rows_count} to {needed} rows"
                        f" ({rows.matrices_count} x {lacking} x {rows.row_bytes} bytes)")  # fmt: skip
        breaks = [
            f"there are {rows.rows_count} rows: looking up {max(first, rows.rows_count)} fails",
            *breaks,
        ]
    else:
        to_do.append(f"no resize: {rows.rows_count - first} padding rows are free")
    return EditJudgement(
        edit=edit, verdict="breaks the model" if lacking else "changes behaviour",
        reason=breaks[0] if lacking else "the rows exist as padding; until trained they mean nothing",
        breaks=tuple(breaks), to_do=tuple(to_do), resize_bytes=growth,
        engines={
            "transformers": f"resize_token_embeddings({needed}) adds rows around the mean of the old"
            " ones, to the output matrix, too" if lacking else "no call needed; do not shrink the matrices",
            "llama.cpp": "convert again: the file holds vocabulary and matrices; quantised ones do not grow",
            "vllm": f"config.json's vocab_size must equal the checkpoint's rows, {total}",
        },
    )  # fmt: skip


def _known(text: str, vocabulary: Vocabulary) -> int:
    ids = by_text(vocabulary)
    if text not in ids:
        import difflib

        same_length = (t for t in ids if abs(len(t) - len(text)) < 3 and t[:1] == text[:1])
        near = difflib.get_close_matches(text, list(same_length)[:5000], n=3)
        raise BadSetting(
            f"there is no token {text!r}",
            hint=f"near: {', '.join(near)}"
            if near
            else "give it as stored: byte-level pieces write a space as Ġ",
        )
    return ids[text]


def _uses(id: int, text: str, vocabulary: Vocabulary) -> list[str]:
    """Who names the token: roles, the post-processor, the chat template."""
    found = [
        f"it is the {', '.join(token.roles)} token of {', '.join(token.said_by)}"
        for token in special_tokens(vocabulary)
        if token.id == id and token.said_by
    ]
    if text in vocabulary.bound_ids:
        found.append("the post-processor puts it around every text")
    is_added = any(token.content == text for token in vocabulary.added)
    if is_added and text in vocabulary.template:
        found.append("the chat template writes it")
    return found


def _id_claims(id: int, vocabulary: Vocabulary) -> Iterable[str]:
    return (c.where for claims in vocabulary.claims.values() for c in claims if c.id == id)


def _unreachable(text: str, vocabulary: Vocabulary) -> list[str]:
    """Tokens that merging can no longer make once `text` is gone: all their merges need a lost token."""
    makers: dict[str, list[tuple[str, str]]] = {}
    users: dict[str, list[str]] = {}
    for a, b in vocabulary.merges:
        makers.setdefault(a + b, []).append((a, b))
        users.setdefault(a, []).append(a + b)
        users.setdefault(b, []).append(a + b)
    lost, queue = {text}, [text]
    while queue:
        for made in users.get(queue.pop(), ()):
            if made not in lost and all(a in lost or b in lost for a, b in makers[made]):
                lost.add(made)
                queue.append(made)
    return sorted(lost - {text}, key=lambda t: (len(t), t))


def _merges_shown(merges: list[tuple[str, str]]) -> str:
    return _some([f"{a} + {b}" for a, b in merges[:4]], len(merges))


def _shown(texts: list[str]) -> str:
    return _some(texts[:4], len(texts))


def _some(first: list[str], count: int) -> str:
    return ", ".join(first) + (", ..." if count > len(first) else "")


def _quoted(text: str) -> str:
    return f"'{text}'"
