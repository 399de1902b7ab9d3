"""A plan: the ordered steps of a job, as data. What is shown is what runs."""

from __future__ import annotations

import shlex
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict

from sft_tui.core.secret_names import looks_secret

OutputKind = Literal[
    "json", "conversation", "ckpt", "mindrecord", "checkpoint_folder", "hf_folder", "perplexity", "weights_loaded",
]  # fmt: skip
PLAN_SCHEMA_VERSION: Final = 1
STOP_GRACE_SECONDS: Final = 30
TRAIN_YAML: Final = "/train.yaml"  # in the folder of a run


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, defer_build=True, extra="forbid")


class Output(_Data):
    """Something a step must leave. `perplexity` and `weights_loaded` are lines in the log at `path`."""

    path: str
    kind: OutputKind


class PlannedFile(_Data):
    """A small text file that is written before the first step runs; `changes` is a unified diff against `based_on`."""

    path: str
    text: str
    based_on: str = ""
    changes: str = ""


class Step(_Data):
    """One command of a job. `env` holds additions to the submitter's environment, `search_paths` what goes in front of
    PATH and its like. Values whose names look secret are passed on to the step, and never written down."""

    id: str
    title: str
    argv: tuple[str, ...]
    cwd: str
    env: dict[str, str] = {}
    search_paths: dict[str, str] = {}
    inputs: tuple[str, ...] = ()
    outputs: tuple[Output, ...] = ()
    training_log: str = ""  # where loss lines appear; empty: in the step's own log
    not_needed: str = ""  # why this route does without the step
    devices: tuple[str, ...] = ()  # what no other job may use meanwhile: "npu:0", "cpu"
    own_network: bool = False  # trained by a class of ours, which MindFormers' own program does not know
    graceful_exit: str = ""  # file that asks a training to save a checkpoint and end (MindSpore `OnRequestExit`)
    checkpoint_dir: str = ""  # folder of rank_*/ with checkpoints from which the step can go on
    workers: int = 1  # ranks that write there
    tokens_per_step: int = 0  # of all ranks together; 0: not known, or no training
    total_steps: int = 0  # optimizer steps of the whole training; 0: not known, or no training
    least_grace: float = 0.0  # seconds to end in even when killed at once: it passes the stop on to other hosts
    resume: tuple[str, ...] = ()  # arguments to go on where it was interrupted: the work stays the same

    @property
    def whole_argv(self) -> tuple[str, ...]:
        """What is started."""
        return (*self.argv, *self.resume)

    @property
    def command(self) -> str:
        """The command as a person would paste it into a shell."""
        env = [
            f'{name}="${name}"' if looks_secret(name) else f"{name}={shlex.quote(value)}"
            for name, value in self.env.items()
        ]
        env += [f'{name}={shlex.quote(value)}"${{{name}:+:${name}}}"' for name, value in self.search_paths.items()]
        return " ".join([*(["env", *env] if env else []), shlex.join(self.whole_argv)])


class Plan(_Data):
    """Ordered steps and the files that they read."""

    schema_version: Literal[1] = PLAN_SCHEMA_VERSION
    profile: str
    rehearsal: bool = False
    stop_grace_seconds: float = STOP_GRACE_SECONDS  # between asking a step to end and killing it
    steps: tuple[Step, ...]
    files: tuple[PlannedFile, ...] = ()

    def step(self, step_id: str) -> Step:
        """The step of that id. Raises KeyError."""
        for step in self.steps:
            if step.id == step_id:
                return step
        raise KeyError(step_id)

    @property
    def run_folder(self) -> str:
        """The folder that belongs to this one run, with its YAML; empty where nothing is trained."""
        return next((f.path[: -len(TRAIN_YAML)] for f in self.files if f.path.endswith(TRAIN_YAML)), "")

    def enters_run_folder(self, step: Step) -> bool:
        """The step is to run, and writes into the folder of the run."""
        folder = self.run_folder
        places = (step.cwd, *(output.path for output in step.outputs))
        return bool(folder) and not step.not_needed and any(f"{p}/".startswith(f"{folder}/") for p in places)

    @property
    def devices(self) -> frozenset[str]:
        """What no other job may use meanwhile."""
        return frozenset(device for step in self.steps if not step.not_needed for device in step.devices)

    def with_step(self, step_id: str, **changes: Any) -> Plan:  # noqa: ANN401 - fields of Step
        """A copy in which one step is changed."""
        steps = tuple(s.model_copy(update=changes) if s.id == step_id else s for s in self.steps)
        return self.model_copy(update={"steps": steps})

    def secrets(self) -> dict[str, str]:
        """Environment values of the steps that must not be written down."""
        return {name: value for step in self.steps for name, value in step.env.items() if looks_secret(name)}

    def without_secrets(self) -> Plan:
        """The plan as it may be kept in a file: names stay, such values are empty."""
        steps = tuple(
            s.model_copy(update={"env": {name: "" if looks_secret(name) else v for name, v in s.env.items()}})
            for s in self.steps
        )
        return self.model_copy(update={"steps": steps})

    def only(self, wanted: tuple[str, ...]) -> Plan:
        """The plan of those steps and of the steps that make what they read."""
        kept: list[Step] = []
        read: set[str] = set()
        for step in reversed(self.steps):
            if step.id in wanted or any(output.path in read for output in step.outputs):
                kept.append(step)
                read.update(step.inputs)
        return self.model_copy(update={"steps": tuple(reversed(kept))})

    def last_stretch(self, wanted: tuple[str, ...]) -> str:
        """Where to begin to run wanted steps anew and no other: the first behind which none but they follow, or ""."""
        first = ""
        for step in self.steps:
            first = (first or step.id) if step.id in wanted else ""
        return first
