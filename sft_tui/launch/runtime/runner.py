"""Runs MindFormers from a YAML file under the training interpreter, as its `run_mindformer.py` would.

The wheel of MindFormers lacks that script. Started as a file (`python .../launch/runtime/runner.py`), also by msrun,
so that the training environment needs nothing of ours installed.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

# networks of ours -> the module of launch/runtime/networks that registers each
NETWORKS = {"LabelledGPT2LMHeadModel": "labelled_gpt2"}
HELD_OUT = "held_out"  # a mode of ours: see launch/runtime/direct/held_out.py


def parse_arguments(argv: list[str]) -> argparse.Namespace:
    """The flags of `run_mindformer.py` that a plan uses, under the same names."""
    parser = argparse.ArgumentParser(description="Train or evaluate with MindFormers from a YAML file.")
    parser.add_argument("--config", required=True, help="YAML file")
    parser.add_argument("--run_mode", required=True, choices=("train", "finetune", "eval", "predict", HELD_OUT))
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
    parser.add_argument("--predict_data", nargs="+", default=[], metavar="TEXT", help="what the model goes on from")
    parser.add_argument("--predict_length", type=int, default=512, help="tokens of text and answer together at most")
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
    _prepare(Path(arguments.config))
    from mindformers import MindFormerConfig, Trainer
    from mindformers.core.context import build_context

    mode = "finetune" if arguments.run_mode == HELD_OUT else arguments.run_mode
    config: Any = MindFormerConfig(arguments.config, run_mode=mode)
    if arguments.load_checkpoint is not None:
        config.load_checkpoint = arguments.load_checkpoint
    if arguments.auto_trans_ckpt is not None:
        config.auto_trans_ckpt = arguments.auto_trans_ckpt
    if arguments.resume_training is not None:
        config.resume_training = arguments.resume_training
    if config.use_legacy is False:
        config.load_checkpoint = _choose_checkpoint(config, arguments)
    _set_output_path(config.output_dir)
    build_context(config)
    trainer = Trainer(config)
    if arguments.run_mode == "eval":
        trainer.evaluate(eval_checkpoint=config.load_checkpoint)
    elif arguments.run_mode == "predict":
        _predict(trainer, config, arguments)
    else:
        # `Trainer.finetune()` of 1.6 and 1.7 starts from random weights whatever the config says; `train()` loads them
        trainer.train()


def _prepare(config: Path) -> None:
    """What MindFormers needs before it reads the YAML: stand-ins on CPU, networks of ours, help for its new kind."""
    import yaml

    content: Any = yaml.safe_load(config.read_text(encoding="utf-8"))
    new_kind = content.get("use_legacy") is False
    cpu = (content.get("context") or {}).get("device_target") == "CPU"
    network = NETWORKS.get(((content.get("model") or {}).get("arch") or {}).get("type", ""))
    if not (new_kind or cpu or network):
        return
    _make_importable()
    if new_kind:
        importlib.import_module("sft_tui.launch.runtime.direct.loading").report_loading()
    if cpu:
        importlib.import_module("sft_tui.launch.runtime.cpu.stand_ins").install("CPU", new_kind=new_kind)
    if new_kind:
        importlib.import_module("sft_tui.launch.runtime.direct.held_out")
    if network:
        importlib.import_module(f"sft_tui.launch.runtime.networks.{network}")


def _make_importable() -> None:
    """Make `sft_tui` the folder that this file lies two folders below, and nothing else beside it importable."""
    package = ModuleType("sft_tui")
    package.__path__ = [str(Path(__file__).resolve().parents[2])]
    sys.modules["sft_tui"] = package


def _choose_checkpoint(config: Any, arguments: argparse.Namespace) -> str:  # noqa: ANN401 - MindFormers' own
    """What to load, where MindFormers cannot be given what the YAML or the command line names."""
    named, output_dir = Path(config.load_checkpoint), Path(config.output_dir)
    if arguments.run_mode == HELD_OUT:
        return (_last_of_all_ranks if config.use_parallel else _weights_of_rank_0)(named, output_dir)
    if arguments.resume_training is True and not config.use_parallel:
        # by this name in a folder all versions look for the counters, and take all else from the file as well
        return _link_alone(named, output_dir / "resumed_from", "hyper_param.safetensors")
    return str(config.load_checkpoint)


def _last_of_all_ranks(folder: Path, output_dir: Path) -> str:
    """The last state as a folder of rank_N folders; anything else as it is.

    Of several states MindFormers 1.7 merges whichever it finds first: names of the weights alone are unknown to it.
    Every worker makes all the links, for nobody tells it when another has.
    """
    from sft_tui.files.saved_states import SUFFIX, find_states, rank_folders

    ranks = rank_folders(folder)
    states = find_states([sorted(rank.glob(f"*{SUFFIX}")) for rank in ranks]) if ranks else []
    if not states:
        return str(folder)
    alone = output_dir / "weights_of_ranks"
    for rank, file in zip(ranks, states[-1].files):
        _link_alone(file, alone / rank.name)
    return str(alone)


def _weights_of_rank_0(folder: Path, output_dir: Path) -> str:
    """The last state of rank 0 as a folder of its own; anything else as it is.

    One worker that is given a folder of ranks is refused by MindFormers, and one with several checkpoints loads all.
    """
    from sft_tui.files.saved_states import last_of_rank_0

    last = last_of_rank_0(folder)
    return _link_alone(last, output_dir / "weights") if last else str(folder)


def _link_alone(checkpoint: Path, folder: Path, name: str = "model.safetensors") -> str:
    """Make a link to one checkpoint, alone in a folder; from the folder of a rank one worker would load nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    fresh = folder / f".{os.getpid()}"
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(checkpoint.resolve())
    fresh.replace(folder / name)
    for other in folder.glob("*.safetensors"):  # all that is there would be loaded, one over the other
        if other.name != name:
            other.unlink(missing_ok=True)
    return str(folder)


def _predict(trainer: Any, config: Any, arguments: argparse.Namespace) -> None:  # noqa: ANN401 - MindFormers' own
    """Print what the model says, greedily, so that the same question has the same answer."""
    answers = trainer.predict(
        predict_checkpoint=config.load_checkpoint,
        input_data=arguments.predict_data,
        max_length=arguments.predict_length,
        do_sample=False,
    )
    for answer in answers:
        text = answer.get("text_generation_text") if isinstance(answer, dict) else answer
        print(f"answer: {json.dumps(text, ensure_ascii=False)}", flush=True)


if __name__ == "__main__":
    # the folder of this file is not a place to import from
    sys.path.pop(0)
    run(parse_arguments(sys.argv[1:]))
