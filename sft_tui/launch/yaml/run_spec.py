"""One run of MindFormers: what its YAML is made of, and the numbers that follow from profile and facts."""

from __future__ import annotations

import math
import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from sft_tui.core.facts import Facts
from sft_tui.core.memory.estimate import GIB, pool_bytes
from sft_tui.core.parallel_layout import ParallelLayout, build_layout
from sft_tui.core.profile import Profile
from sft_tui.core.release import Release
from sft_tui.core.schedule import Schedule, build_schedule
from sft_tui.families.family import Network
from sft_tui.families.llama import NETWORK as LLAMA_NETWORK
from sft_tui.families.table import FAMILIES
from sft_tui.launch.yaml.base_yaml import parse_base

RunMode = Literal["finetune", "eval", "held_out"]  # the last measures where MindFormers' own `eval` does not
USUAL_MEMORY_GB = 64  # of the devices that MindFormers' own files are written for


def training_layout(profile: Profile, facts: Facts) -> ParallelLayout:
    """Data, tensor and pipeline parallel sizes, in ranks. MindFormers' own YAML has those of some large model."""
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
        facts.rows_to_train,
        batch_size=training.batch_size * (1 if cpu else layout.data_parallel),
        data_parallel=layout.data_parallel if cpu else 1,
        epochs=training.epochs,
        accumulation=layout.rows_factor,
        sink_size=training.sink_size if sinks(profile) else 0,
    )


def sinks(profile: Profile) -> bool:
    """Whether the device runs several steps by itself; MindSpore has that on NPUs alone."""
    return profile.training.sink_size > 0 and profile.environment.device_target != "CPU"


def training_steps(profile: Profile, facts: Facts) -> int:
    """Optimizer steps of the whole run, all epochs together."""
    return training_schedule(profile, facts).steps


def save_steps(profile: Profile, facts: Facts) -> int:
    """Steps between two checkpoints: the user's choice, else four over the run with the last step among them.

    Of rows that were foretold it stays so once they are counted: the YAML of a run that goes on must not change.
    """
    if profile.training.save_checkpoint_steps:
        return profile.training.save_checkpoint_steps
    return max(1, math.ceil(training_steps(profile, replace(facts, made_rows=0)) / 4))


def is_distributed(profile: Profile, run_mode: RunMode) -> bool:
    """Whether msrun starts several workers: NPUs hold the model in slices, so evaluation needs them as well."""
    return profile.nodes.worker_num > 1 and (run_mode == "finetune" or profile.environment.device_target != "CPU")


def saves_on_request(profile: Profile, facts: Facts) -> bool:
    """The training saves a checkpoint and ends when a file asks it to."""
    release, cpu = facts.environment.release, profile.environment.device_target == "CPU"
    return release is not None and (release.graceful_exit or (cpu and release.graceful_on_cpu))


def device_memory_gb(profile: Profile, facts: Facts) -> float:
    """HBM of one NPU in 2**30 bytes: the profile's, else as found, else that of MindFormers' own files."""
    return profile.environment.device_memory_gb or facts.device_memory_gb or USUAL_MEMORY_GB


@dataclass(frozen=True)
class RunSpec:
    """One run; every path in it is absolute.

    `strategy_dir` tells how a checkpoint in slices was sliced; MindFormers merges it first. `graceful_exit` is the file
    by which the training can be asked to save and end. `config_dir` has config.json where not the model's folder is to
    be read. `adapters`: the network has those of LoRA.
    """

    profile: Profile
    facts: Facts
    mode: RunMode = "finetune"
    output_dir: str = ""
    load_checkpoint: str = ""
    mindrecord: str = ""
    strategy_dir: str = ""
    graceful_exit: str = ""
    config_dir: str = ""
    adapters: bool = False

    @property
    def cpu(self) -> bool:
        """It runs without NPUs."""
        return self.profile.environment.device_target == "CPU"

    @property
    def trains(self) -> bool:
        """It trains; else it measures a loss."""
        return self.mode == "finetune"

    @property
    def parallel(self) -> bool:
        """msrun starts several workers."""
        return is_distributed(self.profile, self.mode)

    @property
    def layout(self) -> ParallelLayout:
        """Data, tensor and pipeline parallel sizes, in ranks."""
        return training_layout(self.profile, self.facts)

    @property
    def release(self) -> Release:
        """Of MindFormers. Raises ValueError where it is not known."""
        if self.facts.environment.release is None:
            raise ValueError("facts without a known release of MindFormers: examine must refuse them first")
        return self.facts.environment.release

    @property
    def base(self) -> Mapping[str, Any]:
        """The YAML that the run starts from, parsed; empty where one is built."""
        return parse_base(self.facts.base_yaml)

    @property
    def network(self) -> Network:
        """The words for the family's network on the checkpoint route; those of Llama where it has none."""
        family = FAMILIES.get(self.profile.model.family)
        return family.network if family and family.network else LLAMA_NETWORK

    @property
    def tokenizer_dir(self) -> str:
        """Where the files are that MindFormers' tokenizer reads: the model's folder, or with a ready checkpoint that of
        the tokenizer."""
        return posixpath.dirname(self.facts.tokenizer_model) if self.profile.model.ckpt else self.profile.model.hf_dir

    @property
    def exit_file(self) -> str:
        """The file that asks the training to save and end; empty where nothing looks for it."""
        return self.graceful_exit if self.trains and saves_on_request(self.profile, self.facts) else ""

    @property
    def memory_gb(self) -> float:
        """HBM of one NPU in 2**30 bytes."""
        return device_memory_gb(self.profile, self.facts)

    @property
    def memory_pool(self) -> str:
        """What MindSpore may take of it, as max_device_memory has it."""
        return f"{pool_bytes(self.memory_gb) // GIB}GB"
