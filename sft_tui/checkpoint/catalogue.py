"""Models that the documented way takes to MindFormers, as data: for choosing, and for knowing what to fetch."""

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
            f"{self.name}: {self.parameters_billion:g} billion parameters, {self.disk_gb:g} GB, up to {self.max_positions} tokens",
            f"fetch it where there is internet:  hf download {self.repo} --local-dir FOLDER",
        ]
        return [*lines, self.note] if self.note else lines


CATALOGUE: tuple[CatalogueEntry, ...] = (
    CatalogueEntry("Llama 2 7B", "meta-llama/Llama-2-7b-hf", "llama", 6.74, 13.5, 4096, "Licence to be accepted on its page."),
    CatalogueEntry("Llama 2 7B Chat", "meta-llama/Llama-2-7b-chat-hf", "llama", 6.74, 13.5, 4096, "Licence to be accepted on its page."),
    CatalogueEntry("Llama 2 13B", "meta-llama/Llama-2-13b-hf", "llama", 13.0, 26.0, 4096, "Licence to be accepted on its page."),
    CatalogueEntry("Llama 2 70B", "meta-llama/Llama-2-70b-hf", "llama", 69.0, 138.0, 4096, "Licence to be accepted on its page."),
    CatalogueEntry("Code Llama 7B", "codellama/CodeLlama-7b-hf", "llama", 6.74, 13.5, 16384),
    CatalogueEntry("TinyLlama 1.1B", "TinyLlama/TinyLlama-1.1B-Chat-v1.0", "llama", 1.1, 2.2, 2048, "Small: for a first try on one NPU."),
)  # fmt: skip


def find_entry(repo: str) -> Optional[CatalogueEntry]:
    """The entry of a repository, or None."""
    return next((entry for entry in CATALOGUE if entry.repo == repo), None)
