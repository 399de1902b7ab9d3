from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_tui.core.progress import no_progress
from sft_tui.dataset.convert_alpaca import convert_alpaca
from sft_tui.dataset.read.bad_record import BadRecord
from sft_tui.dataset.read.held_out import HeldOut, count_held_out
from sft_tui.dataset.read.rejects import Rejects
from sft_tui.errors import EnvironmentNotFitError, InvalidInputError
from tests.unit.dataset.rows import read_conversations


def alpaca(count: int) -> list[dict[str, str]]:
    return [{"instruction": f"Count to {number}.", "output": f"{number}"} for number in range(1, count + 1)]


def ids(path: Path) -> list[str]:
    return [item["id"] for item in json.loads(path.read_text(encoding="utf-8"))]


def test_the_output_is_byte_for_byte_that_of_mindformers(golden, tmp_path):
    output = tmp_path / "new" / "folder" / "conv.json"
    result = convert_alpaca(golden / "alpaca_tricky.json", output)
    assert output.read_bytes() == (golden / "alpaca_tricky_conversation.json").read_bytes()
    assert (result.records, result.eval_records, result.output) == (30, 0, output)


@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "instruction": st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip),
                "output": st.text(st.characters(exclude_categories=["Cs"])),
            },
            optional={"input": st.text(st.characters(exclude_categories=["Cs"]))},
        ),
        min_size=1,
        max_size=4,
    )
)
def test_any_text_is_written_as_json_would_and_comes_back(tmp_path_factory, records):
    folder = tmp_path_factory.mktemp("any")
    (folder / "in.json").write_text(json.dumps(records), encoding="utf-8")
    convert_alpaca(folder / "in.json", folder / "out.json")
    written = (folder / "out.json").read_bytes().decode("utf-8")
    assert written == json.dumps(json.loads(written), ensure_ascii=False, indent=2)
    conversations = list(read_conversations(folder / "out.json"))
    assert [item.turns[1].text for item in conversations] == [record["output"] for record in records]
    assert all(record["instruction"] in item.turns[0].text for item, record in zip(conversations, records))


def test_bad_input_leaves_the_old_output_and_nothing_else(tmp_path, write_json):
    path = write_json([*alpaca(3), {"instruction": "no output"}])
    output = tmp_path / "conv.json"
    output.write_text("old", encoding="utf-8")
    with pytest.raises(InvalidInputError, match="record 4"):
        convert_alpaca(path, output, force=True)
    assert output.read_text(encoding="utf-8") == "old"
    assert sorted(item.name for item in tmp_path.iterdir()) == ["conv.json", "in.json"]


def test_no_record_is_an_error_that_leaves_no_file(tmp_path, write_json):
    with pytest.raises(InvalidInputError, match="holds no record"):
        convert_alpaca(write_json([]), tmp_path / "conv.json")
    assert not (tmp_path / "conv.json").exists()


@pytest.mark.parametrize(
    ("count", "fraction", "expected"), [(100, 0.1, 10), (10, 0.001, 1), (10, 0.99, 9), (2, 0.5, 1), (3, 0.34, 1)]
)
def test_a_share_is_held_out_evenly(tmp_path, write_json, count, fraction, expected):
    train, held_out = tmp_path / "train.json", tmp_path / "eval.json"
    source = write_json(alpaca(count))
    result = convert_alpaca(source, train, eval_output_path=held_out, eval_fraction=fraction)
    assert (result.records, result.eval_records) == (count - expected, expected)
    assert len(ids(held_out)) == expected
    assert sorted(map(int, ids(train) + ids(held_out))) == list(range(1, count + 1))
    first = ids(held_out)
    convert_alpaca(source, train, eval_output_path=held_out, eval_fraction=fraction)
    assert ids(held_out) == first


def test_the_number_held_out_can_be_told_beforehand():
    counts = [count_held_out(total, 0.05) for total in (0, 1, 2, 19, 52_002)]
    assert counts == [0, 0, 1, 1, 2600]
    assert count_held_out(100, 0.0) == 0


def test_held_out_records_lie_apart(tmp_path, write_json):
    held_out = tmp_path / "eval.json"
    convert_alpaca(write_json(alpaca(100)), tmp_path / "t.json", eval_output_path=held_out, eval_fraction=0.1)
    numbers = [int(name) for name in ids(held_out)]
    assert {b - a for a, b in zip(numbers, numbers[1:])} == {10}


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.5, float("nan")])
def test_a_share_outside_of_0_and_1_is_refused(tmp_path, write_json, fraction):
    with pytest.raises(InvalidInputError, match="between 0 and 1"):
        convert_alpaca(
            write_json(alpaca(3)), tmp_path / "t.json", eval_output_path=tmp_path / "e.json", eval_fraction=fraction
        )


def test_paths_that_collide_are_refused(tmp_path, write_json):
    source = write_json(alpaca(3))
    with pytest.raises(InvalidInputError, match="both input and output"):
        convert_alpaca(source, source)
    with pytest.raises(InvalidInputError, match="for training and for evaluation"):
        convert_alpaca(source, tmp_path / "t.json", eval_output_path=tmp_path / "t.json", eval_fraction=0.5)
    with pytest.raises(InvalidInputError, match="no file to put them in"):
        convert_alpaca(source, tmp_path / "t.json", eval_fraction=0.5)
    with pytest.raises(InvalidInputError, match="is a folder"):
        convert_alpaca(source, tmp_path)
    with pytest.raises(InvalidInputError, match="too few"):
        convert_alpaca(
            write_json(alpaca(1), "one.json"),
            tmp_path / "t.json",
            eval_output_path=tmp_path / "e.json",
            eval_fraction=0.5,
        )


def test_an_output_that_cannot_be_written_is_the_environments_fault(tmp_path, write_json):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(EnvironmentNotFitError, match="could not be written"):
        convert_alpaca(write_json(alpaca(3)), tmp_path / "file" / "conv.json")


def test_the_output_has_ordinary_rights(tmp_path, write_json):
    convert_alpaca(write_json(alpaca(1)), tmp_path / "conv.json")
    plain = tmp_path / "plain"
    plain.touch()
    assert os.stat(tmp_path / "conv.json").st_mode == plain.stat().st_mode


@pytest.mark.parametrize("seed", [1, 2, 77])
def test_a_seed_holds_out_others_as_evenly(tmp_path, write_json, seed):
    source, held_out = write_json(alpaca(103)), tmp_path / "eval.json"
    plain = tmp_path / "plain.json"
    for path, number in ((held_out, seed), (plain, 0)):
        convert_alpaca(source, tmp_path / "t.json", eval_output_path=path, eval_fraction=0.1, seed=number)
    numbers = [int(name) for name in ids(held_out)]
    assert [(number - 1) * 10 // 103 for number in numbers] == list(range(10))
    assert ids(held_out) != ids(plain)


@given(st.integers(2, 300), st.floats(0.001, 0.999), st.integers(-3, 10**9))
def test_as_many_are_held_out_as_was_said(total, fraction, seed):
    count = count_held_out(total, fraction)
    held_out = HeldOut(total, count, seed)
    assert sum(map(held_out.has, range(total))) == count


def bad_ones(count: int, bad: list[int]) -> list[dict[str, object]]:
    return [{"instruction": "a", "output": None if n in bad else "b"} for n in range(1, count + 1)]


def rejected(path: Path) -> list[int]:
    return [json.loads(line)["number"] for line in path.read_text(encoding="utf-8").splitlines()]


def test_bad_records_are_left_out_and_listed_and_ids_stay(tmp_path, write_json):
    output = tmp_path / "conv.json"
    result = convert_alpaca(write_json(bad_ones(300, [2, 300])), output, on_error="skip")
    assert (result.records, result.rejected, result.rejected_path) == (298, 2, tmp_path / "conv.json.rejected.jsonl")
    assert ids(output)[:3] == ["1", "3", "4"]
    assert rejected(result.rejected_path) == [2, 300]
    line = json.loads(result.rejected_path.read_text(encoding="utf-8").splitlines()[0])
    assert line == {
        "path": str(tmp_path / "in.json"),
        "number": 2,
        "field": "output",
        "reason": "field `output` is null, not a string.",
    }


def test_a_list_of_an_earlier_run_goes_when_nothing_is_left_out(tmp_path, write_json):
    output = tmp_path / "conv.json"
    first = convert_alpaca(write_json(bad_ones(300, [2])), output, on_error="skip")
    assert first.rejected_path.exists()
    with pytest.raises(InvalidInputError, match="record 2: field `output` is null"):
        convert_alpaca(write_json(bad_ones(300, [2])), output)
    assert first.rejected_path.exists()
    assert convert_alpaca(write_json(alpaca(3)), output, on_error="skip").rejected_path is None
    assert not first.rejected_path.exists()


def test_too_many_bad_records_fail_at_the_end_and_keep_the_list(tmp_path, write_json):
    source, output = write_json(bad_ones(300, [1, 2, 3, 4])), tmp_path / "conv.json"
    output.write_text("old", encoding="utf-8")
    with pytest.raises(InvalidInputError) as caught:
        convert_alpaca(source, output, on_error="skip", force=True)
    assert "4 of 300 records (1.33%) cannot be used, more than the allowed 1.00%" in caught.value.message
    assert "Record 3: field `output` is null" in caught.value.message
    assert "Record 4" not in caught.value.message
    assert "--max_rejected 0.02" in caught.value.hint
    assert output.read_text(encoding="utf-8") == "old"
    assert rejected(tmp_path / "conv.json.rejected.jsonl") == [1, 2, 3, 4]
    assert convert_alpaca(source, output, on_error="skip", max_rejected=0.02, force=True).rejected == 4


def test_no_good_record_fails_whatever_is_allowed(tmp_path, write_json):
    source = write_json(bad_ones(3, [1, 2, 3]))
    for evaluation, share in ((None, 0.0), (tmp_path / "eval.json", 0.5)):
        with pytest.raises(InvalidInputError, match=r"3 of 3 records \(100.00%\) cannot be used, so none is left"):
            convert_alpaca(
                source,
                tmp_path / "conv.json",
                on_error="skip",
                max_rejected=1.0,
                eval_output_path=evaluation,
                eval_fraction=share,
            )
    assert sorted(path.name for path in tmp_path.glob("[!.]*")) == ["conv.json.rejected.jsonl", "in.json"]


def test_held_out_records_are_chosen_among_the_good_ones(tmp_path, write_json):
    train, held_out = tmp_path / "t.json", tmp_path / "e.json"
    source = write_json(bad_ones(100, [5, 15, 25]))
    result = convert_alpaca(
        source, train, eval_output_path=held_out, eval_fraction=0.1, on_error="skip", max_rejected=0.05
    )
    assert (result.records, result.eval_records, result.rejected) == (87, 10, 3)
    assert sorted(map(int, ids(train) + ids(held_out))) == [n for n in range(1, 101) if n not in (5, 15, 25)]


def test_an_interrupt_leaves_everything_as_it_was(tmp_path, write_json):
    output, listed = tmp_path / "conv.json", tmp_path / "conv.json.rejected.jsonl"
    for path in (output, listed):
        path.write_text("old", encoding="utf-8")

    def interrupt(_progress: object) -> None:
        raise KeyboardInterrupt

    source = write_json(bad_ones(3, [1]))
    with source.open("a", encoding="utf-8") as stream:
        stream.write(" " * 600_000)
    calls = iter([no_progress, interrupt])
    with pytest.raises(KeyboardInterrupt):
        convert_alpaca(source, output, on_error="skip", force=True, progress=lambda p: next(calls, interrupt)(p))
    assert (output.read_text(encoding="utf-8"), listed.read_text(encoding="utf-8")) == ("old", "old")
    assert len(list(tmp_path.iterdir())) == 3


def test_what_was_rejected_may_hold_any_name(tmp_path):
    source = tmp_path / "in.jsonl"
    source.write_text('{"instruction": "a", "output": "b"}\n{"\\ud800": 1}\n', encoding="utf-8")
    result = convert_alpaca(source, tmp_path / "conv.json", on_error="skip", max_rejected=0.5)
    assert rejected(result.rejected_path) == [2]


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_of_rejects_outside_of_0_and_1_is_refused(tmp_path, write_json, share):
    with pytest.raises(InvalidInputError, match="between 0 and 1"):
        convert_alpaca(write_json(alpaca(3)), tmp_path / "conv.json", max_rejected=share)


def test_the_reasons_are_counted_and_bounded(tmp_path):
    with Rejects(tmp_path / "out", "skip", 1.0) as rejects:
        for number in range(1, 201):
            rejects.take(BadRecord("in", number, "", "often" if number % 2 else f"once {number}", ""))
        rejects.check(1000)
    assert rejects.reasons["often"] == 100
    assert (len(rejects.reasons), sum(rejects.reasons.values())) == (51, 200)


def test_sharegpt_keeps_its_ids_and_system_turns(tmp_path, write_json):
    turns = [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": "a"},
    ]
    convert_alpaca(write_json([{"id": "x", "messages": turns}]), tmp_path / "conv.json")
    assert json.loads((tmp_path / "conv.json").read_text(encoding="utf-8")) == [
        {
            "id": "x",
            "conversations": [
                {"from": "system", "value": "s"},
                {"from": "human", "value": "q"},
                {"from": "gpt", "value": "a"},
            ],
        }
    ]
