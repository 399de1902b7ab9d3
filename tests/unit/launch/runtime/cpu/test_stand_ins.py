"""Each stand-in against plain arithmetic: what it gives, and its gradient against finite differences of that."""

from __future__ import annotations

import numpy as np
import pytest

pytestmark = pytest.mark.real
ms = pytest.importorskip("mindspore")

STEP = 1e-5
RANDOM = np.random.default_rng(3)


def values(*shape):
    return RANDOM.standard_normal(shape)


def tensor(array):
    return ms.Tensor(array, ms.int32 if np.issubdtype(np.asarray(array).dtype, np.integer) else ms.float32)


def slopes(function, arrays, place, weights):
    """The derivatives of sum(weights * function) by one of the arrays, by central differences in double precision."""
    result = np.zeros_like(arrays[place])
    for index in np.ndindex(arrays[place].shape):
        sides = []
        for step in (STEP, -STEP):
            moved = [array.copy() for array in arrays]
            moved[place][index] += step
            sides.append(sum(float((w * o).sum()) for w, o in zip(weights, function(*moved))))
        result[index] = (sides[0] - sides[1]) / (2 * STEP)
    return result


def check(stand_in, reference, arrays):
    """`stand_in` and `reference` take those arrays and return a tuple; MindSpore reads the source of the first."""
    wanted = reference(*arrays)
    got = stand_in(*map(tensor, arrays))
    for one, other in zip(got, wanted):
        np.testing.assert_allclose(one.asnumpy(), other, rtol=1e-5, atol=1e-6)
    weights = [values(*np.shape(output)) for output in wanted]
    scales = [tensor(w) for w in weights]

    class Weighed(ms.nn.Cell):
        def construct(self, *inputs):
            total = 0.0
            for output, scale in zip(stand_in(*inputs), scales):
                total = total + (output * scale).sum()
            return total

    gradients = ms.grad(Weighed(), tuple(range(len(arrays))))(*map(tensor, arrays))
    gradients = gradients if isinstance(gradients, tuple) else (gradients,)
    for place, gradient in enumerate(gradients):
        wanted_slopes = slopes(reference, arrays, place, weights)
        np.testing.assert_allclose(gradient.asnumpy(), wanted_slopes, rtol=1e-3, atol=1e-4)


@pytest.fixture(autouse=True)
def graph_mode(tmp_path, monkeypatch):
    """As in training; a graph that cannot be compiled leaves files in the working folder."""
    monkeypatch.chdir(tmp_path)
    before = ms.get_context("mode")
    ms.set_context(mode=ms.GRAPH_MODE)
    yield
    ms.set_context(mode=before)


@pytest.mark.parametrize(("sizes", "dim"), [((2, 1, 3), -1), ((1, 2), 0), ((4,), 1)])
def test_split(sizes, dim):
    from sft_tui.launch.runtime.cpu.operators.split_with_size import SplitWithSize

    split = SplitWithSize()
    borders = np.cumsum(sizes)[:-1]
    array = values(3, 4, 6)

    def stand_in(x):
        return split(x, sizes, dim)

    check(stand_in, lambda x: tuple(np.split(x, borders, dim)), [array])


def test_outer():
    from sft_tui.launch.runtime.cpu.operators.outer import Outer

    outer = Outer()

    def stand_in(a, b):
        return (outer(a, b),)

    check(stand_in, lambda a, b: (np.outer(a, b),), [values(4), values(3)])


def test_the_largest_of_a_row_and_their_places():
    from sft_tui.launch.runtime.cpu.operators.topk import TopkExt

    top, array = TopkExt(), values(1, 6, 5)
    wanted = np.argsort(-array, -1)[..., :2]
    np.testing.assert_array_equal(top(tensor(array), 2)[1].asnumpy(), wanted)

    def stand_in(x):
        return (top(x, 2)[0],)

    check(stand_in, lambda x: (-np.sort(-x, -1)[..., :2],), [array])
    with pytest.raises(NotImplementedError):
        top(tensor(array), 2, 0)


def test_each_token_goes_to_its_experts_by_their_shares():
    from sft_tui.launch.runtime.cpu.grouped_experts import mix_experts

    chosen = np.array([[[0, 2], [1, 0], [2, 1], [0, 1], [0, 2]]], np.int32)
    places = tensor(chosen)

    def reference(tokens, probs, into, out):
        result = np.zeros_like(tokens)
        for token, (shares, experts) in enumerate(zip(probs[0], chosen[0])):
            for share, expert in zip(shares, experts):
                gate, up = np.split(tokens[0, token] @ into[expert], 2)
                result[0, token] += share * (gate / (1 + np.exp(-gate)) * up) @ out[expert]
        return (result,)

    def stand_in(tokens, probs, into, out):
        return (mix_experts(tokens, probs, places, into, out),)

    check(stand_in, reference, [values(1, 5, 4), values(1, 5, 2), values(3, 4, 6), values(3, 3, 4)])


def attention(mask, scale):
    def reference(query, key, value):
        group = query.shape[1] // key.shape[1]
        key, value = np.repeat(key, group, 1), np.repeat(value, group, 1)
        score = query @ key.transpose(0, 1, 3, 2) * scale
        score = np.where(mask.astype(bool), -np.inf, score)
        share = np.exp(score - score.max(-1, keepdims=True))
        return (share / share.sum(-1, keepdims=True) @ value,)

    return reference


@pytest.mark.parametrize("kv_heads", [1, 2, 4])
def test_attention_of_grouped_heads(kv_heads):
    from sft_tui.launch.runtime.cpu.operators.attention_score import FlashAttentionScore

    attend = FlashAttentionScore(head_num=4, scale_value=0.4)
    causal = np.triu(np.ones((2, 1, 3, 3), np.int32), 1)
    mask = ms.Tensor(causal, ms.uint8)
    arrays = [values(2, 4, 3, 2), values(2, kv_heads, 3, 2), values(2, kv_heads, 3, 2)]

    def stand_in(query, key, value):
        return (attend(query, key, value, None, None, None, mask)[3],)

    check(stand_in, attention(causal, 0.4), arrays)


def test_a_token_that_sees_nothing_makes_no_nan():
    from sft_tui.launch.runtime.cpu.operators.attention_score import FlashAttentionScore

    q = tensor(values(1, 1, 2, 4))
    _, _, _, out = FlashAttentionScore()(q, q, q, None, None, None, ms.Tensor(np.ones((1, 1, 2, 2)), ms.uint8))
    assert np.isfinite(out.asnumpy()).all()


@pytest.mark.parametrize("asked", [{"input_layout": "TND"}, {"keep_prob": 0.9}, {"sparse_mode": 2}])
def test_attention_refuses_what_it_does_not_do(asked):
    from sft_tui.launch.runtime.cpu.operators.attention_score import FlashAttentionScore

    with pytest.raises(NotImplementedError, match=f"{next(iter(asked))}.*not {next(iter(asked.values()))}"):
        FlashAttentionScore(**asked)


def test_embedding_adds_up_the_gradients_of_a_row():
    from sft_tui.launch.runtime.cpu.operators.embedding import embedding

    numbers = np.array([[1, 0, 1], [3, 1, 1]])
    places = tensor(numbers)

    def stand_in(weight):
        return (embedding(places, weight),)

    check(stand_in, lambda weight: (weight[numbers],), [values(4, 3)])


def test_embedding_refuses_what_would_change_a_gradient():
    from sft_tui.launch.runtime.cpu.operators.embedding import embedding

    with pytest.raises(NotImplementedError):
        embedding(tensor(np.array([0])), tensor(values(2, 2)), padding_idx=0)


def test_one_worker_waits_for_nobody():
    from sft_tui.launch.runtime.cpu.operators.barrier import barrier

    barrier()


def test_stand_ins_are_for_cpu_alone():
    from mindspore.ops import auto_generate

    from sft_tui.launch.runtime.cpu.stand_ins import install

    before = auto_generate.Outer
    with pytest.raises(ValueError, match="Ascend"):
        install("Ascend", new_kind=True)
    assert auto_generate.Outer is before


@pytest.mark.parametrize("kind", ["RMSNorm", "LayerNorm"])
def test_norm(kind):
    from types import SimpleNamespace

    from sft_tui.launch.runtime.cpu.fused_norm import choose_norm

    config = SimpleNamespace(
        normalization=kind, params_dtype=ms.float32, layernorm_compute_dtype=ms.float32, data_parallel_size=1,
        tensor_model_parallel_size=1, context_parallel_size=1,
    )  # fmt: skip
    cell = choose_norm(object, config, 5, eps=1e-3)

    def reference(x):
        x = x - x.mean(-1, keepdims=True) if kind == "LayerNorm" else x
        return (x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-3),)

    def stand_in(x):
        return (cell(x),)

    check(stand_in, reference, [values(2, 3, 5)])


def test_dropout_leaves_out_its_share_and_the_gradient_goes_where_the_numbers_went():
    from sft_tui.launch.runtime.cpu.operators.dropout import DropoutExt

    drop, inputs, weights = DropoutExt(), np.abs(values(200, 50)) + 1, values(200, 50)
    scale = tensor(weights)

    def weighed(x):
        output, mask = drop(input=x, p=0.25, seed=1, offset=0)
        return (output * scale).sum(), output, mask

    (_, output, mask), gradient = ms.value_and_grad(weighed, 0, has_aux=True)(tensor(inputs))
    kept = mask.asnumpy()
    assert 0.72 < kept.mean() < 0.78
    np.testing.assert_allclose(output.asnumpy(), np.where(kept, inputs / 0.75, 0), rtol=1e-5)
    np.testing.assert_allclose(gradient.asnumpy(), np.where(kept, weights / 0.75, 0), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("spoilt", "overflow"), [(0.0, False), (-3e38, False), (np.nan, True), (np.inf, True), (-np.inf, True)]
)
def test_a_gradient_that_is_not_finite_is_an_overflow(spoilt, overflow):
    from sft_tui.launch.runtime.cpu.train_one_step import CpuTrainOneStepCell

    gradients = [values(3, 2), values(4), values(2, 2)]
    gradients[1][2] = spoilt

    class Look(ms.nn.Cell):
        asks_to_exit = False

        def construct(self, *given):
            return CpuTrainOneStepCell.get_overflow_status(self, None, given)

    assert bool(Look()(*map(tensor, gradients)).asnumpy()) is overflow
