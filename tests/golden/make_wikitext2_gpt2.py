#!/usr/bin/env python3
"""Let MindFormers 1.3.2 make rows of small texts in the manner of WikiText-2, with its own script for GPT-2.

    make_wikitext2_gpt2.py wikitext2_data_process.py

From the project's folder, under an interpreter with MindFormers 1.3.2 and MindSpore. The script is the one of the
source tree at v1.3.2 (mindformers/tools/dataset_preprocess/gpt2), which no wheel holds. The texts are invented. The
tokenizer is a byte-level BPE with GPT-2's own way to cut words, trained on the texts: vocab.json and merges.txt for the
script, tokenizer.json, which says the same, for us.
"""
import json
import pathlib
import runpy
import sys
import tempfile

import mindformers
from mindformers.models.gpt2.gpt2_tokenizer import GPT2Tokenizer
from mindspore.mindrecord import FileReader

from sft_tui.demo.toy_bpe import train_bpe

HERE = pathlib.Path(__file__).parent / "wikitext2_gpt2"
MAX_LENGTH = 33
END = "<|endoftext|>"
PLAIN = """ 
 = The Lamp of Ostra = 
 
 The Lamp of Ostra ( Estonian : <unk> ) is a harbour light @-@ house , built in 1 @,@ 874 . It stands 3 @.@ 5 km
 south of the town 's market ; sailors call it " the old candle " . 
 At 59 \u00b0 N the sun hardly sets : in June , they say , ' nobody lights it ' ! Is it so ? 
 
 = = History = = 
 
 The first keeper , <unk> Tamm , kept a diary [ now lost ] and { perhaps } a cat . The dogs ' house burnt down . 
 
 = = = The storm of 1901 = = = 
 
 \u4e00\u4e5d\u96f6\u4e00\u5e74\u7684\u98ce\u66b4\u6bc1\u4e86\u706f\u5854 \u3002 It was rebuilt within 40 days , at the cost of $ 2 @,@ 000 . 
 
 = Salt Road = 
 
 The Salt Road is a path of 120 km . Its inns , mills and chapels are described by several authors . 
 Mules carried salt , iron and cloth ; on the way back they carried wine . 
 
 = = Route = = 
 
 From the coast it climbs to the pass , at 1 @,@ 240 m , and then falls to the valley of the <unk> . 
 This is the last passage , and nobody will find it in the rows of the script .
"""  # noqa: W291
TEXTS = {
    "plain": PLAIN,
    "tabs": PLAIN.replace("on the way back", "on the\tway\tback"),
    "one_tab": PLAIN.replace("on the way back", "on the\tway back"),
}


def write_tokenizer(folder: pathlib.Path, made: pathlib.Path) -> None:
    words, merges = train_bpe([PLAIN], 420)
    end = len(words)
    (folder / "vocab.json").write_text(json.dumps({**words, END: end}))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{merge}\n" for merge in merges))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "GPT2Tokenizer"}))
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    bytes_ = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": True}
    model = {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": "",
             "end_of_word_suffix": "", "fuse_unk": False, "byte_fallback": False, "vocab": words, "merges": merges}
    tokenizer = {"version": "1.0", "truncation": None, "padding": None,
                 "added_tokens": [{"id": end, "content": END, **plain}], "normalizer": None, "pre_tokenizer": bytes_,
                 "post_processor": bytes_, "decoder": bytes_, "model": model}
    (made / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False))
    (made / "tokenizer_config.json").write_text(json.dumps({"bos_token": END, "eos_token": END, "unk_token": END}))


def rows_of(script: str, text: pathlib.Path, tokenizer: pathlib.Path, out: pathlib.Path) -> list:
    mindformers.AutoTokenizer.from_pretrained = lambda _name: GPT2Tokenizer.from_pretrained(str(tokenizer))
    sys.argv = [script, "--input_file", str(text), "--output_file", str(out), "--max_length", str(MAX_LENGTH)]
    runpy.run_path(script, run_name="__main__")
    reader = FileReader(str(out))
    rows = [{name: values.tolist() for name, values in row.items()} for row in reader.get_next()]
    reader.close()
    return rows


def main(script: str) -> None:
    HERE.mkdir(exist_ok=True)
    made = {}
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        write_tokenizer(folder, HERE)
        for case, text in TEXTS.items():
            (HERE / f"{case}.tokens").write_text(text, encoding="utf-8")
            made[case] = rows_of(script, HERE / f"{case}.tokens", folder, folder / f"{case}.mindrecord")
    (HERE / "rows.json").write_text(json.dumps({"max_length": MAX_LENGTH, "rows": made}) + "\n")


main(sys.argv[1])
