"""Asks the training interpreter, and this host, what is installed."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Iterable

from sft_tui.core.facts import EnvironmentFacts
from sft_tui.errors import InvalidInputError
from sft_tui.files.small_file import read_small_bytes
from sft_tui.paths import find_executable
from sft_tui.stack.releases import find_release

PACKAGES = (
    "mindspore", "mindformers", "numpy", "sentencepiece", "fschat", "transformers", "tokenizers", "safetensors",
    "pyarrow", "hyper_parallel",
)  # fmt: skip
PROBE_SECONDS = 30

# reads distribution metadata only: importing MindSpore takes seconds and may touch the devices
_SCRIPT = """
import json, platform, sys
from importlib import metadata, util
found = {}
for name in sys.argv[1:]:
    try:
        found[name] = metadata.version(name)
    except metadata.PackageNotFoundError:
        pass
for name in ("hyper_parallel",):  # by a search path as well
    if name not in found and util.find_spec(name) is not None:
        found[name] = "unknown version"
origin = other = ""
try:
    spec = util.find_spec("mindformers")  # finds the package, and does not import it
    origin = spec.origin or "" if spec else ""
    other = str(metadata.distribution("mindformers").locate_file("mindformers"))
except (ImportError, ValueError, AttributeError):
    pass
answer = {"version": platform.python_version(), "packages": found, "paths": [p for p in sys.path if p]}
print(json.dumps({**answer, "mindformers": origin, "installed": other}))
"""

# what an interpreter answered, and the times of change of the folders that it looks into: installing something
# changes one of them
_answers: dict[str, tuple[dict[str, int], dict[str, object]]] = {}


def probe_environment(python: str, mindformers_home: str) -> EnvironmentFacts:
    """Versions under the training interpreter (empty: this one), tools of the host. Never raises: `error` says why."""
    python = str(Path(find_executable(python) or python).expanduser().absolute()) if python else sys.executable
    # absolute: the steps run in another folder
    home = str(Path(mindformers_home).expanduser().absolute()) if mindformers_home else ""
    answer, error = _ask(python)
    found = answer.get("packages")
    packages = {str(k): str(v) for k, v in found.items()} if isinstance(found, dict) else {}
    installed = packages.get("mindformers", "")
    imported = Path(home) if home else _imported_from(answer, installed)
    version = source_version(imported) if imported else installed
    other = f"{installed} in {answer.get('installed')}" if imported and installed and version != installed else ""
    script = Path(home) / "run_mindformer.py"
    msrun = Path(python).parent / "msrun"
    return EnvironmentFacts(
        python=python,
        python_version=str(answer.get("version", "")),
        packages=packages,
        mindformers_version=version,
        mindformers_home=home,
        mindformers_path=str(imported / "mindformers") if imported else str(answer.get("installed", "")),
        mindformers_other=other,
        mindformers_configs=_find_configs(home, answer.get("paths")),
        run_mindformer=str(script) if home and script.is_file() else "",
        msrun=str(msrun) if msrun.is_file() else "",
        cann=_first_version(
            ("/usr/local/Ascend/ascend-toolkit/latest/version.cfg", "/usr/local/Ascend/cann/version.cfg")
        ),
        driver=_first_version(("/usr/local/Ascend/driver/version.info",)),
        npu_smi=find_executable("npu-smi"),
        error=error,
        release=find_release(version),
    )


def _imported_from(answer: dict[str, object], installed: str) -> Path | None:
    """The folder of the package that an import finds, where that is not the one that is installed."""
    origin = str(answer.get("mindformers") or "")
    if not origin or (
        installed and os.path.realpath(Path(origin).parent) == os.path.realpath(str(answer["installed"]))
    ):
        return None
    return Path(origin).parent.parent


def _find_configs(home: str, paths: object) -> str:
    """The folder of MindFormers' YAML files: of the source, else beside the installed package."""
    folders = [home] if home else map(str, paths) if isinstance(paths, list) else []
    found = (Path(folder) / "configs" for folder in folders if (Path(folder) / "mindformers" / "__init__.py").is_file())
    return next((str(path) for path in found if path.is_dir()), "")


def _ask(python: str) -> tuple[dict[str, object], str]:
    """Its answer and "", or why there is none; what it answered before stands while its folders are unchanged."""
    times, known = _answers.get(python, ({}, {}))
    if known and _times_of(times) == times:
        return known, ""
    answer, error = _ask_anew(python)
    if not error:
        paths = answer.get("paths")
        _answers[python] = (_times_of([python, *(paths if isinstance(paths, list) else [])]), answer)
    return answer, error


def _times_of(paths: Iterable[object]) -> dict[str, int]:
    times = {}
    for path in map(str, paths):
        with contextlib.suppress(OSError):
            times[path] = Path(path).stat().st_mtime_ns
    return times


def _ask_anew(python: str) -> tuple[dict[str, object], str]:
    try:
        out, error, _ = run_script(python, _SCRIPT, PACKAGES, seconds=PROBE_SECONDS)
    except FileNotFoundError:
        return {}, f"{python} does not exist"
    except PermissionError:
        return {}, f"{python} is not an executable file"
    except OSError as problem:
        return {}, f"{python} could not be started: {problem.strerror}"
    except subprocess.TimeoutExpired:
        return {}, f"{python} did not answer within {PROBE_SECONDS} s"
    # a start-up file of that environment may print something of its own before
    last_line = (out.strip().splitlines() or [""])[-1]
    try:
        answer = json.loads(last_line)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        why = (error.strip().splitlines() or [last_line[:80] or "no output"])[-1]
        return {}, f"{python} is not a working Python ({why})"
    return answer, ""


def run_script(
    python: str, script: str, arguments: Iterable[str], *, seconds: float, stdin: str = ""
) -> tuple[str, str, int]:
    """Standard output, standard error and exit code. Raises OSError, TimeoutExpired; nothing is left running then."""
    with subprocess.Popen(
        [python, "-c", script, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        cwd="/",
        start_new_session=True,
    ) as child:
        try:
            out, error = child.communicate(stdin, timeout=seconds)
            return out, error, child.returncode
        except BaseException:
            # a wrapper script's child would hold the pipes open
            os.killpg(child.pid, signal.SIGKILL)
            raise


def source_version(home: Path) -> str:
    """Version of a MindFormers source folder, or an empty string."""
    try:
        text = read_small_bytes(home / "mindformers" / "__init__.py").decode("utf-8", errors="replace")
    except (OSError, InvalidInputError):
        return ""
    match = re.search(r'__version__\s*=\s*["\']([^"\']+)', text)
    return match[1] if match else ""


def _first_version(paths: tuple[str, ...]) -> str:
    for path in paths:
        try:
            text = read_small_bytes(Path(path)).decode("utf-8", errors="replace")
        except (OSError, InvalidInputError):
            continue
        match = re.search(r"(?im)^\s*(?:version|toolkit_running_version|package_version)\s*=\s*\[?([^\]\s]+)", text)
        return match[1] if match else "unknown version"
    return ""
