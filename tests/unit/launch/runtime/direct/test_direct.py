"""What is told of a network of MindFormers' new kind: its loss on held-out data, and what loading left out."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from sft_tui.logs.training_log import LoadedWeights, Perplexity, parse_line

pytestmark = pytest.mark.real
ms = pytest.importorskip("mindspore")


class Network(ms.nn.Cell):
    def __init__(self):
        super().__init__()
        for name in ("embedding", "norm", "hidden_dropout.seed"):
            self.insert_param_to_cell(name.replace(".", "_"), ms.Parameter(np.zeros(2, np.float32), name=name))


def test_what_loading_leaves_out_is_told_but_for_counters_of_random_numbers(monkeypatch, capsys):
    from sft_tui.launch.runtime.direct.loading import report_loading

    monkeypatch.setattr(ms, "load_param_into_net", ms.load_param_into_net)  # put back afterwards
    report_loading()
    given = {
        "embedding": ms.Parameter(np.ones(2, np.float32)),
        "of_the_optimizer": ms.Parameter(np.ones(2, np.float32)),
    }
    not_loaded, unused = ms.load_param_into_net(Network(), given)
    assert (set(not_loaded), unused) == ({"norm", "hidden_dropout.seed"}, ["of_the_optimizer"])
    told = [fact for fact in map(parse_line, capsys.readouterr().out.splitlines()) if fact]
    assert told == [LoadedWeights(("norm",))]


def measure(callback, batches):
    for total, tokens in batches:
        outputs = (ms.Tensor([total], ms.float32), ms.Tensor([tokens], ms.float32))
        context = SimpleNamespace(original_args=lambda outputs=outputs: SimpleNamespace(net_outputs=outputs))
        callback.on_train_step_end(context)
    callback.on_train_end(None)


def test_every_trained_token_weighs_alike(monkeypatch):
    from sft_tui.launch.runtime.direct import held_out

    lines = []
    monkeypatch.setattr(held_out.logger, "info", lines.append)
    measure(held_out.HeldOutLoss(), [(12.0, 4), (0.0, 0), (3.0, 6)])
    assert parse_line(lines[0]) == Perplexity(1.5, pytest.approx(np.exp(1.5), rel=1e-5))
    assert "10 tokens in 3 batches" in lines[0]


def test_data_that_trains_nothing_has_no_loss():
    from sft_tui.launch.runtime.direct.held_out import HeldOutLoss

    with pytest.raises(ValueError, match="no token"):
        measure(HeldOutLoss(), [(0.0, 0)])
