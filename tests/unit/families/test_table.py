"""The rows of the model families fit together."""

from __future__ import annotations

import pytest

from sft_tui.families.catalogue import CATALOGUE, describe_model, find_entry
from sft_tui.families.family import Releases
from sft_tui.families.table import FAMILIES, KEY_MAPS, PLANNED


@pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda family: family.name)
def test_a_row_says_all_that_its_route_wants(family):
    assert FAMILIES[family.name] is family
    if family.planned:
        assert family.trained is not None and family.about and family.lora is not None and family.layer
        assert family.base_yaml if family.direct else family.network
    direct = family.direct and family.trained is not None
    assert (family.labels == "shifted") == (direct or family.shifted_labels)


def test_what_a_profile_can_name_has_a_key_map():
    assert list(PLANNED) == ["llama", "qwen2", "gpt2", "qwen3", "qwen3_moe", "chatglm"]
    assert set(PLANNED) <= set(KEY_MAPS)


@pytest.mark.parametrize(
    ("since", "until", "within"),
    [
        ("", "", ("1.2", "1.9", "2.0", "1.10")),
        ("1.7", "", ("1.9", "2.0", "1.10")),
        ("", "1.3", ("1.2",)),
        ("1.6", "1.8", ()),
    ],
)
def test_releases_are_compared_by_number_and_not_by_letter(since, until, within):
    releases = Releases(since, until)
    assert tuple(r for r in ("1.2", "1.9", "2.0", "1.10") if r in releases) == within


def test_every_published_model_is_of_its_family():
    assert {family for family, _ in CATALOGUE} <= set(PLANNED)
    assert len({model.repo for _, model in CATALOGUE}) == len(CATALOGUE)
    family, model = find_entry("Qwen/Qwen3-8B")
    assert family == "qwen3" and "hf download Qwen/Qwen3-8B" in describe_model(family, model)[1]
    assert find_entry("nobody/nothing") is None
