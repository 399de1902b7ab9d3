"""Asks the installed MindFormers, by its own mapping, which keys of a config.json it refuses."""

from __future__ import annotations

import json
import subprocess
from typing import List, Mapping, Tuple

_SECONDS = 120
# the configuration's own class takes the keys, and the mapping names all that it does not know
_SCRIPT = r"""
import importlib, inspect, json, re, sys
home, family, keys = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
if home:
    sys.path.insert(0, home)
from mindformers.models.configuration_utils import PretrainedConfig
from mindformers.parallel_core.transformer_config_utils import convert_to_transformer_config
module = importlib.import_module(f"mindformers.models.{family}.configuration_{family}")
found = [item for _, item in inspect.getmembers(module, inspect.isclass)
         if issubclass(item, PretrainedConfig) and item.__module__ == module.__name__]
refused = []
try:
    convert_to_transformer_config(found[0](**keys))
except ValueError as error:
    listed = re.search(r"Keys: \[(.*?)\]", str(error))
    if not listed:
        raise
    refused = re.findall(r"'([^']+)'", listed[1])
print("refused: " + json.dumps(refused))
"""


def find_refused_keys(python: str, home: str, family: str, config: Mapping[str, object]) -> Tuple[List[str], str]:
    """The keys that MindFormers refuses, or why it could not be asked. Takes the seconds that its import takes.

    `home` is the source folder that trainings use, "" for the installed package.
    """
    argv = [python, "-c", _SCRIPT, home, family, json.dumps(dict(config))]
    try:
        done = subprocess.run(
            argv, cwd="/", stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
            timeout=_SECONDS, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        return [], str(error)[:200]
    line = next((line for line in reversed(done.stdout.splitlines()) if line.startswith("refused: ")), "")
    if not line:
        return [], (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1][:200]
    return [str(key) for key in json.loads(line[len("refused: ") :])], ""
