"""Looks at a ready MindSpore `.ckpt` to start from: what it holds, and what base YAML and config.json say beside it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Mapping, Optional

from sft_tui.checkpoint.inspect.folder_files import FolderFile
from sft_tui.checkpoint.inspect.report import CheckpointReport
from sft_tui.checkpoint.mapping.read_config import CONFIG_NAME
from sft_tui.checkpoint.mapping.ready_ckpt import ReadyCkpt, load_fitting_config, load_ready_ckpt
from sft_tui.checks.kept import Kept
from sft_tui.core.model_config import ModelConfig
from sft_tui.core.problem import Problem, Severity
from sft_tui.core.profile import Profile
from sft_tui.errors import InvalidInputError
from sft_tui.families.family import Network, Route
from sft_tui.families.llama import NETWORK as LLAMA_NETWORK
from sft_tui.families.table import FAMILIES
from sft_tui.files.stamps import stamp
from sft_tui.launch.plan.work_paths import work_paths
from sft_tui.launch.yaml.base_yaml import parse_base
from sft_tui.launch.yaml.model_words import (
    find_contradictions,
    model_section,
    other_functions,
    read_words,
    unseen_keys,
)

FIELD, BASE, FOLDER = "model.ckpt", "training.base_yaml", "model.hf_dir"
_TWO_WAYS = (
    "Two ways: name a YAML of MindFormers for this model as Base YAML (training.base_yaml), or a folder with its "
    "config.json as Model folder (model.hf_dir)."
)
_SEEN = {"positions": "max_position_embeddings"}  # sizes that have a field of their own
_EPS, _THETA = 1e-5, 10000.0

_reports: Kept[CheckpointReport] = Kept()


def look_at_ready(profile: Profile, base_yaml: str) -> CheckpointReport:
    """What the profile's `.ckpt` is, kept while it, the YAML and config.json are the same."""
    path, folder = Path(profile.model.ckpt), profile.model.hf_dir
    config = stamp(Path(folder) / CONFIG_NAME) if folder else None
    # whether a YAML is named counts as well: one that cannot be read has been told
    named = profile.training.base_yaml
    return _reports.get(
        (path, stamp(path), folder, config, named, base_yaml),
        lambda: inspect_ready(path, base_yaml=base_yaml, base_name=named, config_dir=folder),
        sound=lambda found: bool(found.files),
    )


def inspect_ready(
    path: Path, *, base_yaml: str = "", base_name: str = "", config_dir: str = "", alone: bool = False
) -> CheckpointReport:
    """The report of a `.ckpt`; its config is there once YAML or config.json tell what shapes do not. Raises nothing.

    `alone`: nothing is to be trained, so that what the file does not tell is no error.
    """
    severity: Severity = "warning" if alone else "error"
    try:
        ready = load_ready_ckpt(path)
    except InvalidInputError as error:
        return CheckpointReport(path.parent, ckpt=path, problems=(Problem(FIELD, error.message, error.hint),))
    problems = _told_of_training(ready)
    base = parse_base(base_yaml) if base_yaml else {}
    network = ready.family.network or LLAMA_NETWORK
    of_folder = bool(config_dir) and (Path(config_dir) / CONFIG_NAME).exists()
    config = None
    if of_folder:
        config = _of_config(ready, Path(config_dir), problems)
    elif model_section(base):
        config = _of_base(ready, network, base, base_name, problems)
    elif not base_name or base_yaml:
        names = ", ".join(unseen_keys(ready.family, network, _seen(ready)))
        message = f"{path} does not tell {names}: only names and shapes are in it."
        problems.append(Problem(FIELD, message, _TWO_WAYS, severity))
    if config is not None and model_section(base):
        problems += _held_against(ready, network, base, base_name, config, of_folder)
    if ready.headless and not (config is not None and model_section(base).get("tie_word_embeddings") is True):
        message = f"{path} has no {ready.family.tied_target}."
        hint = "If its embeddings are tied, name a Base YAML whose model_config has tie_word_embeddings: True."
        problems.append(Problem(FIELD, message, hint, severity))
    return CheckpointReport(
        folder=path.parent,
        model_type=ready.family.name,
        files=(FolderFile("ckpt", path.name, "present", ready.file_bytes),),
        config=config,
        parameters=ready.parameters,
        dtype=ready.dtype,
        shards=1,
        total_bytes=ready.file_bytes,
        shapes_agree=None if config is None else True,
        problems=tuple(problems),
        ckpt=path,
        ready=ready,
    )


def check_ready(profile: Profile, route: Route, tokenizer: Optional[Path]) -> list[Problem]:
    """The route starts from a `.ckpt`, the run leaves it alone, and what MindFormers' tokenizer reads is there."""
    if not profile.model.ckpt:
        return []
    family = FAMILIES[profile.model.family]
    if route == "direct":
        message = f"{family.title} is trained from its Hugging Face folder: this route loads no .ckpt."
        hint = "Leave Ready checkpoint empty and name the Model folder; or choose the family of the .ckpt."
        return [Problem(FIELD, message, hint)]
    run = Path(work_paths(profile).run_dir)
    if profile.environment.work_dir and run in Path(profile.model.ckpt).parents:
        message = f"{profile.model.ckpt} is of this very run, which would write it anew."
        return [Problem("training.run_name", message, "Name this run otherwise: the file is then only read.")]
    files = family.network.tokenizer_files.values() if family.network else ()
    folder = tokenizer.parent if tokenizer else None
    missing = [name for name in files if folder and not (folder / name).is_file()]
    if not missing:
        return []
    message = f"{folder} has no {' and no '.join(missing)}, which MindFormers' tokenizer reads."
    return [Problem("model.tokenizer_model", message, "Put it beside the tokenizer, from the same model.")]


def _told_of_training(ready: ReadyCkpt) -> list[Problem]:
    if not ready.left_out:
        return []
    first = next((name for name in ready.left_out if "." in name), ready.left_out[0])  # a tensor, not a counter
    more = f" and {len(ready.left_out) - 1:,} more" if len(ready.left_out) > 1 else ""
    message = f"{ready.path} holds more than the model: {first[:200]}{more}, which a training does not load."
    hint = "It starts at step 0 with a new optimizer, from the weights alone."
    return [Problem(FIELD, message, hint, "warning")]


def _seen(ready: ReadyCkpt) -> frozenset[str]:
    return frozenset(name for size, name in _SEEN.items() if ready.sizes.get(size))


def _of_config(ready: ReadyCkpt, folder: Path, problems: list[Problem]) -> Optional[ModelConfig]:
    try:
        return load_fitting_config(ready, folder)
    except InvalidInputError as error:
        problems.append(Problem(FOLDER, error.message, error.hint))
        return None


def _of_base(
    ready: ReadyCkpt, network: Network, base: Mapping[str, Any], name: str, problems: list[Problem]
) -> Optional[ModelConfig]:
    kind = model_section(base).get("type", network.config_class)
    if kind != network.config_class:  # its other words mean nothing here
        message = f"{name}: model.model_config has type {str(kind)[:40]}, {ready.path} is a {ready.family.title}."
        hint = f"Choose a YAML of {network.config_class}."
        problems.append(Problem(BASE, message, hint))
        return None
    words = read_words(base, ready.family, network, _seen(ready))
    where = f"{name}: model.model_config"
    if words.missing:
        told = ", ".join(words.missing)
        problems.append(Problem(BASE, f"{where} has no {told}, which {ready.path} does not tell.", _TWO_WAYS))
    if words.wrong:
        problems.append(Problem(BASE, f"{where} cannot be used: {'; '.join(words.wrong)}.", "Correct it in the YAML."))
    if words.missing or words.wrong:
        return None
    heads, hidden = words.values["num_heads"], ready.sizes["hidden"]
    kv = ready.sizes.get("kv", hidden)
    if hidden % heads or kv % (hidden // heads) or heads % (kv // (hidden // heads)):
        rows = f" and {kv} rows of keys" if "kv" in ready.sizes else ""
        message = f"{where} has num_heads {heads}, {ready.path} hidden size {hidden}{rows}: they do not go together."
        problems.append(Problem(BASE, message, "Choose the YAML of this very model."))
        return None
    return _build_config(ready, words.values)


def _build_config(ready: ReadyCkpt, values: dict[str, Any]) -> ModelConfig:
    sizes, heads = ready.sizes, values["num_heads"]
    hidden = sizes["hidden"]
    config = ModelConfig(
        family=ready.family.name,
        hidden_size=hidden,
        num_layers=ready.num_layers,
        num_heads=heads,
        num_kv_heads=sizes.get("kv", hidden) // (hidden // heads),
        intermediate_size=sizes["intermediate"],
        vocab_size=sizes["vocab"],
        max_position_embeddings=sizes.get("positions", 0),
        rms_norm_eps=_EPS,
        rope_theta=_THETA,
        rope_scaling=None,
        tied=ready.headless or not ready.family.tied_target,
        torch_dtype="",
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=None,
        architectures=(),
        head_dim=hidden // heads,
    )
    return replace(config, **values)


def _held_against(
    ready: ReadyCkpt, network: Network, base: Mapping[str, Any], name: str, config: ModelConfig, of_folder: bool
) -> list[Problem]:
    """What the YAML says of the model against what the file holds.

    Where config.json tells what the model is, the YAML's sizes are replaced as always; else it is another model's.
    """
    problems = []
    found = find_contradictions(base, network, config)
    if found:
        told = "; ".join(item.text for item in found)
        message = f"{name}: model.model_config is not of {ready.path}: {told}."
        hint = "Choose the YAML of this very model."
        if of_folder and all(item.key != "type" for item in found):
            problems.append(Problem(BASE, message, "A training gets the checkpoint's, see Review.", "warning"))
        else:
            problems.append(Problem(BASE, message, hint))
    for told in other_functions(base, network):
        message = f"{name} has {told}."
        hint = f"If {ready.path.name} was trained with the YAML's, it is another model."
        problems.append(Problem(BASE, message, hint, "warning"))
    return problems
