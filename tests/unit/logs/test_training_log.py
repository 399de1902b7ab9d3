"""Lines of real logs, of MindFormers 1.6 to 1.9."""

from __future__ import annotations

import math
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_tui.core.progress import Progress
from sft_tui.diagnosis.first_error import first_error_line
from sft_tui.logs.training_log import (
    CheckpointSaved,
    EvaluatedMeanwhile,
    LoadedWeights,
    Perplexity,
    TrainingStep,
    parse_line,
)

LOGS = Path(__file__).parents[2] / "data" / "training_logs"
STEP = (
    "2026-11-24 03:26:48,490 - log[mindformers/core/callback/callback.py:494] - INFO - { Epoch:[  2/  3], "
    "step:[    1/   32], loss:[10.392/10.392], per_step_time: 5805ms, lr: 0.001, overflow cond: False, "
    "loss_scale: 65536.0, global_norm: [1.0933703], train_throughput_per_npu: 0.001T"
)
NOT_LOADED = "2026-11-24 03:32:55,150 - log[utils.py:702] - INFO - Network parameters are not loaded: "


def facts(name):
    return [parse_line(line) for line in (LOGS / name).read_text().splitlines()]


@pytest.mark.parametrize(
    "name, first, last, steps",
    [
        ("ok_mf1.6.0.log", 10.392, None, 32),
        ("ok_mf1.7.0_worker_1.log", None, None, None),
        ("ok_mf1.9.0.log", None, None, 32),
    ],
)
def test_loss_lines_of_each_version(name, first, last, steps):
    loaded, *training = facts(name)
    assert loaded == LoadedWeights(())
    assert len(training) == 3
    assert all(isinstance(t, TrainingStep) for t in training)
    assert [t.step for t in training[:2]] == [1, 2]
    assert training[-1].global_step == training[-1].global_steps
    assert training[0].loss > training[-1].loss
    assert all(t.learning_rate is not None and t.global_norm and not t.overflow and t.per_step_ms for t in training)
    if first:
        assert training[0].loss == first
    if steps:
        assert training[0].steps == steps


def test_a_loss_line_in_full():
    assert parse_line(STEP) == TrainingStep(2, 3, 1, 32, 10.392, 5805, 0.001, 1.0933703, False, 65536.0)
    assert parse_line(STEP).global_step == 33
    assert parse_line(STEP).global_steps == 96


def test_a_loss_line_of_sink_mode():
    line = STEP.replace("loss:[10.392/10.392]", "loss: 1.234")
    assert parse_line(line).loss == 1.234


HEAD = "2026-11-24 03:26:48,490 - mindformers - INFO - { Epoch:[  1/  2], step:[    7/   32], "
# what the format strings of each version make (MFLossMonitor.print_output_info), with and without sink mode
GOLDEN_LINES = {
    "1.2.0": "loss:[ 1.250/ 1.500], per_step_time: 412ms, lr: 9.5e-06, overflow cond: False, loss_scale: 65536.0",
    "1.2.0 sink": "loss:  1.250, per_step_time: 412ms, lr: 9.5e-06, overflow cond: False, loss_scale: 65536.0",
    "1.3.2": "loss: 1.250, per_step_time: 412ms, lr: 9.5e-06, overflow cond: False, loss_scale: 65536.0, "
    "global_norm: [0.75]",
    "1.5.0": "loss:[1.250/1.500], per_step_time: 412ms, lr: 9.5e-06, overflow cond: False, loss_scale: 65536.0, "
    "global_norm: [0.75], train_throughput_per_npu: 101.250T",
    "1.6.0 arrays": "loss: 1.250, per_step_time: 412ms, lr: [9.5e-06], overflow cond: [False], loss_scale: [65536.], "
    "global_norm: [0.75]",
    "1.7.0": "loss: 1.250000, per_step_time: 412ms, lr: 9.5e-06, overflow cond: False, loss_scale: 65536.0, "
    "global_norm: [0.75], train_throughput_per_npu: 101.250T",
    "1.7.0 separate": "loss: 1.250000, lm_loss: 1.200000, load_balancing_loss: 0.050000, per_step_time: 412ms, "
    "lr: 9.5e-06, overflow cond: False, loss_scale: 65536.0, global_norm: [0.75]",
    "1.9.0 separate": "loss:[1.250000/1.500000], lm_loss: 1.100000, load_balancing_loss: 0.050000, "
    "mtp_loss: 0.100000, indexer_loss: 0.010000, per_step_time: 412ms, lr: 9.5e-06, overflow cond: False, "
    "loss_scale: 65536.0, global_norm: [0.75], train_throughput_per_npu: 101.250T",
}


@pytest.mark.parametrize("name", GOLDEN_LINES)
def test_golden_lines_of_each_version(name):
    norm = None if name.startswith("1.2") else 0.75
    assert parse_line(HEAD + GOLDEN_LINES[name]) == TrainingStep(1, 2, 7, 32, 1.25, 412, 9.5e-6, norm, False, 65536.0)


def test_what_a_run_has_not_is_not_told():
    line = HEAD + "loss:[1.250/1.500], per_step_time: 412ms, overflow cond: False, loss_scale: unavailable, "
    fact = parse_line(line + "global_norm: None")
    assert fact == TrainingStep(1, 2, 7, 32, 1.25, 412, None, None, False, None)


def test_a_checkpoint_and_an_evaluation_in_between():
    where = "2026-11-24 03:26:57,771 - log[mindformers/core/callback/callback.py:1361] - INFO - "
    assert parse_line(f"{where}......Saving ckpt......") == CheckpointSaved()
    evaluated = f"{where}Eval result: {{'PerplexityMetric': {{'loss': 2.5, 'PPL': 12.2}}}}, eval time is 3.250000 s."
    assert parse_line(evaluated) == EvaluatedMeanwhile(2.5)
    assert parse_line(f"{where}Eval result: {{'Accuracy': 0.5}}, eval time is 3.2 s.") == EvaluatedMeanwhile(None)


def test_overflow_and_losses_that_are_no_numbers():
    line = STEP.replace("cond: False", "cond: True").replace("[10.392/10.392]", "[nan/nan]")
    step = parse_line(line)
    assert step.overflow
    assert math.isnan(step.loss)


def test_perplexity_with_optimizer_state_that_no_network_wants():
    loaded, perplexity = facts("eval_ppl_mf1.6.0.log")
    assert loaded == LoadedWeights(())
    assert perplexity == Perplexity(9.41762313246727, 12303.304114321158)


def test_a_held_out_loss_that_we_measured_is_read():
    line = "2026 - log[held_out.py:58] - INFO - held-out loss: 2.122194, perplexity: 8.34943, 325 tokens in 31 batches"
    assert parse_line(line) == Perplexity(2.122194, 8.34943)
    assert parse_line(line[:70]) is None


def test_parameters_that_got_nothing_are_named():
    loaded = facts("half_not_loaded.log")[0]
    assert loaded.not_loaded[0] == "model.layers.2.ffn_norm.weight"
    assert len(loaded.not_loaded) > 10


def test_lora_parameters_are_new_by_design():
    names = ["model.layers.0.attention.wq.mindpet_delta_lora_a", "model.layers.0.attention.wq.mindpet_delta_lora_b"]
    assert parse_line(f"{NOT_LOADED}({names}, ['scale_sense'])") == LoadedWeights(())
    assert parse_line(f"{NOT_LOADED}({['lm_head.weight', *names]}, [])") == LoadedWeights(("lm_head.weight",))


@pytest.mark.parametrize(
    "line, progress",
    [
        ("progress: converting 5/20 bytes (3 MB/s)", Progress(5, 20, "bytes", "converting")),
        ("progress: 3/0 records", Progress(3, 0, "records", "")),
        ("no progress: 3/4 rows", None),
        ("progress: soon", None),
    ],
)
def test_progress_of_our_own_converters(line, progress):
    assert parse_line(line) == progress


@pytest.mark.parametrize("name", ["ok_mf1.6.0.log", "eval_ppl_mf1.6.0.log", "half_not_loaded.log"])
def test_a_line_torn_anywhere_raises_nothing(name):
    for line in (LOGS / name).read_text().splitlines():
        for end in range(0, len(line), 3):
            parse_line(line[:end])


@given(st.text())
def test_no_text_raises(text):
    parse_line(text)


@given(st.text(alphabet="0123456789[](){}',/.:- eEnaif", max_size=60))
def test_no_garbage_in_the_known_places_raises(text):
    parse_line(STEP.replace("10.392/10.392", text))
    parse_line(STEP.replace("1.0933703", text))
    parse_line(f"PerplexityMetric = {{'PerplexityMetric': {{'loss': {text}, 'PPL': {text}}}}}")
    parse_line(f"{NOT_LOADED}([{text}], [{text}])")
    parse_line(f"progress: {text} {text}/{text} rows")


@pytest.mark.parametrize(
    "line",
    [
        f"{NOT_LOADED}({'[' * 5000}], [])",
        f"progress: {'9' * 10_000}/{'9' * 10_000} rows",
        "progress: " + "1" * 1_000_000,
        "PerplexityMetric = {'PerplexityMetric': {'loss': " * 20_000,
        "Epoch:[" + " " * 1_000_000,
        HEAD + "loss: 1.0, " + "a_loss: 1.0, " * 100_000,
        HEAD + "loss: 1.0, " + "a" * 1_000_000,
    ],
)
def test_a_line_made_to_hurt_does_not(line):
    begun = time.process_time()
    assert parse_line(line) is None
    assert time.process_time() - begun < 2


@pytest.mark.parametrize(
    "name, cause",
    [
        ("fail_unsupported_op_rmsnorm", "RuntimeError: Kernel select failed: Unsupported op [RmsNorm] on CPU"),
        ("fail_barrier_worker_0", "RuntimeError: Kernel select failed: Unsupported op [Barrier] on CPU"),
        ("fail_checkpoint_missing", "ValueError: /data/missing.ckpt is not existed"),
        ("fail_checkpoint_truncated", "Failed to read the checkpoint file /data/trunc.ckpt"),
        ("fail_mindrecord_missing", "ValueError: The file /data/missing.mindrecord does not exist"),
        ("fail_optimizer_argument", "TypeError: AdamW.__init__() got an unexpected keyword argument 'beta1'"),
        ("fail_seq_length_mismatch", "ValueError: For 'Mul', input1.shape and input2.shape need to broadcast"),
        ("fail_silent_worker_1", "RuntimeError: Invalid backend: CPU"),
    ],
)
def test_the_first_exception_says_the_cause(name, cause):
    with (LOGS / f"{name}.log").open(encoding="utf-8", errors="replace") as file:
        assert cause in first_error_line(file)


def test_without_an_exception_the_first_error_then_the_last_line():
    assert first_error_line(["fine\n", "sh: foo: command not found\n", "end\n"]) == "sh: foo: command not found"
    assert first_error_line(["one\n", "two\n", "\n"]) == "two"
    assert first_error_line(["ValueError:\n"]) == "ValueError:"
    assert first_error_line([]) == ""


@given(
    st.lists(
        st.sampled_from(
            ["ValueError:\n", "----\n", "\n", "A: b\n", "OSError: x\n", "During handling of the above exception\n"]
        )
    )
)
def test_no_order_of_lines_confuses_the_search(lines):
    first_error_line(lines)
