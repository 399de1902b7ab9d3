"""A profile is validated as a whole: every problem at once, each with its field."""

from __future__ import annotations

import copy

import pytest

from sft_tui.core.profile import default_data, parse_field, section_model
from sft_tui.core.profile_defaults import SECTIONS
from sft_tui.core.profile_problems import validate_profile


def complete():
    data = default_data("run", work_dir="/work", python="/usr/bin/python3", device_target="CPU")
    data["model"]["hf_dir"] = "/models/llama"
    data["dataset"]["train_path"] = "/data/alpaca.json"
    return data


def problems_of(data):
    return {p.field: p for p in validate_profile(data)[1]}


def test_a_complete_profile_has_no_problems():
    profile, problems = validate_profile(complete())
    assert problems == []
    assert profile is not None
    assert profile.training.run_name == "run1"


def test_a_new_profile_lacks_only_what_has_no_default():
    profile, problems = validate_profile(default_data("run", work_dir="", python="", device_target="CPU"))
    assert profile is not None
    assert [p.field for p in problems] == ["environment.work_dir", "model.hf_dir", "dataset.train_path"]
    assert all(p.hint and p.exit_code == 2 for p in problems)


def test_every_problem_is_told_at_once_with_its_field():
    data = complete()
    data["training"].update(epochs=0, learning_rate="fast", run_name="../../etc", max_grad_norm=float("inf"))
    data["dataset"]["seq_length"] = 2.5
    data["weights"]["dtype"] = "fp8"
    data["nodes"]["wrokers"] = 3
    found = problems_of(data)
    assert set(found) == {
        "training.epochs", "training.learning_rate", "training.run_name", "training.max_grad_norm",
        "dataset.seq_length", "weights.dtype", "nodes.wrokers",
    }  # fmt: skip
    assert "0" in found["training.epochs"].message
    assert found["training.learning_rate"].message == "'fast' is not a number."
    assert found["dataset.seq_length"].message == "2.5 is not a whole number."
    assert "'fp32'" in found["weights.dtype"].message
    assert found["nodes.wrokers"].hint
    assert "letters" in found["training.run_name"].hint


@pytest.mark.parametrize("field, value", [("learning_rate", "nan"), ("warmup_ratio", "nan"), ("max_grad_norm", "nan")])
def test_not_a_number_is_not_a_number(field, value):
    data = complete()
    data["training"][field] = parse_field("training", field, value)
    assert f"training.{field}" in problems_of(data)


@pytest.mark.parametrize("wrong", ["text", 5, None, [], [1], True])
@pytest.mark.parametrize("section", SECTIONS)
def test_a_draft_with_a_section_of_the_wrong_type_is_a_problem_not_a_crash(section, wrong):
    data = complete()
    data[section] = wrong
    profile, problems = validate_profile(data)
    assert profile is None
    assert [p.field for p in problems] == [section]
    assert problems[0].message


def test_a_draft_with_fields_of_the_wrong_type_is_a_problem_not_a_crash():
    for section in SECTIONS:
        for field in section_model(section).model_fields:
            data = complete()
            data[section][field] = {"a": [1]}
            assert f"{section}.{field}" in problems_of(data)


@pytest.mark.parametrize("version", [2, 99])
def test_a_profile_of_a_later_version_is_refused_with_advice(version):
    profile, problems = validate_profile({**complete(), "schema_version": version, "something_new": 1})
    assert profile is None
    assert [p.field for p in problems] == ["schema_version"]
    assert "update sft-tui" in problems[0].message


def test_a_schema_version_that_is_none_is_refused():
    assert "schema_version" in problems_of({**complete(), "schema_version": "new"})


def test_validation_leaves_the_data_alone():
    data = complete()
    data["training"]["epochs"] = "x"
    before = copy.deepcopy(data)
    validate_profile(data)
    assert data == before


@pytest.mark.parametrize(
    "section, field, text, value",
    [
        ("training", "epochs", " 3 ", 3),
        ("training", "epochs", "3.5", "3.5"),
        ("training", "epochs", "", ""),
        ("training", "learning_rate", "1e-5", 1e-5),
        ("training", "learning_rate", "1e-", "1e-"),
        ("training", "evaluate", "Yes", True),
        ("training", "evaluate", "off", False),
        ("training", "evaluate", "maybe", "maybe"),
        ("model", "hf_dir", " /models/a b ", "/models/a b"),
        ("environment", "device_target", "CPU", "CPU"),
    ],
)
def test_what_is_typed_becomes_the_fields_type_or_stays_as_typed(section, field, text, value):
    parsed = parse_field(section, field, text)
    assert (parsed, type(parsed)) == (value, type(value))


def test_every_field_has_a_label_and_a_help_line():
    for section in SECTIONS:
        for name, field in section_model(section).model_fields.items():
            assert field.title and field.description, f"{section}.{name}"
