"""A new model family touches two files, a new release of MindFormers one: tried in a copy of the package."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest

from sft_tui.paths import PACKAGE_DIR

FAMILY = '''"""Made up for a test: Llama's network under another name."""

from __future__ import annotations

from dataclasses import replace

from sft_tui.families.family import PublishedModel
from sft_tui.families.llama import LLAMA

MADE_UP = replace(
    LLAMA,
    name="made_up",
    title="Made-up",
    about="for a test",
    architectures=("MadeUpForCausalLM",),
    published=(PublishedModel("Made-up 1B", "nobody/Made-up-1B", 1.0, 2.0, 4096),),
)
'''
# what the program makes of the family and the release, without another line of code for them
LOOK = """
import dataclasses, json, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
import sft_tui
assert sft_tui.__path__[0].startswith(sys.argv[1]), sft_tui.__path__
from sft_tui.checkpoint.convert import convert_weight
from sft_tui.checkpoint.inspect.report import inspect_checkpoint
from sft_tui.core.facts import EnvironmentFacts, Facts
from sft_tui.core.profile import Profile, Model
from sft_tui.core.profile_problems import validate_profile
from sft_tui.families.catalogue import CATALOGUE
from sft_tui.launch.plan.steps import build_plan
from sft_tui.stack.releases import KNOWN, find_release
from sft_tui.stack.routes import choose_route, weight_needs
from sft_tui.stack.verdict import judge
folder, family, version = Path(sys.argv[2]), sys.argv[3], sys.argv[4]
report = inspect_checkpoint(folder)
data = {"name": "p", "model": {"hf_dir": str(folder), "family": family}, "environment": {"work_dir": "/w"},
        "dataset": {"train_path": "/d.json", "seq_length": 128}}
profile, problems = validate_profile(data)
environment = EnvironmentFacts("/env/python", mindformers_version=version, release=find_release(version),
                               packages={"mindspore": "9.9.1"}, msrun="/env/msrun")
found = {
    "problems": [p.message for p in (*report.problems, *problems)],
    "model_type": report.model_type, "parameters": report.parameters,
    "route": choose_route(family, version).route, "needs": weight_needs(family, version),
    "offered": Model.model_fields["family"].description, "catalogue": [name for name, _ in CATALOGUE],
    "known": KNOWN, "verdicts": [str(v) for v in judge(environment)],
}
if profile is not None and environment.release is not None and report.config is not None:
    facts = Facts(("/own",), ("/t",), "/pkg", environment, report.config, "/t.model", 100, 5)
    plan = build_plan(profile, facts)
    found["train"] = next(file.text for file in plan.files if file.path.endswith("train.yaml"))
    found["argv"] = list(plan.step("convert-weight").argv)
print(json.dumps(found))
"""


@pytest.fixture
def copy(tmp_path):
    """The package in another folder; `changed()` counts the files that differ from ours."""
    target = tmp_path / "copy" / "sft_tui"
    shutil.copytree(PACKAGE_DIR, target, ignore=shutil.ignore_patterns("__pycache__"))

    class Copy:
        root = target.parent

        def write(self, name, text):
            (target / name).write_text(text, encoding="utf-8")

        def replace(self, name, old, new):
            text = (target / name).read_text(encoding="utf-8")
            assert text.count(old) == 1, f"{name} has {old!r} {text.count(old)} times"
            self.write(name, text.replace(old, new))

        def changed(self):
            files = {p.relative_to(target) for p in target.rglob("*.py")}
            ours = {p.relative_to(PACKAGE_DIR) for p in PACKAGE_DIR.rglob("*.py")}
            same = {p for p in files & ours if (target / p).read_bytes() == (PACKAGE_DIR / p).read_bytes()}
            return sorted(str(p) for p in (files | ours) - same)

        def look(self, folder, family, version):
            done = subprocess.run(
                [sys.executable, "-c", LOOK, str(self.root), str(folder), family, version],
                capture_output=True, text=True, cwd="/", check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            return json.loads(done.stdout)

    return Copy()


def rename(folder):
    config = json.loads((folder / "config.json").read_text())
    config.update(model_type="made_up", architectures=["MadeUpForCausalLM"])
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_a_family_is_a_module_and_a_line(copy, make_llama):
    folder = rename(make_llama())
    before = copy.look(folder, "made_up", "1.7.0")
    assert before["problems"] and before["route"] is None  # it is not known yet
    copy.write("families/made_up.py", FAMILY)
    copy.replace("families/table.py", "LLAMA, QWEN2,", "LLAMA, MADE_UP, QWEN2,")
    copy.replace(
        "families/table.py", "from sft_tui.families.llama import LLAMA\n",
        "from sft_tui.families.llama import LLAMA\nfrom sft_tui.families.made_up import MADE_UP\n",
    )  # fmt: skip
    assert copy.changed() == ["families/made_up.py", "families/table.py"]
    found = copy.look(folder, "made_up", "1.7.0")
    assert found["problems"] == [] and found["model_type"] == "made_up" and found["parameters"] > 0
    assert (found["route"], found["needs"]) == ("checkpoint", {"1.7.0": "ckpt"})
    assert "made_up: for a test." in found["offered"] and "made_up" in found["catalogue"]
    assert "type: LlamaForCausalLM" in found["train"] and "made_up" in found["argv"]


def test_a_release_is_a_line(copy, make_llama):
    folder = make_llama()
    assert copy.look(folder, "llama", "9.9.0")["route"] is None
    row = 'Release("9.9", ("9.9",), "99.0", "99.1", "NewAdam", betas_as_list=True, renamed={"theta": "rope"}),\n)'
    copy.replace("stack/releases.py", ")  # fmt: skip\nVERSIONS", f"    {row}  # fmt: skip\nVERSIONS")
    assert copy.changed() == ["stack/releases.py"]
    found = copy.look(folder, "llama", "9.9.0")
    assert found["route"] == "checkpoint" and "9.9 (with MindSpore 9.9)" in found["known"]
    assert found["verdicts"] == ["MindFormers 9.9.0: fits", "MindSpore 9.9.1: fits"]
    assert "type: NewAdam" in found["train"]
    # families of the direct route are trained from a release on, so by this one too
    assert copy.look(folder, "qwen3", "9.9.0")["needs"] == {"9.9.0": "folder"}
