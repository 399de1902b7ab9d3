"""Names every file that the steps of a profile write."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import PurePosixPath

from sft_tui.core.profile import Profile


@dataclass(frozen=True)
class WorkPaths:
    """Every file that the steps of a profile write. All absolute."""

    work_dir: str
    run_name: str
    family: str

    @property
    def ckpt(self) -> str:
        """Converted weights."""
        return f"{self.work_dir}/weights/{self.family}.ckpt"

    def weights(self, profile: Profile, direct: bool) -> str:
        """What training starts from."""
        return profile.model.hf_dir if direct else profile.model.ckpt or self.ckpt

    def conversation(self, part: str) -> str:
        """Conversations; `part` is train or eval."""
        return f"{self.work_dir}/data/{part}_conversation.json"

    def mindrecord(self, part: str) -> str:
        """MindRecord; `part` is train or eval."""
        return f"{self.work_dir}/data/{part}.mindrecord"

    @property
    def run_dir(self) -> str:
        """All that one training run leaves."""
        return f"{self.work_dir}/runs/{self.run_name}"

    @property
    def model_config(self) -> str:
        """config.json in MindFormers' words, alone in its folder, where the model's own is in others."""
        return f"{self.run_dir}/model/config.json"

    @property
    def finetuned(self) -> str:
        """Folder of the fine-tuned weights, one folder per rank, without optimizer state."""
        return f"{self.run_dir}/checkpoint_network"

    @property
    def exported(self) -> str:
        """Folder of the fine-tuned model as Hugging Face has it."""
        return f"{self.run_dir}/hf"

    @property
    def summary(self) -> str:
        """What the run brought."""
        return f"{self.run_dir}/summary.json"

    def log_dir(self, step_id: str) -> str:
        """MindFormers' own logs of a step (`LOG_MF_PATH`)."""
        return f"{self.run_dir}/log/{step_id}"

    @property
    def checkpoints(self) -> str:
        """Folder of the checkpoints that training can go on from, one folder per rank."""
        return f"{self.run_dir}/checkpoint"

    @property
    def graceful_exit(self) -> str:
        """The file that asks a training to save and end."""
        return f"{self.run_dir}/graceful_exit.json"

    def config(self, step_id: str) -> str:
        """The YAML of a step."""
        return f"{self.run_dir}/{step_id}.yaml"


def work_paths(profile: Profile) -> WorkPaths:
    """Where the steps of the profile write."""
    return WorkPaths(_normal(profile.environment.work_dir), profile.training.run_name, profile.model.family)


@functools.lru_cache(maxsize=256)
def _normal(path: str) -> str:
    return str(PurePosixPath(path))
