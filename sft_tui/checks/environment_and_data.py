"""Checks environment, model and data before a job: each check looks at one thing and returns its problems."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import socket
from pathlib import Path
from typing import Optional

from sft_tui.checkpoint.inspect.report import CheckpointReport
from sft_tui.checks.positions import check_positions
from sft_tui.checks.tokenizer_path import find_tokenizer, is_tokenizer_json
from sft_tui.core.facts import EnvironmentFacts, Facts
from sft_tui.core.parallel_layout import build_layout
from sft_tui.core.problem import Problem
from sft_tui.core.profile import PATH_FIELDS, Profile
from sft_tui.dataset.read.inspect import DataReport
from sft_tui.errors import InvalidInputError, SftError
from sft_tui.families.table import PLANNED
from sft_tui.files.disk_room import refuse_kernel_folder, tell_room
from sft_tui.jobs.read_state import is_supervised
from sft_tui.launch.plan.steps import needed_devices
from sft_tui.launch.plan.work_paths import work_paths
from sft_tui.launch.yaml.base_yaml import parse_base
from sft_tui.launch.yaml.parts import KEPT_CHECKPOINTS
from sft_tui.paths import jobs_dir, visible_npus
from sft_tui.stack.releases import KNOWN, ON_CPU, fits, takes_transformers
from sft_tui.stack.routes import find_route
from sft_tui.store.job_store import list_jobs

NEEDED_IN_TRAINING = ("sentencepiece", "numpy")
NEEDED_FOR_FOLDERS = ("tokenizers", "numpy")  # that have tokenizer.json and a chat template


def check_paths(profile: Profile) -> list[Problem]:
    """Steps run in the working folder, so every path has to be whole."""
    problems = []
    for name in PATH_FIELDS:
        section, _, field = name.partition(".")
        value = str(getattr(getattr(profile, section), field))
        bare_program = name == "environment.python" and os.sep not in value
        if value and not bare_program and not Path(value).is_absolute():
            problems.append(Problem(name, f"{value} is not an absolute path.", "Begin it with a slash."))
    return problems


def check_family(profile: Profile, checkpoint: CheckpointReport) -> list[Problem]:
    """The folder holds a model of the family that the profile names."""
    found, named = checkpoint.model_type, profile.model.family
    if (checkpoint.config is None and checkpoint.ready is None) or found == named:
        return []
    other = "folder" if checkpoint.ckpt is None else "checkpoint"
    hint = f"Choose the family {found}." if found in PLANNED else f"Choose a {other} of that family."
    where = checkpoint.ckpt or profile.model.hf_dir
    return [Problem("model.family", f"{where} holds a model of type {found}, not {named}.", hint)]


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
    if environment.mindformers_other:
        message = (
            f"A training imports MindFormers {environment.mindformers_version} from {environment.mindformers_path}; "
            f"{environment.mindformers_other} is installed as well."
        )
        hint = "The first one is meant here. If it is not, look at PYTHONPATH and the source folder."
        problems.append(Problem(home if profile.environment.mindformers_home else python, message, hint, "warning"))
    if not environment.mindspore:
        release = environment.release
        on_cpu = release.mindspore_on_cpu if release and profile.environment.device_target == "CPU" else ()
        wanted = (on_cpu or release.mindspore)[-1] if release else "2.9.0"
        hint = f"pip install mindspore=={wanted} into it, or name another interpreter."
        problems.append(Problem(python, f"{environment.python} has no MindSpore.", hint, exit_code=4))
    direct = find_route(profile.model.family, environment.mindformers_version) == "direct"
    tokenizer = find_tokenizer(profile, "direct" if direct else "checkpoint")
    needed = NEEDED_FOR_FOLDERS if direct or is_tokenizer_json(tokenizer) else NEEDED_IN_TRAINING
    missing = [name for name in needed if name not in environment.packages]
    if missing:
        hint = f"{environment.python} -m pip install {' '.join(missing)}"
        problems.append(Problem(python, f"{environment.python} lacks {', '.join(missing)}.", hint, exit_code=4))
    return problems + _check_versions(profile, environment) + (_check_transformers(environment) if direct else [])


def _check_transformers(environment: EnvironmentFacts) -> list[Problem]:
    """On the direct route MindFormers reads config and tokenizer by its means, and names one version of it."""
    release, found = environment.release, environment.packages.get("transformers", "")
    if release is None or takes_transformers(release, found):
        return []
    wanted = release.transformers
    message = f"MindFormers {environment.mindformers_version} wants transformers {wanted}; "
    message += f"{environment.python} has {found}." if found else f"{environment.python} has none."
    pinned = f"'transformers{wanted}'" if wanted.startswith(">=") else f"transformers=={wanted}"
    hint = f"{environment.python} -m pip install {pinned}"
    return [Problem("environment.python", message, hint, exit_code=4)]


def _check_versions(profile: Profile, environment: EnvironmentFacts) -> list[Problem]:
    field = "environment.mindformers_home" if environment.mindformers_home else "environment.python"
    release, version = environment.release, environment.mindformers_version
    if not version:
        return []
    if release is None:
        return [Problem(field, f"MindFormers {version} is not one that sft-tui knows.", f"Use {KNOWN}.", exit_code=4)]
    cpu = profile.environment.device_target == "CPU"
    if environment.mindspore and not fits(release, environment.mindspore, cpu=cpu):
        message = f"MindFormers {version} does not run with MindSpore {environment.mindspore}."
        wanted = (*release.mindspore, *(release.mindspore_on_cpu if cpu else ()))
        hint = f"It needs MindSpore {' or '.join(wanted)}."
        return [Problem(field, message, hint, exit_code=4)]
    lacking = [name for name in release.needs if name not in environment.packages]
    if lacking and not cpu:
        message = f"MindFormers {version} imports {', '.join(lacking)}, which {environment.python} lacks."
        hint = "Install it from where your MindSpore comes from, or use MindFormers 1.9 with MindSpore 2.9."
        return [Problem(field, message, hint, exit_code=4)]
    if cpu and not release.cpu:
        message = f"MindFormers {version} is not known to train on CPU."
        hint = f"Use {' or '.join(ON_CPU)} for a rehearsal on CPU."
        return [Problem("environment.device_target", message, hint, exit_code=4)]
    if profile.environment.device_target == "Ascend" and not environment.npu_smi:
        message = "This host has no npu-smi: no Ascend driver is installed or visible here."
        hint = "Choose CPU for a rehearsal, or run sft-tui on the training node."
        return [Problem("environment.device_target", message, hint, exit_code=4)]
    if profile.environment.device_target == "Ascend" and not environment.cann:
        message = "No CANN was found below /usr/local/Ascend."
        hint = "Source its set_env.sh in the shell that starts sft-tui, if it is elsewhere."
        return [Problem("environment.device_target", message, hint, "warning", exit_code=4)]
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
            if error.errno == errno.EADDRINUSE and (job := _job_with_port(profile)):
                message = f"Port {port} is in use by job {job}."
                hint = "This profile needs the same devices: its job waits until that one has ended."
                return [Problem("nodes.master_port", message, hint, "warning")]
            return [Problem("nodes.master_port", message, "Choose a free port, 8119 for example.", exit_code=4)]
    return []


def _job_with_port(profile: Profile) -> str:
    """The job of ours that runs msrun with that port and that this one will wait for, or an empty string."""
    flag = f"--master_port={profile.nodes.master_port}"
    devices = set(needed_devices(profile, "finetune", visible_npus()))
    for folder in list_jobs(jobs_dir()):
        with contextlib.suppress(SftError):
            if is_supervised(folder) and folder.load_state().lifecycle != "queued":
                plan = folder.load_spec().plan
                if devices & plan.devices and any(flag in step.argv for step in plan.steps):
                    return folder.id
    return ""


def check_work_dir(
    profile: Profile, checkpoint: CheckpointReport, train: Optional[DataReport], base_yaml: str = ""
) -> list[Problem]:
    """The working folder can be written and its disk has room for what the job leaves."""
    field, folder = "environment.work_dir", Path(profile.environment.work_dir)
    if not folder.is_absolute():
        return []
    try:
        folder.lstat()
    except (FileNotFoundError, NotADirectoryError):
        pass  # it will be made
    except OSError as error:
        return [Problem(field, f"{folder} cannot be used: {error.strerror}.", "Choose another folder.")]
    there = folder
    while not os.path.lexists(there):
        there = there.parent
    try:
        refuse_kernel_folder(folder)
    except InvalidInputError as error:
        return [Problem(field, error.message, error.hint)]
    if not there.is_dir():
        return [Problem(field, f"{there} is a file.", "Choose a folder.")]
    if not os.access(there, os.W_OK | os.X_OK):
        return [
            Problem(field, f"{there} cannot be written by you.", "Choose another folder, or change its permissions.")
        ]
    if checkpoint.config is None or train is None:
        return []
    needed = needed_bytes(profile, checkpoint, train, base_yaml)
    free = shutil.disk_usage(there).free
    if free < needed:
        message = f"The disk of {there} has {tell_room(free, needed, 'the job')}."
        return [Problem(field, message, "Free some room, or choose a folder on another disk.", exit_code=4)]
    return []


def needed_bytes(profile: Profile, checkpoint: CheckpointReport, train: DataReport, base_yaml: str = "") -> int:
    """What the job will still put on disk: weights, MindRecord, and the checkpoints that are kept.

    A training checkpoint holds the weights and two moments of AdamW (of what is trained) in float32; MindFormers keeps
    the newest ones, each with a copy of the weights alone. Every rank saves what it has: on CPU the whole; on NPUs its
    slice, which all data parallel ranks have alike where the optimizer is not shared out. Frozen weights never are.
    """
    paths = work_paths(profile)
    weights = 0 if Path(paths.ckpt).is_file() else checkpoint.output_bytes(profile.weights.dtype)
    if checkpoint.direct:
        # MindFormers writes a copy under its own names where it trains and where it evaluates; then comes the export
        weights = 2 * checkpoint.total_bytes + 4 * checkpoint.parameters
    data = 0 if Path(paths.mindrecord("train")).is_file() else _row_bytes(profile, train)
    layout, lora = build_layout(profile, parse_base(base_yaml)), profile.training.method == "lora"
    whole = layout.data_parallel if lora or not layout.parallel_optimizer else 1
    # adapters and their moments are less than a hundredth
    numbers = 2 if lora else 4
    return weights + data + KEPT_CHECKPOINTS * whole * numbers * 4 * checkpoint.parameters


def _row_bytes(profile: Profile, train: DataReport) -> int:
    """What the rows take at most: ids and labels, four bytes each. A token of a text is a byte at least."""
    return train.size * 8 if train.is_text else train.count * (profile.dataset.seq_length + 1) * 8


def _is_same(one: str, other: str) -> bool:
    """Both paths lead to one file."""
    try:
        return one == other or Path(one).samefile(other)
    except OSError:
        return False


def check_training(profile: Profile, facts: Facts) -> list[Problem]:
    """Sequence length against the model, and what is held out."""
    problems = []
    longest = facts.model.max_position_embeddings
    if profile.dataset.seq_length > longest:
        message = f"{profile.dataset.seq_length} tokens are more than the model's {longest} (max_position_embeddings)."
        problems.append(Problem("dataset.seq_length", message, f"Use {longest} or less."))
    problems += check_positions(facts)
    if profile.dataset.eval_path and _is_same(profile.dataset.eval_path, profile.dataset.train_path):
        message = "This is the file that is trained on: it cannot tell what the model has learned."
        problems.append(Problem("dataset.eval_path", message, "Name another file, or leave it empty.", "warning"))
    told = facts.text is not None and (profile.dataset.eval_path or profile.dataset.eval_fraction)
    if profile.training.evaluate and facts.train_records and not facts.eval_records and not told:
        message = "No data is held out: the gain will not be measured."
        problems.append(Problem("dataset.eval_fraction", message, "Hold out 0.05 or name a held-out file.", "warning"))
    return problems
