"""Writes a checkpoint report as lines for people."""

from __future__ import annotations

from typing import List

from sft_tui.checkpoint.inspect.report import CheckpointReport
from sft_tui.checkpoint.mapping.ready_ckpt import ReadyCkpt
from sft_tui.core.terminal_text import short_size

SHARDS_SHOWN = 4
_SHARD_ROLES = ("safetensors", "bin")


def _describe_sizes(ready: ReadyCkpt, dtype: str) -> str:
    """What names and shapes tell, where nothing tells the rest."""
    words = {"hidden": "hidden", "intermediate": "feed-forward", "kv": "keys and values", "vocab": "vocabulary"}
    sizes = ", ".join(f"{text} {ready.sizes[name]}" for name, text in words.items() if name in ready.sizes)
    positions = f", up to {ready.sizes['positions']} tokens" if "positions" in ready.sizes else ""
    head = ", no output layer" if ready.headless else ""
    return (
        f"{ready.family.name}: {ready.parameters:,} parameters in {dtype}, {len(ready.shapes)} tensors, "
        f"{ready.num_layers} layers, {sizes}{positions}{head}"
    )


def describe_checkpoint(report: CheckpointReport) -> List[str]:
    """What is in the folder, a line each: files by role, then the model."""
    lines = [f"{report.folder}"]
    # the format that is not used has nothing to tell but what lies there all the same
    shards = [f for f in report.files if f.role in _SHARD_ROLES and (f.state != "not needed" or f.size is not None)]
    for file in [f for f in report.files if f.role not in _SHARD_ROLES] + shards[:SHARDS_SHOWN]:
        size = f"  {short_size(file.size)}" if file.size else ""
        lines.append(f"  {file.state:10} {file.name}{size}")
    if len(shards) > SHARDS_SHOWN:
        lines.append(f"  ... and {len(shards) - SHARDS_SHOWN} more shards")
    config = report.config
    if config is not None and report.parameters:
        experts = f"{config.num_experts} experts in each layer, " if config.num_experts else ""
        norms = ", q and k norms" if config.qk_norms else ""
        heads = f" of {config.head_dim}" if report.direct else ""
        lines.append(
            f"{config.family}: {report.parameters:,} parameters in {report.dtype or 'unknown precision'}, "
            f"{config.num_layers} layers, {experts}hidden {config.hidden_size}, {config.num_heads} heads{heads} "
            f"({config.num_kv_heads} for keys and values){norms}, vocabulary {config.vocab_size}, "
            f"up to {config.max_position_embeddings} tokens{', tied embeddings' if config.tied else ''}"
        )
    elif report.ready is not None:
        lines.append(_describe_sizes(report.ready, report.dtype))
    if report.tokenizer is not None and report.tokenizer.ids:
        known = report.tokenizer
        template = f"chat template in {known.chat_template}" if known.chat_template else "no chat template"
        end = f"ends with {known.eos_token}, " if known.eos_token else ""
        lines.append(f"tokenizer: {known.ids} ids, {known.merges} merges, {end}{template}")
    return lines
