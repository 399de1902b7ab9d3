"""What a record says beside its texts: honoured, given on, or named with its count; never dropped without a word."""

from __future__ import annotations

import json

import pytest

from sft_tui.dataset.read.bad_record import BadRecord
from sft_tui.dataset.read.conversation import Conversation, Turn
from sft_tui.dataset.read.inspect import inspect_data
from sft_tui.dataset.read.sources import inspect_source, read_records
from sft_tui.errors import InvalidInputError


@pytest.fixture
def read(tmp_path):
    """read([record, ...]) or read("text of a file"): what becomes of each record."""

    def read_all(records):
        path = tmp_path / "data.jsonl"
        text = records if isinstance(records, str) else "".join(json.dumps(record) + "\n" for record in records)
        path.write_text(text, encoding="utf-8")
        return list(read_records(path))

    return read_all


def talk(**answer):
    return {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a", **answer}]}


@pytest.mark.parametrize(
    "mark", [{"weight": 0}, {"weight": 0.0}, {"train": False}, {"loss": False}, {"training": False}, {"loss": 0}]
)
def test_an_answer_that_is_marked_is_not_trained_on(read, mark):
    [marked, plain, on] = read([talk(**mark), talk(), talk(**dict.fromkeys(mark, 1))])
    assert [record.turns[1].trained for record in (marked, plain, on)] == [False, True, True]
    assert [kind for kind, _ in marked.remarks] == ["used"] and not plain.remarks + on.remarks


def test_thoughts_calls_and_tools_are_kept_for_the_chat_template(read):
    calls = [{"type": "function", "function": {"name": "f", "arguments": "{}"}}]
    tools = [{"type": "function", "function": {"name": "f"}}]
    [record] = read(
        [
            {
                "messages": [
                    {"role": "user", "content": "q"},
                    {"role": "assistant", "content": None, "tool_calls": calls, "reasoning": "hm"},
                    {"role": "tool", "tool_call_id": "1", "content": "12"},
                    {"role": "assistant", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
                ],
                "tools": tools,
            }
        ]
    )
    given = [{name: json.loads(value) for name, value in turn.given} for turn in record.turns]
    assert given == [{}, {"reasoning_content": "hm", "tool_calls": calls}, {"tool_call_id": "1"}, {}]
    assert [turn.text for turn in record.turns] == ["q", "", "12", "ab"]
    assert json.loads(record.tools) == tools and not record.is_plain
    assert {name for kind, name in record.remarks if kind == "used"} == {"reasoning_content", "tool_calls", "tools"}


@pytest.mark.parametrize(
    "turn",
    [
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        {"from": "function_call", "value": '{"name": "f", "arguments": "{}"}'},
        {"from": "function_call", "value": '[{"name": "f", "arguments": "{}"}]'},
    ],
)
def test_older_spellings_of_calls_are_taken(read, turn):
    [record] = read([{"conversations": [{"from": "human", "value": "q"}, turn]}])
    assert (record.turns[1].speaker, record.turns[1].text) == ("gpt", "")
    [(name, calls)] = record.turns[1].given
    assert name == "tool_calls" and json.loads(calls)[0]["function"] == {"name": "f", "arguments": "{}"}


def test_every_other_field_is_named_once_with_its_count(tmp_path):
    path = tmp_path / "data.json"
    turns = [{"role": "user", "content": "q", "name": "Ann"}, {"role": "assistant", "content": "a", "score": 1}]
    records = [{"messages": turns, "images": ["a.png"], "source": None}] * 3 + [{"messages": turns[1:], "images": []}]
    path.write_text(json.dumps(records))
    found = inspect_data(path)
    assert found.remarks == {"unread": {"images": 3, "messages[].name": 3, "messages[].score": 4}}
    alpaca = tmp_path / "alpaca.json"
    alpaca.write_text(json.dumps([{"instruction": "i", "output": "o", "text": "t", "id": 3, "input": ""}] * 2))
    assert inspect_data(alpaca).remarks == {"unread": {"text": 2}}


def test_columns_that_are_not_asked_for_are_named(tmp_path):
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "data.parquet"
    parquet.write_table(arrow.table({"instruction": ["i"], "output": ["o"], "lang": ["en"], "none": [None]}), path)
    assert inspect_data(path).remarks == {"unread": {"lang": 1}}
    note = arrow.array([None, None], arrow.string())
    parquet.write_table(
        arrow.table({"instruction": ["i"] * 2, "output": ["o"] * 2, "lang": [None, "en"], "n": note}), path
    )
    assert inspect_data(path).remarks == {"unread": {"lang": 2}}
    parquet.write_table(arrow.table({"instruction": ["i"], "output": ["o"], "lang": ["en"]}), path)
    assert inspect_data(path).remarks == {"unread": {"lang": 1}}
    csv = tmp_path / "data.csv"
    csv.write_text("instruction,output,lang\ni,o,en\ni,o,\n")
    assert inspect_data(csv).remarks == {"unread": {"lang": 1}}


@pytest.mark.parametrize(
    ("role", "speaker", "said"),
    [("Human", "human", True), ("Assistant", "gpt", True), ("developer", "system", True), ("user", "human", False)],
)
def test_other_spellings_of_roles_are_taken_and_said(read, role, speaker, said):
    [record] = read([{"messages": [{"role": role, "content": "x"}]}])
    assert record.turns == (Turn(speaker, "x"),)
    assert record.remarks == ((("role", f"`{role}` is taken as {speaker}"),) if said else ())


@pytest.mark.parametrize(
    ("record", "what"),
    [
        ({"prompt": "p", "chosen": "a", "rejected": "b"}, "DPO"),
        ({"instruction": "p", "output": "a", "chosen": "a", "rejected": "b"}, "DPO"),
        ({"messages": [], "chosen": {}, "rejected": {}}, "DPO"),
        ({"prompt": "p", "completion": "a", "label": False}, "KTO"),
        ({**talk(), "label": True}, "KTO"),
        ({"prompt": "p", "completion": "a", "label": 0}, "KTO"),
        ({"prompt": "p", "response": "a", "label": "false"}, "KTO"),
        ({"instruction": "p", "output": "a", "kto_tag": True}, "KTO"),
    ],
)
def test_preference_data_is_refused_for_what_it_is(read, tmp_path, record, what):
    try:
        [bad] = read([record])
        reason = bad.reason
    except InvalidInputError as error:
        reason = error.message
    assert "preference data" in reason and what in reason


def test_preference_data_is_known_in_tables_as_well(tmp_path):
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    for label in (False, 0):
        path = tmp_path / "data.parquet"
        parquet.write_table(arrow.table({"prompt": ["p"], "completion": ["bad"], "label": [label]}), path)
        with pytest.raises(InvalidInputError, match="KTO"):
            list(read_records(path))
    csv = tmp_path / "data.csv"
    csv.write_text("prompt,completion,label\np,bad,False\n")
    [bad] = read_records(csv)
    assert "KTO" in bad.reason


def test_a_field_that_is_named_by_the_user_is_read(tmp_path):
    path = tmp_path / "data.json"
    turns = talk()["messages"]
    path.write_text(json.dumps([{"chosen": turns, "rejected": turns}]))
    [record] = read_records(path, {"conversations": "chosen"})
    assert isinstance(record, Conversation) and record.remarks == (("unread", "rejected"),)


def test_a_class_under_the_name_of_label_is_only_not_read(read):
    [record] = read([{**talk(), "label": "sports"}])
    assert isinstance(record, Conversation) and record.remarks == (("unread", "label"),)


def test_a_key_that_is_there_twice_with_other_values_is_refused(read):
    same = '{"instruction": "i", "output": "a", "output": "a"}\n'
    other = '{"instruction": "i", "output": "a", "output": "b"}\n'
    turn = '{"messages": [{"role": "user", "content": "a", "content": "b"}]}\n'
    taken, bad = read(same + other)
    assert isinstance(taken, Conversation)
    assert isinstance(bad, BadRecord) and bad.field == "output" and "twice" in bad.reason
    [bad] = read(turn)
    assert bad.field == "content" and "messages[0]" in bad.reason
    part = '{"messages": [{"role": "user", "content": [{"type": "text", "text": "A", "text": "B"}]}]}\n'
    lists = '{"messages": {"role": ["user"], "content": ["A"], "content": ["B"]}}\n'
    tools = '{"messages": [{"role": "user", "content": "a"}], "tools": [{"name": "f", "name": "g"}]}\n'
    for record in (part, lists, tools):
        [bad] = read(record)
        assert isinstance(bad, BadRecord) and "twice" in bad.reason, record


def test_numbers_of_tools_stay_what_they_are(read):
    number = "123456789012345678901234"
    text = '{"messages": [{"role": "user", "content": "a"}], "tools": [{"name": "f", "n": %s}]}\n'
    [record, bad] = read(text % number + text % "NaN")
    assert number in record.tools and isinstance(bad, BadRecord)


def test_marks_and_switches_that_mean_nothing_here_are_named(read):
    turns = [{"role": "user", "content": [{"type": "text", "text": "q", "cache": 1}], "train": True}]
    [record] = read([{"messages": [*turns, {"role": "assistant", "content": "a", "thinking": False}]}])
    assert sorted(name for _, name in record.remarks) == [
        "messages[].content[].cache", "messages[].thinking", "messages[].train of a turn that is no answer",
    ]  # fmt: skip


def test_a_dict_of_lists_is_read_as_turns(read):
    [record] = read([{"conversations": {"from": ["human", "gpt"], "value": ["q", "a"]}}])
    assert record.turns == (Turn("human", "q"), Turn("gpt", "a"))
    [bad] = read([{"conversations": {"from": ["human"], "value": ["q", "a"]}}])
    assert "an object, not a list" in bad.reason


def test_what_is_kept_is_written_and_read_again(sft, tmp_path):
    data, made = tmp_path / "data.json", tmp_path / "conversations.json"
    tools = [{"type": "function", "function": {"name": "f"}}]
    data.write_text(json.dumps([{**talk(weight=0, reasoning_content="hm"), "tools": tools, "extra": 1}]))
    result = sft("convert-alpaca", "--data_path", data, "--output_path", made, "--json")
    assert result.returncode == 0 and json.loads(result.stdout)["remarks"]["unread"] == {"extra": 1}
    [before], [after] = read_records(data), read_records(made)
    assert (before.turns, before.tools) == (after.turns, after.tools)
    assert not [name for kind, name in after.remarks if kind == "unread"]
    assert inspect_source(made).first.turns[1].trained is False


def test_unread_fields_are_named_refused_or_ignored(sft, tmp_path):
    data, made = tmp_path / "data.json", tmp_path / "conversations.json"
    data.write_text(json.dumps([{**talk(), "images": ["a.png"]}] * 3))
    flags = ("convert-alpaca", "--data_path", data, "--output_path", made)
    warned = sft(*flags)
    assert warned.returncode == 0 and warned.stderr.count("`images` is not read: 3 records.") == 1
    assert "images" not in sft(*flags, "--on_unread", "ignore").stderr
    made.unlink()
    refused = sft(*flags, "--on_unread", "fail")
    assert refused.returncode == 2 and "record 1" in refused.stderr and "`images`" in refused.stderr
    assert not made.exists()
