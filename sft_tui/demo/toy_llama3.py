"""Makes a small random Llama 3.1 in Hugging Face layout: scaled positions, tokenizer.json, chat template."""

from __future__ import annotations

from pathlib import Path
from typing import Sequence

from sft_tui.demo.toy_bpe import train_bpe
from sft_tui.demo.toy_decoder import write_decoder_weights
from sft_tui.demo.toy_files import write_json, write_tokenizer_json

VOCAB_SIZE = 640
MAX_POSITIONS = 1024
BEGIN_TOKEN, END_OF_TEXT, END_TOKEN = "<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"
SPECIAL_TOKENS = (
    BEGIN_TOKEN, END_OF_TEXT, "<|reserved_special_token_0|>", "<|start_header_id|>", "<|end_header_id|>", END_TOKEN,
)  # fmt: skip
# positions up to 128 are those of the model before its context was extended
ROPE_SCALING = {
    "factor": 8.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0, "original_max_position_embeddings": 128,
    "rope_type": "llama3",
}  # fmt: skip

# does what Llama 3's template does with turns of text
CHAT_TEMPLATE = """\
{{- bos_token -}}
{%- for message in messages -%}
{{- '<|start_header_id|>' + message.role + '<|end_header_id|>\\n\\n' + message.content | trim + '<|eot_id|>' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' -}}{%- endif -%}
"""


def write_toy_llama3(folder: Path, *, texts: Sequence[str], tied: bool = False, seed: int = 0) -> None:
    """Write a complete folder in bfloat16; the same bytes every time. `texts` are what the tokenizer learns from.

    `tied`: one matrix for embeddings and output layer, as Llama 3.2 1B and 3B have it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    words, merges = train_bpe(texts, VOCAB_SIZE - len(SPECIAL_TOKENS))
    special = {text: len(words) + place for place, text in enumerate(SPECIAL_TOKENS)}
    described = write_tokenizer_json(folder, words, merges, special, never_text=SPECIAL_TOKENS)
    settings = {
        "added_tokens_decoder": described, "bos_token": BEGIN_TOKEN, "chat_template": CHAT_TEMPLATE,
        "eos_token": END_TOKEN, "model_max_length": MAX_POSITIONS, "tokenizer_class": "PreTrainedTokenizerFast",
    }  # fmt: skip
    write_json(folder / "tokenizer_config.json", settings)
    ends = [special[END_OF_TEXT], special[END_TOKEN]]
    config: dict[str, object] = {
        "architectures": ["LlamaForCausalLM"], "attention_bias": False, "bos_token_id": special[BEGIN_TOKEN],
        "eos_token_id": ends, "hidden_act": "silu", "hidden_size": 64, "intermediate_size": 192,
        "max_position_embeddings": MAX_POSITIONS, "model_type": "llama", "num_attention_heads": 4,
        "num_hidden_layers": 2, "num_key_value_heads": 2, "rms_norm_eps": 1e-05, "rope_scaling": ROPE_SCALING,
        "rope_theta": 500000.0, "tie_word_embeddings": tied, "torch_dtype": "bfloat16",
        "vocab_size": len(words) + len(special),
    }  # fmt: skip
    write_json(folder / "config.json", config)
    write_decoder_weights(folder, config, seed=seed)
    write_json(folder / "generation_config.json", {"bos_token_id": special[BEGIN_TOKEN], "eos_token_id": ends})
