"""The estimate for people: a table of a few lines that fits beside the rail of a terminal of 80 columns."""

from __future__ import annotations

from sft_tui.core.memory.estimate import GIB, Workload, pool_bytes
from sft_tui.core.memory.text import layout_line, memory_line, memory_lines

WORK = Workload(
    hidden_size=4096, num_layers=32, num_heads=32, num_kv_heads=32, intermediate_size=11008, vocab_size=32000,
    seq_length=4096, recompute=True,
)  # fmt: skip
WIDTH = 57  # of 80 columns, without the rail


def test_what_does_not_fit_comes_with_the_nearest_change():
    lines = memory_lines(WORK, pool_bytes(64))
    assert lines[0] == "Memory of a device, about"
    assert lines[-2].endswith("58.0 GB: does not fit")
    assert lines[-1].startswith("nearest change: train with LoRA, then ")
    assert "  optimizer           50.2 GB" in lines
    assert max(map(len, [*lines, memory_line(WORK, pool_bytes(64))])) <= WIDTH


def test_what_fits_needs_no_change():
    assert memory_lines(WORK, 200 * GIB)[-1].endswith("200.0 GB: fits")


def test_what_is_beyond_all_changes_says_so():
    assert memory_lines(WORK, GIB)[-1] == "nearest change: no single change is enough"


def test_on_cpu_there_is_no_limit():
    assert memory_lines(WORK, None)[-1].startswith("  together")
    assert memory_line(WORK, None).endswith("of the host's for each worker")


def test_the_layout_in_words():
    work = Workload(**{**vars(WORK), "pipeline_stage": 4, "micro_batch_num": 16, "lora_rank": 8})
    assert layout_line(work) == (
        "data_parallel 1 x model_parallel 1 x pipeline_stage 4, 16 micro batches, LoRA of rank 8 on wq wk wv wo"
    )
