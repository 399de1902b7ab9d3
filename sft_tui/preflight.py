"""Looks at everything a job will need, before any long work: the facts for the plan, and the problems."""

from __future__ import annotations

import os
import shutil
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from sft_tui.checkpoint.inspect import CheckpointReport, inspect_checkpoint
from sft_tui.core.facts import EnvironmentFacts, Facts
from sft_tui.core.plan import Plan
from sft_tui.core.problem import Problem
from sft_tui.core.profile import PATH_FIELDS, DeviceTarget, Profile, default_data, missing_fields, parse_field
from sft_tui.dataset.records import AlpacaReport, inspect_alpaca
from sft_tui.dataset.tokenizer import inspect_tokenizer
from sft_tui.errors import SftError
from sft_tui.launch.steps import build_plan
from sft_tui.launch.training_config import training_steps
from sft_tui.paths import PACKAGE_DIR, command_under, find_executable, own_command, whole_path
from sft_tui.stack.compatibility import KNOWN, find_route, fits
from sft_tui.stack.probe import probe_environment

NEEDED_IN_TRAINING = ("sentencepiece", "fschat", "ijson", "numpy")
CHECKPOINTS_KEPT = 3


def new_profile_data(name: str) -> dict[str, Any]:
    """The data of a new profile on this host."""
    device: DeviceTarget = "Ascend" if find_executable("npu-smi") else "CPU"
    work_dir = str(Path.home() / "sft-tui" / name)
    return default_data(name, work_dir=work_dir, python=sys.executable, device_target=device)


def parse_typed(section: str, field: str, text: str) -> Any:  # noqa: ANN401 - the field's own type
    """What a user typed, as the field's type; paths made whole."""
    value = parse_field(section, field, text)
    return whole_path(value) if f"{section}.{field}" in PATH_FIELDS and isinstance(value, str) else value


@dataclass(frozen=True)
class Findings:
    """What was found for a profile. `plan` is there if nothing stands in its way."""

    problems: tuple[Problem, ...]
    environment: EnvironmentFacts
    checkpoint: CheckpointReport
    train: Optional[AlpacaReport] = None
    evaluation: Optional[AlpacaReport] = None
    tokenizer_vocab: int = 0
    facts: Optional[Facts] = None
    plan: Optional[Plan] = None

    @property
    def errors(self) -> tuple[Problem, ...]:
        """The problems that forbid a start."""
        return tuple(p for p in self.problems if p.severity == "error")


def examine(profile: Profile) -> Findings:
    """Probe, inspect and plan. Takes seconds for large data sets: call it in a worker thread."""
    environment = probe_environment(profile.environment.python, profile.environment.mindformers_home)
    hf_dir = profile.model.hf_dir
    checkpoint = inspect_checkpoint(Path(hf_dir)) if hf_dir else CheckpointReport(Path())
    train = _inspect_data(profile.dataset.train_path, "dataset.train_path")
    evaluation = _inspect_data(profile.dataset.eval_path, "dataset.eval_path")
    tokenizer = find_tokenizer(profile)
    vocab, tokenizer_problems = check_tokenizer(tokenizer, checkpoint) if tokenizer else (0, [])
    problems = [
        *missing_fields(profile),
        *check_environment(profile, environment),
        *(p for p in checkpoint.problems if not (tokenizer and p.field == "model.tokenizer_model")),
        *tokenizer_problems,
        *(train.problems if train else ()),
        *(evaluation.problems if evaluation else ()),
        *check_work_dir(profile, checkpoint, train),
        *check_nodes(profile, environment),
    ]
    findings = Findings(tuple(problems), environment, checkpoint, train, evaluation, vocab)
    if checkpoint.config is None or environment.traits is None or train is None:
        return findings
    train_records, eval_records = _records(profile, train, evaluation)
    facts = Facts(
        own_command=own_command(),
        training_command=command_under(environment.python),
        package_dir=str(PACKAGE_DIR),
        environment=environment,
        model=checkpoint.config,
        tokenizer_model=str(tokenizer),
        train_records=train_records,
        eval_records=eval_records,
        route=find_route(profile.model.family, environment.mindformers_version),
    )
    problems += check_training(profile, facts)
    plan = None if any(p.severity == "error" for p in problems) else build_plan(profile, facts)
    return Findings(tuple(problems), environment, checkpoint, train, evaluation, vocab, facts, plan)


def _records(profile: Profile, train: AlpacaReport, evaluation: Optional[AlpacaReport]) -> tuple[int, int]:
    """Records to train on and to hold out; the share is cut as convert-alpaca cuts it."""
    from sft_tui.dataset.conversation import count_held_out

    if evaluation is not None:
        return train.count, evaluation.count
    if not profile.training.evaluate:
        return train.count, 0
    held_out = count_held_out(train.count, profile.dataset.eval_fraction)
    return train.count - held_out, held_out


def _inspect_data(path: str, field: str) -> Optional[AlpacaReport]:
    return inspect_alpaca(Path(path), field) if path else None


def find_tokenizer(profile: Profile) -> Optional[Path]:
    """The tokenizer that the profile names, else the one in its model folder; None: neither is chosen yet."""
    if profile.model.tokenizer_model:
        return Path(profile.model.tokenizer_model)
    return Path(profile.model.hf_dir) / "tokenizer.model" if profile.model.hf_dir else None


def check_tokenizer(tokenizer: Path, checkpoint: CheckpointReport) -> tuple[int, list[Problem]]:
    """Vocabulary size of the tokenizer, and what is wrong with it."""
    field = "model.tokenizer_model"
    try:
        vocab = inspect_tokenizer(tokenizer)
    except SftError as error:
        return 0, [Problem(field, error.message, error.hint)]
    if checkpoint.config is not None and vocab > checkpoint.config.vocab_size:
        message = f"{tokenizer} has {vocab} pieces, the model only {checkpoint.config.vocab_size} embeddings."
        return vocab, [Problem(field, message, "Use the tokenizer.model that belongs to this checkpoint.")]
    return vocab, []


def check_environment(profile: Profile, environment: EnvironmentFacts) -> list[Problem]:
    """What keeps the training environment from doing the job."""
    python, home = "environment.python", "environment.mindformers_home"
    if environment.error:
        return [Problem(python, environment.error + ".", "Name the interpreter that has MindSpore.", exit_code=4)]
    problems = []
    if profile.environment.mindformers_home:
        if not environment.mindformers_version:
            message = f"{environment.mindformers_home} is not a MindFormers source folder."
            problems.append(Problem(home, message, "Name the folder that holds run_mindformer.py.", exit_code=4))
        elif not environment.run_mindformer:
            message = f"{environment.mindformers_home} has no run_mindformer.py."
            problems.append(Problem(home, message, "Use a whole source checkout.", exit_code=4))
    elif not environment.mindformers_version:
        message = f"{environment.python} has no MindFormers."
        hint = "Install sft-tui with its [train] extra, or name another interpreter or a MindFormers source folder."
        problems.append(Problem(python, message, hint, exit_code=4))
    if not environment.mindspore:
        hint = "pip install mindspore==2.7.2 into it, or name another interpreter."
        problems.append(Problem(python, f"{environment.python} has no MindSpore.", hint, exit_code=4))
    missing = [name for name in NEEDED_IN_TRAINING if name not in environment.packages]
    if missing:
        hint = f"{environment.python} -m pip install {' '.join(missing)}"
        problems.append(Problem(python, f"{environment.python} lacks {', '.join(missing)}.", hint, exit_code=4))
    return problems + _check_versions(profile, environment)


def _check_versions(profile: Profile, environment: EnvironmentFacts) -> list[Problem]:
    field = "environment.mindformers_home" if environment.mindformers_home else "environment.python"
    traits, version = environment.traits, environment.mindformers_version
    if not version:
        return []
    if traits is None:
        return [Problem(field, f"MindFormers {version} is not one that sft-tui knows.", f"Use {KNOWN}.", exit_code=4)]
    if environment.mindspore and not fits(traits, environment.mindspore):
        message = f"MindFormers {version} does not run with MindSpore {environment.mindspore}."
        hint = f"It needs MindSpore {' or '.join(traits.mindspore)}."
        return [Problem(field, message, hint, exit_code=4)]
    if profile.environment.device_target == "CPU" and not traits.cpu_workers:
        message = f"MindFormers {version} is not known to train on CPU."
        return [Problem("environment.device_target", message, "Use 1.6 or 1.7 for a rehearsal on CPU.", exit_code=4)]
    if profile.environment.device_target == "Ascend" and not environment.npu_smi:
        message = "This host has no npu-smi: no Ascend driver is installed or visible here."
        hint = "Choose CPU for a rehearsal, or run sft-tui on the training node."
        return [Problem("environment.device_target", message, hint, exit_code=4)]
    return []


def check_nodes(profile: Profile, environment: EnvironmentFacts) -> list[Problem]:
    """msrun and its port."""
    if profile.nodes.worker_num == 1 or environment.error:
        return []
    if environment.mindspore and not environment.msrun:
        message = f"There is no msrun beside {environment.python}."
        return [Problem("nodes.worker_num", message, "It comes with MindSpore: install that again.", exit_code=4)]
    port = profile.nodes.master_port
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError as error:
            message = f"Port {port} cannot be used: {error.strerror}."
            return [Problem("nodes.master_port", message, "Choose a free port, 8119 for example.", exit_code=4)]
    return []


def check_work_dir(profile: Profile, checkpoint: CheckpointReport, train: Optional[AlpacaReport]) -> list[Problem]:
    """The working folder can be written and its disk has room for what the job leaves."""
    field, folder = "environment.work_dir", Path(profile.environment.work_dir)
    if not profile.environment.work_dir:
        return []
    if not folder.is_absolute():
        return [Problem(field, f"{folder} is not an absolute path.", "Begin it with a slash.")]
    there = folder
    while not there.exists():
        there = there.parent
    if not there.is_dir():
        return [Problem(field, f"{there} is a file.", "Choose a folder.")]
    if not os.access(there, os.W_OK | os.X_OK):
        return [
            Problem(field, f"{there} cannot be written by you.", "Choose another folder, or change its permissions.")
        ]
    if checkpoint.config is None or train is None:
        return []
    needed = needed_bytes(profile, checkpoint, train)
    free = shutil.disk_usage(there).free
    if free < needed:
        message = f"The disk of {there} has {free / 1e9:.1f} GB free; the job needs about {needed / 1e9:.1f} GB."
        return [Problem(field, message, "Free some room, or choose a folder on another disk.", exit_code=4)]
    return []


def needed_bytes(profile: Profile, checkpoint: CheckpointReport, train: AlpacaReport) -> int:
    """What the job leaves on disk: weights, MindRecord, and the checkpoints that are kept.

    A training checkpoint holds the weights and two moments of AdamW in float32; MindFormers keeps the newest three,
    each with a copy of the weights alone.
    """
    parameters = checkpoint.parameters
    rows = train.count * (profile.dataset.seq_length + 1) * 8
    kept = CHECKPOINTS_KEPT * profile.nodes.worker_num * parameters * 4 * 4
    return checkpoint.output_bytes(profile.weights.dtype) + rows + kept


def check_training(profile: Profile, facts: Facts) -> list[Problem]:
    """Sequence length and steps against the model and the data."""
    problems = []
    longest = facts.model.max_position_embeddings
    if profile.dataset.seq_length > longest:
        message = f"{profile.dataset.seq_length} tokens are more than the model's {longest} (max_position_embeddings)."
        problems.append(Problem("dataset.seq_length", message, f"Use {longest} or less."))
    if facts.model.rope_scaling:
        message = f"config.json has rope_scaling {facts.model.rope_scaling}, which the YAML does not carry over yet."
        problems.append(Problem("model.hf_dir", message, "Use a model without it, Llama 2 for example."))
    if facts.train_records and training_steps(profile, facts) == 0:
        batch = profile.training.batch_size * profile.nodes.worker_num
        message = f"{facts.train_records} records do not fill one batch of {batch} (batch size x workers)."
        problems.append(Problem("training.batch_size", message, "Use a smaller batch or more data."))
    if profile.training.evaluate and not facts.eval_records:
        message = "No data is held out: the gain will not be measured."
        problems.append(Problem("dataset.eval_fraction", message, "Hold out 0.05 or name a held-out file.", "warning"))
    return problems
