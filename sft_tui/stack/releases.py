"""The releases of MindFormers, one row each: what it runs with and what differs. A new release is one more row.

What each says of itself in its README or VERSION_MAP.json (MindSpore, CANN, driver), the table of maintained versions
in the README of its main branch (end of life), and what was seen to run.
"""

from __future__ import annotations

import datetime
import re
from typing import Optional

from sft_tui.core.release import Release

_GONE = ("FP32StateAdamWeightDecay", "ObsMonitor")  # since 1.6
RELEASES: tuple[Release, ...] = (
    Release(
        "1.2", ("2.3",), "8.0.RC2", "24.1.RC2",
        "FP32StateAdamWeightDecay", betas_as_list=False, python=(3, 10), cpu=False, eval_callbacks=True,
        rope_scaling=("linear",), ties_embeddings=False,
        end_of_life="2025-04-12",
    ),
    Release(
        "1.3", ("2.4",), "8.0.0", "24.1.0",
        "FP32StateAdamWeightDecay", betas_as_list=False, eval_callbacks=True, mindspore_on_cpu=("2.7.0",),
        graceful_on_cpu=True,
        end_of_life="2025-09-20",
    ),
    Release(
        "1.6", ("2.7",), "8.2.RC1", "25.2.0",
        "AdamW", betas_as_list=True, gone=_GONE, graceful_exit=True, transformers="4.51.3",
        end_of_life="2026-04-29",
    ),
    Release(
        "1.7", ("2.7.1", "2.7.2"), "8.3.RC1", "25.3.RC1",
        "AdamW", betas_as_list=True, gone=_GONE, graceful_exit=True, transformers="4.51.3", pads_with_token_0=True,
        end_of_life="2026-07-27",
    ),
    Release(
        "1.8", ("2.7.2",), "8.5.0", "25.5.0",
        "AdamW", betas_as_list=True, gone=_GONE, graceful_exit=True, transformers="4.57.1", end_of_life="2026-10-26",
    ),
    Release(
        "1.9", ("2.9",), "9.0.0", "26.0.RC1",
        "AdamW", betas_as_list=True, gone=_GONE, graceful_exit=True, transformers="4.57.1",
        renamed={"residual_dtype": "fp32_residual_connection"},
    ),
    # hyper_parallel: its trainer for DeepSeek models (PyNative) alone uses it, and every start imports it
    Release(
        "2.0", ("2.10",), "9.1.0", "26.1.0",
        "AdamW", betas_as_list=True, gone=_GONE, graceful_exit=True, transformers="4.57.1", needs=("hyper_parallel",),
        renamed={"residual_dtype": "fp32_residual_connection"},
    ),
    Release(
        "2.1", ("2.11",), "9.2.0", "26.2.RC1",
        "AdamW", betas_as_list=True, gone=_GONE, python_from=(3, 10), cpu=False, graceful_exit=True,
        transformers=">=5.3",
        needs=("hyper_parallel",), renamed={"residual_dtype": "fp32_residual_connection"},
    ),
)  # fmt: skip
VERSIONS = tuple(release.mindformers for release in RELEASES)
ON_CPU = tuple(release.mindformers for release in RELEASES if release.cpu)
KNOWN = ", ".join(f"{r.mindformers} (with MindSpore {' or '.join(r.mindspore)})" for r in RELEASES)


def find_release(mindformers_version: str) -> Optional[Release]:
    """The release that a version ("1.7.0") belongs to, or None."""
    return next((release for release in RELEASES if is_version(mindformers_version, release.mindformers)), None)


def fits(release: Release, mindspore_version: str, *, cpu: bool = False) -> bool:
    """The MindSpore is one that this MindFormers runs with; on CPU it may be another one."""
    known = release.mindspore + (release.mindspore_on_cpu if cpu else ())
    return any(is_version(mindspore_version, prefix) for prefix in known)


def takes_transformers(release: Release, version: str) -> bool:
    """Whether a release wants this transformers; any where it names none."""
    if release.transformers.startswith(">="):
        return version_key(version) >= version_key(release.transformers[2:])
    return not release.transformers or version == release.transformers


def next_supported(release: Release, today: datetime.date) -> Optional[Release]:
    """The oldest later release whose support has not ended by then; None where there is none."""
    later = RELEASES[RELEASES.index(release) + 1 :]
    return next((other for other in later if not has_ended(other, today)), None)


def has_ended(release: Release, today: datetime.date) -> bool:
    """Whether its support has ended by then."""
    return bool(release.end_of_life) and datetime.date.fromisoformat(release.end_of_life) <= today


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
