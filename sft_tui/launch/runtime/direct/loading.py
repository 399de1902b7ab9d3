"""Says what loading left out: MindFormers' loader of safetensors drops that answer, and trains on."""

from __future__ import annotations

import functools
import re
import sys
from typing import Any

import mindspore

# counters, of random numbers and of the tokens that went to each expert, which are in no checkpoint
_NO_WEIGHT = re.compile(r"dropout\.(?:seed|offset)$|router\.(?:fi_accu|expert_load)$")


def report_loading() -> None:
    """Both ways of loading, of whole files and of slices, end in `mindspore.load_param_into_net` by that name."""
    load = mindspore.load_param_into_net

    @functools.wraps(load)
    def load_and_tell(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - MindSpore's own
        not_loaded, unused = load(*arguments, **named)
        weights = [name for name in not_loaded if not _NO_WEIGHT.search(name)]
        # the words in which MindFormers tells it of a .ckpt
        sys.stdout.write(f"\nNetwork parameters are not loaded: {(weights, list(unused))}\n")
        sys.stdout.flush()
        return not_loaded, unused

    mindspore.load_param_into_net = load_and_tell
