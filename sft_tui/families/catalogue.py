"""Models that one of the two routes takes to MindFormers, as data: for choosing, and for knowing what to fetch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional


@dataclass(frozen=True)
class CatalogueEntry:
    """One model. `disk_gb` is the size of its safetensors files in powers of ten."""

    name: str
    repo: str  # on the Hugging Face hub
    family: str
    parameters_billion: float
    disk_gb: float
    max_positions: int
    note: str = ""

    def lines(self) -> list[str]:
        """The entry for people."""
        lines = [
            f"{self.name}: {self.parameters_billion:g} billion parameters, {self.disk_gb:g} GB, up to {self.max_positions} tokens; family {self.family}",
            f"fetch it where there is internet:  hf download {self.repo} --local-dir FOLDER",
        ]
        return [*lines, self.note] if self.note else lines


_DIRECT = "Loaded as it is by MindFormers 1.7 and later."
CATALOGUE: tuple[CatalogueEntry, ...] = (
    CatalogueEntry("Llama 2 7B", "meta-llama/Llama-2-7b-hf", "llama", 6.74, 13.5, 4096, "Licence to be accepted on its page."),
    CatalogueEntry("Llama 2 7B Chat", "meta-llama/Llama-2-7b-chat-hf", "llama", 6.74, 13.5, 4096, "Licence to be accepted on its page."),
    CatalogueEntry("Llama 2 13B", "meta-llama/Llama-2-13b-hf", "llama", 13.0, 26.0, 4096, "Licence to be accepted on its page."),
    CatalogueEntry("Llama 2 70B", "meta-llama/Llama-2-70b-hf", "llama", 69.0, 138.0, 4096, "Licence to be accepted on its page."),
    CatalogueEntry("Code Llama 7B", "codellama/CodeLlama-7b-hf", "llama", 6.74, 13.5, 16384),
    CatalogueEntry("Qwen3 0.6B", "Qwen/Qwen3-0.6B", "qwen3", 0.6, 1.5, 40960, f"{_DIRECT} Small: for a first try on one NPU."),
    CatalogueEntry("Qwen3 1.7B", "Qwen/Qwen3-1.7B", "qwen3", 1.72, 4.1, 40960, _DIRECT),
    CatalogueEntry("Qwen3 4B", "Qwen/Qwen3-4B", "qwen3", 4.02, 8.0, 40960, _DIRECT),
    CatalogueEntry("Qwen3 8B", "Qwen/Qwen3-8B", "qwen3", 8.19, 16.4, 40960, _DIRECT),
    CatalogueEntry("Qwen3 14B", "Qwen/Qwen3-14B", "qwen3", 14.8, 29.5, 40960, _DIRECT),
    CatalogueEntry("Qwen3 32B", "Qwen/Qwen3-32B", "qwen3", 32.8, 65.5, 40960, _DIRECT),
    CatalogueEntry("Qwen3 30B-A3B", "Qwen/Qwen3-30B-A3B", "qwen3_moe", 30.5, 61.1, 40960, _DIRECT),
    CatalogueEntry("TinyLlama 1.1B", "TinyLlama/TinyLlama-1.1B-Chat-v1.0", "llama", 1.1, 2.2, 2048, "Small: for a first try on one NPU."),
)  # fmt: skip


def find_entry(repo: str) -> Optional[CatalogueEntry]:
    """The entry of a repository, or None."""
    return next((entry for entry in CATALOGUE if entry.repo == repo), None)
