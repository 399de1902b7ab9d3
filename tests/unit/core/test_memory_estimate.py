"""Device memory: against published configurations, what is known not to fit, and properties of the sum."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_tui.core.memory.estimate import (
    GIB,
    TIGHT_FROM,
    Workload,
    count_parameters,
    estimate_memory,
    known_limit,
    pool_bytes,
)
from sft_tui.core.memory.nearest_change import find_change

_spec = importlib.util.spec_from_file_location("published_configs", Path(__file__).with_name("published_configs.py"))
published = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(published)
PUBLISHED, TOO_LARGE = published.PUBLISHED, published.TOO_LARGE
LLAMA2_7B = Workload(**published.LLAMA2_7B)


@pytest.mark.parametrize("name", PUBLISHED)
def test_what_is_published_fits_into_its_own_limit(name):
    work, limit = PUBLISHED[name]
    estimate = estimate_memory(work)
    assert estimate.verdict(int(limit * GIB)) in ("fits", "tight"), estimate.parts
    # a file made for devices of 64 GB uses them: an estimate of next to nothing would fit as well
    assert estimate.total > 0.5 * limit * GIB, estimate.parts


@pytest.mark.parametrize("name", TOO_LARGE)
def test_what_is_known_not_to_fit_does_not(name):
    assert estimate_memory(TOO_LARGE[name]).verdict(pool_bytes(64)) == "does not fit"
    assert estimate_memory(TOO_LARGE[name]).total > 64 * GIB


@pytest.mark.parametrize(
    ("sizes", "billions"),
    [(published.LLAMA2_7B, 6.738), (published.LLAMA2_13B, 13.016), (published.LLAMA2_70B, 68.977),
     (published.LLAMA3_8B, 8.030), (published.QWEN3_32B, 32.762), (published.QWEN3_0_6B, 0.596),
     (published.QWEN3_30B_A3B, 30.532)],
)  # fmt: skip
def test_parameters_are_those_of_the_model_cards(sizes, billions):
    assert count_parameters(Workload(**sizes)) / 1e9 == pytest.approx(billions, abs=0.001)


def test_full_adam_on_one_device_by_hand():
    work = replace(LLAMA2_7B, recompute=True)
    parameters = count_parameters(work)
    parts = dict(estimate_memory(work).parts)
    assert (parts["weights"], parts["gradients"], parts["optimizer"]) == (
        4 * parameters, 4 * parameters, 8 * parameters,
    )  # fmt: skip
    assert parts["activations"] == 32 * 4096 * 4096 * 2
    assert parts["loss"] == 4096 * 32000 * 10


def test_lora_has_gradients_and_moments_of_the_adapters_alone():
    parts = dict(estimate_memory(replace(LLAMA2_7B, param_bytes=2, lora_rank=16)).parts)
    adapters = 32 * 4 * 2 * 4096 * 16
    assert parts["optimizer"] == 8 * adapters
    assert parts["gradients"] == 2 * adapters
    assert parts["weights"] == 2 * (count_parameters(LLAMA2_7B) + adapters)


def test_without_flash_attention_the_scores_are_kept():
    with_scores = estimate_memory(replace(LLAMA2_7B, flash_attention=False)).activations
    scores = 32 * 32 * 4096 * 4096 * (4 + 2)
    row = 32 * 32 * 4096 * 64
    assert with_scores == estimate_memory(LLAMA2_7B).activations + scores - row


def test_verdicts():
    estimate = estimate_memory(LLAMA2_7B)
    assert estimate.verdict(estimate.total) == "tight"
    assert estimate.verdict(estimate.total - 1) == "does not fit"
    assert estimate.verdict(int(estimate.total / TIGHT_FROM) + 1) == "fits"
    assert pool_bytes(64) == 58 * GIB
    assert (known_limit("58GB"), known_limit("52.5GB"), known_limit("much")) == (58 * GIB, int(52.5 * GIB), None)


def test_numbers_that_mean_nothing_are_refused():
    with pytest.raises(ValueError, match="positive"):
        estimate_memory(replace(LLAMA2_7B, data_parallel=0))


EIGHT = replace(LLAMA2_7B, data_parallel=8, parallel_optimizer=True)


@pytest.mark.parametrize(
    ("work", "field", "text"),
    [
        (replace(EIGHT, batch_size=2), "training.recompute", "switch recompute on"),
        (replace(EIGHT, parallel_optimizer=False), "training.parallel_optimizer", "switch the parallel optimizer on"),
        (replace(EIGHT, batch_size=64, recompute=True), "training.batch_size", "batch size 8"),
        (replace(EIGHT, seq_length=65536, recompute=True), "dataset.seq_length", "sequence length 32768"),
        (replace(LLAMA2_7B, recompute=True, param_bytes=2), "training.method", "train with LoRA"),
    ],
)
def test_the_nearest_change_is_one_that_fits(work, field, text):
    assert estimate_memory(work).total > pool_bytes(64)
    change = find_change(work, pool_bytes(64))
    assert change is not None and (change.field, change.text) == (field, text)
    assert change.total <= pool_bytes(64)


def test_more_slices_where_nothing_else_helps():
    adapters = Workload(**published.LLAMA2_70B, param_bytes=2, lora_rank=8, recompute=True, data_parallel=16)
    change = find_change(adapters, pool_bytes(64))
    assert change is not None and (change.field, change.text) == ("training.model_parallel", "model_parallel 4")
    odd = replace(adapters, num_kv_heads=1)  # not divisible: only the layers can be shared out
    change = find_change(odd, pool_bytes(64))
    assert change is not None and change.field == "training.pipeline_stage"


def test_experts_are_shared_out_over_the_ranks_and_sharded_over_those_that_have_the_same():
    work = Workload(**published.QWEN3_30B_A3B, data_parallel=16, parallel_optimizer=True, recompute=True)
    experts = 48 * work.expert_parameters
    other = count_parameters(work) - experts
    for sharing in (1, 4, 16):
        parts = dict(estimate_memory(replace(work, expert_parallel=sharing)).parts)
        assert parts["optimizer"] == pytest.approx(8 * (other / 16 + experts / 16), rel=1e-6)
        assert parts["working weights"] >= 2 * other
    spread = estimate_memory(replace(work, expert_parallel=8)).total
    assert spread < estimate_memory(replace(work, expert_parallel=2)).total


def test_sharing_out_experts_is_a_change_of_its_own():
    work = Workload(**published.QWEN3_30B_A3B, data_parallel=16, parallel_optimizer=True, recompute=True, lora_rank=8)
    change = find_change(work, pool_bytes(64))
    assert change is not None and (change.field, change.text) == ("training.expert_parallel", "expert_parallel 4")


def test_no_single_change_is_enough():
    assert find_change(Workload(**published.LLAMA2_70B), pool_bytes(32)) is None


sizes = st.builds(
    Workload,
    hidden_size=st.sampled_from([512, 4096]),
    num_layers=st.sampled_from([8, 16, 64]),
    num_heads=st.just(32),
    num_kv_heads=st.sampled_from([8, 32]),
    intermediate_size=st.sampled_from([1024, 11008]),
    vocab_size=st.sampled_from([1024, 32000]),
    seq_length=st.integers(16, 40000),
    batch_size=st.integers(1, 64),
    data_parallel=st.sampled_from([1, 2, 8, 64]),
    model_parallel=st.sampled_from([1, 2, 4]),
    pipeline_stage=st.sampled_from([1, 2, 4]),
    micro_batch_num=st.sampled_from([4, 16]),
    sequence_parallel=st.booleans(),
    parallel_optimizer=st.booleans(),
    gradient_accumulation_shard=st.booleans(),
    recompute=st.booleans(),
    param_bytes=st.sampled_from([2, 4]),
    compute_bytes=st.sampled_from([2, 4]),
    flash_attention=st.booleans(),
    lora_rank=st.sampled_from([0, 8]),
    tied=st.booleans(),
    num_experts=st.sampled_from([0, 8]),
    expert_intermediate=st.just(512),
    experts_per_token=st.just(2),
    expert_parallel=st.sampled_from([1, 2, 8]),
)


@given(sizes)
def test_more_work_never_takes_less(work):
    total = estimate_memory(work).total
    for name in ("batch_size", "seq_length", "num_layers"):
        assert estimate_memory(replace(work, **{name: getattr(work, name) * 2})).total >= total, name


@given(sizes)
def test_more_slices_never_take_more(work):
    total = estimate_memory(work).total
    assert estimate_memory(replace(work, model_parallel=work.model_parallel * 2)).total <= total
    assert estimate_memory(replace(work, data_parallel=work.data_parallel * 2)).total <= total + 64
    assert all(size >= 0 for _, size in estimate_memory(work).parts)


@given(sizes)
def test_more_stages_never_take_more_than_whole_gradients(work):
    """What a pipeline sums up is kept whole: without that, more stages never take more."""
    work = replace(work, gradient_accumulation_shard=True)
    more = replace(work, pipeline_stage=work.pipeline_stage * 2, micro_batch_num=work.pipeline_stage * 2)
    work = replace(work, micro_batch_num=work.pipeline_stage)
    assert estimate_memory(more).total <= estimate_memory(work).total + 64
