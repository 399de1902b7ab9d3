"""The MindFormers YAML of a run: a base YAML with the profile's changes, or one built from `config.json`."""

from __future__ import annotations

import math
from typing import Any, Literal

import yaml

from sft_tui.core.facts import Facts
from sft_tui.core.parallel_layout import Layout, build_layout
from sft_tui.core.profile import Profile
from sft_tui.core.schedule import Schedule, build_schedule
from sft_tui.launch.yaml import sections
from sft_tui.launch.yaml.base_yaml import merge_into_base, parse_base
from sft_tui.launch.yaml.direct_config import build_direct_changes
from sft_tui.launch.yaml.overlay import choose_changes

RunMode = Literal["finetune", "eval", "held_out"]  # the last measures where MindFormers' own `eval` does not
USUAL_MEMORY_GB = 64  # of the devices that MindFormers' own files are written for


def training_layout(profile: Profile, facts: Facts) -> Layout:
    """How the workers share the training. In MindFormers' own YAML the sizes are those of some large model."""
    base = parse_base(facts.base_yaml)
    if facts.direct and not profile.training.base_yaml:
        base = {name: section for name, section in base.items() if name != "parallel_config"}
    return build_layout(profile, base)


def training_schedule(profile: Profile, facts: Facts) -> Schedule:
    """What the run does with the records; incomplete batches are dropped.

    On CPU every worker reads a part of its own. On NPUs (full_batch) all read all rows, and share out each batch.
    """
    training, layout = profile.training, training_layout(profile, facts)
    cpu = profile.environment.device_target == "CPU"
    return build_schedule(
        facts.packed_rows or facts.train_records,
        batch_size=training.batch_size * (1 if cpu else layout.data_parallel),
        data_parallel=layout.data_parallel if cpu else 1,
        epochs=training.epochs,
        accumulation=layout.rows_factor,
        sink_size=training.sink_size if sections.sinks(profile) else 0,
    )


def training_steps(profile: Profile, facts: Facts) -> int:
    """Optimizer steps of the whole run."""
    return training_schedule(profile, facts).steps


def save_steps(profile: Profile, facts: Facts) -> int:
    """Steps between two checkpoints: the user's choice, else four over the run with the last step among them."""
    if profile.training.save_checkpoint_steps:
        return profile.training.save_checkpoint_steps
    return max(1, math.ceil(training_steps(profile, facts) / 4))


def is_distributed(profile: Profile, run_mode: RunMode) -> bool:
    """Whether msrun starts several workers: NPUs hold the model in slices, so evaluation needs them as well."""
    return profile.nodes.worker_num > 1 and (run_mode == "finetune" or profile.environment.device_target != "CPU")


def saves_on_request(facts: Facts) -> bool:
    """The training saves a checkpoint and ends when a file asks it to."""
    release = facts.environment.release
    return release is not None and release.graceful_exit


def device_memory_gb(profile: Profile, facts: Facts) -> float:
    """HBM of one NPU in 2**30 bytes: the profile's, else as found, else that of MindFormers' own files."""
    return profile.environment.device_memory_gb or facts.device_memory_gb or USUAL_MEMORY_GB


def build_training_yaml(
    profile: Profile,
    facts: Facts,
    *,
    run_mode: RunMode,
    output_dir: str,
    load_checkpoint: str,
    mindrecord: str,
    strategy_dir: str = "",
    graceful_exit: str = "",
    adapters: bool = False,
) -> str:
    """The YAML text of one run; every path in it is absolute.

    `strategy_dir` tells how a checkpoint in slices was sliced; MindFormers merges it first. `graceful_exit` is the file
    by which the training can be asked to save and end. `adapters`: the network has those of LoRA.
    """
    release = facts.environment.release
    if release is None:
        raise ValueError("facts without a known release of MindFormers: examine must refuse them first")
    if facts.direct:
        if not facts.base_yaml:
            raise ValueError("facts without MindFormers' own YAML: preflight must refuse them first")
        changes = build_direct_changes(
            profile, facts, training_layout(profile, facts), trains=run_mode == "finetune",
            parallel=is_distributed(profile, run_mode), output_dir=output_dir, load_checkpoint=load_checkpoint,
            mindrecord=mindrecord, strategy_dir=strategy_dir, save_steps=save_steps(profile, facts),
            graceful_exit=graceful_exit if saves_on_request(facts) else "", memory_gb=device_memory_gb(profile, facts),
            adapters=adapters,
        )  # fmt: skip
        return merge_into_base(facts.base_yaml, changes)
    target, trains = profile.environment.device_target, run_mode == "finetune"
    cpu, parallel = target == "CPU", is_distributed(profile, run_mode)
    layout = training_layout(profile, facts)
    config: dict[str, Any] = {
        "seed": profile.training.seed,
        "output_dir": output_dir,
        "load_checkpoint": load_checkpoint,
        "load_ckpt_format": "ckpt",
        "auto_trans_ckpt": parallel and not cpu,
        "src_strategy_path_or_dir": strategy_dir,
        "resume_training": False,
        "run_mode": run_mode,
        "trainer": {"type": "CausalLanguageModelingTrainer", "model_name": sections.network(profile).trainer_model},
        "runner_config": sections.build_runner(profile, layout, trains=trains),
        "use_parallel": parallel,
        **sections.build_parallel(layout, cpu),
        "context": sections.build_context(target, device_memory_gb(profile, facts)),
        "model": sections.build_model(profile, facts.model, adapters=adapters),
        "processor": sections.build_processor(profile, facts.tokenizer_model),
        "metric": {"type": "PerplexityMetric"},
        "do_eval": False,
        "callbacks": [],
    }
    # MindFormers reads the training sections even where it only evaluates
    config.update(sections.build_optimization(profile, release, cpu))
    drop = trains or parallel
    config.update(sections.build_datasets(profile, mindrecord, trains=trains, drop_remainder=drop))
    if trains:
        saves = bool(graceful_exit) and saves_on_request(facts)
        config.update({"use_graceful_exit": True} if saves else {})  # versions before 1.5 do not know the key
        config["callbacks"] = sections.build_callbacks(save_steps(profile, facts), graceful_exit if saves else "")
    if facts.base_yaml:
        memory = device_memory_gb(profile, facts)
        changes = choose_changes(parse_base(facts.base_yaml), config, memory_gb=memory)
        return merge_into_base(facts.base_yaml, changes)
    return str(yaml.safe_dump(config, sort_keys=False, allow_unicode=True))
