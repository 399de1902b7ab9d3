"""Flags that several commands on data share, in MindFormers' spelling."""

from __future__ import annotations

import argparse

from sft_tui.core.profile_defaults import MAX_MASKED, MAX_REJECTED, WARN_CUT


def flag(parser: argparse.ArgumentParser, name: str, **options: object) -> None:
    """A flag in MindFormers' spelling (underscores); dashes work too."""
    names = [f"--{name}"] + ([f"--{name.replace('_', '-')}"] if "_" in name else [])
    parser.add_argument(*names, dest=name, **options)  # type: ignore[arg-type]


def add_encoding(parser: argparse.ArgumentParser) -> None:
    """How records become tokens, and how much of them may be lost."""
    parser.add_argument(
        "--model_file", "--model-file", "--tokenizer", dest="model_file", required=True,
        help="tokenizer.model (SentencePiece), tokenizer.json, or the folder of one",
    )  # fmt: skip
    flag(parser, "seq_length", type=int, default=4096, help="tokens per sample (default: %(default)s)")
    flag(
        parser,
        "template",
        default="vicuna_v1.1",
        help="FastChat template, or chat: the folder's own (default: %(default)s)",
    )
    add_columns(parser)
    add_on_unread(parser)
    flag(
        parser, "max_masked", type=float, default=MAX_MASKED, metavar="SHARE",
        help="refuse when more of the rows teach nothing (default: %(default)s)",
    )  # fmt: skip
    flag(
        parser, "warn_cut", type=float, default=WARN_CUT, metavar="SHARE",
        help="warn when more of the rows are cut (default: %(default)s)",
    )  # fmt: skip
    flag(parser, "vocab_size", type=int, default=0, metavar="N", help="refuse token ids that the model has not")


def add_columns(parser: argparse.ArgumentParser) -> None:
    """Under which names a file has our fields."""
    flag(
        parser, "columns", default="", metavar="OURS=NAME,...",
        help="names in the file, such as instruction=prompt,output=answer (also input, system, history, "
        "conversations); default: our own names, else well-known ones",
    )  # fmt: skip


def add_on_unread(parser: argparse.ArgumentParser) -> None:
    """What happens to fields of records that nobody reads."""
    flag(
        parser, "on_unread", choices=("warn", "fail", "ignore"), default="warn",
        help="a field of the records that is not read: name it once with its count, stop, or say nothing "
        "(default: %(default)s)",
    )  # fmt: skip


def add_text(parser: argparse.ArgumentParser) -> None:
    """How plain text is read."""
    flag(parser, "dataset_type", choices=("qa", "wiki"), default="qa", help="wiki: plain text (default: %(default)s)")
    flag(
        parser, "model", default="", metavar="FAMILY",
        help="plain text in the rows that MindFormers' script for this family makes: gpt2 as wikitext2_data_process"
        " (its --max_length is seq_length + 1 here), others as llama_preprocess (default)",
    )  # fmt: skip
    flag(
        parser, "clean", choices=("wikitext", "none"), default="wikitext",
        help="wikitext: undo its spacing and leave headings out, as MindFormers' scripts do with every text; none: the"
        " text as it is, blank lines part its passages (default: %(default)s)",
    )  # fmt: skip
    flag(
        parser, "keep_all", action="store_true",
        help="keep what those scripts lose: for gpt2 the last passage and what stands behind a tab, and what does not"
        " fill a last row, which is padded then; without it that is counted and said",
    )  # fmt: skip


def add_rejects(parser: argparse.ArgumentParser) -> None:
    """What happens to records that cannot be used."""
    flag(
        parser, "on_error", choices=("fail", "skip"), default="fail",
        help="stop at the first bad record, or list it in OUTPUT.rejected.jsonl and go on (default: %(default)s)",
    )  # fmt: skip
    flag(
        parser, "max_rejected", type=float, default=MAX_REJECTED, metavar="SHARE",
        help="fail when more are skipped (default: %(default)s)",
    )  # fmt: skip
