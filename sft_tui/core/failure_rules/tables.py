"""All rules in the order in which they are tried, and which lines are worth trying them on."""

from __future__ import annotations

import re
from typing import Optional

from sft_tui.core.failure_rules import hccl, mindspore, runtime, system, training
from sft_tui.core.failure_rules.rule import Rule

# within one force the special stands before the general: codes, the machine, the framework, the script
ALL_RULES: tuple[Rule, ...] = tuple(
    sorted(
        (*hccl.RULES, *runtime.RULES, *system.RULES, *mindspore.RULES, *training.RULES),
        key=lambda rule: rule.force,
    )
)

# nearly every line that speaks of a failure has one of these, or a code; a rule whose word has none adds its word
_ALARMS = (
    "error", "fail", "exception", "critical", "killed", "timeout", "timed out", "time out", "times out", "denied",
    "refused", "not found", "no such", "unsupported", "not support", "invalid", "cannot", "can't", "unable",
    "fatal", "abort", "signal", "mismatch", "must ", "should ", "not exist", "divisible", "exceed", "inconsistent",
    "not match", "illegal", "incompatib", "insufficient", "corrupt", "not enough", "out of ", "not loaded", "not set",
    "not equal", "exit code", "exit status",
)  # fmt: skip
_CODES = r"e[a-z]\d{4}|\be\d{5}|err\d{5}|errno"
# too common to look for: lines with them speak of a failure only with one of the words above as well
_EVERYDAY = (
    "parallel", "operator", "missing", "version", "driver", "strategy", "checkpoint", "token", "port", "parse", "shape",
    "ckpt", "yaml", "hccl", "hcom", "dataset size", "duplicate", "minddata", "mindrecord", "safetensors", "config.json",
    "sentencepiece", "world size", "world_size", "device_num", "micro_batch_num", "loss scale", "loss_scale", "nan",
    "aicore", "hbm", "ecc", "overflow", "getnext", "global batch size", "rank_table_file", "dataset_dir", "dcmi",
    "dataset_files", "dataset file", "ucx", "state_dict", "soc_version", "vocab_file", "vocab.json", "sdma",
    "in the dataset", "unique id", "opp_path", "ai core", "vector core", "environment variable hccl_", "operator[",
)  # fmt: skip


def _words_to_look_for() -> tuple[str, ...]:
    others = {
        rule.word
        for rule in ALL_RULES
        if rule.word not in _EVERYDAY
        and not any(alarm in rule.word for alarm in _ALARMS)
        and not re.fullmatch(rf"{_CODES}|e\w|\d+", rule.word)
    }
    return tuple(sorted(word for word in others if not any(o != word and o in word for o in others)))


WORDS = re.compile("|".join((*_ALARMS, _CODES, *map(re.escape, _words_to_look_for()))).encode(), re.IGNORECASE)


def find_rule(lowered: str, *, warning: bool = False) -> Optional[Rule]:
    """The nearest to the cause of the rules that a line, in lower case, fits; in a warning those that count there."""
    for rule in ALL_RULES:
        if (rule.warned or not warning) and rule.fits(lowered):
            return rule
    return None
