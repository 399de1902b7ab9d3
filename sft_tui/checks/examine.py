"""Looks at everything a job will need, before any long work: the facts for the plan, and the problems.

Each look is kept with what it depends on, so that the edit of one field costs what depends on it.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Optional

from sft_tui.checkpoint.inspect.report import CheckpointReport, inspect_checkpoint
from sft_tui.checks.base_generation import check_base_generation
from sft_tui.checks.data import (
    check_end,
    check_merges,
    check_samples,
    check_tokenizer,
    check_unread_fields,
    look_at_samples,
    read_columns,
    template_problem,
)
from sft_tui.checks.environment_and_data import (
    check_environment,
    check_family,
    check_nodes,
    check_paths,
    check_training,
    check_work_dir,
    needed_bytes,
)
from sft_tui.checks.kept import Kept
from sft_tui.checks.ready import check_ready, look_at_ready
from sft_tui.checks.refused_keys import check_keys
from sft_tui.checks.run_folder import check_run_folder
from sft_tui.checks.text import TextFindings, inspect_text_file, is_text, look_at_text
from sft_tui.checks.tokenizer_path import (
    check_tokenizer_files,
    find_tokenizer,
    is_of_other_tokenizer,
    is_tokenizer_json,
    tokenizer_file,
)
from sft_tui.checks.training import check_made, check_parallel, find_workload, installed_base, read_base
from sft_tui.core.facts import EnvironmentFacts, Facts
from sft_tui.core.memory.estimate import Workload
from sft_tui.core.model_config import ModelConfig
from sft_tui.core.plan import Plan
from sft_tui.core.problem import Problem
from sft_tui.core.profile import Profile
from sft_tui.core.profile_problems import missing_fields
from sft_tui.dataset.audit.report import AuditReport
from sft_tui.dataset.mindrecord.manifest import load_audit
from sft_tui.dataset.read.inspect import DataReport, inspect_data
from sft_tui.dataset.tokenizer.load import Tokenizer, load_tokenizer
from sft_tui.dataset.tokenizer.padding import find_padding
from sft_tui.errors import SftError
from sft_tui.families.family import Route
from sft_tui.files.stamps import Stamp, stamp
from sft_tui.launch.plan.steps import build_plan, prompt_template
from sft_tui.launch.plan.work_paths import work_paths
from sft_tui.launch.yaml.base_yaml import list_base_configs
from sft_tui.monitor.shared_npu_smi import look_at_npus
from sft_tui.paths import PACKAGE_DIR, command_under, own_command, visible_npus
from sft_tui.stack.probe import probe_environment
from sft_tui.stack.routes import check_route, find_route

NPU_SMI_SECONDS = 5.0


@dataclass(frozen=True)
class Findings:
    """What was found for a profile. `plan` is there if nothing stands in its way."""

    problems: tuple[Problem, ...]
    environment: EnvironmentFacts
    checkpoint: CheckpointReport
    train: Optional[DataReport] = None
    evaluation: Optional[DataReport] = None
    tokenizer_vocab: int = 0
    facts: Optional[Facts] = None
    plan: Optional[Plan] = None
    early_plan: Optional[Plan] = None  # where only the run's folder forbids a start: of its steps those before the run
    sample: Optional[AuditReport] = None  # of the first records, as they would be encoded
    text: Optional[TextFindings] = None  # where the data is plain text
    audit: Optional[AuditReport] = None  # of the last MindRecord for training that this profile made
    workload: Optional[tuple[Workload, Optional[int]]] = None  # what training takes, and its memory pool in bytes
    needed_bytes: int = 0  # what the job will still put on disk
    base_configs: tuple[Path, ...] = ()  # YAML files of the MindFormers source that training could start from

    @property
    def errors(self) -> tuple[Problem, ...]:
        """The problems that forbid a start."""
        return tuple(p for p in self.problems if p.severity == "error")


def examine(profile: Profile, *, into: bool = False) -> Findings:
    """Probe, inspect and plan. Takes seconds for large data sets: call it in a worker thread.

    `into`: the folder of a run with other settings may be written over. What was found before is taken again where
    neither the fields of the profile nor the files it depends on changed.
    """
    environment = probe_environment(profile.environment.python, profile.environment.mindformers_home)
    columns, column_problems = read_columns(profile)
    plain = is_text(profile)
    train = _look_at_data(profile.dataset.train_path, "dataset.train_path", columns, plain=plain)
    evaluation = _look_at_data(profile.dataset.eval_path, "dataset.eval_path", columns, plain=plain)
    route = find_route(profile.model.family, environment.mindformers_version)
    tokenizer = find_tokenizer(profile, route)
    base_path = installed_base(environment, profile.model.family) if route == "direct" else ""
    base_yaml, base_problems = read_base(profile, base_path)
    checkpoint = _look_at_model(profile, route, base_yaml)
    vocab, tokenizer_problems = _count_pieces(profile, route, tokenizer, checkpoint, environment)
    problems = [
        *missing_fields(profile),
        *check_paths(profile),
        *check_environment(profile, environment),
        *filter(None, [check_route(checkpoint.model_type or profile.model.family, environment.mindformers_version)]),
        *(p for p in checkpoint.problems if not is_of_other_tokenizer(p, tokenizer, route)),
        *check_family(profile, checkpoint),
        *check_ready(profile, route, tokenizer),
        *tokenizer_problems,
        *column_problems,
        *_data_problems(profile, train),
        *_data_problems(profile, evaluation),
        *base_problems,
        *check_work_dir(profile, checkpoint, train, base_yaml),
        *check_nodes(profile, environment),
    ]
    sample = text = None
    if plain:
        read = train is not None and train.count and (evaluation is None or evaluation.count)
        if read and tokenizer and vocab and checkpoint.config:
            text, text_problems = look_at_text(profile, tokenizer, keep_tokenizer)
            problems += text_problems
    elif tokenizer and vocab and _fits(profile, checkpoint) and train and train.count:
        sample, sample_problems = _look_at_samples(profile, tokenizer, prompt_template(profile, route), columns)
        problems += sample_problems
    findings = Findings(tuple(problems), environment, checkpoint, train, evaluation, vocab, sample=sample, text=text)
    if checkpoint.config is None or environment.release is None or train is None:
        return findings
    records = _records(profile, train, evaluation)
    if plain:
        records = (text.train_rows, text.eval_rows) if text else (0, 0)
    facts = replace(
        _facts(profile, environment, checkpoint.config, str(tokenizer), records, base_yaml),
        route=route,
        tokenizer_file=tokenizer_file(tokenizer) if route == "checkpoint" else "",
        pad_token_id=_find_padding(tokenizer, checkpoint.config) if route == "checkpoint" else None,
        base_yaml_path=profile.training.base_yaml or base_path,
        config_text=checkpoint.words.text if checkpoint.words and route == "direct" else "",
        end_token=_end_to_add(sample),
        packed_rows=_foretell_rows(sample, records[0]) if profile.dataset.pack else 0,
        text=text.facts if text else None,
        made_rows=text.made_rows if text else 0,
    )
    problems += [
        *check_base_generation(profile, facts),
        *check_training(profile, facts),
        *check_parallel(profile, facts),
    ]
    if route == "direct" and checkpoint.words and checkpoint.words.unknown:
        problems += check_keys(environment, checkpoint.config.family, checkpoint.words)
    if not _wrong(problems):
        problems += check_made(profile, checkpoint.parameters, facts)
    plan = early_plan = None if _wrong(problems) or plain != bool(text) else build_plan(profile, facts)
    if plan is not None:
        problems += check_run_folder(profile, plan, into=into)
        plan = None if _wrong(problems) else plan
    return replace(
        findings,
        problems=tuple(problems),
        facts=facts,
        plan=plan,
        early_plan=early_plan if plan is None else None,
        audit=load_audit(Path(work_paths(profile).mindrecord("train"))),
        workload=find_workload(profile, facts),
        base_configs=_base_configs(profile.environment.mindformers_home, profile.model.family),
        needed_bytes=_needed(profile, checkpoint, train, base_yaml, problems),
    )


def _wrong(problems: list[Problem]) -> set[str]:
    """The fields with an error."""
    return {p.field for p in problems if p.severity == "error"}


def _needed(
    profile: Profile, checkpoint: CheckpointReport, train: DataReport, base_yaml: str, problems: list[Problem]
) -> int:
    # a working folder that cannot be used was told; nothing is looked for in it
    return 0 if "environment.work_dir" in _wrong(problems) else needed_bytes(profile, checkpoint, train, base_yaml)


def _fits(profile: Profile, checkpoint: CheckpointReport) -> bool:
    config = checkpoint.config
    return config is not None and profile.dataset.seq_length <= config.max_position_embeddings


_checkpoints: Kept[CheckpointReport] = Kept()
_data: Kept[DataReport] = Kept(8)
_tokenizers: Kept[Tokenizer] = Kept(2)
_samples: Kept[tuple[Optional[AuditReport], list[Problem]]] = Kept(8)
_configs: Kept[tuple[Path, ...]] = Kept()


def _look_at_model(profile: Profile, route: Route, base_yaml: str) -> CheckpointReport:
    """The ready checkpoint where the profile has one and the route takes it, else the folder."""
    if profile.model.ckpt and route == "checkpoint":
        return look_at_ready(profile, base_yaml)
    return _look_at_checkpoint(profile.model.hf_dir)


def _look_at_checkpoint(hf_dir: str) -> CheckpointReport:
    if not hf_dir:
        return CheckpointReport(Path())
    folder = Path(hf_dir)
    # a download that was broken off leaves its rest there
    stamps = stamp(folder), stamp(folder / ".cache" / "huggingface" / "download")
    return _checkpoints.get((hf_dir, stamps), lambda: inspect_checkpoint(folder), sound=lambda found: bool(found.files))


def _look_at_data(path: str, field: str, columns: dict[str, str], *, plain: bool) -> Optional[DataReport]:
    """Reading a large file again after every key in the wizard would take a core."""
    if not path:
        return None
    key = path, field, tuple(columns.items()), stamp(Path(path)), plain
    if plain:
        return _data.get(key, lambda: inspect_text_file(Path(path), field), sound=lambda found: found.count > 0)
    return _data.get(key, lambda: inspect_data(Path(path), field, columns=columns), sound=lambda found: found.count > 0)


def keep_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer of a file or a folder, loaded once while its folder is unchanged. Raises SftError."""
    return _tokenizers.get((path, _tokenizer_stamp(path)), lambda: load_tokenizer(path))


def _tokenizer_stamp(path: Path) -> Optional[Stamp]:
    # chat template and configuration lie beside it
    return stamp(path if path.is_dir() else path.parent)


def _count_pieces(
    profile: Profile,
    route: Route,
    path: Optional[Path],
    checkpoint: CheckpointReport,
    environment: EnvironmentFacts,
) -> tuple[int, list[Problem]]:
    """How many pieces the tokenizer has, 0 where that is not known; and what does not fit."""
    if route == "direct":  # it was looked at with the rest of the folder
        broken = any(p.severity == "error" for p in checkpoint.problems)
        return (0 if checkpoint.tokenizer is None or broken else checkpoint.tokenizer.ids), []
    # without a model folder a missing tokenizer in it is no news
    if path is None or not (profile.model.tokenizer_model or checkpoint.files):
        return 0, []
    try:
        tokenizer = keep_tokenizer(path)
    except SftError as error:
        return 0, [Problem("model.tokenizer_model", error.message, error.hint)]
    return tokenizer.vocab_size, [
        *check_tokenizer(path, tokenizer, checkpoint),
        *check_merges(path, tokenizer, environment),
        *(check_tokenizer_files(profile) if checkpoint.files and not profile.model.ckpt else []),
    ]


def _find_padding(path: Optional[Path], config: ModelConfig) -> Optional[int]:
    if not is_tokenizer_json(path):
        return None
    assert path is not None
    try:
        return find_padding(keep_tokenizer(path), config.vocab_size)
    except SftError:
        return None  # it was told where the tokenizer was looked at


def _look_at_samples(
    profile: Profile, path: Path, template: str, columns: dict[str, str]
) -> tuple[Optional[AuditReport], list[Problem]]:
    """The template is known, and answers are not cut away, seen on the first records."""
    dataset = profile.dataset
    model = Path(profile.model.hf_dir) if profile.model.hf_dir else None
    data = Path(dataset.train_path)
    try:
        tokenizer = keep_tokenizer(path)
    except SftError as error:
        return None, [template_problem(template, error)]
    sample, problems = _samples.get(
        (data, stamp(data), path, _tokenizer_stamp(path), template, dataset.seq_length, tuple(columns.items()), model),
        lambda: look_at_samples(data, tokenizer, template, dataset.seq_length, columns, model),
        sound=lambda found: not found[1],
    )
    if sample is None:
        return None, problems
    return sample, [*check_samples(sample, profile), *check_end(sample, template)]


def _base_configs(home: str, family: str) -> tuple[Path, ...]:
    """YAML files of the MindFormers source that training could start from."""
    if not home:
        return ()
    roots = [Path(home) / name for name in ("configs", "research")]
    folders = [folder for root in roots for folder in (root, *sorted(root.glob("*/")))]
    stamps = tuple(stamp(folder) for folder in folders)
    return _configs.get((home, family, stamps), lambda: tuple(list_base_configs(Path(home), family)))


def _facts(
    profile: Profile,
    environment: EnvironmentFacts,
    model: ModelConfig,
    tokenizer: str,
    records: tuple[int, int],
    base_yaml: str,
) -> Facts:
    on_npus = profile.environment.device_target != "CPU"
    return Facts(
        own_command=own_command(),
        training_command=command_under(environment.python),
        package_dir=str(PACKAGE_DIR),
        environment=environment,
        model=model,
        tokenizer_model=tokenizer,
        train_records=records[0],
        eval_records=records[1],
        visible_npus=visible_npus(),
        base_yaml=base_yaml,
        device_memory_gb=_device_memory_gb(environment.npu_smi) if on_npus else 0.0,
    )


def _end_to_add(sample: Optional[AuditReport]) -> str:
    """The token that is taught, where the folder's generation does not stop at it."""
    end = sample.end if sample else None
    return end.token if end and not end.agrees and end.id is not None else ""


def _foretell_rows(sample: Optional[AuditReport], records: int) -> int:
    """About how many rows so many records make when they are packed; 0 where no sample tells."""
    if sample is None or not sample.packed_rows:
        return 0
    return max(1, round(records * sample.packed_rows / sample.rows))


def _data_problems(profile: Profile, report: Optional[DataReport]) -> tuple[Problem, ...]:
    """What is wrong with a data file; single records are only worth a warning where they will be skipped."""
    if report is None:
        return ()
    if not report.count or profile.dataset.on_error == "fail":
        return (*report.problems, *check_unread_fields(profile, report))
    hint = "They will be listed beside the converted file and left out."
    total = report.count + report.problem_count
    text = f"{report.problem_count} of {total} records cannot be used. {report.problems[0].message}"
    found = [Problem(report.problems[0].field, text, hint, "warning")] if report.problems else []
    return (*found, *check_unread_fields(profile, report))


def _records(profile: Profile, train: DataReport, evaluation: Optional[DataReport]) -> tuple[int, int]:
    """Records to train on and to hold out; the share is cut as convert-alpaca cuts it."""
    from sft_tui.dataset.read.held_out import count_held_out

    if evaluation is not None:
        return train.count, evaluation.count
    if not profile.training.evaluate:
        return train.count, 0
    held_out = count_held_out(train.count, profile.dataset.eval_fraction)
    return train.count - held_out, held_out


@functools.lru_cache(maxsize=1)
def _device_memory_gb(npu_smi: str) -> float:
    """Memory of the smallest NPU in 2**30 bytes, 0 if it cannot be told; asked once, for a call may take seconds."""
    if not npu_smi:
        return 0.0
    devices = look_at_npus(deadline_seconds=NPU_SMI_SECONDS).snapshot.devices
    totals = [total for device in devices if (total := device.main_memory_mb[1])]
    return min(totals) / 1024 if totals else 0.0
