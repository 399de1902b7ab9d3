from __future__ import annotations

import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest

from sft_tui.dataset.encode import pipeline as pipeline_module
from sft_tui.dataset.encode.encoded_row import EncodedRow
from sft_tui.dataset.encode.encoder import Encoder
from sft_tui.dataset.encode.pad_rows import padded_rows
from sft_tui.dataset.encode.pipeline import BATCH, Encoding, Pipeline
from sft_tui.dataset.read.conversation import Conversation
from sft_tui.dataset.read.sources import read_records
from sft_tui.errors import InvalidInputError, SftError, StoppedError
from tests.unit.dataset.rows import padded

LENGTH = 97


def records(count):
    return [
        {
            "id": f"r{n}",
            "conversations": [{"from": "human", "value": f"say {n}"}, {"from": "gpt", "value": "n" * (n % 150)}],
        }
        for n in range(count)
    ]


@pytest.fixture
def task(write_json, model_file):
    def make(count=3 * BATCH + 5, **changes):
        path = write_json(records(count))
        return Encoding((str(path),), str(model_file), "vicuna_v1.1", LENGTH, **changes)

    return make


@pytest.mark.parametrize("encoders", [1, 2, 3])
def test_rows_keep_the_order_of_the_file(task, encoders, tokenizer):
    todo = task()
    with Pipeline(todo, encoders) as pipeline:
        batches = list(pipeline)
    assert np.concatenate([batch.numbers for batch in batches]).tolist() == list(range(1, 3 * BATCH + 6))
    assert [len(batch) for batch in batches] == [BATCH, BATCH, BATCH, 5]
    assert batches[-1].bytes_read == batches[-1].bytes_total == Path(todo.inputs[0]).stat().st_size

    conversations = [record for record in read_records(Path(todo.inputs[0])) if isinstance(record, Conversation)]
    alone = Encoder(tokenizer, "vicuna_v1.1", LENGTH).encode(conversations)
    expected = [padded(row, LENGTH, tokenizer.pad_id) for row in alone if isinstance(row, EncodedRow)]
    found = [row for batch in batches for row in padded_rows(batch, LENGTH, tokenizer.pad_id)]
    assert len(found) == len(expected)
    for row, (input_ids, labels) in zip(found, expected):
        np.testing.assert_array_equal(row["input_ids"], input_ids)
        np.testing.assert_array_equal(row["labels"], labels)


def test_several_files_are_read_one_after_the_other(write_json, model_file):
    paths = tuple(str(write_json(records(count), f"{count}.json")) for count in (3, 200, 1))
    with Pipeline(Encoding(paths, str(model_file), "vicuna_v1.1", LENGTH), 2) as pipeline:
        batches = list(pipeline)
    assert [(batch.source, len(batch)) for batch in batches] == [
        (paths[0], 3), (paths[1], BATCH), (paths[1], 200 - BATCH), (paths[2], 1),
    ]  # fmt: skip
    assert [batch.bytes_read for batch in batches] == sorted(batch.bytes_read for batch in batches)


def test_an_error_comes_after_the_rows_before_it(task):
    todo = task()
    path = Path(todo.inputs[0])
    path.write_text(path.read_text(encoding="utf-8").rstrip("]"), encoding="utf-8")
    seen = 0
    with Pipeline(todo, 2) as pipeline, pytest.raises(InvalidInputError, match="not valid JSON"):
        for batch in pipeline:
            seen += len(batch)
    assert seen == 3 * BATCH


def test_a_tokenizer_that_is_loaded_already_is_used_by_all_encoders(task, tokenizer):
    todo = task()
    with Pipeline(replace(todo, model_file="/nowhere"), 2, tokenizer) as pipeline:
        given_ = [batch.input_ids.tolist() for batch in pipeline]
    with Pipeline(todo, 2) as pipeline:
        assert given_ == [batch.input_ids.tolist() for batch in pipeline]


def test_what_nobody_foresaw_has_its_traceback(task, monkeypatch):
    def broken(*_arguments):
        raise ZeroDivisionError("in the encoder")

    monkeypatch.setattr(pipeline_module, "_encode_read", broken)
    with Pipeline(task(), 2) as pipeline, pytest.raises(RuntimeError, match="in the encoder"):
        list(pipeline)


@pytest.mark.parametrize(
    ("number", "kind", "words"),
    [(signal.SIGKILL, SftError, "memory ran out"), (signal.SIGTERM, StoppedError, "Stopped")],
)
@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_process_that_dies_is_noticed_and_the_others_end(task, number, kind, words, which):
    with Pipeline(task(20_000), 2) as pipeline:
        rows = iter(pipeline)
        next(rows)
        children = psutil.Process().children()
        os.kill(pipeline._processes[which].pid or 0, number)
        with pytest.raises(kind, match=words):
            for _ in rows:
                pass
    assert not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children)


def test_who_stops_listening_ends_the_processes(task):
    with Pipeline(task(20_000), 2) as pipeline:
        next(iter(pipeline))
        children = psutil.Process().children()
        assert len(children) >= 3
    assert not any(child.is_running() for child in children)


def test_who_is_killed_ends_the_processes(task):
    pid = os.fork()
    if not pid:
        with Pipeline(task(20_000), 2) as pipeline:
            next(iter(pipeline))
            signal.pause()
        os._exit(1)
    parent = psutil.Process(pid)
    deadline = time.monotonic() + 20
    while len(parent.children()) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    children = parent.children()
    assert len(children) == 3
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    while any(child.is_running() for child in children) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(child.is_running() for child in children)
