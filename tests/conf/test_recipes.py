"""The recipes of the paper hold the numbers of its repository's scripts."""

from __future__ import annotations

import hydra
import pytest

PARTS = {
    "vl_bart_image": ["vqa", "gqa", "nlvr2", "caption"],
    "vl_bart_video": ["tvqa", "how2qa", "tvc", "yc2c"],
}


def composed(*overrides: str):
    with hydra.initialize_config_module("vl_dora.conf", version_base="1.3"):
        return hydra.compose("train", [*overrides, "paths.run_dir=unused"])


@pytest.mark.parametrize(
    ("name", "batches", "rate", "epochs"),
    [
        # scripts/image/dora.sh: --batch_size 300; 300 * 100/60, 300 * 20/60 and 300 * 50/60 of the others.
        ("vl_bart_image", [300, 500, 100, 250], 1e-3, 20),
        # scripts/video/dora.sh: --batch_size 40 --lr 2.4e-4 --epochs 7.
        ("vl_bart_video", [40, 40, 40, 40], 2.4e-4, 7),
    ],
)
def test_the_recipe_is_that_of_the_script(name, batches, rate, epochs):
    config = composed(f"experiment={name}", f"model={name}", f"adapter={name}_dora")
    parts = config.data.parts
    assert list(parts) == PARTS[name] and [part.batch_size for part in parts.values()] == batches
    assert config.data.order == "proportional"
    optim, trainer = config.optim, config.trainer
    assert (optim.lr, optim.weight_decay, list(optim.betas), optim.eps) == (rate, 0.01, [0.9, 0.999], 1e-6)
    assert (optim.warmup_fraction, optim.schedule) == (0.1, "linear")
    assert (trainer.max_epochs, trainer.max_steps, trainer.gradient_clip_val) == (epochs, -1, 5.0)
    assert config.adapter.language.rank == 128


def test_video_prompts_and_answers_are_as_long_as_in_the_reference():
    config = composed("experiment=vl_bart_video", "model=vl_bart_video", "compat=reference")
    for part in config.data.parts.values():
        assert part.max_prompt_tokens == 600 and part.on_long == "shorten" and part.files.unanswered
        assert part.right_cut == {"applies": True, "prompt": 600, "target": 20}
    assert config.generation == {"num_beams": 5, "max_new_tokens": 20}
    assert config.data.parts.tvqa.splits.test == "submit"


@pytest.mark.parametrize("experiment", ["tvqa", "how2qa", "tvc", "yc2c"])
@pytest.mark.parametrize(("model", "places"), [("tiny_vl_bart_clips", 192), ("vl_bart_video", 1024)])
def test_prompts_alone_are_as_long_as_the_network_has_places(experiment, model, places):
    assert composed(f"experiment={experiment}", f"model={model}").data.max_prompt_tokens == places


@pytest.mark.parametrize("task", PARTS["vl_bart_video"])
def test_a_task_is_the_same_alone_and_in_the_mixture(task):
    alone, together = composed(f"experiment={task}"), composed("experiment=vl_bart_video")
    assert together.task.tasks[task] == alone.task
    assert together.generation == alone.generation
