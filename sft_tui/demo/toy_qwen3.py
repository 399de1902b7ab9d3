"""Makes a small random Qwen3 in Hugging Face layout: config, weights, tokenizer.json, chat template."""

from __future__ import annotations

from pathlib import Path
from typing import Sequence

from sft_tui.demo.toy_bpe import train_bpe
from sft_tui.demo.toy_decoder import write_decoder_weights
from sft_tui.demo.toy_files import write_json, write_tokenizer_json

VOCAB_SIZE = 640
MAX_POSITIONS = 512
# Qwen's, in its order; the last two are ordinary tokens that are never cut.
SPECIAL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
WHOLE_TOKENS = ("<think>", "</think>")
PAD_TOKEN, END_TOKEN = "<|endoftext|>", "<|im_end|>"
# rows of embeddings beyond the tokenizer's ids, as Qwen3 has some hundreds of them
SPARE_ROWS = 8

# Does what Qwen3's template does: chatml, and before the answers to the last question an empty think block, or the
# thought that stands in the text; thoughts of earlier answers are left out.
CHAT_TEMPLATE = """\
{%- if messages[0].role == 'system' -%}
{{ '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
{%- endif -%}
{%- set last = namespace(question=-1) -%}
{%- for message in messages -%}
{%- if message.role == 'user' -%}{%- set last.question = loop.index0 -%}{%- endif -%}
{%- endfor -%}
{%- for message in messages -%}
{%- if message.role == 'user' -%}
{{ '<|im_start|>user\\n' + message.content + '<|im_end|>\\n' }}
{%- elif message.role == 'assistant' -%}
{%- set said = message.content -%}
{%- set thought = '' -%}
{%- if '</think>' in said -%}
{%- set thought = said.split('</think>')[0].split('<think>')[-1].strip('\\n') -%}
{%- set said = said.split('</think>')[-1].lstrip('\\n') -%}
{%- endif -%}
{%- if loop.index0 > last.question -%}
{{ '<|im_start|>assistant\\n<think>\\n' + thought + '\\n</think>\\n\\n' + said + '<|im_end|>\\n' }}
{%- else -%}
{{ '<|im_start|>assistant\\n' + said + '<|im_end|>\\n' }}
{%- endif -%}
{%- elif message.role != 'system' or loop.index0 > 0 -%}
{{ raise_exception('a turn is from ' + message.role) }}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{ '<|im_start|>assistant\\n' }}
{%- if enable_thinking is defined and enable_thinking is false -%}{{ '<think>\\n\\n</think>\\n\\n' }}{%- endif -%}
{%- endif -%}
"""


def write_toy_qwen3(
    folder: Path,
    *,
    hidden: int = 64,
    layers: int = 2,
    heads: int = 4,
    kv_heads: int = 2,
    head_dim: int = 16,
    vocab: int = VOCAB_SIZE,
    tied: bool = True,
    seed: int = 0,
    texts: Sequence[str] = (),
    dtype: str = "bfloat16",
    shards: int = 1,
) -> None:
    """Write a complete folder; the same bytes every time.

    `texts` are what the tokenizer learns its words from (default: the records of the rehearsal). `dtype` is torch's
    word: bfloat16, float16 or float32. `vocab` is the number of embeddings, at least 270; the tokenizer has fewer ids.
    """
    folder.mkdir(parents=True, exist_ok=True)
    special = write_toy_tokenizer(folder, texts, vocab - SPARE_ROWS)
    config = _config(hidden, layers, heads, kv_heads, head_dim, vocab, special, tied=tied, dtype=dtype)
    write_json(folder / "config.json", config)
    write_decoder_weights(folder, config, seed=seed, shards=shards)
    eos = [special[END_TOKEN], special[PAD_TOKEN]]
    write_json(folder / "generation_config.json", {"eos_token_id": eos, "pad_token_id": eos[1]})


def write_toy_tokenizer(
    folder: Path, texts: Sequence[str] = (), vocab: int = VOCAB_SIZE - SPARE_ROWS
) -> dict[str, int]:
    """Write tokenizer.json, tokenizer_config.json with the chat template, vocab.json and merges.txt.

    At most `vocab` ids; returns those of the tokens that no text is cut into.
    """
    added = (*SPECIAL_TOKENS, *WHOLE_TOKENS)
    words, merges = train_bpe(texts or _own_texts(), vocab - len(added))
    special = {text: len(words) + place for place, text in enumerate(added)}
    described = write_tokenizer_json(
        folder, words, merges, special, never_text=SPECIAL_TOKENS, normalizer={"type": "NFC"}
    )
    settings = {
        "add_bos_token": False, "add_prefix_space": False, "bos_token": None, "chat_template": CHAT_TEMPLATE,
        "added_tokens_decoder": described,
        "eos_token": END_TOKEN, "pad_token": PAD_TOKEN, "model_max_length": MAX_POSITIONS,
        "tokenizer_class": "Qwen2Tokenizer", "unk_token": None,
    }  # fmt: skip
    write_json(folder / "tokenizer_config.json", settings)
    return special


def _own_texts() -> list[str]:
    from sft_tui.demo.records import build_records

    return [f"{record['instruction']}\n{record['input']}\n{record['output']}" for record in build_records()]


def _config(
    hidden: int,
    layers: int,
    heads: int,
    kv_heads: int,
    head_dim: int,
    vocab: int,
    special: dict[str, int],
    *,
    tied: bool,
    dtype: str,
) -> dict[str, object]:
    return {
        "architectures": ["Qwen3ForCausalLM"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": special[PAD_TOKEN],
        "eos_token_id": special[END_TOKEN],
        "head_dim": head_dim,
        "hidden_act": "silu",
        "hidden_size": hidden,
        "initializer_range": 0.02,
        "intermediate_size": 3 * hidden,
        "max_position_embeddings": MAX_POSITIONS,
        "max_window_layers": layers,
        "model_type": "qwen3",
        "num_attention_heads": heads,
        "num_hidden_layers": layers,
        "num_key_value_heads": kv_heads,
        "rms_norm_eps": 1e-6,
        "rope_scaling": None,
        "rope_theta": 1000000,
        "sliding_window": None,
        "tie_word_embeddings": tied,
        "torch_dtype": dtype,
        "use_cache": True,
        "use_sliding_window": False,
        "vocab_size": vocab,
    }
