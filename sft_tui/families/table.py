"""Lists the model families and finds one by name. A new one is a module of this folder, and its name here."""

from __future__ import annotations

from typing import Dict, Mapping, Optional

from sft_tui.errors import InvalidInputError
from sft_tui.families.chatglm import CHATGLM
from sft_tui.families.deepseek_v3 import DEEPSEEK_V3
from sft_tui.families.family import Family
from sft_tui.families.glm4 import GLM4
from sft_tui.families.gpt2 import GPT2
from sft_tui.families.llama import LLAMA
from sft_tui.families.qwen2 import QWEN2
from sft_tui.families.qwen3 import QWEN3
from sft_tui.families.qwen3_moe import QWEN3_MOE

FAMILIES: Dict[str, Family] = {
    family.name: family for family in (LLAMA, QWEN2, GPT2, QWEN3, QWEN3_MOE, CHATGLM, GLM4, DEEPSEEK_V3)
}
# those whose tensors are known
KEY_MAPS = {name: family for name, family in FAMILIES.items() if family.layer}
# those that a profile can name
PLANNED = {name: family for name, family in FAMILIES.items() if family.planned}


def find_family_name(word: str) -> str:
    """The name of a family from its name or an alias; raises InvalidInputError naming those there are."""
    for name, family in KEY_MAPS.items():
        if word == name or word in family.aliases:
            return name
    raise InvalidInputError(f"{word!r} is not a known model family.", f"Known: {', '.join(sorted(KEY_MAPS))}.")


def find_family(word: str) -> Family:
    """The family of that name or alias; raises InvalidInputError naming those there are."""
    return KEY_MAPS[find_family_name(word)]


def family_of(config: Mapping[str, object]) -> Optional[str]:
    """The name of the family that a Hugging Face config.json speaks of, or None. model_type decides, if it is there."""
    model_type, architectures = config.get("model_type"), config.get("architectures")
    named = architectures if isinstance(architectures, list) else []
    for name, family in KEY_MAPS.items():
        if model_type == family.name:
            return name
        if model_type is None and any(item in family.architectures for item in named):
            return name
    return None
