#!/usr/bin/env python3
"""List what each version's source tree of MindFormers has for training and for running a model.

    make_mindformers_trees.py CLONE 2.1=WHEEL > mindformers_trees.json

CLONE is a git clone of mindspore-ai/mindformers with its tags and the branch r2.0.0; of 2.1 there is the wheel alone,
which lacks research/.
"""
import json
import re
import subprocess
import sys
import zipfile

TAGS = {"1.2": "v1.2.0", "1.3": "v1.3.2", "1.6": "v1.6.0", "1.7": "v1.7.0", "1.8": "v1.8.0", "1.9": "v1.9.0",
        "2.0": "r2.0.0"}
TRAINING = re.compile(r"(configs|research)/.*/(finetune|pretrain|run)_[^/]*\.yaml")
# llama.py: the class of the first generation, which trains Llama and, with biases, Qwen2
NETWORK = re.compile(r"(mindformers/models|research)/.*/?modeling_\w+\.py|mindformers/models/llama/llama\.py")
FAMILY = re.compile(r"llama|qwen|gpt2|glm4|deepseek", re.IGNORECASE)

listings = {}
for version, tag in TAGS.items():
    listing = ["git", "-C", sys.argv[1], "ls-tree", "-r", "--name-only", tag]
    listings[version] = subprocess.run(listing, check=True, capture_output=True, text=True).stdout.split("\n")
for word in sys.argv[2:]:
    version, _, wheel = word.partition("=")
    with zipfile.ZipFile(wheel) as file:
        listings[version] = file.namelist()
trees = {}
for version, names in listings.items():
    trees[version] = [n for n in names if (TRAINING.fullmatch(n) or NETWORK.fullmatch(n)) and FAMILY.search(n)]
print(json.dumps(trees, indent=0))
