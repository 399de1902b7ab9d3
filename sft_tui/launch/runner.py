"""Runs MindFormers from a YAML file under the training interpreter, as its `run_mindformer.py` would.

The wheel of MindFormers lacks that script. Started as a file (`python .../launch/runner.py`), also by msrun, so that
the training environment needs nothing of ours installed.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from typing import Any


def parse_arguments(argv: list[str]) -> argparse.Namespace:
    """The flags of `run_mindformer.py` that a plan uses, under the same names."""
    parser = argparse.ArgumentParser(description="Train or evaluate with MindFormers from a YAML file.")
    parser.add_argument("--config", required=True, help="YAML file")
    parser.add_argument("--run_mode", required=True, choices=("finetune", "eval"))
    parser.add_argument("--load_checkpoint", default=None, help="checkpoint, in place of the one in the YAML file")
    parser.add_argument(
        "--resume_training",
        default=None,
        type=_boolean_or_name,
        help="go on with optimizer state and step counter of the checkpoint; its file name where that is a folder",
    )
    parser.add_argument(
        "--auto_trans_ckpt",
        default=None,
        type=_boolean_or_name,
        help="False: each rank loads its own file of a sliced checkpoint",
    )
    parser.add_argument("--register_path", default="", help="folder of classes that the YAML file registers")
    return parser.parse_args(argv)


def _boolean_or_name(text: str) -> bool | str:
    return {"true": True, "false": False}.get(text.lower(), text)


def _set_output_path(folder: str) -> None:
    # moved between MindFormers 1.8 and 1.9
    for module in ("mindformers.tools", "mindformers.utils.file_utils"):
        function = getattr(importlib.import_module(module), "set_output_path", None)
        if function is not None:
            function(folder)
            return
    raise ImportError("this MindFormers has no set_output_path")


def run(arguments: argparse.Namespace) -> None:
    """Trains or evaluates; every error is MindFormers' own and ends the process."""
    if arguments.register_path:
        # MindFormers reads this when it registers the classes that the YAML file names
        os.environ["REGISTER_PATH"] = arguments.register_path
        sys.path.append(arguments.register_path)
    from mindformers import MindFormerConfig, Trainer
    from mindformers.core.context import build_context

    config: Any = MindFormerConfig(arguments.config, run_mode=arguments.run_mode)
    if arguments.load_checkpoint is not None:
        config.load_checkpoint = arguments.load_checkpoint
    if arguments.auto_trans_ckpt is not None:
        config.auto_trans_ckpt = arguments.auto_trans_ckpt
    if arguments.resume_training is not None:
        config.resume_training = arguments.resume_training
    _set_output_path(config.output_dir)
    build_context(config)
    trainer = Trainer(config)
    if arguments.run_mode == "eval":
        trainer.evaluate(eval_checkpoint=config.load_checkpoint)
    else:
        # `Trainer.finetune()` of 1.6 and 1.7 starts from random weights whatever the config says; `train()` loads them
        trainer.train()


if __name__ == "__main__":
    # the folder of this file is not a place to import from
    sys.path.pop(0)
    run(parse_arguments(sys.argv[1:]))
