"""Tells what a folder is that holds no plain model: what is seen, what it is, what to do."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from sft_tui.checkpoint.formats.tensor_entry import TensorEntry
from sft_tui.checkpoint.formats.weight_files import is_weight_file
from sft_tui.errors import InvalidInputError, SftError
from sft_tui.files.small_file import read_small_object, read_small_text

_MAX_NAMES = 10_000
_CONFIG = "config.json"
# what wrappers put before the names of all tensors -> who does
_WRAPPERS = {
    "module.": "saved from DataParallel or DistributedDataParallel",
    "_orig_mod.": "saved from torch.compile",
    "base_model.model.": "saved from PEFT without merging",
    "_fsdp_wrapped_module.": "saved from FSDP",
    "_forward_module.": "saved from Lightning Fabric",
    "pretrained_model.": "saved from a model with a value head",
    "language_model.": "the language part of a multimodal model",
    "model.language_model.": "the language part of a multimodal model",
}
_FIRST_TENSORS = ("model.embed_tokens.weight", "wte.weight")
_OWN_PREFIXES = ("transformer.",)  # GPT-2's
_QUANTISED = re.compile(
    r".*\.(qweight|qzeros|scales|g_idx|weight_scale|weight_scale_inv|input_scale|weight_packed|absmax|SCB"
    r"|quant_state\.\w+|weight_format)"
)
_QUANTISED_TYPES = ("F8_E4M3", "F8_E5M2", "I8", "U8", "I4", "U4")
_TAKE_PLAIN = "Take the model that is not quantized, usually the same name without the suffix."
_OTHER_TASKS = {
    "an encoder (it fills in masked words)": ("ForMaskedLM", "BertModel", "RobertaModel", "ElectraModel"),
    "an encoder-decoder": ("T5ForConditionalGeneration", "BartForConditionalGeneration", "T5Model"),
    "a classifier": ("ForSequenceClassification", "ForTokenClassification"),
    "a reward model": ("RewardModel", "ForReward"),
    "a speech model": ("WhisperForConditionalGeneration", "Wav2Vec2"),
    "an image model": ("ViTModel", "CLIPModel", "ForImageClassification"),
    "a multimodal model": ("VLForConditionalGeneration", "LlavaForConditionalGeneration", "ForVision2Seq"),
}


@dataclass(frozen=True)
class FolderLook:
    """What is in a folder at first sight: names of files and folders, and config.json."""

    path: Path
    files: Tuple[str, ...] = ()
    folders: Tuple[str, ...] = ()
    config: Mapping[str, object] = field(default_factory=dict)

    def any_file(self, pattern: str) -> str:
        """The first file whose name matches the pattern as a whole, or ""."""
        return next((name for name in self.files if re.fullmatch(pattern, name)), "")

    def any_folder(self, pattern: str) -> str:
        """The first folder whose name matches the pattern as a whole, or ""."""
        return next((name for name in self.folders if re.fullmatch(pattern, name)), "")

    @property
    def has_weights(self) -> bool:
        """Whether whole weights are here, in a format that is read."""
        return any(is_weight_file(name) for name in self.files)


@dataclass(frozen=True)
class _Kind:
    """One row: `seen` gives what of the look says so (shown as `{}` in `is_it` and `do`), "" for another kind."""

    seen: Callable[[FolderLook], str]
    is_it: str
    do: str


def look_at_folder(folder: Path) -> FolderLook:
    """A look at a folder; empty for one that cannot be read."""
    files: List[str] = []
    folders: List[str] = []
    try:
        for path in itertools.islice(folder.iterdir(), _MAX_NAMES):
            (folders if path.is_dir() else files).append(path.name)
    except OSError:
        return FolderLook(folder)
    return FolderLook(folder, tuple(sorted(files)), tuple(sorted(folders)), _read_json(folder / _CONFIG))


def tell_kind(look: FolderLook, entries: Sequence[TensorEntry] = ()) -> Optional[Tuple[str, str]]:
    """What a folder is if it is no plain model, and what to do; None for what may be one.

    `entries`: its tensors, where they could be read.
    """
    for kind in _KINDS:
        seen = kind.seen(look)
        if seen:
            return f"{look.path} {kind.is_it.replace('{}', seen)}.", kind.do.replace("{}", seen)
    return _tell_quantised(look, entries) or _tell_wrapper(look, entries)


def require_model(look: FolderLook, entries: Sequence[TensorEntry] = ()) -> None:
    """Raise InvalidInputError for a folder that is no plain model."""
    kind = tell_kind(look, entries)
    if kind:
        raise InvalidInputError(*kind)


def _tell_quantised(look: FolderLook, entries: Sequence[TensorEntry]) -> Optional[Tuple[str, str]]:
    settings = look.config.get("quantization_config")
    method = str(settings.get("quant_method") or "")[:40] if isinstance(settings, dict) else ""
    if isinstance(settings, dict) and not method:
        method = "int8" if settings.get("load_in_8bit") else "4 bit" if settings.get("load_in_4bit") else "quantized"
    found = next((entry for entry in entries if _is_quantised(entry)), None)
    if not method and found is None:
        return None
    how = method or found.dtype if found else method
    example = f": {found.name[:100]!r} is {found.dtype}" if found else ""
    return f"{look.path} holds quantized weights ({how}){example}.", _TAKE_PLAIN


def _is_quantised(entry: TensorEntry) -> bool:
    # masks are of small types as well
    return bool(_QUANTISED.fullmatch(entry.name)) or (
        entry.dtype in _QUANTISED_TYPES and entry.name.endswith(".weight") and len(entry.shape) > 1
    )


def _tell_wrapper(look: FolderLook, entries: Sequence[TensorEntry]) -> Optional[Tuple[str, str]]:
    """One sentence where the names of all tensors begin with more than they should, or with less."""
    names = [entry.name for entry in entries]
    if "embed_tokens.weight" in names and not any(name.startswith("model.") for name in names):
        return (
            f"{look.path}: the names of all {len(names)} tensors lack 'model.': saved from a model without its head.",
            "Load it with AutoModelForCausalLM and save it again with save_pretrained.",
        )
    first = next((name for name in names if name.endswith(_FIRST_TENSORS)), "")
    other = next((first[: -len(end)] for end in _FIRST_TENSORS if first.endswith(end)), "")
    if (
        other
        and other not in _OWN_PREFIXES
        and other not in _WRAPPERS
        and all(name.startswith(other) for name in names)
    ):
        return (
            f"{look.path}: the names of all {len(names)} tensors begin with {other[:80]!r}: a wrapper was saved.",
            "Save the model inside, with save_pretrained: then names begin as the model's own do.",
        )
    for prefix, who in _WRAPPERS.items():
        if entries and all(entry.name.startswith(prefix) for entry in entries):
            rest = "Save the model inside" if prefix != "base_model.model." else "Merge the adapters (merge_and_unload)"
            return (
                f"{look.path}: the names of all {len(entries)} tensors begin with {prefix!r}: {who}.",
                f"{rest}, with save_pretrained: then names begin as the model's own do.",
            )
    return None


def _adapter(look: FolderLook) -> str:
    if look.has_weights or not look.any_file(r"adapter_config\.json|adapter_model\..*"):
        return ""
    base = _read_json(look.path / "adapter_config.json").get("base_model_name_or_path")
    return str(base)[:200] if isinstance(base, str) and base else "some base model"


def _snapshot(look: FolderLook) -> str:
    """The folder with the files of a hub's cache that stands above it."""
    inner = look.any_folder(r"models--.*")
    if inner and _CONFIG not in look.files and not look.has_weights:
        return _snapshot(look_at_folder(look.path / inner)) or str(look.path / inner)
    if "snapshots" not in look.folders or _CONFIG in look.files:
        return ""
    snapshots = look.path / "snapshots"
    names = look_at_folder(snapshots).folders
    try:
        main = read_small_text(look.path / "refs" / "main", 1000).strip()
    except (OSError, SftError):
        main = ""
    name = main if main in names else next((n for n in names if (snapshots / n / _CONFIG).is_file()), "")
    return str(snapshots / name) if name else ""


def _inner_model(look: FolderLook) -> str:
    """A folder below this one that has what this one lacks."""
    if _CONFIG in look.files or look.has_weights:
        return ""
    found = [name for name in look.folders if (look.path / name / _CONFIG).is_file()]
    numbered = [name for name in found if re.fullmatch(r"checkpoint-\d+", name)]
    if numbered:
        return str(look.path / max(numbered, key=lambda name: int(name.partition("-")[2])))
    return str(look.path / found[0]) if len(found) == 1 else ""


def _other_task(look: FolderLook) -> str:
    names = look.config.get("architectures")
    for name in names if isinstance(names, list) else []:
        for task, words in _OTHER_TASKS.items():
            if isinstance(name, str) and any(word in name for word in words):
                return f"{task}: {name[:80]}"
    return ""


def _unless_weights(pattern: str, folders: str = "") -> Callable[[FolderLook], str]:
    def seen(look: FolderLook) -> str:
        if look.has_weights:
            return ""
        return look.any_file(pattern) or (look.any_folder(folders) if folders else "")

    return seen


_LOADED = "Take the Hugging Face version of the model, with config.json and safetensors."
_KINDS: Tuple[_Kind, ...] = (
    _Kind(
        _adapter,
        "is a LoRA adapter of {}, not a model",
        "Merge it into its base (PEFT: merge_and_unload, then save_pretrained), or choose the base {}.",
    ),
    _Kind(_snapshot, "is the folder of a hub's cache; the model is in {}", "Choose {}."),
    _Kind(
        lambda look: look.any_file(r"model_index\.json"),
        "is an image model (diffusion: {})",
        "Choose a language model.",
    ),
    _Kind(_unless_weights(r".*\.gguf"), "holds GGUF ({}), the format of llama.cpp, which is not trained on", _LOADED),
    _Kind(
        _unless_weights(r"consolidated\.\d+\.pth"),
        "holds Meta's own format ({})",
        "Take the repository whose name ends with -hf, or use transformers' convert_llama_weights_to_hf.py.",
    ),
    _Kind(
        _unless_weights(r"zero_to_fp32\.py|.*zero_pp_rank.*\.pt|.*_optim_states\.pt", r"global_step\d+"),
        "holds a checkpoint of DeepSpeed, its weights shared out over ranks ({})",
        "Put it together with the zero_to_fp32.py beside it, then name the folder that comes out.",
    ),
    _Kind(
        _unless_weights(r".*\.distcp|\.metadata", r"pytorch_model_fsdp.*|model_shards|fsdp.*"),
        "holds a checkpoint of FSDP or torch.distributed ({}), its weights shared out over ranks",
        "Put it together: accelerate merge-weights, or torch.distributed.checkpoint.format_utils dcp_to_torch.",
    ),
    _Kind(_unless_weights(r"tf_model\.h5|.*\.tflite"), "holds weights of TensorFlow ({})", _LOADED),
    _Kind(_unless_weights(r"flax_model.*\.msgpack"), "holds weights of Flax ({})", _LOADED),
    _Kind(_unless_weights(r".*\.onnx"), "holds an ONNX graph ({}), which is not trained on", _LOADED),
    _Kind(
        _unless_weights(r"latest_checkpointed_iteration\.txt|mp_rank_.*\.pt|.*\.nemo", r"iter_\d+|mp_rank_\d+.*"),
        "holds a checkpoint of Megatron or NeMo ({})",
        "Bring it to Hugging Face's format with the converter of that program.",
    ),
    _Kind(_unless_weights(r"ggml.*\.bin"), "holds GGML ({}), an old format of llama.cpp", _LOADED),
    _Kind(_unless_weights(r"weights.*\.npz"), "holds weights of MLX ({})", _LOADED),
    _Kind(
        _unless_weights(r".*\.(pt|pth)"),
        "holds weights in a file of torch alone ({})",
        "Load them into the model and save it with save_pretrained: config.json and model*.safetensors.",
    ),
    _Kind(
        _unless_weights(r".*\.ckpt"),
        "holds a MindSpore checkpoint ({}), not a Hugging Face model",
        "Bring it back with convert-weight --reversed, or choose the folder that it was made from.",
    ),
    _Kind(
        lambda look: look.any_file(r"modules\.json") and "modules.json",
        "is an embedding model ({})",
        "Choose a language model.",
    ),
    _Kind(
        _other_task, "is {}, not a causal language model", "Choose a model whose architecture ends with ForCausalLM."
    ),
    _Kind(_inner_model, "holds no model itself; there is one in {}", "Choose {}."),
)


def _read_json(path: Path) -> Dict[str, object]:
    """A small JSON object; empty where there is none: whoever needs it says so."""
    try:
        return read_small_object(path)
    except (OSError, SftError):
        return {}
