"""Loading the weights with several workers: MindFormers wants to slice them, but on CPU each has the whole model."""

from __future__ import annotations

from mindformers.utils import load_checkpoint_utils


def accept_whole_files(_mode: str, _use_parallel: bool, _auto_trans_ckpt: bool) -> None:
    """MindFormers' own refuses whole files with several workers unless they are sliced, which its mode 0 cannot."""


def install() -> None:
    """It is called by its name in the same module."""
    load_checkpoint_utils.validate_config_with_file_mode = accept_whole_files
