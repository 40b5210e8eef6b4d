"""Texts that llama.cpp takes for special tokens whatever their type says, and what it takes them for.

Source: the "auto-detect special tokens by text" part of llama_vocab::impl::load in src/llama-vocab.cpp at
0c1e57098. Ends of generation among them stop the output even when no file names them as such.
"""

from __future__ import annotations

FIM: dict[str, tuple[str, ...]] = {
    "fim prefix": (
        "<|fim_prefix|>", "<fim-prefix>", "<fim_prefix>", "<｜fim▁begin｜>", "<PRE>", "▁<PRE>",
        "<|code_prefix|>", "<|prefix|>",
    ),
    "fim suffix": (
        "<|fim_suffix|>", "<fim-suffix>", "<fim_suffix>", "<｜fim▁hole｜>", "<SUF>", "▁<SUF>",
        "<|code_suffix|>", "<|suffix|>",
    ),
    "fim middle": (
        "<|fim_middle|>", "<fim-middle>", "<fim_middle>", "<｜fim▁end｜>", "<MID>", "▁<MID>",
        "<|code_middle|>", "<|middle|>",
    ),
    "fim pad": ("<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"),
    "fim repository": ("<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>"),
    "fim separator": ("<|file_sep|>",),
}  # fmt: skip
ENDS_OF_TURN = (
    "<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<|endoftext|>", "<|end_of_text|>", "<EOT>",
    "_<EOT>", "[EOT]", "<｜end▁of▁sentence｜>", "<end_of_utterance>",
)  # fmt: skip
ENDS_OF_GENERATION = (
    *ENDS_OF_TURN, "<|return|>", "<|call|>", "<|flush|>", "<|calls|>", "</s>", "<|eom_id|>", "[EOS]", "<eos>",
    "<turn|>", "<|tool_response>", "[e~[",
)  # fmt: skip
ALWAYS_SPECIAL = frozenset((*ENDS_OF_GENERATION, *(text for texts in FIM.values() for text in texts)))
PLAIN_S_BESIDE = frozenset({"<|tool_response>", "<|plamo:eos|>"})
