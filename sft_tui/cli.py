"""The command line: parse, call, and turn errors into exit codes. Commands are imported when they are called."""

from __future__ import annotations

import argparse
import importlib
import io
import signal
import sys
from types import FrameType
from typing import TYPE_CHECKING, Callable, NoReturn

from sft_tui import __version__
from sft_tui.commands._common.flags import add_columns, add_encoding, add_on_unread, add_rejects, add_text, flag
from sft_tui.errors import EnvironmentNotFitError, SftError, StoppedError

if TYPE_CHECKING:
    from typing_extensions import TypeAlias

Command = Callable[[argparse.Namespace], int]


def build_parser() -> argparse.ArgumentParser:
    """Every command and flag."""
    parser = _Parser(
        prog="sft-tui",
        description="From a Hugging Face checkpoint and an instruction dataset to a fine-tuned MindSpore model. "
        "Without a command: the wizard.",
    )
    parser.add_argument("--version", action="version", version=f"sft-tui {__version__}")
    parser.add_argument("--profile", default="", metavar="NAME", help="profile that the wizard opens")
    parser.set_defaults(call="wizard:open_wizard", json=False)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    _add_demo_and_doctor(commands)
    _add_download(commands)
    _add_converters(commands)
    _add_preprocess(commands)
    _add_plan_and_run(commands)
    _add_jobs(commands)
    _add_diagnose(commands)
    _add_profile(commands)
    _add_completion(commands, parser)
    return parser


# argparse has no public name for what `add_subparsers` returns
_Commands: TypeAlias = "argparse._SubParsersAction[_Parser]"


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in our own words, and without what a terminal would obey."""

    def error(self, message: str) -> NoReturn:
        from sft_tui.core.terminal_text import neutralise

        self.print_usage(sys.stderr)
        self.exit(2, neutralise(f"sft-tui: error: {message}\n    {self.prog} --help tells more.\n"))


class _Group:
    """What `add_subparsers` returns, with the command's function and --json in one call."""

    def __init__(self, commands: _Commands) -> None:
        self._commands = commands

    def add(self, name: str, call: str, text: str, *, json: bool = False) -> argparse.ArgumentParser:
        parser = self._commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        parser.set_defaults(call=call)
        if json:
            # left alone where it is not given: `jobs --json list` has set it already
            parser.add_argument(
                "--json", action="store_true", default=argparse.SUPPRESS, help="one JSON object on stdout"
            )
        return parser


def _add_demo_and_doctor(commands: _Commands) -> None:
    group = _Group(commands)
    demo = group.add("demo", "demo:run_demo", "rehearse the whole way on CPU with a toy model")
    demo.add_argument("dir", nargs="?", default="sft-tui-demo", help="folder of the rehearsal (default: %(default)s)")
    demo.add_argument("--headless", action="store_true", help="run it here and now, without the wizard")
    demo.add_argument("--workers", type=int, choices=(1, 2), default=1, help="training processes (2: with msrun)")
    families = (
        "llama, llama3, qwen2: by way of a .ckpt; qwen3: from the Hugging Face folder and back; "
        "gpt2: with MindFormers 1.3 (default: %(default)s)"
    )
    demo.add_argument("--model", choices=("llama", "llama3", "qwen2", "qwen3", "gpt2"), default="llama", help=families)
    python = "interpreter of the training (default: that of the last such rehearsal, else the one that runs this)"
    demo.add_argument("--python", default="", metavar="PATH", help=python)
    monitor = group.add("monitor", "monitor:run_monitor", "show NPUs and host, until Ctrl-C", json=True)
    monitor.add_argument("--once", action="store_true", help="one look")
    monitor.add_argument("--path", dest="paths", action="append", metavar="DIR", help="tell the space on its disk")
    group.add("doctor", "doctor:run_doctor", "tell what is installed, and what does not fit", json=True).add_argument(
        "--profile", default=argparse.SUPPRESS, metavar="NAME", help="look at the environment of this profile"
    )


def _add_download(commands: _Commands) -> None:
    text = "download a model or a data set from a hub, checked and resumable"
    parser = _Group(commands).add("download", "download:download", text, json=True)
    parser.add_argument("repo", nargs="?", default="", metavar="ORG/NAME", help="as on its page")
    sources = "auto, hf, hf-mirror, modelscope, modelers, or an address like https://... (default: %(default)s)"
    parser.add_argument("--from", dest="source", default="auto", metavar="SOURCE", help=sources)
    flag(parser, "to", default="", metavar="DIR", help="folder to fill (default: NAME)")
    flag(parser, "revision", default="", metavar="REV", help="branch, tag or commit (default: the newest)")
    flag(parser, "dataset", action="store_true", help="a data set, not a model")
    flag(parser, "files", nargs="+", metavar="PATTERN", help="these files alone (default: what training needs)")
    flag(parser, "token_env", default="", metavar="NAME", help="environment variable with the token for the source")
    flag(parser, "dry_run", action="store_true", help="tell what would be fetched, and fetch nothing")
    flag(parser, "print_urls", action="store_true", help="print addresses and checksums, as aria2c -i takes them")
    flag(parser, "from_folder", default="", metavar="DIR", help="take from there what has the right checksum")
    flag(parser, "verify", action="store_true", help="check a folder by its own listing, or that of ORG/NAME")
    flag(parser, "force", action="store_true", help="replace files that are there and differ")
    flag(
        parser,
        "stall",
        type=float,
        default=60.0,
        metavar="SECONDS",
        help="without bytes until it connects anew (default: 60)",
    )
    flag(parser, "timeout", type=float, default=0.0, metavar="SECONDS", help="for all of it (default: no limit)")
    flag(parser, "tries", type=int, default=0, metavar="N", help="failures in a row that end it (default: 8 a source)")


def _add_converters(commands: _Commands) -> None:
    group = _Group(commands)
    inspect = group.add("inspect", "model.inspect:inspect", "tell what is in a checkpoint folder or a .ckpt", json=True)
    inspect.add_argument("hf_dir", metavar="HF_DIR", help="Hugging Face folder, or a ready .ckpt of MindSpore")
    flag(inspect, "base_yaml", default="", help="of a .ckpt: YAML of MindFormers that tells what shapes do not")
    flag(inspect, "config_path", default="", help="of a .ckpt: folder with config.json that tells it")
    inspect.add_argument("--mindformers", default="", metavar="VERSION", help="what this version wants of it")
    weight = group.add(
        "convert-weight",
        "model.convert_weight:convert_weight",
        "convert a Hugging Face checkpoint to .ckpt, or back",
        json=True,
    )
    flag(
        weight,
        "model",
        default="llama",
        help="llama, qwen2 (qwen2_5), gpt2 (gpt), chatglm; --reversed: qwen3, qwen3_moe too",
    )
    flag(
        weight,
        "input_path",
        required=True,
        help="Hugging Face folder; with --reversed a .ckpt, or safetensors of a training",
    )
    flag(weight, "output_path", required=True, help=".ckpt file to write; with --reversed a new folder")
    flag(weight, "dtype", choices=("fp32", "fp16", "bf16", "keep"), help="default: fp32; with --reversed keep")
    flag(weight, "reversed", action="store_true", help="from what was trained to a Hugging Face folder")
    flag(
        weight, "config_path", default="", metavar="HF_DIR",
        help="with --reversed: folder with config.json and tokenizer (default: what the .ckpt was made from)",
    )  # fmt: skip
    flag(
        weight, "lora_scaling", type=float, default=None, metavar="S",
        help="with --reversed: merge LoRA adapters, S (lora_alpha / lora_rank) times",
    )  # fmt: skip
    flag(
        weight, "end_token", default="", metavar="TOKEN",
        help="with --reversed: the token that ends an answer; generation stops at it as well",
    )  # fmt: skip
    flag(
        weight, "tokenizer_eos", action="store_true",
        help="with --end_token: make it the tokenizer's eos token too",
    )  # fmt: skip
    flag(weight, "verify", action="store_true", help="read both sides again and compare every tensor")
    either = weight.add_mutually_exclusive_group()
    either.add_argument(
        "--force",
        action="store_true",
        help="replace a file; with --reversed what we wrote",
    )
    either.add_argument("--reuse", action="store_true", help="replace it only if it was made of other files or dtype")
    _add_convert_alpaca(group)
    summary = group.add("summary", "summary:summarise", "tell what a training run brought", json=True)
    summary.add_argument("run_dir", help="folder of the run: WORK_DIR/runs/NAME")
    summary.add_argument("--require-gain", action="store_true", help="exit 1 unless held-out perplexity fell")


def _add_convert_alpaca(group: _Group) -> None:
    text = "convert alpaca, ShareGPT or OpenAI records (JSON, JSON Lines, Parquet, CSV) to conversations"
    parser = group.add("convert-alpaca", "dataset.convert_alpaca:convert_alpaca", text, json=True)
    flag(parser, "data_path", required=True, help="file with the records")
    flag(parser, "output_path", required=True, help="conversation file to write")
    add_columns(parser)
    add_on_unread(parser)
    add_rejects(parser)
    flag(parser, "eval_output_path", default="", help="conversation file for held-out records")
    flag(parser, "force", action="store_true", help="replace files that sft-tui did not make")
    parser.add_argument(
        "--eval_fraction", "--eval-fraction", "--eval_split", "--eval-split", type=float, default=None, metavar="SHARE",
        help="share to hold out, evenly spread over the file and the same at every run (default: 0.05)",
    )  # fmt: skip
    flag(
        parser, "seed", type=int, default=0,
        help="0: hold out the middle one of each stretch of records; another number: one chosen by it",
    )  # fmt: skip


def _add_preprocess(commands: _Commands) -> None:
    group = _Group(commands)
    parser = group.add("preprocess", "dataset.preprocess:preprocess", "write conversations as MindRecord", json=True)
    flag(parser, "input_glob", required=True, help="files with records, or text files for wiki")
    flag(parser, "output_file", required=True, help="MindRecord file to write")
    flag(parser, "file_partition", type=int, default=1, help="number of files (default: %(default)s)")
    flag(
        parser, "purpose", choices=("train", "eval"), default="train",
        help="rows of seq_length + 1 tokens for training, of seq_length for evaluation (default: %(default)s)",
    )  # fmt: skip
    add_encoding(parser)
    flag(
        parser, "labels", choices=("as-tokens", "shifted"), default="",
        help="shifted: for models that MindFormers loads from a folder (default: what config.json beside it says)",
    )  # fmt: skip
    add_text(parser)
    flag(
        parser, "eval_fraction", type=float, default=0.0, metavar="SHARE",
        help="of plain text: that share of the passages, evenly spread, is written with --purpose eval, the others with"
        " --purpose train (default: 0, all of them)",
    )  # fmt: skip
    parser.add_argument("--pack", action="store_true", help="several whole records to a row; shifted labels only")
    add_rejects(parser)
    flag(parser, "seed", type=int, default=0, help=argparse.SUPPRESS)  # of a split that is gone; still accepted
    flag(parser, "force", action="store_true", help="write again; replace files that sft-tui did not make")
    audit = group.add("audit", "dataset.audit:run_audit", "tell what training will see of a data set", json=True)
    audit.add_argument("path", help="MindRecord, or file with records")
    add_encoding(audit)
    add_text(audit)
    flag(audit, "record", type=int, default=0, metavar="N", help="show record N as the model sees it")
    flag(audit, "strict", action="store_true", help="exit 2 where preprocess would refuse")


def _add_plan_and_run(commands: _Commands) -> None:
    group = _Group(commands)
    plan = group.add("plan", "plan:show_plan", "show the steps and commands of a profile")
    plan.add_argument("profile_name", metavar="PROFILE")
    either = plan.add_mutually_exclusive_group()
    either.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="one JSON object on stdout")
    either.add_argument(
        "--script", default="", metavar="DIR", help="write shell scripts that run without sft-tui's jobs"
    )
    plan.add_argument("--force", action="store_true", help="with --script: also into a folder with other files")
    plan.add_argument("--into", action="store_true", help="also for the folder of a run with other settings")
    run = group.add("run", "run:run_profile", "run a profile; Ctrl-C detaches", json=True)
    run.add_argument("profile_name", metavar="PROFILE")
    run.add_argument("--from", dest="from_step", default="", metavar="STEP", help="run this step and later ones anew")
    run.add_argument("--until", dest="until_step", default="", metavar="STEP", help="stop after this step")
    run.add_argument("--into", action="store_true", help="also into the folder of a run with other settings")
    run.add_argument("--detach", action="store_true", help="return at once; the job goes on")
    run.add_argument(
        "--after", action="append", default=[], metavar="ID", help="wait until this job has succeeded; repeatable"
    )
    run.add_argument("--resume", action="store_true", help="go on with an interrupted training, without a question")


def _add_jobs(commands: _Commands) -> None:
    parser = commands.add_parser("jobs", help="list, show and stop jobs", description="List, show and stop jobs.")
    parser.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="one JSON object on stdout")
    parser.set_defaults(call="jobs:list_all")
    group = _Group(parser.add_subparsers(title="commands", metavar="COMMAND"))
    group.add("list", "jobs:list_all", "list all jobs", json=True)
    for name, text in (
        ("show", "show one job and its steps"),
        ("attach", "follow a running job"),
        ("stop", "stop a job"),
        ("wait", "wait for a job; the exit code is the job's"),
    ):
        command = group.add(name, f"jobs:{name}", text, json=True)
        command.add_argument("id", nargs="?", default="", help="default: the newest")
        if name == "stop":
            command.add_argument("--now", action="store_true", help="kill it without waiting")
    remove = group.add("rm", "jobs:rm", "remove what finished jobs recorded, and their logs", json=True)
    remove.add_argument("ids", nargs="*", metavar="ID", help="whole id or number")
    remove.add_argument("--finished", action="store_true", help="every job that has ended")
    remove.add_argument("--yes", "-y", action="store_true", help="do not ask")
    metrics = group.add("metrics", "metrics:show", "what a training measured, step by step", json=True)
    metrics.add_argument("id", nargs="?", default="", help="default: the newest")
    metrics.add_argument("--csv", action="store_true", help="one line a step, units in the header")
    metrics.add_argument("--tensorboard", default="", metavar="DIR", help="write event files for TensorBoard there")
    log = group.add("log", "jobs:log", "print the log of a step", json=True)
    log.add_argument("id", nargs="?", default="", help="default: the newest")
    log.add_argument("--step", default="", help="default: the step that runs or failed")
    log.add_argument("--follow", "-f", action="store_true", help="go on as it grows")


def _add_diagnose(commands: _Commands) -> None:
    text = "tell the first cause of a failed run from its logs"
    parser = _Group(commands).add("diagnose", "diagnose:run_diagnose", text, json=True)
    parser.add_argument("target", metavar="DIR|FILE|JOB", help="folder of logs, one log, or a job by id or number")
    parser.add_argument("--lang", choices=("en", "zh"), default="", help="language (default: that of the terminal)")


def _add_profile(commands: _Commands) -> None:
    parser = commands.add_parser(
        "profile", help="list, show, make and check profiles", description="Work with profiles."
    )
    parser.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="one JSON object on stdout")
    parser.set_defaults(call="profile:list_all")
    group = _Group(parser.add_subparsers(title="commands", metavar="COMMAND"))
    group.add("list", "profile:list_all", "list all profiles", json=True)
    for name, text in (("show", "print a profile"), ("validate", "check a profile against this machine")):
        group.add(name, f"profile:{name}", text, json=True).add_argument("name")
    new = group.add("new", "profile:new", "make a profile")
    new.add_argument("name")
    new.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help="such as model.hf_dir=/models/llama; repeatable",
    )


def _add_completion(commands: _Commands, whole: argparse.ArgumentParser) -> None:
    text = "print a script that makes a shell complete commands"
    parser = _Group(commands).add("completion", "completion:print_completion", text)
    parser.add_argument("shell", choices=("bash", "zsh", "fish"))
    parser.set_defaults(whole_parser=whole)


_KEEPS_STATE = ("diagnose", "jobs", "metrics", "profile", "run", "wizard")


def run_command(argv: list[str]) -> int:
    """Run one command line; returns the exit code and never raises an SftError."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a file name must not fail for a terminal that is not UTF-8
            stream.reconfigure(errors="backslashreplace")
    from sft_tui.commands._common.output_gate import gated_output

    with gated_output():
        return _run_gated(argv)


def _run_gated(argv: list[str]) -> int:
    arguments = build_parser().parse_args(argv)
    # asked to end, a converter still removes its half-written file
    signal.signal(signal.SIGTERM, _raise_stopped)
    module, _, function = arguments.call.partition(":")
    try:
        if module in _KEEPS_STATE:
            _check_own_dirs()
        command: Command = getattr(importlib.import_module(f"sft_tui.commands.{module}"), function)
        return command(arguments)
    except SftError as error:
        return _fail(error, arguments)
    except KeyboardInterrupt:
        return _fail(StoppedError("Stopped."), arguments)
    except BrokenPipeError:
        # the reader of our output (head, less) is gone; keep Python from complaining at exit
        sys.stderr.close()
        return 1
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        hint = "Check the disk and your rights there."
        return _fail(EnvironmentNotFitError(f"{where}{error.strerror or error}.", hint), arguments)
    except Exception as error:
        from sft_tui.error_log import note_traceback

        path = note_traceback(error)
        unexpected = SftError("Something unexpected went wrong inside sft-tui.", f"The details are in {path}.")
        return _fail(unexpected, arguments)


def _check_own_dirs() -> None:
    from sft_tui.files.private_dir import check_own_dir
    from sft_tui.paths import own_dirs

    for folder in own_dirs():
        check_own_dir(folder)


def _raise_stopped(_number: int, _frame: FrameType | None) -> None:
    raise StoppedError("Stopped.")


def _fail(error: SftError, arguments: argparse.Namespace) -> int:
    from sft_tui.core.terminal_text import neutralise

    if getattr(arguments, "json", False):
        from sft_tui.commands._common.report import print_json

        print_json({"error": error.message, "hint": error.hint, "exit_code": error.exit_code})
    print(neutralise(f"sft-tui: error: {error.message}"), file=sys.stderr)
    if error.hint:
        print(neutralise(f"    {error.hint}"), file=sys.stderr)
    return error.exit_code
