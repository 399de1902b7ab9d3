"""A base YAML of another generation, family or release is told before any work."""

from __future__ import annotations

import pytest

from sft_tui.checks.examine import examine
from sft_tui.core.profile import Profile
from sft_tui.demo.workspace import write_workspace

LLAMA = """
optimizer:
  type: AdamW
model:
  model_config:
    type: LlamaConfig
  arch:
    type: LlamaForCausalLM
callbacks:
  - type: MFLossMonitor
"""
DIRECT = "use_legacy: False\nmodel:\n  model_config:\n    offset: 0\n"


@pytest.fixture
def problems(home, fake_stack, tmp_path):
    def look(toy, text, version="1.9.0", mindspore="2.9.0"):
        data = write_workspace(tmp_path / "demo", family=toy)
        base = tmp_path / "base.yaml"
        base.write_text(text)
        data["environment"]["python"] = str(
            fake_stack(mindspore=mindspore, mindformers=version, tokenizers="0.22", transformers="4.57.1")
        )
        data["training"]["base_yaml"] = str(base)
        found = examine(Profile.model_validate(data))
        return [p for p in found.errors if p.field == "training.base_yaml"]

    return look


def test_one_that_fits_is_taken(problems):
    assert problems("llama", LLAMA) == problems("qwen2", LLAMA) == problems("qwen3", DIRECT) == []


@pytest.mark.parametrize(
    ("toy", "text", "version", "mindspore", "words", "code"),
    [
        ("llama", DIRECT, "1.9.0", "2.9.0", "loads from a Hugging Face folder (use_legacy: False)", 4),
        ("qwen3", LLAMA, "1.9.0", "2.9.0", "networks of MindFormers before 1.7 (LlamaForCausalLM)", 4),
        ("gpt2", LLAMA, "1.3.2", "2.7.0", "is for Llama or Qwen2 (LlamaConfig), the model is a GPT-2", 2),
        ("llama", LLAMA.replace("LlamaConfig", "GPT2Config"), "1.3.2", "2.7.0", "is for GPT-2 (GPT2Config)", 2),
        ("llama", LLAMA.replace("AdamW", "FP32StateAdamWeightDecay"), "1.9.0", "2.9.0", "no longer has", 4),
        ("llama", LLAMA + "eval_callbacks:\n  - type: ObsMonitor\n", "1.7.0", "2.7.2", "names ObsMonitor, which", 4),
    ],
)
def test_one_that_does_not_is_told(problems, toy, text, version, mindspore, words, code):
    [problem] = problems(toy, text, version, mindspore)
    assert words in problem.message and problem.exit_code == code
    if "no longer" in words or "ObsMonitor" in words:
        assert "MindFormers 1.3 has it" in problem.hint


def test_the_documented_generation_has_its_own_classes(problems):
    assert problems("llama", LLAMA.replace("AdamW", "FP32StateAdamWeightDecay"), "1.3.2", "2.7.0") == []
