"""The published trainable and total counts, from shipped configs on the meta device."""

from __future__ import annotations

import json

import hydra
import pytest

from vl_dora.plan import audit_of, plan


def composed(*overrides: str):
    with hydra.initialize_config_module("vl_dora.conf", version_base="1.3"):
        return hydra.compose("plan", list(overrides))


@pytest.mark.parametrize(
    ("model", "adapter", "trainable", "total", "percent"),
    [
        ("vl_bart_image", "vl_bart_lora", 8_786_688, 148_234_752, 5.93),
        ("vl_bart_image", "vl_bart_image_dora", 8_838_912, 148_262_400, 5.96),
        ("vl_bart_video", "vl_bart_lora", 7_607_040, 147_055_104, 5.17),
        ("vl_bart_video", "vl_bart_video_dora", 7_634_688, 147_082_752, 5.19),
    ],
)
def test_counts_are_those_of_the_published_recipes(model, adapter, trainable, total, percent):
    audit = audit_of(composed(f"model={model}", f"adapter={adapter}"))
    assert (audit.trainable, audit.total) == (trainable, total)
    assert round(audit.share_percent, 2) == percent


def test_json_output_is_one_object(capsys):
    plan(composed("experiment=vqa", "output=json"))
    found = json.loads(capsys.readouterr().out)
    assert found["trainable"] == sum(row["trainable"] for row in found["rows"]) > 0
    assert found["total"] == sum(part["total"] for part in found["parts"].values())


def test_a_tower_is_planned_without_its_weights():
    audit = audit_of(composed("model=vl_bart_image_tower", "adapter=vl_bart_image_dora"))
    assert audit.trainable == 8_838_912
    assert audit.total > 148_262_400 + 40_000_000


def test_table_and_wrong_output_word(capsys):
    plan(composed("experiment=vqa"))
    assert "parameters train" in capsys.readouterr().out
    with pytest.raises(ValueError, match="output=xml must be table or json"):
        plan(composed("experiment=vqa", "output=xml"))
