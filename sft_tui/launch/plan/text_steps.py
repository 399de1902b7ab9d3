"""The command that makes a MindRecord of plain text."""

from __future__ import annotations

from sft_tui.core.facts import Facts
from sft_tui.core.profile import Profile

TEXT = "plain text becomes rows as it is"


def text_arguments(profile: Profile, facts: Facts, part: str, output: str) -> tuple[str, tuple[str, ...]]:
    """The file that is read, and the command; `part` is train or eval. Only where `facts.text` is there."""
    data, tokenizer = profile.dataset, facts.tokenizer_model
    assert facts.text is not None
    own_file = part == "eval" and data.eval_path
    path = data.eval_path if own_file else data.train_path
    argv = (
        *facts.training_command, "preprocess", "--dataset_type", "wiki", "--input_glob", path,
        "--model", profile.model.family, "--clean", facts.text.clean, *(("--keep_all",) if data.keep_all else ()),
        *(("--tokenizer", tokenizer, "--labels", "shifted") if facts.text.shifted else ("--model_file", tokenizer)),
        "--seq_length", str(data.seq_length), "--purpose", part, "--output_file", output,
        "--vocab_size", str(facts.model.vocab_size), "--force",
    )  # fmt: skip
    if facts.eval_records and not data.eval_path:
        argv = (*argv, "--eval_fraction", str(data.eval_fraction))
    return path, argv
