"""LAST.pth of the VL-BART reference, made here in its format, against the weights written out."""

from __future__ import annotations

import pytest
import torch

from vl_dora.adapters import adaptation_of, adapted_layers, import_adapter, load_adapter, save_adapter

VISUAL = {
    "feature_projection": "feat_embedding.0",
    "feature_norm": "feat_embedding.1",
    "box_projection": "absolute_vis_pos_embedding.0",
    "box_norm": "absolute_vis_pos_embedding.1",
    "image_order": "img_order_embedding",
}
TABLE = "bart.model.shared.weight"
RANK = 3


def adapted(name: str) -> bool:
    return name.endswith(("q_proj.weight", "v_proj.weight"))


def reference(network, *, layer_norms: bool = True, first_row: int = 30):
    """(LAST.pth, the trained network with W' = m (V + B A) / |V + B A| in place of every adapted W)."""
    generator = torch.Generator().manual_seed(9)

    def noise(tensor, size=0.3):
        return size * torch.randn(tensor.shape, generator=generator)

    state: dict[str, torch.Tensor] = {}
    norms = {path for path, m in network.named_modules() if isinstance(m, torch.nn.LayerNorm)}
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            path, _, leaf = name.rpartition(".")
            visual = name.startswith("visual_embedding.")
            if visual or leaf == "bias" or (layer_norms and path in norms):
                parameter += noise(parameter)
            if name == TABLE:
                parameter[first_row:] += noise(parameter[first_row:], 1.0)
            if visual:
                state[f"model.encoder.visual_embedding.{VISUAL[path.split('.')[1]]}.{leaf}"] = (
                    parameter.clone()
                )
            elif adapted(name):
                key = path.removeprefix("bart.")
                rows, columns = parameter.shape
                a, b = noise(torch.empty(RANK, columns)), noise(torch.empty(rows, RANK))
                m = parameter.norm(dim=1, keepdim=True) * (1.5 + noise(torch.empty(rows, 1)))
                values = {"weight_v": parameter.clone(), "weight_m": m, "lora_A": a, "lora_B": b}
                state |= {f"{key}.{kind}": value for kind, value in values.items()}
                v = parameter.double() + b.double() @ a.double()
                parameter.copy_(m.double() * v / v.norm(dim=1, keepdim=True))
            else:
                state[name.removeprefix("bart.")] = parameter.clone()
    state["final_logits_bias"] = network.bart.final_logits_bias.clone()
    for twin in ("model.encoder.embed_tokens", "model.decoder.embed_tokens", "lm_head"):
        state[f"{twin}.weight"] = state["model.shared.weight"].clone()
    state["model.encoder.visual_embedding.obj_order_embedding.weight"] = state["model.shared.weight"].clone()
    return state, network


@pytest.fixture
def made(tiny_vl_bart):
    return reference(tiny_vl_bart())


@pytest.mark.parametrize("layer_norms", [True, False])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_outputs_are_those_of_the_written_equation(layer_norms, prefix, tiny_vl_bart, visual_batch, tmp_path):
    state, trained = reference(tiny_vl_bart(), layer_norms=layer_norms)
    torch.save({prefix + key: value for key, value in state.items()}, tmp_path / "LAST.pth")
    network = tiny_vl_bart()
    before = network.logits(visual_batch)
    import_adapter(network, tmp_path / "LAST.pth")
    expected = trained.logits(visual_batch)
    assert (before - expected).abs().max() > 0.1
    torch.testing.assert_close(network.logits(visual_batch), expected, atol=1e-5, rtol=1e-4)
    rule = adaptation_of(network).selection["language"]
    assert rule.biases and rule.layer_norms is layer_norms
    assert (rule.rank, rule.alpha, rule.norm_gradient) == (RANK, RANK, "full")
    layers = adapted_layers(network)
    assert len(layers) == 2 * 4  # q and v of two encoder blocks, decoder self- and cross-attention
    for path, layer in layers.items():
        key = path.removeprefix("bart.")
        assert torch.equal(layer.magnitude, state[f"{key}.weight_m"][:, 0])


def test_saved_again_it_carries_the_rows_that_tell_the_order_of_visual_tokens(
    made, tiny_vl_bart, visual_batch, tmp_path
):
    state, trained = made
    torch.save(state, tmp_path / "LAST.pth")
    network = tiny_vl_bart()
    import_adapter(network, tmp_path)
    save_adapter(network, tmp_path / "ours")
    fresh = tiny_vl_bart()
    load_adapter(fresh, tmp_path / "ours")
    assert torch.equal(fresh.get_parameter(TABLE)[30:], state["model.shared.weight"][30:])
    assert torch.equal(fresh.logits(visual_batch), network.logits(visual_batch))


def drift(state):
    state["model.encoder.layers.0.self_attn.q_proj.weight_v"] += 0.1


def drift_elsewhere(state):
    state["model.encoder.layers.0.fc1.weight"][0] += 1.0


def drift_of_words(state):
    for key in list(state):
        if key.endswith(("shared.weight", "embed_tokens.weight", "lm_head.weight", "order_embedding.weight")):
            if len(state[key]) > 30:
                state[key][5] += 1.0


@pytest.mark.parametrize(
    ("edit", "name"),
    [
        (drift, "self_attn.q_proj.weight"),
        (drift_elsewhere, "layers.0.fc1.weight"),
        (drift_of_words, "shared.weight"),
    ],
)
def test_another_base_is_refused_or_warned_of(edit, name, made, tiny_vl_bart, tmp_path):
    state, _ = made
    edit(state)
    torch.save(state, tmp_path / "LAST.pth")
    network = tiny_vl_bart()
    with pytest.raises(ValueError, match=rf"trained on another base: .*{name} differs by"):
        import_adapter(network, tmp_path)
    assert not adapted_layers(network)
    with pytest.warns(UserWarning, match="trained on another base"):
        import_adapter(network, tmp_path, on_drift="warn")
    assert adapted_layers(network)


Q = "model.encoder.layers.1.self_attn.q_proj"
SPOILED = {
    "other axis": (lambda s: s.update({f"{Q}.weight_m": torch.ones(1, 16)}), r"shape \(1, 16\).*other axis"),
    "no magnitude": (lambda s: s.pop(f"{Q}.weight_m"), rf"{Q} lacks weight_m"),
    "no direction": (lambda s: s.pop(f"{Q}.weight_v"), rf"{Q} lacks weight_v"),
    "left over": (lambda s: s.update({"model.gate.weight": torch.ones(2)}), "without a place.*gate"),
    "missing": (
        lambda s: s.pop("model.encoder.visual_embedding.feat_embedding.0.bias"),
        "missing visual_embedding.feature_projection.bias",
    ),
    "no table": (lambda s: s.pop("model.shared.weight"), "lacks model.shared.weight"),
    "torn table": (lambda s: s["lm_head.weight"].add_(1), "must be one tied table"),
    "path": (lambda s: s.update({"../../outside.weight": torch.ones(2)}), "without a place.*outside"),
    "shape": (
        lambda s: s.update({"model.encoder.layers.0.fc1.weight": torch.ones(5, 16)}),
        r"shape \(5, 16\) there",
    ),
}


@pytest.mark.parametrize("fault", SPOILED)
def test_a_spoiled_file_is_refused_and_changes_nothing(fault, made, tiny_vl_bart, tmp_path):
    state, _ = made
    edit, words = SPOILED[fault]
    edit(state)
    torch.save(state, tmp_path / "LAST.pth")
    network = tiny_vl_bart()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(ValueError, match=words):
        import_adapter(network, tmp_path)
    after = network.state_dict()
    assert list(after) == list(before) and all(torch.equal(after[n], before[n]) for n in before)
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_another_kind_of_network_is_refused(made, tmp_path):
    torch.save(made[0], tmp_path / "LAST.pth")
    with pytest.raises(ValueError, match="is of a VL-BART; this network is a Sequential"):
        import_adapter(torch.nn.Sequential(torch.nn.Linear(2, 2)), tmp_path)
