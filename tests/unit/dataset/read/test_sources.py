from __future__ import annotations

import csv
import json
import random
import sys
import tracemalloc

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_tui.dataset.read.bad_record import BadRecord
from sft_tui.dataset.read.conversation import PROMPT_WITHOUT_INPUT, Conversation, Turn
from sft_tui.dataset.read.sources import inspect_source, parse_columns, read_records
from sft_tui.errors import EnvironmentNotFitError, InvalidInputError

GOOD = {"instruction": "Say hello.", "input": "", "output": "Hello!"}
# csv cannot hold a zero byte; every other character must come through
text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
alpaca = st.fixed_dictionaries({"instruction": text.filter(str.strip), "input": text, "output": text})


def write(path, records):
    """The records as a file of the kind that its name says."""
    if path.suffix == ".json":
        path.write_text(json.dumps(records), encoding="utf-8")
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records), encoding="utf-8")
    elif path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(records), path, row_group_size=3)
    else:
        with path.open("w", encoding="utf-8-sig", newline="") as stream:
            writer = csv.DictWriter(stream, list(records[0]))
            writer.writeheader()
            writer.writerows(records)
    return path


def message_of(path, columns=None):
    with pytest.raises(InvalidInputError) as caught:
        list(read_records(path, columns))
    assert str(path) in caught.value.message
    assert caught.value.hint
    return str(caught.value)


def bad_of(path, columns=None):
    found = [entry for entry in read_records(path, columns) if isinstance(entry, BadRecord)]
    assert all(entry.hint and entry.path == str(path) for entry in found)
    return found


@given(st.lists(alpaca, min_size=1, max_size=5))
def test_the_same_records_are_the_same_in_every_kind_of_file(tmp_path_factory, records):
    folder = tmp_path_factory.mktemp("kinds")
    expected = list(read_records(write(folder / "in.json", records)))
    assert [entry.turns[-1].text for entry in expected] == [record["output"] for record in records]
    for suffix in ("jsonl", "csv", "parquet"):
        assert list(read_records(write(folder / f"in.{suffix}", records))) == expected
    sharegpt = [
        {"conversations": [{"from": {"human": "human", "gpt": "gpt"}[t.speaker], "value": t.text} for t in c.turns]}
        for c in expected
    ]
    openai = [
        {"messages": [{"role": {"human": "user", "gpt": "assistant"}[t.speaker], "content": t.text} for t in c.turns]}
        for c in expected
    ]
    for name, layout in (("sharegpt", sharegpt), ("openai", openai)):
        for suffix in ("json", "jsonl", "parquet"):
            assert list(read_records(write(folder / f"{name}.{suffix}", layout))) == expected


def test_rounds_system_turns_and_the_names_of_speakers(tmp_path):
    turns = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "model", "content": "Hello"},
        {"role": "user", "content": "Bye"},
        {"role": "assistant", "content": "Bye!"},
    ]
    expected = (
        Turn("system", "Be brief."),
        Turn("human", "Hi"),
        Turn("gpt", "Hello"),
        Turn("human", "Bye"),
        Turn("gpt", "Bye!"),
    )
    beside = {"system": "Be brief.", "conversations": [{"from": t["role"], "value": t["content"]} for t in turns[1:]]}
    records = [{"id": "a", "messages": turns}, {"id": 7, "messages": turns}]
    assert list(read_records(write(tmp_path / "a.json", records))) == [
        Conversation(1, "a", expected),
        Conversation(2, "7", expected),
    ]
    assert [c.turns for c in read_records(write(tmp_path / "b.parquet", [beside]))] == [expected]


@pytest.mark.parametrize(
    ("turn", "field", "words"),
    [
        ({"role": "critic", "content": "1"}, "messages[1].role", "from `critic`"),
        ({"role": "assistant", "content": "1", "weight": 0.5}, "messages[1].weight", "`weight` 0.5"),
        ({"role": "assistant", "content": "1", "train": "no"}, "messages[1].train", "a string"),
        ({"role": "assistant", "content": "1", "tool_calls": "f()"}, "messages[1].tool_calls", "a string, not a list"),
        ({"role": "assistant", "content": None}, "messages[1].content", "is null"),
        ({"role": "assistant", "content": [{"type": "image_url"}]}, "messages[1].content", "the type `image_url`"),
        ({"role": "assistant"}, "messages[1].content", "no field `content`"),
        ({"content": "a"}, "messages[1].from", "no field `from`"),
        ({"role": "assistant", "content": "\ud83d"}, "messages[1].content", "half a character"),
        ("a", "messages[1]", "a string, not an object"),
    ],
)
def test_a_turn_that_cannot_be_used_is_a_bad_record(tmp_path, turn, field, words):
    good = {"role": "user", "content": "Hi"}
    path = write(tmp_path / "a.json", [{"messages": [good, turn]}, {"messages": [good]}])
    (bad,) = bad_of(path)
    assert (bad.number, bad.field) == (1, field)
    assert words in bad.reason
    assert len(list(read_records(path))) == 2


def test_a_system_text_and_a_history_come_first(tmp_path):
    record = {**GOOD, "system": "Be brief.", "history": [["Hi", "Hello"]]}
    (conversation,) = read_records(write(tmp_path / "a.json", [record]))
    assert conversation.turns == (
        Turn("system", "Be brief."),
        Turn("human", PROMPT_WITHOUT_INPUT.format(instruction="Hi")),
        Turn("gpt", "Hello"),
        Turn("human", PROMPT_WITHOUT_INPUT.format(instruction="Say hello.")),
        Turn("gpt", "Hello!"),
    )
    assert list(read_records(write(tmp_path / "a.parquet", [record]))) == [conversation]


@pytest.mark.parametrize(
    ("more", "field", "words"),
    [
        ({"output": None}, "output", "is null"),
        ({"output": 1}, "output", "a number"),
        ({"output": "\ud800"}, "output", r"\ud800"),
        ({"instruction": " "}, "instruction", "empty"),
        ({"input": {}}, "input", "an object"),
        ({"history": "a"}, "history", "a string"),
        ({"history": [["a"]]}, "history", "a pair"),
        ({"history": [["a", None]]}, "history[0]", "is null"),
        ({"system": 1}, "system", "a number"),
    ],
)
def test_a_field_that_cannot_be_used_is_a_bad_record(tmp_path, more, field, words):
    path = write(tmp_path / "a.json", [GOOD, {**GOOD, **more}, GOOD])
    (bad,) = bad_of(path)
    assert (bad.number, bad.field) == (2, field)
    assert words in bad.reason
    assert [entry.number for entry in read_records(path)] == [1, 2, 3]


def test_names_in_messages_are_few_short_and_printable(tmp_path):
    path = write(tmp_path / "a.json", [GOOD, {"\ud800" * 500: 1, **{str(n): n for n in range(5000)}}])
    (bad,) = bad_of(path)
    assert len(bad.reason.encode("utf-8")) < 1000
    assert "more" in bad.reason


@pytest.mark.parametrize("suffix", ["json", "jsonl", "csv", "parquet"])
def test_columns_are_mapped(tmp_path, suffix):
    records = [{"q": "Say hello.", "input": "not this", "ctx": "to Bob", "a": "Hello!"}]
    path = write(tmp_path / f"a.{suffix}", records)
    columns = parse_columns("instruction=q, input=ctx ,output=a")
    (conversation,) = read_records(path, columns)
    assert "### Input:\nto Bob\n" in conversation.turns[0].text
    source = inspect_source(path, columns)
    assert (source.container, source.layout, source.guessed, source.first) == (suffix, "alpaca", False, conversation)
    assert source.columns == {"instruction": "q", "input": "ctx", "output": "a"}
    message = message_of(path, {"instruction": "q", "output": "answer"})
    assert "no column `answer`; its columns: `q`, `input`, `ctx`, `a`" in message


def test_one_name_serves_one_field(tmp_path):
    path = write(tmp_path / "a.json", [{"input": "Say hello.", "output": "Hello!"}])
    (conversation,) = read_records(path, {"instruction": "input"})
    assert conversation.turns[0].text == PROMPT_WITHOUT_INPUT.format(instruction="Say hello.")


@pytest.mark.parametrize("suffix", ["json", "csv", "parquet"])
def test_well_known_names_are_guessed_and_said(tmp_path, suffix):
    path = write(tmp_path / f"a.{suffix}", [{"instruction": "a", "context": "b", "response": "c", "category": "d"}])
    source = inspect_source(path)
    assert source.guessed
    assert source.columns == {"instruction": "instruction", "input": "context", "output": "response"}
    assert source.first.turns[1].text == "c"
    assert not inspect_source(write(tmp_path / f"b.{suffix}", [GOOD])).guessed


def test_nothing_is_guessed_where_our_names_are_there(tmp_path):
    path = write(tmp_path / "a.csv", [{"instruction": "a", "context": "b", "output": "c", "history": "[]"}])
    source = inspect_source(path)
    assert (source.guessed, source.columns) == (False, {"instruction": "instruction", "output": "output"})
    assert source.first.turns[0].text == PROMPT_WITHOUT_INPUT.format(instruction="a")


def test_two_names_that_could_be_meant_are_not_guessed(tmp_path):
    path = write(tmp_path / "a.json", [{"prompt": "a", "question": "b", "answer": "c"}])
    assert "`prompt`, `question` could each be the instruction" in message_of(path)
    assert "no record has a field `output`" in message_of(write(tmp_path / "b.json", [{"prompt": "a", "text": "b"}]))


def test_a_field_may_come_later_in_json(tmp_path):
    records = [{"instruction": "a", "output": "b"}] * 150 + [{**GOOD, "input": "late"}]
    assert "late" in list(read_records(write(tmp_path / "a.json", records)))[-1].turns[0].text


@pytest.mark.parametrize("text", ["instruction", "instruction=", "name=a", "output=a,output=b", "=a"])
def test_columns_that_cannot_be_understood(text):
    with pytest.raises(InvalidInputError, match="cannot be understood"):
        parse_columns(text)


def test_no_columns_are_none():
    assert parse_columns("") == {}


@pytest.mark.parametrize("suffix", ["json", "jsonl", "csv", "parquet"])
def test_a_name_given_is_looked_for_at_once(tmp_path, suffix):
    with pytest.raises(InvalidInputError):
        read_records(write(tmp_path / f"a.{suffix}", [GOOD]), {"output": "answer"})


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", b"a;b\n1;2\n", ["no column `instruction`", "separated by `;`"]),
        ("a.csv", b"Say hello.,Hello!\n", ["no column `instruction`; its columns: `Say hello.`, `Hello!`"]),
        ("a.csv", b",,\n", ["no header"]),
        ("a.csv", b"output,output\n", ["two columns of one name: `output`"]),
        ("a.csv", b'instruction,output\n"a"x,b\n', ["not valid CSV", "line 2"]),
        ("a.csv", b'instruction,output\na,b\n"a,b\n', ["not valid CSV", "line 3 after record 1"]),
        ("a.csv", b"instruction,output\na,b\n\0,b\n", ["line 3 after record 1", "zero byte"]),
        ("a.csv", b"instruction,output\na,\xff\n", ["UTF-8", "byte 21"]),
        ("a.parquet", b"PAR1" + bytes(40) + b"PAR1", ["could not be read as Parquet"]),
        ("a.parquet", b"PAR1", ["could not be read as Parquet"]),
        ("a.json", b"just words", ["not valid JSON", "neither a list nor an object"]),
    ],
)
def test_a_file_that_is_wrong_as_such(tmp_path, name, content, words):
    path = tmp_path / name
    path.write_bytes(content)
    message = message_of(path)
    assert [word for word in words if word not in message] == []


def test_a_row_of_csv_with_other_cells_is_a_bad_record(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b'instruction,output\na,b\nc\n\n"d, e",f,g\n"h\n\r\ni","j ""k"""\n')
    assert [(bad.number, bad.reason[:11]) for bad in bad_of(path)] == [(2, "has 1 cells"), (3, "has 3 cells")]
    last = list(read_records(path))[-1]
    assert (last.number, last.turns[1].text) == (4, 'j "k"')
    assert "h\n\r\ni" in last.turns[0].text


def test_a_text_of_parquet_that_is_not_utf8_is_a_bad_record(tmp_path):
    column = pa.array([b"good", b"\xff", b"good"], pa.binary()).view(pa.string())
    table = pa.table({"instruction": ["a", "b", "c"], "output": column})
    pq.write_table(table, tmp_path / "a.parquet")
    (bad,) = bad_of(tmp_path / "a.parquet")
    assert (bad.number, bad.field) == (2, "output")
    numbers = pa.table({"instruction": ["a"], "output": pa.array([b"b"], pa.binary())})
    pq.write_table(numbers, tmp_path / "b.parquet")
    (bad,) = bad_of(tmp_path / "b.parquet")
    assert "type bytes" in bad.reason


def test_a_large_text_of_parquet_is_an_error(tmp_path):
    pq.write_table(pa.table({"instruction": ["a", "b"], "output": ["c", "d" * 50_000_000]}), tmp_path / "a.parquet")
    assert "record 2 is larger than 32 MB" in message_of(tmp_path / "a.parquet")


@pytest.mark.parametrize("suffix", ["json", "jsonl", "csv", "parquet"])
def test_a_file_without_records(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    if suffix == "parquet":
        pq.write_table(pa.table({"instruction": pa.array([], pa.string()), "output": pa.array([], pa.string())}), path)
    else:
        path.write_text({"json": "[]", "jsonl": "\n", "csv": "instruction,output\n"}[suffix], encoding="utf-8")
    if suffix != "jsonl":
        assert list(read_records(path)) == []
    with pytest.raises(InvalidInputError, match=r"holds no record|is empty"):
        inspect_source(path)


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_memory_does_not_grow_with_the_file(tmp_path, suffix):
    path = write(tmp_path / f"a.{suffix}", [{**GOOD, "output": f"{number} " * 200} for number in range(10_000)])
    next(read_records(path))
    tracemalloc.start()
    assert sum(1 for _ in read_records(path)) == 10_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4_000_000


def test_a_row_group_as_large_as_the_file_is_not_read_at_once(tmp_path):
    chance = random.Random(1)
    answers = [chance.randbytes(1000).hex() for _ in range(10_000)]
    table = pa.table({"instruction": ["a"] * len(answers), "output": answers})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=len(answers), compression="NONE")
    del table
    before, most = pa.total_allocated_bytes(), 0
    for _ in read_records(tmp_path / "a.parquet"):
        most = max(most, pa.total_allocated_bytes() - before)
    assert (tmp_path / "a.parquet").stat().st_size > 20_000_000
    assert most < 6_000_000


def test_what_pyarrow_19_0_0_cannot_read_is_not_called_spoilt(golden):
    if pa.__version__ != "19.0.0":
        assert len(list(read_records(golden / "pyarrow_26.parquet"))) == 1
        return
    with pytest.raises(EnvironmentNotFitError, match=r"pyarrow 19.0.0 cannot read"):
        list(read_records(golden / "pyarrow_26.parquet"))


def test_parquet_without_pyarrow_says_what_to_install(tmp_path, monkeypatch):
    path = write(tmp_path / "a.parquet", [GOOD])
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(EnvironmentNotFitError) as caught:
        list(read_records(path))
    assert "pip install 'sft-tui[parquet]'" in caught.value.hint
