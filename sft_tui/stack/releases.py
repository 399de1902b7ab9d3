"""The releases of MindFormers, one row each: what it runs with and what differs. A new release is one more row.

What each says of itself in its README (MindSpore, CANN, driver), and what was seen to run.
"""

from __future__ import annotations

import re
from typing import Optional

from sft_tui.core.release import Release

RELEASES: tuple[Release, ...] = (
    Release(
        "1.2", ("2.3",), "8.0.RC2", "24.1.RC2",
        "FP32StateAdamWeightDecay", betas_as_list=False, python=(3, 10), cpu=False,
    ),
    Release("1.3", ("2.4",), "8.0.0", "24.1.0", "FP32StateAdamWeightDecay", betas_as_list=False, cpu=False),
    Release(
        "1.6", ("2.7",), "8.2.RC1", "25.2.0",
        "AdamW", betas_as_list=True, graceful_exit=True, transformers="4.51.3",
    ),
    Release(
        "1.7", ("2.7.1", "2.7.2"), "8.3.RC1", "25.3.RC1",
        "AdamW", betas_as_list=True, graceful_exit=True, transformers="4.51.3", pads_with_token_0=True,
    ),
    # on CPU the next two lack the operator Barrier, which loading a checkpoint with several workers wants
    Release(
        "1.8", ("2.7.2",), "8.5.0", "25.5.0",
        "AdamW", betas_as_list=True, cpu_workers=False, transformers="4.57.1",
    ),
    Release(
        "1.9", ("2.9",), "9.0.0", "26.0.RC1",
        "AdamW", betas_as_list=True, cpu_workers=False, transformers="4.57.1",
        renamed={"residual_dtype": "fp32_residual_connection"},
    ),
)  # fmt: skip
VERSIONS = tuple(release.mindformers for release in RELEASES)
# where a training with several workers was seen to work on CPU
ON_CPU = tuple(release.mindformers for release in RELEASES if release.cpu and release.cpu_workers)
KNOWN = ", ".join(f"{r.mindformers} (with MindSpore {' or '.join(r.mindspore)})" for r in RELEASES)


def find_release(mindformers_version: str) -> Optional[Release]:
    """The release that a version ("1.7.0") belongs to, or None."""
    return next((release for release in RELEASES if is_version(mindformers_version, release.mindformers)), None)


def fits(release: Release, mindspore_version: str) -> bool:
    """The MindSpore is one that this MindFormers runs with."""
    return any(is_version(mindspore_version, prefix) for prefix in release.mindspore)


def is_version(version: str, prefix: str) -> bool:
    """Whether a version is the prefix or one below it: 1.7.0 and 1.7rc1 are of 1.7, 1.70 is not."""
    return version == prefix or version.startswith((prefix + ".", prefix + "rc"))


def version_key(version: str) -> tuple[int, ...]:
    """Numbers to compare by: 8.3.RC1 comes before 8.3.0, and both after 8.2. Empty when there are none."""
    found = re.match(r"[vV]?(\d+(?:\.\d+)*)(?:\.?(RC|T|alpha|beta)(\d*))?", version.strip())
    if not found:
        return ()
    numbers = [int(part) for part in found[1].split(".")]
    numbers += [0] * (3 - len(numbers))
    before = found[2] is not None and found[2].upper() == "RC"
    return (*numbers[:3], 0 if before else 1, int(found[3] or 0) if before else 0)
