"""convert-weight: weights from a checkpoint folder to MindSpore's `.ckpt`, and back."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from sft_tui.commands._common.report import ProgressReport, print_json, say, warn
from sft_tui.core.terminal_text import short_duration, short_size
from sft_tui.errors import InvalidInputError, SftError

if TYPE_CHECKING:
    from sft_tui.checkpoint.export.hf_folder import EndToken
    from sft_tui.checkpoint.verify import VerifyResult

NAMES_SHOWN = 5


def convert_weight(arguments: argparse.Namespace) -> int:
    """`sft-tui convert-weight`."""
    if arguments.reversed:
        return _convert_reversed(arguments)
    from sft_tui.checkpoint import convert
    from sft_tui.checkpoint.verify import verify_weight

    if arguments.config_path:
        raise InvalidInputError("--config_path goes with --reversed.", "config.json is taken from --input_path.")
    if arguments.end_token or arguments.tokenizer_eos:
        raise InvalidInputError("--end_token and --tokenizer_eos go with --reversed.", "A .ckpt has no tokenizer.")
    if arguments.lora_scaling is not None:
        raise InvalidInputError("--lora_scaling goes with --reversed.", "It merges what LoRA has trained.")
    if arguments.input_path.endswith(".ckpt") and Path(arguments.input_path).is_file():
        hint = "--reversed makes a Hugging Face folder of it; otherwise name the folder to convert."
        raise InvalidInputError(f"{arguments.input_path} is a .ckpt already.", hint)
    source, output = _source_folder(Path(arguments.input_path)), Path(arguments.output_path)
    family, dtype = arguments.model, arguments.dtype or "fp32"
    shown: dict[str, object] = {"output": str(output), "reused": True}
    if arguments.reuse and convert.same_work(source, output, family, dtype):
        text = f"{output} is there already, made from the same files"
    else:
        force = arguments.force or arguments.reuse
        with ProgressReport("convert") as report:
            result = convert.convert_weight(source, output, family=family, dtype=dtype, force=force, progress=report)
        for warning in result.warnings:
            warn(f"warning: {warning}")
        shown = {**result.to_json(), "reused": False}
        size, time = short_size(result.bytes_written), short_duration(result.seconds)
        text = f"{output}: {result.tensors} tensors, {result.parameters:,} parameters, {size} in {time}"
    verified = None
    if arguments.verify:
        with ProgressReport("verify") as report:
            verified = verify_weight(source, output, family=family, dtype=dtype, progress=report)
    return _tell(arguments, [text], shown, verified, source)


def _convert_reversed(arguments: argparse.Namespace) -> int:
    from sft_tui.checkpoint.export.export import convert_reversed, find_config_dir, verify_reversed

    if arguments.reuse:
        raise InvalidInputError("--reuse does not go with --reversed.", "Give --force to write the folder again.")
    ckpt, output = Path(arguments.input_path), Path(arguments.output_path)
    family, dtype = arguments.model, arguments.dtype or "keep"
    config_dir = Path(arguments.config_path) if arguments.config_path else None
    scaling = arguments.lora_scaling
    end = _find_end(arguments, find_config_dir(ckpt, config_dir, family)) if arguments.end_token else None
    with ProgressReport("convert") as report:
        result = convert_reversed(
            ckpt, output, family=family, dtype=dtype, config_dir=config_dir, lora_scaling=scaling, end=end,
            force=arguments.force, progress=report,
        )  # fmt: skip
    for warning in result.warnings:
        warn(f"warning: {warning}")
    verified = None
    if arguments.verify:
        with ProgressReport("verify") as report:
            verified = verify_reversed(
                ckpt, output, family=family, dtype=dtype, config_dir=config_dir, lora_scaling=scaling, progress=report
            )
    size, time = short_size(result.bytes_written), short_duration(result.seconds)
    files = "one file" if result.shards == 1 else f"{result.shards} files"
    lines = [
        f"{output}: {result.tensors} tensors in {files}, {result.parameters:,} parameters, {size} in {time}",
        f"copied beside them: {', '.join(result.copied)}",
    ]
    if result.left_out:
        more = f" and {len(result.left_out) - NAMES_SHOWN} more" if len(result.left_out) > NAMES_SHOWN else ""
        names = ", ".join(result.left_out[:NAMES_SHOWN])
        lines.append(f"left out, of training: {names}{more} ({len(result.left_out)} in all)")
    return _tell(arguments, lines, result.to_json(), verified, ckpt)


def _find_end(arguments: argparse.Namespace, folder: Path) -> EndToken:
    """The token that ends an answer, with its id by the folder's tokenizer. Raises InvalidInputError."""
    from sft_tui.checkpoint.export.hf_folder import EndToken
    from sft_tui.dataset.tokenizer.load import load_tokenizer

    token = arguments.end_token
    tokenizer = load_tokenizer(folder, threads=1)
    number = tokenizer.special_tokens.get(token)
    if number is None:
        known = ", ".join(sorted(tokenizer.special_tokens)[:10]) or "none"
        raise InvalidInputError(f"{tokenizer.path} has no special token {token!r}.", f"Its special tokens: {known}.")
    return EndToken(token, number, arguments.tokenizer_eos)


def _tell(
    arguments: argparse.Namespace,
    lines: list[str],
    shown: dict[str, object],
    verified: VerifyResult | None,
    source: Path,
) -> int:
    """Print what was done and the verdict; raises SftError when the two sides differ."""
    if arguments.json:
        print_json({**shown, "verified": verified.to_json() if verified else None})
    else:
        for line in lines:
            say(line)
    if verified is None:
        return 0
    if not verified.ok:
        first = verified.differences[0]
        message = (
            f"{verified.output} differs from {source} in {len(verified.differences)} tensors; "
            f"{first.name}: {first.what}."
        )
        if arguments.json:  # the one object is printed
            warn(f"sft-tui: error: {message}")
            return 1
        raise SftError(message, "Convert again; if it happens twice, the disk or the memory is not sound.")
    if not arguments.json:
        time = short_duration(verified.seconds)
        say(f"verified: {verified.tensors} tensors are equal to the source after the cast, in {time}")
    return 0


def _source_folder(path: Path) -> Path:
    """MindFormers 1.2 and 1.3 took a file of the folder, such as pytorch_model.bin, as well."""
    return path.parent if path.is_file() else path
