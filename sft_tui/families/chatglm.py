"""GLM-4-9B as it came first (model_type chatglm, also ChatGLM2 and 3): MindFormers' ChatGLM2 network.

Names of tensors as mindformers/models/glm2/convert_weight.py gives them (1.3 to 2.0): but for the embeddings they stay.
"""

from __future__ import annotations

from sft_tui.families.family import AdaptableCells, Family, Network, OfModel, PublishedModel, Releases, TensorRule

_EMBEDDINGS = "transformer.embedding.word_embeddings.weight"
_TOKENIZER = "Its tokenizer.json is that of glm-4-9b-chat-hf: name that folder as tokenizer."


def _same(name: str, *shape: str) -> TensorRule:
    return TensorRule(name, name, shape)


def _layer(name: str, *shape: str) -> TensorRule:
    return _same("transformer.encoder.layers.{layer}." + name, *shape)


NETWORK = Network(
    "ChatGLM2Config",
    "ChatGLM2ForConditionalGeneration",
    "glm4_9b",
    "ChatGLM4Tokenizer",
    "GLMProcessor",
    lacks=(
        "num_heads", "n_kv_heads", "vocab_size", "intermediate_size", "rms_norm_eps", "theta", "ignore_token_id",
        "softmax_compute_type", "extend_method", "fused_rms_norm", "use_rope_slice",
    ),
    words={
        "padded_vocab_size": OfModel("vocab_size"),
        "ffn_hidden_size": OfModel("intermediate_size"),
        "kv_channels": OfModel("head_dim"),
        "num_attention_heads": OfModel("num_heads"),
        "multi_query_attention": True,
        "multi_query_group_num": OfModel("num_kv_heads"),
        "layernorm_epsilon": OfModel("rms_norm_eps"),
        "rope_ratio": OfModel("rope_theta"),
        "rmsnorm": True,
        "post_layer_norm": True,
        "add_bias_linear": False,
        "add_qkv_bias": True,
        "apply_residual_connection_post_layernorm": False,
        # one matrix each, as the folder has them
        "qkv_concat": True,
        "mlp_concat": True,
        "hidden_dropout": OfModel("dropout"),
        "attention_dropout": OfModel("attention_dropout"),
    },
    tokenizer_files={"vocab_file": "tokenizer.model"},
    tokens={"unk_token": "<unk>", "bos_token": "<sop>", "eos_token": "<eop>", "pad_token": "<pad>"},
)  # fmt: skip
CELLS = AdaptableCells(
    ".*query_key_value|.*self_attention.dense",
    {
        "query_key_value": ("wq", "wk", "wv"),
        "dense": ("wo",),
        "dense_h_to_4h": ("w1", "w3"),
        "dense_4h_to_h": ("w2",),
    },
    ("transformer", "encoder", "layers", "self_attention", "mlp"),
)

CHATGLM = Family(
    name="chatglm",
    title="GLM-4-9B",
    trained=Releases(since="1.3"),
    refused=((Releases(until="1.2"), "it has no configuration for it"),),
    planned=True,
    about="GLM-4-9B",
    shifted_labels=True,
    network=NETWORK,
    lora=CELLS,
    architectures=("ChatGLMModel", "ChatGLMForConditionalGeneration"),
    first=(TensorRule(_EMBEDDINGS, "transformer.embedding.embedding_weight", ("vocab", "hidden")),),
    layer=(
        _layer("input_layernorm.weight", "hidden"),
        _layer("self_attention.query_key_value.weight", "qkv", "hidden"),
        _layer("self_attention.query_key_value.bias", "qkv"),
        _layer("self_attention.dense.weight", "hidden", "hidden"),
        _layer("post_attention_layernorm.weight", "hidden"),
        _layer("mlp.dense_h_to_4h.weight", "gate_up", "hidden"),
        _layer("mlp.dense_4h_to_h.weight", "hidden", "intermediate"),
    ),
    last=(
        _same("transformer.encoder.final_layernorm.weight", "hidden"),
        _same("transformer.output_layer.weight", "vocab", "hidden"),
    ),
    tied_target="transformer.output_layer.weight",
    tied_source=_EMBEDDINGS,
    skipped=(r"transformer\.rotary_pos_emb\.inv_freq",),
    counters=(r"transformer\.encoder\.layers\.\d+\.self_attention\.infer_attention\..*_cache",),
    config_names={
        "num_hidden_layers": "num_layers",
        "num_key_value_heads": "multi_query_group_num",
        "intermediate_size": "ffn_hidden_size",
        "vocab_size": "padded_vocab_size",
        "max_position_embeddings": "seq_length",
        "rms_norm_eps": "layernorm_epsilon",
        # a number of times 10000, in config.json as in MindFormers' YAML
        "rope_theta": "rope_ratio",
        "attention_bias": "add_qkv_bias",
        "dropout": "hidden_dropout",
    },
    config_defaults={
        "layernorm_epsilon": 1e-5,
        "rope_ratio": 1,
        "add_qkv_bias": False,
        "hidden_dropout": 0.0,
        "attention_dropout": 0.0,
    },
    # MindFormers' YAML and its defaults know this one layout
    fixed={
        "rmsnorm": True,
        "post_layer_norm": True,
        "add_bias_linear": False,
        "add_qkv_bias": True,
        "multi_query_attention": True,
        "apply_residual_connection_post_layernorm": False,
        "tie_word_embeddings": False,
    },
    tokenizer="tokenizer.json",
    published=(
        PublishedModel("GLM-4 9B", "zai-org/glm-4-9b", 9.4, 18.8, 8192, _TOKENIZER),
        PublishedModel("GLM-4 9B Chat", "zai-org/glm-4-9b-chat", 9.4, 18.8, 131072, _TOKENIZER),
    ),
)
