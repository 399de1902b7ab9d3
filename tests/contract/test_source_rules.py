"""Rules of the architecture that an import linter cannot see."""

import ast
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "sft_tui"
MODULES = sorted(PACKAGE.rglob("*.py"))
MAY_USE_SUBPROCESS = ("jobs/process.py", "monitor/", "stack/", "cluster/ssh.py")
# the runner sets what MindFormers reads, hf_tokenizer what the library `tokenizers` does
MAY_READ_ENVIRONMENT = ("paths.py", "launch/runtime/runner.py", "dataset/tokenizer/hf.py")
MAY_IMPORT_MINDSPORE = ("dataset/mindrecord/file.py", "checkpoint/verify.py", "launch/runtime/runner.py")
# imported by MindFormers itself, or by the runner under its interpreter
LOADED_BY_MINDFORMERS = ("launch/runtime/cpu/", "launch/runtime/direct/", "launch/runtime/networks/")
# files/ writes whole files; what else renames or syncs, and why
MAY_RENAME = {
    "hub/download.py": "a part that was checked takes its place; parts outlive the process",
    "hub/folder_lock.py": "a lock that was left is moved out of the way",
    "hub/transfer.py": "a part is brought to the disk before it is whole",
    "checkpoint/copy/output_file.py": "fdatasync, so that the disk works while a big file is written",
    "error_log.py": "mkstemp for tracebacks where there is no home: a log, which grows",
    "jobs/completion.py": "a record that is there becomes that of the attempt before",
    "jobs/removal.py": "a job that is to be removed gets out of sight",
    "launch/runtime/runner.py": "a symbolic link is replaced; the runner also goes where files/ is not",
    "store/profile_store.py": "a profile that cannot be read is moved aside",
}
LONGEST_FILE = 400
MOST_MODULES = 15


def name_of(module):
    return str(module.relative_to(PACKAGE))


def imports(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0]


@pytest.fixture(scope="module")
def trees():
    return {name_of(m): ast.parse(m.read_text(encoding="utf-8")) for m in MODULES}


def users(trees, package):
    return [name for name, tree in trees.items() if package in imports(tree)]


def test_subprocess_is_used_in_few_places(trees):
    assert [n for n in users(trees, "subprocess") if not n.startswith(MAY_USE_SUBPROCESS)] == [], "see ARCHITECTURE.md"


def test_no_command_goes_through_a_shell(trees):
    for name, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.keyword) and node.arg == "shell":
                pytest.fail(f"{name}:{node.value.lineno} uses shell=")
            if (
                isinstance(node, ast.Attribute)
                and node.attr in ("system", "popen")
                and getattr(node.value, "id", "") == "os"
            ):
                pytest.fail(f"{name}:{node.lineno} uses os.{node.attr}")


def test_the_environment_is_read_in_one_place(trees):
    for name, tree in trees.items():
        if name in MAY_READ_ENVIRONMENT:
            continue
        for node in ast.walk(tree):
            names = {alias.name for alias in node.names} if isinstance(node, ast.ImportFrom) else set()
            used = {node.attr} if isinstance(node, ast.Attribute) else names
            if used & {"environ", "getenv", "putenv"}:
                pytest.fail(f"{name}:{node.lineno} reads the environment")


def test_mindspore_is_imported_in_few_places_and_inside_functions(trees):
    for name, tree in trees.items():
        if name.startswith(LOADED_BY_MINDFORMERS):
            continue
        used = {"mindspore", "mindformers"} & set(imports(tree))
        assert not used or name in MAY_IMPORT_MINDSPORE, name
        assert not {"mindspore", "mindformers"} & set(
            imports(ast.Module([n for n in tree.body if not isinstance(n, (ast.FunctionDef, ast.ClassDef))], []))
        )


def renames_or_syncs(call):
    """os.replace, Path.replace (one argument: that of str has two), rename, mkstemp and their like, fsync."""
    name = getattr(call.func, "attr", getattr(call.func, "id", ""))
    if name == "replace":
        is_os = isinstance(call.func, ast.Attribute) and getattr(call.func.value, "id", "") == "os"
        return is_os or (isinstance(call.func, ast.Attribute) and len(call.args) == 1 and not call.keywords)
    return name in ("rename", "renames", "move", "mkstemp", "NamedTemporaryFile", "fsync", "fdatasync")


@pytest.mark.parametrize(
    "source",
    [
        "os.replace(a, b)",
        "path.replace(other)",
        "path.rename(other)",
        "tempfile.mkstemp()",
        "mkstemp()",
        "os.fsync(file.fileno())",
    ],
)
def test_a_file_written_whole_by_hand_is_seen(source):
    assert renames_or_syncs(ast.parse(source).body[0].value)


@pytest.mark.parametrize("source", ['text.replace("a", "b")', "replace(spec, name=1)", "now.replace(hour=1)"])
def test_what_replaces_no_file_is_let_through(source):
    assert not renames_or_syncs(ast.parse(source).body[0].value)


def test_files_are_written_whole_in_one_place(trees):
    found = {
        name
        for name, tree in trees.items()
        if not name.startswith("files/")
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and renames_or_syncs(node)
    }
    assert found == set(MAY_RENAME), "use sft_tui/files, or name the exception with its reason"


def test_nothing_is_unpickled(trees):
    assert users(trees, "pickle") == []


def test_subpackages_export_nothing(trees):
    for name, tree in trees.items():
        if name.endswith("/__init__.py"):
            assert [n for n in tree.body if not isinstance(n, ast.Expr)] == [], name


def test_files_stay_short():
    long_files = {
        name_of(m): n for m in MODULES if (n := len(m.read_text(encoding="utf-8").splitlines())) > LONGEST_FILE
    }
    assert long_files == {}


def test_no_folder_has_more_than_15_modules():
    counts = Counter(path.parent for root in (PACKAGE, ROOT / "tests") for path in root.rglob("*.py"))
    inits = {path.parent for path in PACKAGE.rglob("__init__.py")}
    assert {str(folder): n for folder, n in counts.items() if n - (folder in inits) > MOST_MODULES} == {}
