#!/usr/bin/env python3
"""List what each version's source tree of MindFormers has for training and for running a model.

    make_mindformers_trees.py CLONE > mindformers_trees.json

CLONE is a git clone of mindspore-ai/mindformers with its tags.
"""
import json
import re
import subprocess
import sys

TAGS = {"1.2": "v1.2.0", "1.3": "v1.3.2", "1.6": "v1.6.0", "1.7": "v1.7.0", "1.8": "v1.8.0", "1.9": "v1.9.0"}
TRAINING = re.compile(r"(configs|research)/.*/(finetune|pretrain|run)_[^/]*\.yaml")
NETWORK = re.compile(r"(mindformers/models|research)/.*/?modeling_\w+\.py")
FAMILY = re.compile(r"llama|qwen|gpt2|glm4|deepseek", re.IGNORECASE)

trees = {}
for version, tag in TAGS.items():
    listing = ["git", "-C", sys.argv[1], "ls-tree", "-r", "--name-only", tag]
    names = subprocess.run(listing, check=True, capture_output=True, text=True).stdout.split("\n")
    trees[version] = [n for n in names if (TRAINING.fullmatch(n) or NETWORK.fullmatch(n)) and FAMILY.search(n)]
print(json.dumps(trees, indent=0))
