"""Spoilt data files for `fuzz_readers`: JSON lists, JSON Lines, CSV and Parquet, in all layouts that we read."""

from __future__ import annotations

import csv
import io
import json
import random
import re
from functools import cache
from pathlib import Path
from typing import Callable, Dict, List, Tuple

from sft_tui.dataset.read.bad_record import BadRecord
from sft_tui.dataset.read.sources import read_records

STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
Spoil = Callable[[random.Random, bytes], bytes]
ALPACA: List[Dict[str, object]] = [
    {"instruction": "Say hello.", "input": "", "output": "Hello!"},
    {"instruction": "Zählen, bitte.", "input": "eins\r\nzwei", "output": 'drei "3" 😀'},
    {"instruction": "你好", "input": "a,b", "output": "\t\\ \u2028"},
    {"instruction": "Again.", "input": "x" * 50, "output": ""},
]
TURNS = [
    {"from": "system", "value": "Be brief."},
    {"from": "human", "value": "Hi 😀"},
    {"from": "gpt", "value": "Hello"},
]
SHAREGPT: List[Dict[str, object]] = [{"id": "a", "conversations": TURNS}, {"id": "b", "conversations": TURNS[1:]}]
OPENAI: List[Dict[str, object]] = [{"messages": [{"role": t["from"], "content": t["value"]} for t in TURNS]}] * 3
GUESSED: List[Dict[str, object]] = [{"prompt": r["instruction"], "completion": r["output"], "n": 1} for r in ALPACA]
MORE: List[Dict[str, object]] = [{**r, "system": "s", "history": [["q", "a"], ["q", "a"]]} for r in ALPACA]
LAYOUTS = [ALPACA, SHAREGPT, OPENAI, GUESSED, MORE]
# What somebody may have put where a text belongs, as it stands in JSON.
ODD = [
    "null", "true", "-1", "1e999", "NaN", "-Infinity", "9" * 5000, '"\\ud800"', '"\\udc00\\ud800"', '"\\u0000"', "[]",
    "{}", "[" * 3000, "{" * 50, '{"a":' * 1200, '[["a"]]', '["a", "b"]', '"', "", "'a'", "\ufeff", '"human"',
]  # fmt: skip


def json_list(chance: random.Random, spoil: Spoil) -> bytes:
    text = json.dumps(chance.choice(LAYOUTS), ensure_ascii=chance.random() < 0.5, indent=chance.choice([None, 1]))
    return spoilt_json(chance, text, spoil)


def json_lines(chance: random.Random, spoil: Spoil) -> bytes:
    is_ascii = chance.random() < 0.5
    lines = [json.dumps(record, ensure_ascii=is_ascii) for record in chance.choice(LAYOUTS)]
    return spoilt_json(chance, "\n".join(lines) + "\n", spoil)


def spoilt_json(chance: random.Random, text: str, spoil: Spoil) -> bytes:
    """Bytes changed, or a value replaced by an odd one, or both."""
    kind = chance.randrange(3)
    if kind:
        begin, end = chance.choice([match.span() for match in STRING.finditer(text)])
        text = text[:begin] + chance.choice(ODD) + text[end:]
    data = text.encode("utf-8", "surrogatepass")
    return data if kind == 1 else spoil(chance, data)


def csv_rows(chance: random.Random, spoil: Spoil) -> bytes:
    records = chance.choice([ALPACA, GUESSED])
    out = io.StringIO(newline="")
    quoting = chance.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
    writer = csv.DictWriter(out, list(records[0]), quoting=quoting, lineterminator=chance.choice(["\n", "\r\n", "\r"]))
    writer.writeheader()
    writer.writerows(records)
    text = out.getvalue()
    for _ in range(chance.randrange(4)):
        at = chance.randrange(len(text))
        text = text[:at] + chance.choice(['"', ",", "\n", "\r", '""', "\0", ";", "\ufeff", '",', "\n\n"]) + text[at:]
    data = text.encode(chance.choice(["utf-8", "utf-8", "utf-8", "utf-8-sig", "gb18030", "utf-16"]))
    return spoil(chance, data) if chance.random() < 0.5 else data


PAGES = [("NONE", False, "1.0"), ("SNAPPY", True, "2.0"), ("ZSTD", True, "1.0")]


@cache
def sound_parquet() -> Tuple[bytes, ...]:
    """Files of every layout, packed and plain, with and without dictionaries and pages of their own kind."""
    import pyarrow as pa  # here, so that other kinds are fed without its memory
    import pyarrow.parquet as pq

    made = []
    for records in [*LAYOUTS, [{**r, "output": str(n) * n} for n in range(60) for r in ALPACA]]:
        table = pa.Table.from_pylist(records)
        for compression, dictionary, version in PAGES:
            out = io.BytesIO()
            pq.write_table(
                table, out, compression=compression, use_dictionary=dictionary, data_page_version=version,
                row_group_size=len(records) // 2,
            )  # fmt: skip
            made.append(out.getvalue())
    return tuple(made)


def parquet(chance: random.Random, spoil: Spoil) -> bytes:
    data = chance.choice(sound_parquet())
    if chance.random() < 0.5:  # numbers and bytes changed in their places, so that the reader gets further
        changed = bytearray(data)
        for _ in range(chance.randint(1, 4)):
            changed[chance.randrange(4, len(data) - 8)] = chance.choice([0, 1, 127, 128, 255, chance.randrange(256)])
        return bytes(changed)
    data = spoil(chance, data)
    # The content decides what is read: most files have to look like Parquet still.
    return b"PAR1" + data[4:-4] + b"PAR1" if chance.random() < 0.8 else data


def read_data(path: Path) -> List[object]:
    """Read a whole file; what UTF-8 cannot hold must have been refused."""
    for entry in read_records(path):
        texts = (entry.reason, entry.field) if isinstance(entry, BadRecord) else (t.text for t in entry.turns)
        for text in texts:
            text.encode("utf-8")
    return []


# the name of a file of that kind, and what makes one
DATA: List[Tuple[str, Callable[[random.Random, Spoil], bytes]]] = [
    (".json", json_list),
    (".jsonl", json_lines),
    (".csv", csv_rows),
    (".parquet", parquet),
]
