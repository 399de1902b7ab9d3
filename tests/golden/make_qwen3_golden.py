#!/usr/bin/env python3
"""Let MindFormers 1.7.0 convert toy Qwen3 and Qwen3-MoE folders, as it does before it loads one, and keep what it writes.

    make_qwen3_golden.py        (from the project's folder, under an interpreter with MindFormers and MindSpore)

Calls MindFormers' own conversion of one safetensors file; the network around it is not built.
"""
import json
import pathlib
import runpy
import tempfile

import mindformers.parallel_core.utils.model_mixin as mixin
from mindformers.models.qwen3.modeling_qwen3_train import TrainingQwen3ForCausalLM
from mindformers.models.qwen3_moe.modeling_qwen3_moe_train import TrainingQwen3MoeForCausalLM
from mindformers.parallel_core.utils.model_mixin import ModelMixin, TrainModelMixin
from mindformers.utils.safetensors.convert_safetensors import _convert_process

from sft_tui.demo.toy_qwen3 import write_toy_qwen3

HERE = pathlib.Path(__file__).parent / "checkpoints"
write_toy_qwen3_moe = runpy.run_path(str(HERE.parents[1] / "unit" / "toy_qwen3_moe.py"))["write_toy_qwen3_moe"]
SIZES = {"hidden": 32, "layers": 2, "heads": 4, "kv_heads": 2, "head_dim": 8, "vocab": 300}
CASES = {
    "tied_bf16": ({"tied": True, "dtype": "bfloat16"}, False, True),
    "untied_fp16_contiguous": ({"tied": False, "dtype": "float16"}, True, False),
}
mixin.is_legacy_model = lambda: False  # what `use_legacy: False` in the YAML does


def converter(network, config, contiguous_attention, interleaved_mlp):
    class Settings:
        use_contiguous_weight_layout_attention = contiguous_attention
        use_interleaved_weight_layout_mlp = interleaved_mlp
        kv_channels = config["head_dim"]
        num_query_groups = config["num_key_value_heads"]
        num_attention_heads = config["num_attention_heads"]
        ffn_hidden_size = config["intermediate_size"]
        hidden_size = config["hidden_size"]
        num_layers = config["num_hidden_layers"]
        num_moe_experts = config.get("num_experts")
        moe_ffn_hidden_size = config.get("moe_intermediate_size")

    class Converter(TrainModelMixin, ModelMixin):
        weight_mapping = network.weight_mapping
        convert_weight_dict = network.convert_weight_dict

        def get_gpt_transformer_config(self):
            return Settings

    made = Converter()
    made.transformer_config = Settings
    return made.convert_weight_dict


def expect(name, write, network, arguments, *layout):
    with tempfile.TemporaryDirectory() as folder:
        write(pathlib.Path(folder), **SIZES, **arguments)
        config = json.loads((pathlib.Path(folder) / "config.json").read_text())
        convert = converter(network, config, *layout)
        _convert_process(f"{folder}/model.safetensors", str(HERE / f"expected_{name}.safetensors"), convert, None)


for name, (arguments, *layout) in CASES.items():
    expect(f"qwen3_{name}", write_toy_qwen3, TrainingQwen3ForCausalLM, arguments, *layout)
expect("qwen3_moe_fp16", write_toy_qwen3_moe, TrainingQwen3MoeForCausalLM, {"dtype": "float16"}, False, True)
