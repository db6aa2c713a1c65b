"""TVQA in VALUE's own layout, clips as stored features: read, learned, and written for the server."""

from __future__ import annotations

import json
from pathlib import Path

import hydra
import numpy as np
import pytest
import torch

from vl_dora.building import build
from vl_dora.train import train

CLIPS = {"friends_s01.e01_clip_00": 5, "castle_s01e01_seg02_clip_03": 9, "house_s02e02_clip_11": 70}
SMALL = {
    "vocab_size": 396,
    "d_model": 16,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 16,
    "decoder_ffn_dim": 16,
    "max_position_embeddings": 150,
    "dropout": 0.0,
}


@pytest.fixture
def value(tmp_path) -> Path:
    """Three clips of other lengths, a question about each; the test split has no answers."""
    folder = tmp_path / "video"
    features = folder / "vis_features" / "tv" / "clip-vit"
    features.mkdir(parents=True)
    (folder / "ann" / "tvqa").mkdir(parents=True)
    draw = np.random.RandomState(0)
    subtitles = []
    for name, length in CLIPS.items():
        np.savez(features / f"{name}.npz", features=draw.randn(length, 512).astype(np.float16))
        lines = [{"text": "is it red " * 3, "start": 9.0 * n, "end": 9.0 * n + 5} for n in range(9)]
        subtitles.append(json.dumps({"vid_name": name, "sub": lines}))
    (folder / "ann" / "tv_subtitles.jsonl").write_text("\n".join(subtitles))
    for number, split in enumerate(("train", "val", "test_public")):
        rows = []
        for place, name in enumerate(CLIPS):
            row = {"qid": 10 * number + place, "q": "is it red?", "ts": "76.01-84.2", "vid_name": name}
            row |= {f"a{n}": f"{n} red" for n in range(5)}
            rows.append(row if split == "test_public" else {**row, "answer_idx": place})
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / "ann" / "tvqa" / f"tvqa_{split}.jsonl").write_text(text)
    return folder


def composed(value: Path, *overrides: str):
    """The run of a small network of the kind of `model=vl_bart_video`."""
    given = [
        "experiment=tvqa",
        "model=vl_bart_video",
        "adapter=vl_bart_video_dora",
        "debug=fast",
        "model.base=null",
        "model.tokenizer=tiny_scenes",
        "adapter.language.rank=2",
        f"data.root={value}",
        f"data.features={value / 'vis_features' / 'tv' / 'clip-vit'}",
        "data.files.unanswered=true",
        f"paths.run_dir={value.parent / 'run'}",
    ]
    given += [f"model.network.text.{name}={number}" for name, number in SMALL.items()]
    with hydra.initialize_config_module("vl_dora.conf", version_base="1.3"):
        return hydra.compose("train", [*given, *overrides])


def test_short_clips_are_padded_and_masked_to_the_longest_of_the_batch(value):
    built = build(composed(value))
    built.data.setup("fit")
    (batch,) = built.data.val_dataloader()
    assert batch.features.shape == (3, 1, 70, 512)
    assert batch.feature_mask.sum(-1).flatten().tolist() == list(CLIPS.values())
    assert (batch.features[~batch.feature_mask] == 0).all()
    # Prompts have lost lines of subtitles, not their questions.
    assert batch.input_ids.shape[1] <= SMALL["max_position_embeddings"]
    assert all(e.prompt.endswith("a4: 4 red. tvqa: ") for e in batch.examples)
    assert {e.prompt.count("is it red is it red is it red") for e in batch.examples} <= set(range(1, 9))
    network = built.module.network.eval()
    together = network.logits(batch)
    for number, example in enumerate(batch.examples):
        data = build(composed(value)).data
        alone = data.collate([data.dataset("val").sample(0, number)])
        assert alone.examples[0].id == example.id and alone.feature_mask is None
        with torch.no_grad():
            own = network.logits(alone)
        torch.testing.assert_close(own[0], together[number, : own.shape[1]], atol=1e-5, rtol=1e-4)


def test_a_run_writes_what_the_server_asks_for_where_no_answers_are_known(value):
    objective = train(composed(value, "generation.num_beams=2"))
    run = value.parent / "run"
    results = json.loads((run / "results.json").read_text())
    assert objective is not None and results["scores"] is None and results["samples"] == 3
    submitted = json.loads((run / "submission" / "tvqa_test_predictions.json").read_text())
    assert set(submitted) == {"20", "21", "22"} and set(submitted.values()) <= set(range(5))
    lines = [json.loads(line) for line in (run / "predictions.jsonl").read_text().splitlines()]
    paths = [f"videos/tv/{name}.mp4" for name in CLIPS]
    assert [line["frames"] for line in lines] == [{"path": p, "indices": None, "times": None} for p in paths]


def test_a_clip_without_features_is_named(value):
    path = value / "vis_features" / "tv" / "clip-vit" / "house_s02e02_clip_11.npz"
    path.unlink()
    data = build(composed(value)).data
    message = "tvqa_train.jsonl, row 3: data.features=.*clip-vit has no features of videos/tv/house_s02e02"
    with pytest.raises(ValueError, match=message):
        data.setup("fit")
