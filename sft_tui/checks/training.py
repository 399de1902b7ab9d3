"""Checks a training before a job: parallel layout, memory, steps, and what it starts from."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Optional

from sft_tui.checkpoint.manifest import load_manifest as load_weights_manifest
from sft_tui.core.facts import EnvironmentFacts, Facts
from sft_tui.core.memory.estimate import GIB, Workload, estimate_memory
from sft_tui.core.memory.nearest_change import find_change
from sft_tui.core.parallel_layout import ParallelLayout
from sft_tui.core.problem import Problem
from sft_tui.core.profile import Profile
from sft_tui.dataset.mindrecord.manifest import load_manifest as load_data_manifest
from sft_tui.errors import InvalidInputError
from sft_tui.families.table import FAMILIES
from sft_tui.files.small_file import read_small_text
from sft_tui.launch.plan.work_paths import work_paths
from sft_tui.launch.yaml.adapters import ATTENTION, adaptable_cells, adapted_matrices
from sft_tui.launch.yaml.base_yaml import list_base_configs, parse_base
from sft_tui.launch.yaml.run_spec import is_distributed, save_steps, training_layout, training_schedule
from sft_tui.launch.yaml.workload import plan_workload
from sft_tui.stack.releases import RELEASES


def installed_base(environment: EnvironmentFacts, family: str) -> str:
    """The YAML of MindFormers itself that a training on the direct route starts from; empty where it has none."""
    known = FAMILIES.get(family)
    config = known.base_yaml if known else ""
    return f"{environment.mindformers_configs}/{config}" if config and environment.mindformers_configs else ""


def check_direct(profile: Profile, facts: Facts) -> list[Problem]:
    """What the direct route does not do."""
    problems = []
    if not facts.base_yaml and not profile.training.base_yaml:
        known = FAMILIES.get(facts.model.family)
        message = f"MindFormers' own configs/{known.base_yaml if known else ''} was not found."
        problems.append(Problem("training.base_yaml", message, "Name a YAML of MindFormers for it.", exit_code=4))
    layout = training_layout(profile, facts)
    sizes = layout.model_parallel * layout.pipeline_stage * (layout.expert_parallel if facts.model.num_experts else 1)
    if sizes > 1 or (layout.parallel_optimizer and layout.data_parallel > 1):
        message = "The workers save slices of the model: MindFormers has to merge them before the step export."
        hint = "Use data parallel workers alone (optimizer shards off), or stop before export; it says how to merge."
        problems.append(Problem("training.model_parallel", message, hint, "warning"))
    release = facts.environment.release
    if release is not None and release.pads_with_token_0:
        message = (
            f"MindFormers {release.mindformers} takes the token 0 (! in Qwen3) for padding: it is not seen, and not"
            " learned from."
        )
        later = RELEASES[RELEASES.index(release) + 1 :]
        newer = next(other.mindformers for other in later if not other.pads_with_token_0)
        problems.append(Problem("environment.python", message, f"MindFormers {newer} does not.", "warning"))
    return problems


def read_base(profile: Profile, installed: str = "") -> tuple[str, list[Problem]]:
    """Text of the YAML to start from (`installed`: where the profile names none), and what is wrong with it."""
    field, name = "training.base_yaml", profile.training.base_yaml or installed
    if not name:
        return "", []
    path = Path(name)
    try:
        text = read_small_text(path)
        parse_base(text)
    except OSError as error:
        return "", [Problem(field, f"{path} could not be read: {error.strerror}.", _known_bases(profile))]
    except InvalidInputError as error:
        return "", [Problem(field, f"{path} cannot be used. {error.message}", _known_bases(profile))]
    except (ValueError, RecursionError):
        return "", [Problem(field, f"{path} cannot be used: it is no text, or no YAML.", _known_bases(profile))]
    home = profile.environment.mindformers_home
    if home and Path(home).resolve() not in path.resolve().parents:
        message = f"{path} is not of {home}: it may name what this version of MindFormers does not have."
        return text, [Problem(field, message, _known_bases(profile), "warning")]
    return text, []


def _known_bases(profile: Profile) -> str:
    home = profile.environment.mindformers_home
    found = list_base_configs(Path(home), profile.model.family) if home else []
    if not found:
        return "Name a finetune_*.yaml of MindFormers, or leave it empty."
    return f"{found[0]} is one of {len(found)} for this model."


def check_parallel(profile: Profile, facts: Facts) -> list[Problem]:
    """Everything about the layout, the steps, the adapters and the memory of the training."""
    layout = training_layout(profile, facts)
    problems = _cpu_limits(profile) if profile.environment.device_target == "CPU" else _layout(profile, facts, layout)
    direct = facts.direct
    if profile.dataset.pack and not direct and facts.text is None:
        message = "Records are packed for models that MindFormers loads directly alone."
        problems.append(Problem("dataset.pack", message, "Switch it off: every record has a row of its own."))
    problems += _steps(profile, facts) + _adapters(profile, facts) + (check_direct(profile, facts) if direct else [])
    if not any(p.severity == "error" for p in problems):
        problems += _memory(profile, facts)
    return problems


def _cpu_limits(profile: Profile) -> list[Problem]:
    """On CPU MindFormers has data parallelism alone."""
    training, problems = profile.training, []
    for name in ("model_parallel", "pipeline_stage", "expert_parallel", "gradient_accumulation_steps"):
        if (size := getattr(training, name)) > 1:
            message = f"{name} {size} needs NPUs: on CPU MindFormers trains data parallel alone."
            problems.append(Problem(f"training.{name}", message, "Use 1 for a rehearsal on CPU."))
    if training.sink_size:
        message = "Sink mode needs NPUs: on CPU every step is run by itself."
        problems.append(Problem("training.sink_size", message, "It will not be used; 0 says so.", "warning"))
    return problems


def _layout(profile: Profile, facts: Facts, layout: ParallelLayout) -> list[Problem]:
    model, problems = facts.model, []
    slices = layout.model_parallel * layout.pipeline_stage
    workers = profile.nodes.worker_num
    if workers % slices:
        message = (
            f"{workers} workers cannot be shared out: model_parallel {layout.model_parallel} x pipeline_stage"
            f" {layout.pipeline_stage} = {slices} has to divide them (data_parallel takes the rest)."
        )
        hint = f"Use {max(1, workers // slices) * slices} workers, or other sizes."
        problems.append(Problem("nodes.worker_num", message, hint))
    parts = (
        ("attention heads", model.num_heads),
        ("key/value heads", model.num_kv_heads),
        ("pieces", model.vocab_size),
    )
    odd = " and ".join(f"{number} {what}" for what, number in parts if number % layout.model_parallel)
    if odd:
        message = f"The model's {odd} cannot be shared out over model_parallel {layout.model_parallel}."
        hint = f"Use {_largest_divisor(layout.model_parallel, *(size for _, size in parts))}, for example."
        problems.append(Problem("training.model_parallel", message, hint))
    if model.num_layers % layout.pipeline_stage:
        message = f"The model's {model.num_layers} layers are no multiple of pipeline_stage {layout.pipeline_stage}."
        hint = f"Use {_largest_divisor(layout.pipeline_stage, model.num_layers)}, for example."
        problems.append(Problem("training.pipeline_stage", message, hint))
    experts, sharing = layout.expert_parallel, layout.data_parallel * layout.model_parallel
    if model.num_experts and (sharing % experts or model.num_experts % experts):
        message = (
            f"The model's {model.num_experts} experts cannot be shared out over expert_parallel {experts}: it has to"
            f" divide them, and data_parallel x model_parallel = {sharing}."
        )
        hint = f"Use {_largest_divisor(experts, model.num_experts, sharing)}, for example."
        problems.append(Problem("training.expert_parallel", message, hint))
    if layout.pipeline_stage > 1 and layout.micro_batch_num < layout.pipeline_stage:
        message = f"{layout.micro_batch_num} micro batches do not fill {layout.pipeline_stage} stages."
        hint = f"Use at least {layout.pipeline_stage}; with four times that few stages wait."
        problems.append(Problem("training.micro_batch_num", message, hint))
    return problems + _ignored(profile, layout)


def _ignored(profile: Profile, layout: ParallelLayout) -> list[Problem]:
    """What MindFormers would reset without an error."""
    wanted = profile.training.gradient_accumulation_steps
    if wanted < 2 or (layout.pipeline_stage == 1 and layout.accumulation == wanted):
        return []
    why = "in a pipeline micro batches do it" if layout.pipeline_stage > 1 else "one worker alone does not accumulate"
    message = f"MindFormers takes 1 in place of {wanted}: {why}."
    hint = "Use 1, and micro_batch_num or a larger batch."
    return [Problem("training.gradient_accumulation_steps", message, hint)]


def _largest_divisor(limit: int, *numbers: int) -> int:
    return next(size for size in range(limit, 0, -1) if not any(number % size for number in numbers))


def _steps(profile: Profile, facts: Facts) -> list[Problem]:
    if not facts.train_records:
        return []
    layout, schedule = training_layout(profile, facts), training_schedule(profile, facts)
    batch = profile.training.batch_size * layout.data_parallel * layout.rows_factor
    if not schedule.steps_per_epoch:
        factors = "batch size x workers"
        if layout.model_parallel * layout.pipeline_stage * layout.rows_factor > 1:
            factors = "batch size x data_parallel x batches of a step"
        message = f"{facts.rows_in_words} do not fill one batch of {batch} ({factors})."
        return [Problem("training.batch_size", message, "Use a smaller batch or more data.")]
    if not schedule.steps:
        whole = schedule.steps_per_epoch * profile.training.epochs
        message = f"The run has {whole} steps: no round of {profile.training.sink_size} (sink size) is full, none runs."
        return [Problem("training.sink_size", message, f"Use {schedule.steps_per_epoch} or less, or more epochs.")]
    return [*_saves(profile, facts, schedule.steps), *_evaluation(profile, facts, layout)]


def _saves(profile: Profile, facts: Facts, steps: int) -> list[Problem]:
    every = save_steps(profile, facts)
    if every <= steps:
        return []
    message = f"The run has {steps} steps: only its end is saved, not every {every}."
    hint = "Use fewer steps between checkpoints, or 0 for four over the run."
    return [Problem("training.save_checkpoint_steps", message, hint, "warning")]


def _evaluation(profile: Profile, facts: Facts, layout: ParallelLayout) -> list[Problem]:
    """Several NPUs evaluate together: one row for each data parallel rank and micro batch."""
    batch = layout.data_parallel * layout.rows_factor
    alone = not is_distributed(profile, "eval") or not profile.training.evaluate
    if alone or not facts.eval_records or facts.eval_records >= batch:
        return []
    message = f"{facts.eval_records} held-out records do not fill one batch of {batch} (data_parallel x micro batches)."
    field = "dataset.eval_path" if profile.dataset.eval_path else "dataset.eval_fraction"
    return [Problem(field, message, "Hold out more records, or switch evaluation off.")]


def _adapters(profile: Profile, facts: Facts) -> list[Problem]:
    if profile.training.method != "lora":
        return []
    cells = adaptable_cells(facts.model.family, direct=facts.direct)
    field, pattern = "training.lora_targets", profile.training.lora_targets or cells.attention
    hint = f"Leave it empty for {cells.attention}, as MindFormers' own files have it."
    try:
        matched = adapted_matrices(pattern, cells)
        if facts.model.num_experts:  # they are parameters of one cell, which has no adapters
            matched = tuple(matrix for matrix in matched if matrix in ATTENTION)
        blocks = [name for name in cells.blocks if re.match(pattern, name)]
    except re.error as error:
        return [Problem(field, f"{pattern!r} is no pattern: {error}.", hint)]
    if blocks:
        message = (
            f"{pattern!r} means the block {blocks[0]}: MindFormers then looks no further and adapts nothing in it."
        )
        return [Problem(field, message, hint)]
    lost = [name for name in cells.not_merged if re.match(pattern, name)]
    if lost:
        message = f"{pattern!r} means {' and '.join(lost)} as well, whose adapters are not merged on the way back."
        return [Problem(field, message, hint)]
    return [] if matched else [Problem(field, f"{pattern!r} means no matrix of the model.", hint)]


def find_workload(profile: Profile, facts: Facts) -> Optional[tuple[Workload, Optional[int]]]:
    """What the training takes, and its memory pool in bytes (None on CPU); None where the YAML does not tell."""
    try:
        return plan_workload(profile, facts)
    except (re.error, ValueError):
        return None


def _memory(profile: Profile, facts: Facts) -> list[Problem]:
    work, limit = plan_workload(profile, facts)
    if limit is None:
        return []
    estimate = estimate_memory(work)
    verdict = estimate.verdict(limit)
    if verdict == "fits":
        return []
    part, size = max(estimate.parts, key=lambda item: item[1])
    message = (
        f"About {estimate.total / GIB:.0f} GB are needed on a device, its pool holds {limit / GIB:.0f}:"
        f" {part} alone {size / GIB:.0f} GB."
    )
    if verdict == "tight":
        message = f"About {estimate.total / GIB:.0f} GB of the {limit / GIB:.0f} of a device's pool: it may not fit."
    change = find_change(work, limit)
    hint = "No single change is enough: take more devices, and share the model out over them."
    if change is not None:
        hint = f"Nearest change: {change.text} ({change.total / GIB:.0f} GB)."
    elif verdict == "tight":
        hint = "Watch its first steps."
    field = change.field if change is not None else "training.batch_size"
    return [Problem(field, message, hint, "warning" if verdict == "tight" else "error")]


def check_made(profile: Profile, parameters: int, facts: Facts) -> list[Problem]:
    """What an earlier job left in the working folder fits the profile: half a model must not train silently.

    A step whose input changed runs again by itself, but `--from train` and files put there by hand go around that.
    """
    paths = work_paths(profile)
    converted = not profile.model.ckpt and Path(paths.ckpt).is_file()
    manifest = load_weights_manifest(Path(paths.ckpt)) if converted else None
    problems = [] if manifest is None else _weights_made(paths.ckpt, manifest, profile, parameters, facts)
    data = load_data_manifest(Path(paths.mindrecord("train")))
    if data is not None and data.work.labels != FAMILIES[facts.model.family].labels:
        message = f"{paths.mindrecord('train')} has labels for the other kind of network; it will be written again."
        problems.append(Problem("model.family", message, "Do not begin at a later step.", "warning"))
    if data is not None and (data.work.dataset_type == "wiki") != (facts.text is not None):
        message = f"{paths.mindrecord('train')} was made of data of the other kind; it will be written again."
        problems.append(Problem("dataset.kind", message, "Do not begin at a later step.", "warning"))
    if data is not None and data.work.seq_length != profile.dataset.seq_length:
        message = f"{paths.mindrecord('train')} has rows of {data.work.seq_length} tokens; it will be written again."
        hint = f"Use {data.work.seq_length} to keep it."
        problems.append(Problem("dataset.seq_length", message, hint, "warning"))
    return problems


def _weights_made(
    path: str, manifest: dict[str, object], profile: Profile, parameters: int, facts: Facts
) -> list[Problem]:
    config, tensors = manifest.get("config"), manifest.get("tensors")
    shapes = [item.get("dims", []) for item in tensors if isinstance(item, dict)] if isinstance(tensors, list) else []
    count = sum(math.prod(int(size) for size in shape) for shape in shapes)
    vocab = config.get("vocab_size", facts.model.vocab_size) if isinstance(config, dict) else facts.model.vocab_size
    if vocab != facts.model.vocab_size:
        message = f"{path} has {vocab} embeddings, the model's config.json says {facts.model.vocab_size}."
    elif shapes and count < parameters:
        message = f"{path} has {count} parameters, the model {parameters}: the rest would start from random values."
    else:
        return []
    if manifest.get("hf_dir") != str(Path(profile.model.hf_dir).resolve()):
        # of another model: its conversion runs again
        hint = "It will be converted again; do not begin at a later step."
        return [Problem("model.hf_dir", message, hint, "warning")]
    return [Problem("model.hf_dir", message, f"Remove {path}: it is then converted again.")]
