"""Makes a small random Qwen2.5 in Hugging Face layout: biases, one matrix for both ends, tokenizer.json, template."""

from __future__ import annotations

from pathlib import Path
from typing import Sequence

from sft_tui.demo.toy_bpe import train_bpe
from sft_tui.demo.toy_decoder import write_decoder_weights
from sft_tui.demo.toy_files import write_json, write_tokenizer_json

VOCAB_SIZE = 640
MAX_POSITIONS = 512
END_OF_TEXT, END_TOKEN = "<|endoftext|>", "<|im_end|>"
SPECIAL_TOKENS = (END_OF_TEXT, "<|im_start|>", END_TOKEN)
SPARE_ROWS = 8  # embeddings beyond the tokenizer's ids, as Qwen2.5 has some hundreds of them

# does what Qwen2.5's template does with turns of text, but for its system turn
CHAT_TEMPLATE = """\
{%- for message in messages -%}
{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}
"""


def write_toy_qwen2(folder: Path, *, texts: Sequence[str], tied: bool = True, seed: int = 0) -> None:
    """Write a complete folder in bfloat16; the same bytes every time. `texts` are what the tokenizer learns from."""
    folder.mkdir(parents=True, exist_ok=True)
    words, merges = train_bpe(texts, VOCAB_SIZE - SPARE_ROWS - len(SPECIAL_TOKENS))
    special = {text: len(words) + place for place, text in enumerate(SPECIAL_TOKENS)}
    described = write_tokenizer_json(
        folder, words, merges, special, never_text=SPECIAL_TOKENS, normalizer={"type": "NFC"}
    )
    settings = {
        "add_bos_token": False, "add_prefix_space": False, "added_tokens_decoder": described, "bos_token": None,
        "chat_template": CHAT_TEMPLATE, "eos_token": END_TOKEN, "pad_token": END_OF_TEXT,
        "model_max_length": MAX_POSITIONS, "tokenizer_class": "Qwen2Tokenizer", "unk_token": None,
    }  # fmt: skip
    write_json(folder / "tokenizer_config.json", settings)
    config: dict[str, object] = {
        "architectures": ["Qwen2ForCausalLM"], "attention_dropout": 0.0, "bos_token_id": special[END_OF_TEXT],
        "eos_token_id": special[END_TOKEN], "hidden_act": "silu", "hidden_size": 64, "initializer_range": 0.02,
        "intermediate_size": 192, "max_position_embeddings": MAX_POSITIONS, "max_window_layers": 2,
        "model_type": "qwen2", "num_attention_heads": 4, "num_hidden_layers": 2, "num_key_value_heads": 2,
        "rms_norm_eps": 1e-06, "rope_theta": 1000000.0, "sliding_window": MAX_POSITIONS,
        "tie_word_embeddings": tied, "torch_dtype": "bfloat16", "use_cache": True, "use_sliding_window": False,
        "vocab_size": len(words) + len(special) + SPARE_ROWS,
    }  # fmt: skip
    write_json(folder / "config.json", config)
    write_decoder_weights(folder, config, seed=seed)
    eos = [special[END_TOKEN], special[END_OF_TEXT]]
    write_json(folder / "generation_config.json", {"eos_token_id": eos, "pad_token_id": eos[1]})
