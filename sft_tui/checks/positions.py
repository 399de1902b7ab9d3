"""Checks what config.json says of positions and embeddings against the network of the MindFormers that trains."""

from __future__ import annotations

from collections.abc import Mapping

from sft_tui.core.facts import Facts
from sft_tui.core.problem import Problem
from sft_tui.launch.yaml.positions import scaling_kind, scaling_names
from sft_tui.stack.releases import RELEASES


def check_positions(facts: Facts) -> list[Problem]:
    """Scaled positions are those that the network of this MindFormers knows; tied embeddings stay tied."""
    scaling, release, problems = facts.model.rope_scaling, facts.environment.release, []
    if scaling and facts.direct:
        message = f"config.json has rope_scaling {scaling}, which the YAML does not carry over."
        # Qwen3 has it for texts beyond its own length alone
        hint = "Take rope_scaling out of config.json where the model was trained without it."
        problems.append(Problem("model.hf_dir", message, hint))
    elif scaling and release is not None:
        kind = scaling_kind(scaling)
        if kind not in release.rope_scaling:
            having = [other.mindformers for other in RELEASES if kind in other.rope_scaling]
            message = f"config.json has rope_scaling of type {kind!r}, which Llama of MindFormers "
            message += f"{release.mindformers} does not have."
            hint = (
                f"MindFormers {having[0]} and later have it."
                if having
                else ("Take rope_scaling out of config.json where the model was trained without it.")
            )
            problems.append(Problem("model.hf_dir", message, hint, exit_code=4 if having else 2))
        else:
            problems += _check_scaling_numbers(scaling, kind, facts.model.max_position_embeddings)
    if facts.model.tied and not facts.direct and release is not None and not release.ties_embeddings:
        message = f"tie_word_embeddings: Llama of MindFormers {release.mindformers} trains the output layer by itself."
        hint = "MindFormers 1.3 and later keep the two in one; a copy that was trained apart needs a config without it."
        problems.append(Problem("model.hf_dir", message, hint, "warning"))
    return problems


def _check_scaling_numbers(scaling: Mapping[str, object], kind: str, positions: int) -> list[Problem]:
    """What MindFormers would refuse after the model was loaded."""
    wrong = [name for name in scaling_names(kind) if not _is_positive(scaling.get(name))]
    original = scaling.get("original_max_position_embeddings", 0)
    if wrong:
        message = f"rope_scaling of config.json has no positive number for {', '.join(wrong)}."
        return [Problem("model.hf_dir", message, "Take config.json from the same place as the weights.")]
    if kind == "llama3" and (not isinstance(original, int) or original >= positions):
        message = f"rope_scaling: original_max_position_embeddings {original} is not below the model's {positions}."
        return [Problem("model.hf_dir", message, "Take config.json from the same place as the weights.")]
    return []


def _is_positive(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < 1e9
