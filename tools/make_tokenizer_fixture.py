"""Write tests/fixtures/tokenizers/byte_level: a small byte-level BPE trained on our own sample texts.

Run: `python tools/make_tokenizer_fixture.py` (needs the `tokenizer` extra).
"""

from __future__ import annotations

import json
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from plimsoll.catalog.samples import load_all

FOLDER = Path(__file__).parents[1] / "tests" / "fixtures" / "tokenizers" / "byte_level"
TEMPLATE = """{%- if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\\n' }}\
{{ 'You are a ship.<|im_end|>\\n' }}{%- endif %}
{%- for message in messages %}
{%- if message['role'] == 'user' or message['role'] == 'tool' %}{{ '<|im_start|>' + message['role'] }}\
{%- endif %}
{{ message['content'] + '<|im_end|>' }}
{%- endfor %}
{%- if add_generation_prompt and enable_thinking %}{{ '<|im_start|>assistant\\n<think>' }}{%- endif %}
"""


def build() -> Tokenizer:
    """512 tokens: the 256 bytes, merges, and five added tokens."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=507, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    made.train_from_iterator(load_all().values(), trainer)
    made.add_special_tokens(["<|bos|>", "<|eos|>", "<|im_start|>", "<|im_end|>"])
    made.add_tokens([AddedToken("<think>", normalized=False)])
    made.post_processor = processors.TemplateProcessing(
        single="<|bos|> $A", pair="<|bos|> $A $B", special_tokens=[("<|bos|>", made.token_to_id("<|bos|>"))]
    )
    return made


def main() -> None:
    made = build()
    FOLDER.mkdir(parents=True, exist_ok=True)
    eos, end = made.token_to_id("<|eos|>"), made.token_to_id("<|im_end|>")
    files = {
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<|bos|>", "eos_token": "<|eos|>",
            "pad_token": "<|eos|>", "model_max_length": 10**30, "clean_up_tokenization_spaces": False,
            "a_key_of_ours": 1,
        },
        "generation_config.json": {"bos_token_id": made.token_to_id("<|bos|>"), "eos_token_id": [eos]},
        "config.json": {
            "model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 520,
            "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 1, "num_attention_heads": 4,
            "num_key_value_heads": 2, "max_position_embeddings": 4096, "rms_norm_eps": 1e-6,
            "tie_word_embeddings": False, "dtype": "bfloat16", "eos_token_id": end,
        },
    }  # fmt: skip
    (FOLDER / "tokenizer.json").write_text(
        json.dumps(json.loads(made.to_str()), ensure_ascii=False) + "\n", encoding="utf-8"
    )
    for name, value in files.items():
        (FOLDER / name).write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
    (FOLDER / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")


if __name__ == "__main__":
    main()
