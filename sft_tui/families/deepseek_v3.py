"""DeepSeek-V3: MindFormers trains it from its folder; there is no key map to bring it back."""

from __future__ import annotations

from sft_tui.families.direct_layers import OLDER
from sft_tui.families.family import Family, Releases

DEEPSEEK_V3 = Family(
    name="deepseek_v3",
    title="DeepSeek-V3",
    trained=Releases(since="1.9"),
    refused=(
        (Releases(until="1.3"), OLDER),
        (Releases(since="1.6", until="1.8"), "it has no training configuration for it"),
    ),
    direct=True,
)
