"""What can be asked of a LLaVA's parts on the command line, and what comes of it, on the meta device."""

from __future__ import annotations

import hydra
import pytest

from vl_dora.plan import audit_of


def rows(*overrides: str) -> dict[str, tuple]:
    """Rule -> (method, modules, rank, learning rate) of everything that trains."""
    with hydra.initialize_config_module("vl_dora.conf", version_base="1.3"):
        config = hydra.compose("train", ["experiment=llava_instruct", *overrides, "paths.run_dir=unused"])
    found = audit_of(config).rows
    return {
        row.rule: (row.method, row.modules, row.rank, row.learning_rate) for row in found if row.trainable
    }


LANGUAGE = ("dora", 28, 16, 3e-3)  # seven linears in each of four layers


@pytest.mark.parametrize(
    ("overrides", "projector"),
    [
        ([], ("full", 2, None, 1e-3)),
        (["adapter.projector=dora"], ("dora", 2, 16, 3e-3)),
        (["adapter=llava_small_dora_projector"], ("dora", 2, 16, 3e-3)),
        (["adapter=llava_small_dora_projector", "adapter.projector.lr=5e-4"], ("dora", 2, 16, 5e-4)),
        (["adapter.projector=magnitude"], ("magnitude", 2, None, 3e-3)),
        (["adapter.projector=frozen"], None),
    ],
)
def test_the_projector_trains_as_it_is_told(overrides, projector):
    found = rows(*overrides)
    assert found.pop("language") == LANGUAGE
    assert found == ({} if projector is None else {"projector": projector})


def test_chosen_modules_have_their_magnitudes_alone_and_a_rate_of_their_own():
    found = rows(
        "adapter.language.layers=[q_proj,k_proj,v_proj]",
        "+adapter.language.also.rest={method: magnitude, lr: 0.01, layers: [o_proj, '.*(gate|up|down)_.*']}",
        "adapter.language.lr=1e-4",
    )
    assert found["language"] == ("dora", 12, 16, 1e-4)
    assert found["language.rest"] == ("magnitude", 16, None, 1e-2)


def test_the_layers_of_the_tower_that_are_read_can_be_adapted_and_later_ones_cannot():
    read = r"adapter.vision={method: lora, layers: ['.*layers\.[01]\..*v_proj'], rank: 4}"
    assert rows(read)["vision"] == ("lora", 2, 4, 3e-3)
    with pytest.raises(ValueError, match="no gradient reaches .* comes after it"):
        rows("adapter.vision={method: lora, layers: [v_proj], rank: 4}")


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("adapter.projector=dorra", r"adapter\.projector\.method='dorra' is unknown; allowed: frozen, full"),
        ("adapter.projector=vera", r"adapter\.projector\.rank is missing"),
        (
            "adapter.language.layers=[q_proj,fc9]",
            r"adapter\.language\.layers='fc9' matches no .* available: ",
        ),
    ],
)
def test_a_slip_is_named_with_what_is_there(override, words):
    with pytest.raises(ValueError, match=words):
        rows(override)


def test_a_word_takes_the_options_of_the_part_that_has_the_method_in_full():
    found = rows("adapter=llava_dora", "adapter.language.rank=8", "adapter.projector=dora")
    assert found == {"projector": ("dora", 2, 8, 3e-3), "language": ("dora", 28, 8, 3e-3)}
