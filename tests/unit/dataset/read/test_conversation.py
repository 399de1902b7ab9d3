from __future__ import annotations

import pytest

from sft_tui.errors import InvalidInputError
from tests.unit.dataset.rows import read_conversations


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ("text", "a string, not an object"),
        ({"instruction": "a", "output": "b"}, "run convert-alpaca"),
        ({"id": "1", "turns": []}, "no field `conversations`; its fields: `id`, `turns`"),
        ({"id": [], "conversations": []}, "`id` is a list"),
        ({"id": "1", "conversations": {}}, "`conversations` is an object"),
        ({"id": "1", "conversations": []}, "empty list"),
        ({"id": "1", "conversations": ["a"]}, r"conversations[0] is a string"),
        ({"id": "1", "conversations": [{"value": "a"}]}, r"conversations[0] has no field `from`"),
        ({"id": "1", "conversations": [{"from": "human", "value": 1}]}, "`conversations[0].value` is a number"),
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
