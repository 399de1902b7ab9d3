"""Looks through a checkpoint folder: what is there, what is missing, and whether it can be converted.

Reads headers alone, but for an output layer that should not be there. Never raises for what it finds: everything that
is wrong becomes a `Problem`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Dict, List, Optional, Tuple

from sft_tui.checkpoint.copy.precision import DTYPES
from sft_tui.checkpoint.formats.source_file import check_folder, load_json_object
from sft_tui.checkpoint.formats.tensor_entry import TensorEntry
from sft_tui.checkpoint.formats.weight_files import TORCH_BIN, load_tensor_entries, outside_place
from sft_tui.checkpoint.inspect.folder_files import FolderFile, find_unfinished, list_files
from sft_tui.checkpoint.inspect.tokenizer_files import BESIDE, TokenizerFacts, inspect_tokenizer
from sft_tui.checkpoint.mapping.config_words import ConfigWords, translate_config
from sft_tui.checkpoint.mapping.folder_kind import look_at_folder, tell_kind
from sft_tui.checkpoint.mapping.hf_model import count_parameters, describe_complaints, map_model, plan_output
from sft_tui.checkpoint.mapping.read_config import CONFIG_NAME, UnknownFamilyError, parse_model_config
from sft_tui.checkpoint.mapping.ready_ckpt import ReadyCkpt
from sft_tui.checkpoint.mapping.tensor_map import TensorMap
from sft_tui.checkpoint.mapping.tied_head import check_tied_head
from sft_tui.core.model_config import ModelConfig
from sft_tui.core.problem import Problem
from sft_tui.errors import InvalidInputError, SftError
from sft_tui.families.table import KEY_MAPS
from sft_tui.files.stand_in import LFS_HINT, is_lfs_pointer
from sft_tui.files.tiktoken_file import is_tiktoken

FIELD = "model.hf_dir"
TOKENIZER_FIELD = "model.tokenizer_model"
_DTYPE_WORDS = {"F32": "fp32", "F16": "fp16", "BF16": "bf16"}


@dataclass(frozen=True)
class CheckpointReport:
    """What a checkpoint folder holds. Sizes in bytes; what could not be found out is None, 0 or empty.

    `model_type` is config.json's word, and `unknown_family` the message of the problem when it is none that we convert.
    `dtype` is the number type of the tensors in `--dtype` words, joined by `+` when they are mixed. `shapes_agree` is
    None when config or tensors could not be read. `output_sizes` is empty when nothing can be converted.
    `direct`: MindFormers loads such a folder as it is; then `tokenizer` says what its tokenizer.json is,
    and `words` is its config.json as MindFormers reads it.
    `ckpt`: not a folder was looked at but this ready `.ckpt`, and `ready` is what its names and shapes tell.
    """

    folder: Path
    model_type: str = ""
    unknown_family: str = ""
    files: Tuple[FolderFile, ...] = ()
    config: Optional[ModelConfig] = None
    parameters: int = 0
    dtype: str = ""
    shards: int = 0
    total_bytes: int = 0
    shapes_agree: Optional[bool] = None
    tokenizer_model: Optional[Path] = None
    problems: Tuple[Problem, ...] = ()
    output_sizes: Dict[str, int] = field(default_factory=dict)
    direct: bool = False
    tokenizer: Optional[TokenizerFacts] = None
    words: Optional[ConfigWords] = None
    ckpt: Optional[Path] = None
    ready: Optional[ReadyCkpt] = None

    @property
    def family(self) -> Optional[str]:
        """The family's name, if it is a known one."""
        return self.config.family if self.config else None

    @property
    def convertible(self) -> bool:
        """Whether convert-weight would take it."""
        return (
            not self.direct and self.ckpt is None and not any(problem.severity == "error" for problem in self.problems)
        )

    def output_bytes(self, dtype: str) -> int:
        """Size of the `.ckpt` under `--dtype`; 0 when it cannot be told."""
        return self.output_sizes.get(dtype, 0)

    def to_json(self) -> Dict[str, object]:
        """The report as a JSON object."""
        return {
            "folder": str(self.folder),
            "files": [file.to_json() for file in self.files],
            "model_type": self.model_type,
            "family": self.family,
            "config": asdict(self.config) if self.config else None,
            "parameters": self.parameters,
            "dtype": self.dtype,
            "shards": self.shards,
            "total_bytes": self.total_bytes,
            "shapes_agree": self.shapes_agree,
            "tokenizer_model": str(self.tokenizer_model) if self.tokenizer_model else None,
            "output_bytes": dict(self.output_sizes),
            "convertible": self.convertible,
            "direct": self.direct,
            "tokenizer": self.tokenizer.to_json() if self.tokenizer else None,
            "ckpt": self.ready.to_json() if self.ready else None,
            "problems": [problem.to_json() for problem in self.problems],
        }


def inspect_checkpoint(folder: Path) -> CheckpointReport:
    """Look through a Hugging Face checkpoint folder. Raises nothing for what is in it, or if it is not there."""
    problems: List[Problem] = []
    try:
        check_folder(folder)
        look = look_at_folder(folder)
        kind = tell_kind(look)
        found = _config(folder, problems)
        config = found.config
        # also of a config that cannot be used: what else the folder needs depends on the family alone
        family = KEY_MAPS.get(config.family if config else found.model_type)
        tokenizer = family.tokenizer if family else "tokenizer.model"
        direct = family is not None and family.direct
        files, unfinished = list_files(folder, tokenizer, BESIDE if direct else None), find_unfinished(folder)
    except InvalidInputError as error:
        return CheckpointReport(folder, problems=(_problem(error),))
    except OSError as error:
        message = f"{folder} could not be read: {error.strerror or error}."
        return CheckpointReport(folder, problems=(Problem(FIELD, message, "Check your rights."),))
    entries = _entries(folder, problems)
    kind = kind or tell_kind(look, entries)
    tensors = map_model(config, entries) if config and entries else None
    if kind:  # what is wrong with it as a model is of no use to anybody
        problems[:] = [Problem(FIELD, *kind)]
    elif tensors and tensors.complaints:
        problems.append(Problem(FIELD, *describe_complaints(folder, tensors)))
    fits = tensors is not None and not tensors.complaints and not kind
    output_sizes = _output_sizes(tensors, problems) if tensors and fits and not direct else {}
    tokenizer_facts = None
    words = translate_config(look.config) if direct and config else None
    if words and not kind:
        tokenizer_facts = inspect_tokenizer(folder, config.vocab_size if config else 0, problems)
        problems += _direct_problems(folder, entries, words)
    if config and entries and not kind:
        problems += [*_tied_problems(folder, config, entries), *_link_problems(entries)]
    tokenizer_model = None if direct or kind else _tokenizer_model(folder, tokenizer, problems)
    problems += map(_unfinished_problem, unfinished)
    return CheckpointReport(
        folder=folder,
        model_type=found.model_type,
        unknown_family=found.unknown_family,
        files=tuple(files),
        config=config,
        parameters=count_parameters(tensors) if tensors else 0,
        dtype="+".join(sorted({_DTYPE_WORDS.get(entry.dtype, entry.dtype) for entry in entries})),
        shards=len({entry.file for entry in entries}),
        total_bytes=sum(entry.nbytes for entry in entries),
        shapes_agree=None if tensors is None else not tensors.complaints,
        tokenizer_model=tokenizer_model,
        problems=tuple(problems),
        output_sizes=output_sizes,
        direct=direct,
        tokenizer=tokenizer_facts,
        words=words,
    )


@dataclass(frozen=True)
class _FoundConfig:
    model_type: str = ""
    config: Optional[ModelConfig] = None
    unknown_family: str = ""


def _config(folder: Path, problems: List[Problem]) -> _FoundConfig:
    path = folder / CONFIG_NAME
    model_type = ""
    try:
        data = load_json_object(path)
        model_type = str(data.get("model_type", ""))[:80]
        return _FoundConfig(model_type, parse_model_config(data, str(path)))
    except InvalidInputError as error:
        problems.append(_problem(error))
        return _FoundConfig(model_type, None, error.message if isinstance(error, UnknownFamilyError) else "")


def _entries(folder: Path, problems: List[Problem]) -> List[TensorEntry]:
    try:
        return load_tensor_entries(folder)
    except InvalidInputError as error:
        problems.append(_problem(error))
        return []


def _unfinished_problem(name: str) -> Problem:
    return Problem(FIELD, f"{name} is the rest of a download that was broken off.", "Download again.", "warning")


def _direct_problems(folder: Path, entries: List[TensorEntry], words: ConfigWords) -> List[Problem]:
    """What MindFormers would stumble over when it loads the folder itself."""
    problems = []
    if words.changes:
        message = f"{folder / CONFIG_NAME} is not in MindFormers' words: {'; '.join(words.changes)}."
        problems.append(Problem(FIELD, message, "A training gets a copy that is, shown in Review.", "warning"))
    if any(entry.file.suffix == TORCH_BIN.suffix for entry in entries):
        hint = "Download the model as safetensors, or save it so: save_pretrained(..., safe_serialization=True)."
        problems.append(Problem(FIELD, f"{folder} has .bin files only; MindFormers loads safetensors.", hint))
    return problems


def _tied_problems(folder: Path, config: ModelConfig, entries: List[TensorEntry]) -> List[Problem]:
    try:
        message, hint, forbidden = check_tied_head(folder, config, entries)
    except InvalidInputError as error:
        return [_problem(error)]
    return [Problem(FIELD, message, hint, "error" if forbidden else "warning")] if message else []


def _link_problems(entries: List[TensorEntry]) -> List[Problem]:
    """Links that lead out of the folder are followed, and said."""
    outside = sorted({str(place) for entry in entries if (place := outside_place(entry.file))})
    if not outside:
        return []
    more = f" and {len(outside) - 1} more folders" if len(outside) > 1 else ""
    message = f"{entries[0].file.parent} holds links: the weights themselves are in {outside[0]}{more}."
    return [Problem(FIELD, message, "They have to stay there while the model is in use.", "warning")]


def _output_sizes(tensors: TensorMap, problems: List[Problem]) -> Dict[str, int]:
    try:
        return {dtype: sum(tensor.file_bytes for tensor in plan_output(tensors, dtype)) for dtype in DTYPES}
    except InvalidInputError as error:
        problems.append(_problem(error))
        return {}


def _tokenizer_model(folder: Path, tokenizer: str, problems: List[Problem]) -> Optional[Path]:
    path = folder / "tokenizer.model"
    try:
        if path.is_file():
            if is_tiktoken(path):
                other = (folder / "tokenizer.json").is_file()
                hint = (
                    "tokenizer.json beside it is taken."
                    if other
                    else "Download the tokenizer.json of the model as well."
                )
                message = f"{path} is a vocabulary of tiktoken, not of sentencepiece."
                problems.append(Problem(TOKENIZER_FIELD, message, hint, "warning"))
                return path if other else None
            if not is_lfs_pointer(path):
                return path
            problems.append(Problem(TOKENIZER_FIELD, f"{path} is a Git LFS pointer, not the file itself.", LFS_HINT))
            return None
    except OSError as error:
        problems.append(
            Problem(TOKENIZER_FIELD, f"{path} could not be read: {error.strerror or error}.", "Check your rights.")
        )
        return None
    if tokenizer == "tokenizer.model":
        hint = "Name the tokenizer.model of this model if it is elsewhere."
        problems.append(Problem(TOKENIZER_FIELD, f"{folder} has no tokenizer.model.", hint, "warning"))
    elif not (folder / tokenizer).is_file():
        problems.append(Problem(TOKENIZER_FIELD, f"{folder} has no {tokenizer}.", "Download it as well.", "warning"))
    return None


def _problem(error: SftError) -> Problem:
    return Problem(FIELD, error.message, error.hint, exit_code=error.exit_code)
