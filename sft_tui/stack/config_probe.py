"""Asks the installed MindFormers, by its own mapping, which keys of a config.json it refuses."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import List, Mapping, Tuple

from sft_tui.stack.probe import run_script

_SECONDS = 120
# what the runner does before it imports MindFormers; whether a training needs the package itself is checked elsewhere
_STAND_IN = Path(__file__).parents[1] / "launch" / "runtime" / "cpu" / "without_hyper_parallel.py"
# the configuration's own class takes the keys, and the mapping names all that it does not know
_SCRIPT = r"""
import importlib, inspect, json, re, runpy, sys
home, family, stand_in, keys = *sys.argv[1:4], json.load(sys.stdin)
if home:
    sys.path.insert(0, home)
runpy.run_path(stand_in)["install"]()
from mindformers.models.configuration_utils import PretrainedConfig
from mindformers.parallel_core.transformer_config_utils import convert_to_transformer_config
module = importlib.import_module(f"mindformers.models.{family}.configuration_{family}")
found = [item for _, item in inspect.getmembers(module, inspect.isclass)
         if issubclass(item, PretrainedConfig) and item.__module__ == module.__name__]
refused = []
try:
    convert_to_transformer_config(found[0](**keys))
except (ValueError, RuntimeError) as error:  # up to 1.7 as a list, from 1.8 on a line for each
    listed = re.search(r"Keys: \[(.*?)\]", str(error))
    refused = re.findall(r"'([^']+)'", listed[1]) if listed else re.findall(r"`([^`]+)` is unexpected", str(error))
    if not refused:
        raise
print("refused: " + json.dumps(refused))
"""


def find_refused_keys(python: str, home: str, family: str, config: Mapping[str, object]) -> Tuple[List[str], str]:
    """The keys that MindFormers refuses, or why it could not be asked. Takes the seconds that its import takes.

    `home` is the source folder that trainings use, "" for the installed package.
    """
    try:
        # by stdin: a long one, a vocabulary of labels for example, is more than one argument may hold
        out, err, code = run_script(
            python, _SCRIPT, (home, family, str(_STAND_IN)), seconds=_SECONDS, stdin=json.dumps(dict(config))
        )
    except subprocess.TimeoutExpired:
        return [], f"{python} did not answer within {_SECONDS} s"
    except OSError as error:
        return [], str(error)[:200]
    line = next((line for line in reversed(out.splitlines()) if line.startswith("refused: ")), "")
    if not line:
        return [], (err.strip().splitlines() or [f"exit code {code}"])[-1][:200]
    return [str(key) for key in json.loads(line[len("refused: ") :])], ""
