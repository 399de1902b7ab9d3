from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_tui.dataset.conversation import convert_alpaca, count_held_out, read_conversations
from sft_tui.errors import EnvironmentNotFitError, InvalidInputError


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
        convert_alpaca(path, output)
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


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ("text", "a string, not an object"),
        ({"instruction": "a", "output": "b"}, "run convert-alpaca"),
        ({"id": "1", "messages": []}, "no field `conversations`; its fields: `id`, `messages`"),
        ({"id": [], "conversations": []}, "`id` is a list"),
        ({"id": "1", "conversations": {}}, "`conversations` is an object"),
        ({"id": "1", "conversations": []}, "empty list"),
        ({"id": "1", "conversations": ["a"]}, r"conversations[0] is a string"),
        ({"id": "1", "conversations": [{"value": "a"}]}, r"conversations[0] has no field `from`"),
        ({"id": "1", "conversations": [{"from": "human", "value": 1}]}, "`value` is a number"),
    ],
)
def test_a_bad_conversation_is_named(write_json, record, words):
    good = {"id": "1", "conversations": [{"from": "human", "value": "a"}]}
    path = write_json([good, record])
    with pytest.raises(InvalidInputError) as caught:
        list(read_conversations(path))
    assert f"{path}: record 2" in str(caught.value)
    assert words in str(caught.value)


def test_an_id_may_be_a_number_or_missing(write_json):
    turns = [{"from": "human", "value": "a"}]
    path = write_json([{"id": 7, "conversations": turns}, {"conversations": turns}])
    assert [(item.number, item.id) for item in read_conversations(path)] == [(1, "7"), (2, "2")]
