"""The first cause: on the labelled cases and our own runs, and what must not change a verdict."""

from __future__ import annotations

import json
import zlib
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_tui.diagnosis.findings import LogScan
from sft_tui.diagnosis.read_logs import read_logs
from sft_tui.diagnosis.remedies import remedy, title
from sft_tui.diagnosis.rules.rule import CATEGORIES
from sft_tui.diagnosis.rules.tables import ALL_RULES
from sft_tui.diagnosis.verdict import Verdict, diagnose, verdict_to_json

DATA = Path(__file__).parents[2] / "data" / "failure_cases"


def load(name):
    with (DATA / name).open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


CASES, RUNS, BROKEN = load("cases.jsonl"), load("runs.jsonl"), load("cpu_runs.jsonl")


def write_logs(folder, files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def verdict_on(folder, files):
    return diagnose(read_logs(write_logs(folder, files)).logs)


def scan(name, *lines):
    log = LogScan(name)
    for number, line in enumerate(lines, 1):
        log.take(number, line)
    return log


def kind_of(case):
    if len(case["files"]) > 1:
        return "several ranks"
    lines = [line for text in case["files"].values() for line in text.splitlines() if line.strip()]
    return "single line" if len(lines) == 1 else "one file"


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory):
    top = tmp_path_factory.mktemp("cases")
    return {case["name"]: verdict_on(top / case["name"], case["files"]) for case in CASES}


def table(verdicts, cases):
    """Counts by kind, origin and category."""
    counts = defaultdict(Counter)
    for case in cases:
        verdict = verdicts[case["name"]]
        right = verdict.category == case["category"]
        for row in ("all", kind_of(case), case["origin"], case["category"]):
            counts[row]["n"] += 1
            counts[row]["right"] += right
            counts[row]["sure"] += verdict.sure
            counts[row]["sure and wrong"] += verdict.sure and not right
    return counts


@pytest.mark.parametrize(
    ("part", "held_back", "right", "sure"),
    [("learned from", False, 104, 80), ("held back", True, 22, 19)],
)
def test_the_labelled_cases(verdicts, part, held_back, right, sure, show_figures):
    cases = [case for case in CASES if (zlib.crc32(case["name"].encode()) % 5 == 0) is held_back]
    counts = table(verdicts, cases)
    columns = ("n", "right", "sure", "sure and wrong")
    lines = (f"  {row:22}" + "".join(f"  {key} {count[key]:3}" for key in columns) for row, count in counts.items())
    show_figures("\n".join([part, *sorted(lines)]))
    total = counts["all"]
    assert total["right"] >= right
    assert total["sure"] >= sure
    assert total["sure and wrong"] <= 0.02 * total["n"]


def test_the_rank_that_failed_first_is_found(verdicts):
    cases = [case for case in CASES if len(case["files"]) > 1 and case["rank"] is not None]
    found = [case["name"] for case in cases if verdicts[case["name"]].rank == case["rank"]]
    assert len(cases) == 10 and len(found) >= 9


def test_the_line_that_shows_it_is_found(verdicts):
    found = [c for c in CASES if (verdicts[c["name"]].file, verdicts[c["name"]].line) == (c["file"], c["line"])]
    assert len(found) >= 110


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run["name"])
def test_our_own_runs(tmp_path, run):
    verdict = verdict_on(tmp_path, run["files"])
    assert verdict.category == run["category"]
    healthy = run["name"].startswith("ok_")
    assert (verdict.sure, verdict.failed) == (not healthy, not healthy)
    if healthy:
        assert verdict == Verdict()
    if run["rank"] is not None:
        assert verdict.rank == run["rank"]


def test_runs_that_we_broke(tmp_path, show_figures):
    found = Counter()
    for run in BROKEN:
        verdict = verdict_on(tmp_path / run["name"], run["files"])
        right = verdict.category in run["category"]
        found.update(n=1, right=right, sure=verdict.sure, wrong=verdict.sure and not right)
    show_figures(f"runs that we broke: {dict(found)}")
    assert found["right"] == len(BROKEN) and found["wrong"] == 0 and found["sure"] >= 35


OOM = "RuntimeError: NPU out of memory. Tried to allocate 2.00 GiB (NPU 3; 60.97 GiB total capacity)"
WAITED = "EI0002: [PID: 1] 2026-01-01-10:30:0{}.713.335 The wait execution of the Notify register times out."
WRAPPED = "EE9999: Inner Error!"


def test_the_rank_that_waited_yields_to_the_one_it_waited_for():
    waiting = [scan(f"worker_{rank}.log", WAITED.format(rank), WRAPPED) for rank in (0, 1, 2)]
    verdict = diagnose([*waiting, scan("worker_3.log", "2026-01-01 10:31:00,000 - x - ERROR - " + OOM)])
    assert (verdict.category, verdict.sure, verdict.rank, verdict.file) == ("oom_device", True, 3, "worker_3.log")
    assert {mention.code for mention in verdict.louder} == {"EI0002", "EE9999"}
    assert all(mention.why_en and mention.why_zh for mention in verdict.louder)


def test_waiting_alone_is_no_cause_to_be_sure_of():
    verdict = diagnose([scan(f"worker_{rank}.log", WAITED.format(rank)) for rank in (0, 1)])
    assert (verdict.category, verdict.sure, verdict.code) == ("hccl_timeout", False, "EI0002")


def test_a_wrapper_alone_is_not_known():
    verdict = diagnose([scan("worker_0.log", WRAPPED)])
    assert (verdict.category, verdict.sure, verdict.failed) == ("unknown", False, True)


def test_two_causes_without_order_leave_it_open():
    logs = [scan("worker_0.log", OOM), scan("worker_1.log", "OSError: [Errno 28] No space left on device: '/x'")]
    assert not diagnose(logs).sure
    first, second = (f"2026-01-01 10:0{minute}:00,000 - x - ERROR - " for minute in (1, 2))
    ordered = [scan("worker_0.log", second + OOM), scan("worker_1.log", first + "No space left on device")]
    verdict = diagnose(ordered)
    assert (verdict.category, verdict.sure, verdict.rank) == ("disk_full", True, 1)


def test_clocks_of_two_hosts_do_not_decide_by_seconds():
    line = "2026-01-01 10:00:0{},000 - x - ERROR - {}"
    logs = [scan("node1/worker_0.log", line.format(1, OOM)), scan("node2/worker_8.log", line.format(3, "disk is full"))]
    assert not diagnose(logs).sure


def test_what_a_program_could_do_without_is_not_the_cause():
    optional = "No module named 'flash_attn': the slow way is taken"
    verdict = diagnose([scan("worker_0.log", optional, *["fine"] * 120, OOM)])
    assert (verdict.category, verdict.sure, verdict.line) == ("oom_device", True, 122)
    assert diagnose([scan("worker_0.log", optional)]).category == "import_error"


def test_a_remark_long_before_an_unknown_error_is_a_guess():
    lines = ("No checkpoint found, beginning anew", *["fine"] * 120, "KeyError: 'lm_head'")
    assert not diagnose([scan("worker_0.log", *lines)]).sure


def test_two_errors_far_apart_in_one_log_leave_it_open():
    lines = ("ImportError: libx.so: cannot open shared object file", *["fine"] * 300, OOM)
    verdict = diagnose([scan("worker_0.log", *lines)])
    assert (verdict.category, verdict.sure) == ("import_error", False)
    near = diagnose([scan("worker_0.log", lines[0], OOM)])
    assert (near.category, near.sure) == ("import_error", True)


def test_a_crash_at_the_end_is_not_the_cause():
    verdict = diagnose([scan("worker_0.log", WAITED.format(0), "malloc_consolidate(): invalid chunk size")])
    assert verdict.category == "hccl_timeout"
    assert diagnose([scan("worker_0.log", "Segmentation fault (core dumped)")]).category == "worker_killed"


def test_what_training_outlived_did_not_end_it(tmp_path):
    step = "2026-01-01 10:00:00,000 - mindformers - INFO - step:[{}/9], loss: 2.5, per_step_time: 200ms\n"
    error = "[ERROR] X(1,2,python):2026-01-01-10:00:00.000.000 [a.cc:1] Run] " + OOM + "\n"
    text = error + "".join(step.format(i) for i in range(5))
    assert verdict_on(tmp_path, {"worker_0.log": text}) == Verdict()
    assert verdict_on(tmp_path, {"worker_0.log": text + error}).line == 7


def test_a_loss_that_is_no_number(tmp_path):
    step = "2026-01-01 10:00:00,000 - mindformers - INFO - step:[{}/9], loss: {}, per_step_time: 200ms\n"
    lost = "".join(step.format(i, "2.5" if i < 4 else "nan") for i in range(9))
    verdict = verdict_on(tmp_path, {"worker_0.log": lost})
    assert (verdict.category, verdict.sure, verdict.line) == ("overflow_nan", True, 5)
    found_again = "".join(step.format(i, "nan" if i == 2 else "2.5") for i in range(9))
    assert not verdict_on(tmp_path, {"worker_0.log": found_again}).failed


def test_the_missing_rank_is_named():
    lines = (
        "[ERROR] HCCL(1,t):2025-11-21-01:20:01.624.966 [s.cc:3] topo exchange server get socket timeout! timeout[120]",
        "[ERROR] HCCL(1,t):2025-11-21-01:20:01.625.145 [s.cc:5] connected rankinfo[LINE 0]: [0000000000000000],"
        "[0000000000000001],[0000000000000003]",
    )
    verdict = diagnose([scan("worker_0.log", *lines)])
    assert (verdict.category, verdict.sure, verdict.rank) == ("node_not_joined", True, 2)


def test_json_has_what_was_promised():
    for logs in ([], [scan("worker_0.log", OOM)]):
        fields = verdict_to_json(diagnose(logs))
        assert {
            "category", "sure", "rank", "host", "file", "line", "quote", "code", "remedy_en", "remedy_zh", "louder",
        } <= set(fields)  # fmt: skip
        json.dumps(fields)


def test_every_rule_has_a_category_and_a_remedy():
    for rule in ALL_RULES:
        assert rule.category in CATEGORIES and rule.word == rule.word.lower()
        assert all(remedy(rule.remedy or rule.category, rule.category))
    for category in (*CATEGORIES, "unknown"):
        english, chinese = remedy(category, category)
        assert english.isascii() and not chinese.isascii() and title(category, "en") != title(category, "zh")


HEALTHY = (
    "[INFO] DISTRIBUTED(1,7f,python):2026-01-01-09:00:00.000.000 [a.cc:1] Start] Event base dispatch success!",
    "2026-01-01 09:00:00,000 - mindformers./output/log[a.py:1] - INFO - no error so far",
    "[WARNING] DISTRIBUTED(1,7f,python):2026-01-01-09:00:00.000.000 [a.cc:1] Failed to connect to the meta server node",
    "Loading checkpoint shards: 100%",
    "",
)
LOGS_OF_CASES = [
    case["files"] for case in CASES if len(case["files"]) > 1 or len(next(iter(case["files"].values()))) < 9000
]


def decided(verdict):
    return verdict.category, verdict.sure, verdict.rank, verdict.file


@given(files=st.sampled_from(LOGS_OF_CASES), data=st.data())
def test_neither_order_nor_healthy_lines_change_a_verdict(files, data):
    plain = [scan(name, *text.splitlines()) for name, text in files.items()]
    around = []
    for name, text in files.items():
        lines = text.splitlines()
        place = data.draw(st.sampled_from([0, len(lines)]))
        lines[place:place] = data.draw(st.lists(st.sampled_from(HEALTHY), max_size=5))
        around.append(scan(name, *lines))
    assert decided(diagnose(data.draw(st.permutations(around)))) == decided(diagnose(plain))


@given(
    row=st.sampled_from((DATA.parent / "failure_words" / "words.tsv").read_text(encoding="utf-8").splitlines()),
    dress=st.sampled_from(
        ["{}\r", "\x1b[31m{}\x1b[0m", "[rank3]: {}", "(Worker_TP0 pid=25) {}", "2026-01-01 10:00:00 {}", "worker-1: {}"]
    ),
)
def test_what_stands_around_a_message_does_not_change_it(row, dress):
    category, message = row.split("\t", 1)
    lines = message.split("\\n")
    if message.startswith("2026-") or category == "-":
        dress = "{}\r"
    if message == "Killed" and dress.startswith("2026"):
        return  # the shell's word, which stands alone
    plain = diagnose([scan("a.log", *lines)])
    assert diagnose([scan("a.log", *(dress.format(line) for line in lines))]).category == plain.category


@given(st.lists(st.one_of(st.text(max_size=200), st.sampled_from([OOM, WRAPPED, *HEALTHY])), max_size=8))
def test_no_text_is_too_odd(lines):
    verdict = diagnose([scan("worker_0.log", *lines)])
    assert verdict.category in (*CATEGORIES, "unknown")
    assert verdict.failed or verdict == Verdict()
