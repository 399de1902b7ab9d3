"""The keys of MindFormers' YAML that a run sets, one row each: from which field of the profile, and on which route.

A new field of the profile that goes to the YAML is one more row. Key names are MindFormers' own (its
`configs/llama2/finetune_llama2_7b.yaml` of 1.2, the classes of 1.6 and 1.7, `configs/qwen3` of 1.7 and 1.9).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Callable, Literal

from sft_tui.core.model_config import ModelConfig
from sft_tui.families.family import Network, OfModel
from sft_tui.launch.yaml import parts
from sft_tui.launch.yaml.adapters import build_adapters
from sft_tui.launch.yaml.base_yaml import ABSENT
from sft_tui.launch.yaml.positions import extend_method, scaling_factor
from sft_tui.launch.yaml.run_spec import RunSpec, sinks

Routes = Literal["both", "checkpoint", "direct"]
# in a base YAML: written into it, written where the key is there, left to it as long as it has the section, and left to
# it but on CPU
InBase = Literal["written", "if there", "the base's", "on CPU"]
Value = Callable[[RunSpec], object]
OMITTED = object()  # the run does not have this key


@dataclass(frozen=True)
class YamlField:
    """One key. `key` is its path in the YAML; `in_base` is for the checkpoint route, the direct one writes its rows.

    `device`: it belongs to a section of which only NPUs have all. On CPU such a section is ours as a whole.
    """

    key: str
    value: Value
    routes: Routes = "both"
    in_base: InBase = "written"
    device: bool = False


def _field(name: str) -> Value:
    """The value of a profile's field, such as training.epochs."""
    section, _, field = name.partition(".")
    return lambda run: getattr(getattr(run.profile, section), field)


def _fixed(value: object) -> Value:
    return lambda run: value


def _of_model(name: str) -> Value:
    return lambda run: getattr(run.facts.model, name)


def _of_layout(name: str) -> Value:
    return lambda run: getattr(run.layout, name)


def _of_network(name: str) -> Value:
    return lambda run: getattr(run.network, name)


def _on_cpu(value: object, npu: object = OMITTED) -> Value:
    return lambda run: value if run.cpu else npu


def _on_npu(value: object) -> Value:
    return _on_cpu(OMITTED, value)


def _or(name: str, default: int) -> Value:
    return lambda run: default if getattr(run.facts.model, name) is None else getattr(run.facts.model, name)


def _accumulation(run: RunSpec) -> object:
    layout = run.layout
    accumulates = run.trains and layout.pipeline_stage == 1 and layout.accumulation > 1
    return layout.accumulation if accumulates else 1 if run.facts.direct else OMITTED


def _tokenizer_json(run: RunSpec) -> str:
    """The tokenizer.json that MindFormers' one class for such files reads; empty where the family has its own class."""
    if run.network.tokenizer_files:
        return ""
    path = run.facts.tokenizer_file or run.facts.tokenizer_model
    return path if path.endswith(".json") else ""


def _if_json(value: Value) -> Value:
    return lambda run: value(run) if _tokenizer_json(run) else OMITTED


def _if_not_json(value: Value) -> Value:
    return lambda run: OMITTED if _tokenizer_json(run) else value(run)


def _absent_from_base(key: str) -> Value:
    return lambda run: ABSENT if has(run.base, key) else OMITTED


def _token(name: str) -> Value:
    return lambda run: run.network.tokens[name]


def _tokenizer_file(key: str) -> Value:
    """The file that a key of the tokenizer names: Llama's one file, or one of the model's folder."""

    def value(run: RunSpec) -> object:
        files = run.network.tokenizer_files
        if not files:
            return (run.facts.tokenizer_file or run.facts.tokenizer_model) if key == "vocab_file" else OMITTED
        return f"{run.tokenizer_dir}/{files[key]}" if key in files else OMITTED

    return value


def _pad_token(run: RunSpec) -> object:
    """Id 0 is padding in SentencePiece's files, and an ordinary word in others."""
    found = run.facts.pad_token_id
    return 0 if found is None or run.network.tokenizer_files else found


def _if_scaled(value: Value) -> Value:
    return lambda run: value(run) if run.facts.model.rope_scaling else OMITTED


def _ties(run: RunSpec) -> object:
    key = f"{MODEL}.tie_word_embeddings"
    if not run.release.ties_embeddings:
        return OMITTED
    return True if run.facts.model.tied else False if has(run.base, key) else OMITTED


MODEL, LOADER = "model.model_config", "processor.tokenizer"
FIELDS: tuple[YamlField, ...] = (
    YamlField("seed", _field("training.seed")),
    YamlField("output_dir", lambda run: run.output_dir),
    YamlField("load_checkpoint", lambda run: run.load_checkpoint),
    YamlField("load_ckpt_format", _fixed("safetensors"), "direct"),
    YamlField("load_ckpt_format", _fixed("ckpt"), "checkpoint", "if there"),
    YamlField("src_strategy_path_or_dir", lambda run: run.strategy_dir, "direct"),
    YamlField("auto_trans_ckpt", lambda run: run.parallel and not run.cpu),
    YamlField("src_strategy_path_or_dir", lambda run: run.strategy_dir, "checkpoint"),
    YamlField("resume_training", _fixed(False)),
    YamlField("use_parallel", lambda run: run.parallel, "direct"),
    # the held-out loss stands in the place of a training step
    YamlField("run_mode", lambda run: "finetune" if run.facts.direct else run.mode),
    YamlField("use_legacy", _fixed(False), "direct"),
    YamlField("pretrained_model_dir", lambda run: run.config_dir or run.profile.model.hf_dir, "direct"),
    YamlField("trainer.type", _fixed("CausalLanguageModelingTrainer"), "checkpoint", "the base's", device=True),
    YamlField("trainer.model_name", _of_network("trainer_model"), "checkpoint", "the base's", device=True),
    YamlField("runner_config.gradient_accumulation_steps", _accumulation, "direct"),
    YamlField("runner_config.epochs", lambda r: 1 if r.facts.direct and not r.trains else r.profile.training.epochs),
    # MindFormers puts this one in the place of the dataset's own; one row at a time weighs all rows alike
    YamlField("runner_config.batch_size", lambda run: run.profile.training.batch_size if run.trains else 1),
    # sink_mode hides single steps and can make `epochs` 0 on short data sets
    YamlField("runner_config.sink_mode", lambda run: run.trains and sinks(run.profile)),
    YamlField(
        "runner_config.sink_size",
        lambda run: run.profile.training.sink_size if run.trains and sinks(run.profile) else 1,
    ),
    YamlField("runner_config.gradient_accumulation_steps", _accumulation, "checkpoint"),
    YamlField("use_parallel", lambda run: run.parallel, "checkpoint"),
    # it has a row for each column of another dataset
    YamlField("parallel.dataset_strategy", _fixed(ABSENT), "direct"),
    # semi-auto parallel (1) kills the workers on CPU without a message
    YamlField("parallel.parallel_mode", _on_cpu(0, 1), "checkpoint", "the base's", device=True),
    YamlField("parallel.gradients_mean", lambda run: run.cpu, "checkpoint", "the base's", device=True),
    YamlField("parallel.parallel_mode", _on_cpu(0), "direct"),
    YamlField("parallel.gradients_mean", _on_cpu(True), "direct"),
    YamlField("parallel.full_batch", lambda run: not run.cpu, in_base="the base's", device=True),
    YamlField("parallel.enable_parallel_optimizer", _of_layout("parallel_optimizer"), device=True),
    YamlField("parallel.enable_alltoall", _fixed(False), "checkpoint", "the base's", device=True),
    YamlField("parallel.enable_alltoall", _on_cpu(False), "direct"),
    YamlField("parallel.search_mode", _fixed("sharding_propagation"), "checkpoint", "the base's", device=True),
    YamlField(
        "parallel.strategy_ckpt_save_file", _fixed("./ckpt_strategy.ckpt"), "checkpoint", "the base's", device=True
    ),
    # as in MindFormers' own files; the memory estimate counts on them
    YamlField(
        "parallel.parallel_optimizer_config",
        _on_npu({"gradient_accumulation_shard": False, "parallel_optimizer_threshold": 64}),
        "checkpoint", "the base's", device=True,
    ),
    YamlField("parallel_config.data_parallel", _of_layout("data_parallel"), device=True),
    YamlField("parallel_config.model_parallel", _of_layout("model_parallel"), device=True),
    YamlField("parallel_config.pipeline_stage", _of_layout("pipeline_stage"), device=True),
    YamlField("parallel_config.micro_batch_num", _of_layout("micro_batch_num"), device=True),
    YamlField(
        "parallel_config.vocab_emb_dp", lambda run: run.layout.model_parallel == 1, "checkpoint", "the base's",
        device=True,
    ),
    YamlField("parallel_config.gradient_aggregation_group", _fixed(4), "checkpoint", "the base's", device=True),
    YamlField(
        "parallel_config.use_seq_parallel", lambda run: True if run.layout.model_parallel > 1 else OMITTED,
        "checkpoint", "the base's", device=True,
    ),
    YamlField("parallel_config.use_seq_parallel", lambda run: run.layout.model_parallel > 1, "direct"),
    YamlField(
        "parallel_config.expert_parallel",
        lambda run: run.layout.expert_parallel if run.facts.model.num_experts else OMITTED, "direct",
    ),
    YamlField("micro_batch_interleave_num", _of_layout("interleave"), in_base="on CPU"),
    YamlField("recompute_config.recompute", _of_layout("recompute"), device=True),
    YamlField("recompute_config.select_recompute", _fixed(False), "checkpoint", "the base's", device=True),
    YamlField(
        "recompute_config.parallel_optimizer_comm_recompute", _on_npu(False), "checkpoint", "the base's", device=True
    ),
    YamlField("recompute_config.mp_comm_recompute", _on_npu(True), "checkpoint", "the base's", device=True),
    YamlField("recompute_config.recompute_slice_activation", _on_npu(True), "checkpoint", "the base's", device=True),
    YamlField("context.mode", _fixed(0), "checkpoint", "the base's"),
    YamlField("context.device_target", _field("environment.device_target")),
    YamlField("context.enable_graph_kernel", _fixed(False), "checkpoint", "the base's"),
    YamlField("context.max_call_depth", _fixed(10000), "checkpoint", "the base's"),
    YamlField("context.save_graphs", _fixed(False), "checkpoint", "the base's"),
    YamlField("context.device_id", _fixed(0), "checkpoint", "the base's"),
    YamlField(
        "context.max_device_memory", lambda run: OMITTED if run.cpu else run.memory_pool, "checkpoint", "the base's"
    ),
    YamlField(f"{MODEL}.type", _of_network("config_class"), "checkpoint", "the base's"),
    YamlField(f"{MODEL}.batch_size", _field("training.batch_size"), "checkpoint"),
    # on the direct route it is 4096 where it is left out
    YamlField(f"{MODEL}.seq_length", _field("dataset.seq_length")),
    # without it MindFormers 1.7 cannot load a Hugging Face folder
    YamlField(f"{MODEL}.qkv_concat", _fixed(True), "direct"),
    YamlField(f"{MODEL}.hidden_size", _of_model("hidden_size"), "checkpoint"),
    YamlField(f"{MODEL}.num_layers", _of_model("num_layers"), "checkpoint"),
    YamlField(f"{MODEL}.num_heads", _of_model("num_heads"), "checkpoint"),
    YamlField(f"{MODEL}.n_kv_heads", _of_model("num_kv_heads"), "checkpoint"),
    YamlField(f"{MODEL}.vocab_size", _of_model("vocab_size"), "checkpoint"),
    YamlField(f"{MODEL}.intermediate_size", _of_model("intermediate_size"), "checkpoint"),
    YamlField(f"{MODEL}.rms_norm_eps", _of_model("rms_norm_eps"), "checkpoint"),
    YamlField(f"{MODEL}.theta", _of_model("rope_theta"), "checkpoint"),
    YamlField(f"{MODEL}.bos_token_id", _or("bos_token_id", 1), "checkpoint"),
    YamlField(f"{MODEL}.eos_token_id", _or("eos_token_id", 2), "checkpoint"),
    YamlField(f"{MODEL}.pad_token_id", _pad_token, "checkpoint"),
    YamlField(f"{MODEL}.ignore_token_id", _fixed(-100), "checkpoint"),
    YamlField(f"{MODEL}.compute_dtype", _on_cpu("float32", "bfloat16"), "checkpoint", "the base's", device=True),
    YamlField(f"{MODEL}.compute_dtype", _on_cpu("float32"), "direct"),
    YamlField(f"{MODEL}.layernorm_compute_type", _fixed("float32"), "checkpoint", "the base's", device=True),
    YamlField(f"{MODEL}.softmax_compute_type", _fixed("float32"), "checkpoint", "the base's", device=True),
    YamlField(f"{MODEL}.rotary_dtype", _fixed("float32"), "checkpoint", "the base's", device=True),
    YamlField(f"{MODEL}.param_init_type", _fixed("float32"), "checkpoint", "the base's", device=True),
    YamlField(f"{MODEL}.use_past", _fixed(False), "checkpoint"),
    YamlField(
        f"{MODEL}.extend_method", lambda run: OMITTED if run.facts.model.rope_scaling else "None", "checkpoint",
        "the base's",
    ),
    YamlField(
        f"{MODEL}.extend_method", _if_scaled(lambda run: extend_method(run.facts.model.rope_scaling)), "checkpoint"
    ),
    YamlField(
        f"{MODEL}.scaling_factor", _if_scaled(lambda run: scaling_factor(run.facts.model.rope_scaling or {})),
        "checkpoint",
    ),
    # the scaled positions must be more than the original ones
    YamlField(f"{MODEL}.max_position_embedding", _if_scaled(_of_model("max_position_embeddings")), "checkpoint"),
    YamlField(f"{MODEL}.tie_word_embeddings", _ties, "checkpoint"),
    YamlField(f"{MODEL}.use_flash_attention", _on_cpu(False, True), "checkpoint", "the base's", device=True),
    YamlField(f"{MODEL}.offset", _fixed(0), "checkpoint", "the base's"),
    YamlField(f"{MODEL}.checkpoint_name_or_path", _fixed(""), "checkpoint"),
    # the fused operators exist on NPUs only
    YamlField(f"{MODEL}.fused_rms_norm", _on_cpu(False), "checkpoint", "the base's", device=True),
    YamlField(f"{MODEL}.use_rope_slice", _on_cpu(True), "checkpoint", "the base's", device=True),
    YamlField(
        f"{MODEL}.pet_config",
        lambda run: build_adapters(run.profile, direct=False) if run.adapters else OMITTED, "checkpoint",
    ),
    YamlField(
        "model.arch.type", lambda run: run.network.model_class if run.network.own else OMITTED, "checkpoint"
    ),
    YamlField(
        "model.arch.type", lambda run: OMITTED if run.network.own else run.network.model_class, "checkpoint",
        "the base's",
    ),
    YamlField("processor.return_tensors", _fixed("ms"), "checkpoint", "the base's"),
    YamlField(f"{LOADER}.type", _if_not_json(_of_network("tokenizer_class")), "checkpoint", "the base's"),
    YamlField(f"{LOADER}.type", _if_json(_fixed("LlamaTokenizerFast")), "checkpoint"),
    YamlField(f"{LOADER}.tokenizer_file", _if_json(_tokenizer_json), "checkpoint"),
    YamlField(f"{LOADER}.vocab_file", _if_json(_fixed(None)), "checkpoint"),
    YamlField(f"{LOADER}.vocab_file", _if_not_json(_tokenizer_file("vocab_file")), "checkpoint"),
    YamlField(f"{LOADER}.merges_file", _if_not_json(_tokenizer_file("merges_file")), "checkpoint"),
    YamlField(f"{LOADER}.unk_token", _if_not_json(_token("unk_token")), "checkpoint", "the base's"),
    YamlField(f"{LOADER}.bos_token", _if_not_json(_token("bos_token")), "checkpoint", "the base's"),
    YamlField(f"{LOADER}.eos_token", _if_not_json(_token("eos_token")), "checkpoint", "the base's"),
    YamlField(f"{LOADER}.pad_token", _if_not_json(_token("pad_token")), "checkpoint", "the base's"),
    # the prompt has these tokens already, as the chat template writes them
    *(
        YamlField(f"{LOADER}.{name}", _if_json(_fixed(value)), "checkpoint")
        for name, value in (
            ("unk_token", None), ("bos_token", None), ("eos_token", None), ("pad_token", None),
            ("add_bos_token", False), ("add_eos_token", False),
        )
    ),
    # tokenizers of MindFormers' research/ folders are registered from there, and read other files
    YamlField(f"{LOADER}.auto_register", _if_json(_absent_from_base(f"{LOADER}.auto_register")), "checkpoint"),
    YamlField(f"{LOADER}.merges_file", _if_json(_absent_from_base(f"{LOADER}.merges_file")), "checkpoint"),
    YamlField("processor.type", _of_network("processor_class"), "checkpoint", "the base's"),
    YamlField("metric.type", _fixed("PerplexityMetric"), "checkpoint", "the base's", device=True),
    YamlField("do_eval", _fixed(False), "checkpoint", "if there"),
    YamlField("callbacks", parts.build_callbacks, "checkpoint"),
    # where a base has the key it keeps its own
    YamlField(
        "eval_callbacks",
        lambda run: OMITTED if run.trains or not run.release.eval_callbacks or "eval_callbacks" in run.base else [],
        "checkpoint",
    ),
    # MindFormers reads the training sections even where it only evaluates
    YamlField("optimizer.type", lambda run: run.release.optimizer, "checkpoint", "the base's"),
    YamlField(
        "optimizer.betas", lambda r: [0.9, 0.95] if r.release.betas_as_list else OMITTED, "checkpoint", "the base's"
    ),
    YamlField("optimizer.beta1", lambda r: OMITTED if r.release.betas_as_list else 0.9, "checkpoint", "the base's"),
    YamlField("optimizer.beta2", lambda r: OMITTED if r.release.betas_as_list else 0.999, "checkpoint", "the base's"),
    YamlField("optimizer.eps", _fixed(1e-8), "checkpoint", "the base's"),
    YamlField("optimizer.weight_decay", _field("training.weight_decay")),
    YamlField("optimizer.learning_rate", _field("training.learning_rate"), "checkpoint", "if there"),
    YamlField("lr_schedule.type", _fixed("CosineWithWarmUpLR"), "checkpoint", "the base's"),
    YamlField("lr_schedule.learning_rate", _field("training.learning_rate")),
    YamlField("lr_schedule.lr_end", _fixed(0.0), "checkpoint", "the base's"),
    YamlField("lr_schedule.warmup_ratio", _field("training.warmup_ratio")),
    YamlField("lr_schedule.total_steps", _fixed(-1), "checkpoint", "the base's"),
    # MindFormers' own file of the direct route holds the learning rate; a base YAML of the user's keeps its schedule
    YamlField(
        "lr_schedule.type", lambda run: OMITTED if run.profile.training.base_yaml else "CosineWithWarmUpLR", "direct"
    ),
    YamlField("lr_schedule.lr_end", lambda run: OMITTED if run.profile.training.base_yaml else 0.0, "direct"),
    YamlField(
        "runner_wrapper.type", _on_cpu(parts.CPU_TRAIN_CELL.rpartition(".")[2], "MFTrainOneStepCell"), "checkpoint",
        "the base's", device=True,
    ),
    YamlField(
        "runner_wrapper.scale_sense", lambda run: OMITTED if run.network.own else parts.build_loss_scale(run),
        "checkpoint", "the base's", device=True,
    ),
    YamlField(
        "runner_wrapper.scale_sense", lambda run: parts.build_loss_scale(run) if run.network.own else OMITTED,
        "checkpoint",
    ),
    YamlField("runner_wrapper.use_clip_grad", _fixed(True), device=True),
    YamlField("runner_wrapper.max_grad_norm", _field("training.max_grad_norm"), device=True),
    YamlField("runner_wrapper.auto_register", _on_cpu(parts.CPU_TRAIN_CELL), device=True),
    YamlField("runner_wrapper.type", _on_cpu(parts.CPU_TRAIN_CELL.rpartition(".")[2]), "direct"),
    # versions before 1.5 do not know the key
    YamlField("use_graceful_exit", lambda run: True if run.exit_file and run.release.graceful_exit else OMITTED),
)  # fmt: skip


def rows_of(run: RunSpec) -> Iterator[tuple[YamlField, object]]:
    """The rows of the run's route with their values, in the order in which a new YAML has them."""
    route = "direct" if run.facts.direct else "checkpoint"
    for row in FIELDS:
        if row.routes in ("both", route) and not (route == "checkpoint" and _is_replaced(row, run.network)):
            value = row.value(run)
            if value is not OMITTED:
                yield row, value
        if row.key == f"{MODEL}.vocab_size" and route == "checkpoint":
            yield from _own_words(run)


def _is_replaced(row: YamlField, network: Network) -> bool:
    """A key of model_config that the network does not have, or has a word of its own for."""
    section, _, name = row.key.rpartition(".")
    return section == MODEL and (name in network.lacks or name in network.words)


def _own_words(run: RunSpec) -> Iterator[tuple[YamlField, object]]:
    """What the family's network has in model_config besides the usual."""
    for name, word in run.network.words.items():
        value = _number_of(run.facts.model, word) if isinstance(word, OfModel) else word
        yield YamlField(f"{MODEL}.{name}", _fixed(value), "checkpoint"), value


def _number_of(model: ModelConfig, word: OfModel) -> object:
    value = getattr(model, word.name)
    return value // getattr(model, word.divided_by) if word.divided_by else value


def put(sections: dict[str, Any], key: str, value: object) -> None:
    """Set `a.b.c` in nested sections."""
    *path, last = key.split(".")
    for name in path:
        sections = sections.setdefault(name, {})
    sections[last] = value


def has(sections: Mapping[str, Any], key: str) -> bool:
    """`a.b.c` is there in nested sections."""
    found: object = sections
    for name in key.split("."):
        if not isinstance(found, Mapping) or name not in found:
            return False
        found = found[name]
    return True
