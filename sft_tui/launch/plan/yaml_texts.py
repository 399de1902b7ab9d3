"""Builds the YAML files of a plan once for all nodes: nothing but the working folder differs between them."""

from __future__ import annotations

import posixpath
import re

from sft_tui.core.facts import Facts
from sft_tui.core.plan import PlannedFile
from sft_tui.core.profile import Profile
from sft_tui.launch.plan.work_paths import WorkPaths, work_paths
from sft_tui.launch.yaml.base_yaml import compare
from sft_tui.launch.yaml.run_spec import RunMode, RunSpec, is_distributed
from sft_tui.launch.yaml.training_config import build_training_yaml

# it stands for the working folder of each node until that is put in
_ANY_WORK_DIR = "/sft-tui.work-dir"
# what YAML writes as it is, quoted or not
_PLAIN = re.compile(r"(/[A-Za-z0-9._+-]+)+")


class YamlTexts:
    """The YAML of each step for any of the working folders."""

    def __init__(self, profile: Profile, facts: Facts, work_dirs: tuple[str, ...] = ()) -> None:
        self._profile, self._facts = profile, facts
        self._own = work_paths(profile)
        folders = (self._own.work_dir, *work_dirs)
        # a base that names one of them is not changed where it already says what is wanted
        plain = all(_PLAIN.fullmatch(folder) and folder not in facts.base_yaml for folder in folders)
        self._shared = bool(work_dirs) and plain
        self._built: dict[tuple[str, str], PlannedFile] = {}

    def file(self, step_id: str, work_dir: str) -> PlannedFile:
        """The YAML of a step (evaluate-before, train, evaluate-after) below that working folder."""
        built_for = _ANY_WORK_DIR if self._shared else work_dir
        if (step_id, work_dir) in self._built:
            return self._built[step_id, work_dir]
        found = self._built.get((step_id, built_for))
        if found is None:
            found = self._build(step_id, WorkPaths(built_for, self._own.run_name, self._own.family))
            self._built[step_id, built_for] = found
        if not self._shared:
            return found
        words = {name: getattr(found, name).replace(_ANY_WORK_DIR, work_dir) for name in ("path", "text", "changes")}
        self._built[step_id, work_dir] = found.model_copy(update=words)
        return self._built[step_id, work_dir]

    def _build(self, step_id: str, paths: WorkPaths) -> PlannedFile:
        profile, facts = self._profile, self._facts
        evaluation: RunMode = "held_out" if facts.direct else "eval"
        trains = step_id == "train"
        sliced = step_id == "evaluate-after" and is_distributed(profile, evaluation)
        run = RunSpec(
            profile,
            facts,
            mode="finetune" if trains else evaluation,
            output_dir=paths.run_dir if trains else f"{paths.run_dir}/{step_id}",
            load_checkpoint=paths.finetuned if step_id == "evaluate-after" else paths.weights(profile, facts.direct),
            mindrecord=paths.mindrecord("train" if trains else "eval"),
            # what several NPUs trained lies in slices; beside them MindFormers notes how it sliced
            strategy_dir=f"{paths.run_dir}/strategy" if sliced else "",
            graceful_exit=paths.graceful_exit,
            config_dir=posixpath.dirname(paths.model_config) if facts.config_text else "",
            # before training there are no adapters to load
            adapters=profile.training.method == "lora" and step_id != "evaluate-before",
        )
        path, text = paths.config(step_id), build_training_yaml(run)
        base = (profile.training.base_yaml or facts.base_yaml_path) if facts.base_yaml else ""
        changes = compare(facts.base_yaml, text, base_name=base, name=path) if base else ""
        return PlannedFile(path=path, text=text, based_on=base, changes=changes)
