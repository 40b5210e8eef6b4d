"""How llama.cpp cuts text into words before merging, by `tokenizer.ggml.pre`.

Source: llm_tokenizer_bpe and llama_vocab::impl::load in src/llama-vocab.cpp, and unicode_regex_split in
src/unicode.cpp, at 0c1e57098. Patterns are for Oniguruma, the engine of the `tokenizers` library; each is
applied in turn to what the one before left, and what it does not match stays one word. They differ from
the C++ source where std::regex does: it knows no case within \\p{L} (so \\p{Lu} is \\p{L} here), sees every
space beyond ASCII as one that is in no range, and takes ſ for no s.

Only names whose result equals the engine's are listed (tests/runtimes/llama_cpp/test_pre_tokenizers.py
asks the engine); of any other, the words are unknown.
"""

from __future__ import annotations

from dataclasses import dataclass

_ENGLISH_ENDINGS = r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
_SPACES = r"\s*[\r\n]+|\s+(?!\S)|\s+"
_MARKS = r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+"""
_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)"
_HAN_KANA = r"[\x{4e00}-\x{9fa5}\x{3040}-\x{309f}\x{30a0}-\x{30ff}]+"


def _words(
    letters: str = r"\p{L}", digits: str = r"\p{N}", endings: str = _ENGLISH_ENDINGS + "|",
    after_marks: str = r"[\r\n]*", spaces: str = _SPACES,
) -> str:  # fmt: skip
    """The pattern that GPT-4 began: ending | word with one sign before it | digits | signs | spaces."""
    inside = letters.strip("[]")
    return (
        rf"{endings}[^\r\n\p{{L}}\p{{N}}]?{letters}+|{digits}| ?[^\s{inside}\p{{N}}]+{after_marks}|{spaces}"
    )


def _cased(digits: str, endings: str = "") -> str:
    """o200k's words: capitals first, then the rest; std::regex takes every letter but a-z for a capital."""
    upper, lower = r"(?:(?=\p{L})[^a-z])", r"(?:(?=\p{L})[^A-Z])"
    start = r"[^\r\n\p{L}\p{N}]?"
    return (
        rf"{start}{upper}*{lower}+{endings}|{start}{upper}+{lower}*{endings}|{digits}"
        rf"| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|{_SPACES}"
    )


def _caseless(digits: str) -> str:
    """The same where llama.cpp writes \\p{Lu} and \\p{Ll}: both are any letter to it."""
    word = rf"[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}\p{{M}}]+{_ENGLISH_ENDINGS}?"
    return rf"{word}|{digits}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|{_SPACES}"


_DEEPSEEK3_MAIN = (
    rf"{_MARKS}|[^\r\n\p{{L}}\p{{P}}\p{{S}}]?[\p{{L}}\p{{M}}]+| ?[\p{{P}}\p{{S}}]+[\r\n]*|{_SPACES}"
)
# The C++ cuts only behind a group of digits, so what stands before the first group stays with it.
_DIGITS_FROM_THE_RIGHT = r"[^\p{N}]*\p{N}{1,3}(?=(?:\p{N}{3})*(?!\p{N}))"
_HAN = (
    r"[\x{4e00}-\x{9fff}\x{3400}-\x{4dbf}\x{20000}-\x{2a6df}\x{2a700}-\x{2b73f}\x{2b740}-\x{2b81f}"
    r"\x{2b820}-\x{2ceaf}\x{2ceb0}-\x{2ebef}\x{f900}-\x{faff}\x{2f800}-\x{2fa1f}]"
)
_SCRIPTS_WITHOUT_SPACES = (
    r"[\x{4e00}-\x{9fff}\x{3400}-\x{4dbf}\x{8c48}-\x{faff}\x{3040}-\x{309f}\x{30a0}-\x{30ff}\x{ff65}-\x{ff9f}\x{2f00}-\x{2fdf}"
    r"\x{e40}-\x{e7f}\x{e80}-\x{eff}\x{1780}-\x{17ff}\x{1000}-\x{109f}\x{aa60}-\x{aa7f}\x{a9e0}-\x{a9ff}\x{ac00}-\x{d7af}\x{1100}-\x{11ff}]+"
)
_ASIAN_WITHOUT_SPACES = r"[\x{4e00}-\x{9fa5}\x{800}-\x{4e00}\x{ac00}-\x{d7ff}&&[^\s]]+"
_DEEPSEEK_SIGNS = r"!-/:-~\x{ff01}-\x{ff0f}\x{ff1a}-\x{ff5e}\x{2018}-\x{201f}\x{3001}-\x{3002}"
_DEEPSEEK_LETTERS = (
    r"A-Za-z\x{b5}\x{c0}-\x{d6}\x{d8}-\x{f6}\x{f8}-\x{1ba}\x{1bc}-\x{1bf}\x{1c4}-\x{293}\x{295}-\x{2af}"
    r"\x{370}-\x{373}\x{376}\x{377}\x{37b}-\x{37d}\x{37f}\x{386}\x{388}-\x{38a}\x{38c}\x{38e}-\x{3a1}"
    r"\x{3a3}-\x{3f5}\x{3f7}-\x{481}\x{48a}-\x{52f}\x{531}-\x{556}\x{10a0}-\x{10c5}\x{13a0}-\x{13f5}"
    r"\x{13f8}-\x{13fd}\x{1c90}-\x{1cba}\x{1cbd}-\x{1cbf}\x{1d00}-\x{1d2b}\x{1d6b}-\x{1d77}"
    r"\x{1d79}-\x{1d9a}\x{1e00}-\x{1f15}\x{1f18}-\x{1f1d}\x{1f20}-\x{1f45}\x{1f48}-\x{1f4d}"
    r"\x{1f50}-\x{1f57}\x{1f59}\x{1f5b}\x{1f5d}\x{1f5f}-\x{1f7d}\x{1f80}-\x{1fb4}\x{1fb6}-\x{1fbc}"
    r"\x{1fbe}\x{1fc2}-\x{1fc4}\x{1fc6}-\x{1fcc}\x{1fd0}-\x{1fd3}\x{1fd6}-\x{1fdb}\x{1fe0}-\x{1fec}"
    r"\x{1ff2}-\x{1ff4}\x{1ff6}-\x{1ffc}\x{2102}\x{2107}\x{210a}-\x{2113}\x{2115}\x{2119}-\x{211d}"
    r"\x{2124}\x{2126}\x{2128}\x{212a}-\x{212d}\x{212f}-\x{2134}\x{2139}\x{213c}-\x{213f}"
    r"\x{2145}-\x{2149}\x{214e}\x{2183}\x{2184}\x{2c00}-\x{2c7b}\x{2c7e}-\x{2ce4}\x{2ceb}-\x{2cee}"
    r"\x{2cf2}\x{2cf3}\x{a640}-\x{a66d}\x{a680}-\x{a69b}\x{a722}-\x{a76f}\x{a771}-\x{a787}"
    r"\x{a78b}-\x{a78e}\x{ab70}-\x{abbf}\x{fb00}-\x{fb06}\x{fb13}-\x{fb17}\x{ff21}-\x{ff3a}"
    r"\x{ff41}-\x{ff5a}\x{10400}-\x{1044f}\x{104b0}-\x{104d3}\x{104d8}-\x{104fb}\x{10c80}-\x{10cb2}"
    r"\x{10cc0}-\x{10cf2}\x{118a0}-\x{118df}\x{1e900}-\x{1e943}"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PreTokenizer:
    """The cuts of one pre-tokenizer. `ignores_merges`: a word that is a token is taken whole.

    `is_byte_level` is false where pieces are plain UTF-8 with ▁ for spaces; `takes_newlines_whole`: a run of
    newlines that is a token is taken whole. `adds_bos` is the default of
    `tokenizer.ggml.add_bos_token`.
    """

    splits: tuple[str, ...]
    ignores_merges: bool = False
    adds_bos: bool = False
    is_byte_level: bool = True
    takes_newlines_whole: bool = False


def _table() -> dict[str, PreTokenizer]:
    found: dict[str, PreTokenizer] = {}

    def add(
        names: str, *splits: str, ignores_merges: bool = False, adds_bos: bool = False,
        is_byte_level: bool = True, takes_newlines_whole: bool = False,
    ) -> None:  # fmt: skip
        for name in names.split():
            found[name] = PreTokenizer(
                splits=splits, ignores_merges=ignores_merges, adds_bos=adds_bos, is_byte_level=is_byte_level,
                takes_newlines_whole=takes_newlines_whole,
            )  # fmt: skip

    three = _words(digits=r"\p{N}{1,3}")
    add("llama3 llama-v3 llama-bpe falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano", three,
        ignores_merges=True, adds_bos=True)  # fmt: skip
    add("dbrx smaug-bpe chatglm-bpe", three)
    add("glm4 glm5", three, ignores_merges=True)
    add("qwen2 deepseek-r1-qwen kormo f2llmv2 megrez stablelm2 hunyuan solar-open grok-2", _words())
    add("qwen35", _words(letters=r"[\p{L}\p{M}]"))
    add("ufakzeka", _words(endings=""))
    add("seed-coder", _words(after_marks="").replace(r"[^\s\p{L}\p{N}]+", r"[^\s\p{L}\p{N}\r\n]+"))
    add("minicpm5", r"\p{N}{1,3}", _words(digits=r"\p{N}+"), ignores_merges=True)
    add("bailingmoe bailingmoe2 llada-moe",
        _words(endings=r"'(?:[sSdDmMtT]|[lL][lL]|[vV][eE]|[rR][eE])|",
               spaces=r"\s*[\r\n]|\s+(?!\S)|\s+"))  # fmt: skip
    add("exaone-moe", rf"{_ENGLISH_ENDINGS}|[^\r\n\p{{L}}\p{{N}}]?(?:\p{{L}}\p{{M}}*(?: \p{{L}}\p{{M}}*)*)+"
        r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+")  # fmt: skip
    add("laguna", r"[^\n]+|[\n]+", _words())
    add("gpt-2 phi-2 jina-es jina-de gigachat jina-v2-es jina-v2-de a.x-4.0 mellum modern-bert mpt olmo jais"
        " trillion granite-docling exaone4 jina-v1-en jina-v2-code roberta-bpe", _GPT2)  # fmt: skip
    add("starcoder refact command-r smollm codeshell exaone minerva-7b mellum2", r"\p{N}", _GPT2)
    add("falcon", r"[\p{P}\$\+<=>\^~\|`]+", _GPT2, "[0-9][0-9][0-9]")
    add("default", r"[\p{P}\$\+<=>\^~\|]+", _GPT2, r"\p{N}+", "[0-9][0-9][0-9]")
    add("gpt-4o llama4 kanana2 talkie minimax-m2", _cased(r"\p{N}{1,3}", f"{_ENGLISH_ENDINGS}?"))
    add("tekken", _cased(r"\p{N}"), ignores_merges=True, adds_bos=True)
    add("tiny_aya cohere2moe", _DIGITS_FROM_THE_RIGHT, _caseless(r"\p{N}{1,3}"))
    add("deepseek-v3 hunyuan-dense joyai-llm hy_v4", r"\p{N}{1,3}", _HAN_KANA, _DEEPSEEK3_MAIN)
    add("deepseek-llm", r"[\r\n]", rf"\s?[{_DEEPSEEK_LETTERS}]+", rf"\s?[{_DEEPSEEK_SIGNS}]+",
        r"\s+\z", _ASIAN_WITHOUT_SPACES, r"\p{N}+")  # fmt: skip
    add("deepseek-coder", r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", _ASIAN_WITHOUT_SPACES, r"\p{N}")
    add("spark2_5", r"\p{N}{1,3}", _HAN_KANA,
        rf"{_MARKS}|[^\r\n\p{{L}}\p{{P}}\p{{S}}]?[\p{{L}}\p{{M}}]+| ?[\p{{P}}\p{{S}}]+|[\r\n]|\s+(?!\S)|\s+",
        r"\p{N}")  # fmt: skip
    add("afmoe", _DIGITS_FROM_THE_RIGHT, _SCRIPTS_WITHOUT_SPACES, _DEEPSEEK3_MAIN)
    add("kimi-k2", rf"{_HAN}+|[^\r\n\p{{L}}\p{{N}}]?(?:(?!{_HAN})\p{{L}})+{_ENGLISH_ENDINGS}?"
        rf"|\p{{N}}{{1,3}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|{_SPACES}")  # fmt: skip
    add("bloom gpt3-finnish poro-chat", r" ?[^(\s|.,!?…。，、।۔،)]+")
    add("viking", r" ?[^(\s|.,!?…。，、।۔،)]+", r"\p{N}")
    add("gemma4 granite-embed-multi-311m", r"[^\n]+|[\n]+", is_byte_level=False,
        takes_newlines_whole=True)  # fmt: skip
    add("sarvam-moe", r"[^\n]+|[\n]+", is_byte_level=False)
    return found


PRE_TOKENIZERS = _table()
