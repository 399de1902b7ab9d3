"""What every released version wrote of its jobs stays readable: samples in tests/data/job_store."""

import json
import shutil
from pathlib import Path

import pytest

from sft_tui.jobs import client
from sft_tui.jobs.completion import StepRecord
from sft_tui.store.job_store import JobFolder, list_jobs

SAMPLES = Path(__file__).parents[2] / "data" / "job_store"
VERSIONS = sorted(p.name for p in SAMPLES.iterdir())
EXPECTED = {
    "0.1.0": {"1-one": "succeeded", "2-one": "succeeded", "3-two": "failed", "4-three": "stopped", "5-four": "lost"}
}


def test_every_sample_is_expected_and_every_expectation_has_a_sample():
    assert list(EXPECTED) == VERSIONS


@pytest.mark.parametrize("version", VERSIONS)
def test_jobs_are_listed_with_how_they_ended(version, tmp_path):
    jobs_dir = shutil.copytree(SAMPLES / version, tmp_path / "jobs")
    assert {f.id: client.read_state(f).outcome for f in list_jobs(jobs_dir)} == EXPECTED[version]


@pytest.mark.parametrize("version", VERSIONS)
def test_every_event_and_every_spec_is_read(version, tmp_path):
    for folder in list_jobs(SAMPLES / version):
        events, end = folder.read_events()
        assert end == folder.events.stat().st_size
        assert len(events) == len(folder.events.read_text().splitlines())
        assert folder.load_spec().plan.steps
    if (record := SAMPLES / version / "record.json").is_file():
        assert StepRecord.model_validate_json(record.read_text()).step == "convert"


@pytest.mark.parametrize("name", ["spec.json", "state.json"])
def test_every_file_carries_its_schema_version(name, tmp_path):
    for version in VERSIONS:
        for folder in list_jobs(SAMPLES / version):
            assert json.loads((folder.path / name).read_text())["schema_version"] == 1


def test_a_machine_that_restarted_since_is_told(tmp_path):
    folder = JobFolder(SAMPLES / "0.1.0" / "5-four")
    assert client.read_state(folder).reason.startswith("machine restarted at 20")
