"""Writes config.json in the words that MindFormers reads: transformers 5 has other ones for the same things."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Dict, Mapping, Optional, Tuple

from sft_tui.checkpoint.mapping.read_config import scaling_of

# what MindFormers takes of Qwen3's and Qwen3-MoE's config.json, in every release that trains them (1.7 to 2.0)
_KNOWN = """
architectures attention_bias attention_dropout bos_token_id decoder_sparse_step eos_token_id head_dim hidden_act
hidden_size initializer_range intermediate_size layer_types max_position_embeddings max_window_layers mlp_only_layers
model_type moe_intermediate_size norm_topk_prob num_attention_heads num_experts num_experts_per_tok num_hidden_layers
num_key_value_heads output_router_logits pad_token_id rms_norm_eps rope_scaling rope_theta router_aux_loss_coef
sliding_window tie_word_embeddings torch_dtype transformers_version use_cache use_sliding_window vocab_size
"""
KNOWN = frozenset(_KNOWN.split())
# what programs leave there that says nothing about the network
_NO_WORD_OF_THE_NETWORK = """
_name_or_path _attn_implementation_autoset _commit_hash unsloth_fixed unsloth_version is_decoder is_encoder_decoder
output_attentions output_hidden_states return_dict use_bfloat16 chunk_size_feed_forward problem_type finetuning_task
id2label label2id task_specific_params pruned_heads torchscript tokenizer_class prefix tf_legacy_loss
cross_attention_hidden_size add_cross_attention tie_encoder_decoder pretraining_tp auto_map
"""
_NO_MATTER = frozenset(_NO_WORD_OF_THE_NETWORK.split())


@dataclass(frozen=True)
class ConfigWords:
    """A config.json for MindFormers: `data`, what was put otherwise (sentences), and keys that only it can judge."""

    data: Dict[str, object]
    changes: Tuple[str, ...] = ()
    unknown: Tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The file, where it has to differ from the one of the folder; else ""."""
        return json.dumps(self.data, ensure_ascii=False, indent=2) + "\n" if self.changes else ""


def _kind(scaling: Optional[Mapping[str, object]]) -> str:
    return str((scaling or {}).get("rope_type", (scaling or {}).get("type", "default")))[:40]


def translate_config(data: Mapping[str, object]) -> ConfigWords:
    """The same model in the words of transformers 4, which MindFormers reads."""
    words: Dict[str, object] = dict(data)
    changes = []
    rope = words.get("rope_parameters")
    if "rope_parameters" in words and rope is None:
        del words["rope_parameters"]
        changes.append("without rope_parameters, which is null")
    # of each kind of layer its own: there is no old word for that
    if isinstance(rope, dict) and not any(isinstance(value, dict) for value in rope.values()):
        del words["rope_parameters"]
        theta = rope.get("rope_theta")
        if theta is not None:
            words["rope_theta"] = theta
        scaling = scaling_of(rope)
        if scaling:
            words["rope_scaling"] = scaling
        shown = [f"rope_theta {theta}"] * (theta is not None) + [f"rope_scaling {_kind(scaling)}"] * bool(scaling)
        changes.append(f"rope_parameters as {' and '.join(shown) or 'nothing: they change nothing'}")
    old = words.get("rope_scaling")
    if isinstance(old, dict) and scaling_of(old) is None:
        words["rope_scaling"] = None
        changes.append(f"rope_scaling as none, for {_kind(old)} scales nothing")
    if "dtype" in words:
        dtype = words.pop("dtype")
        words.setdefault("torch_dtype", dtype)
        changes.append("dtype as torch_dtype")
    left_out = [key for key in words if key in _NO_MATTER or (key not in KNOWN and words[key] is None)]
    for key in left_out:
        del words[key]
    if left_out:
        changes.append(f"without {', '.join(sorted(left_out))}, which do not describe the network")
    return ConfigWords(words, tuple(changes), tuple(sorted(key for key in words if key not in KNOWN)))
