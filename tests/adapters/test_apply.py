"""Selecting parts and patterns, the audit, and optimizer groups."""

from __future__ import annotations

import json
from types import MappingProxyType

import pytest
import torch
from torch import nn

from vl_dora.adapters import (
    DoRALinear,
    LoRALinear,
    MagnitudeLinear,
    Rule,
    adapted_layers,
    apply_adapters,
    parameter_groups,
    read_selection,
)

DORA = {"method": "dora", "layers": ["q_proj", "v_proj"], "rank": 2, "alpha": 4}


def trainable(network: nn.Module) -> set[str]:
    return {name for name, parameter in network.named_parameters() if parameter.requires_grad}


def test_a_network_that_is_not_selected_is_frozen(network):
    audit = apply_adapters(network, {})
    assert trainable(network) == set()
    assert audit.trainable == 0
    assert [row.method for row in audit.rows] == ["frozen", "frozen", "frozen"]


def test_each_part_gets_its_method_and_nothing_else_trains(network, data):
    expected = network(*data)
    audit = apply_adapters(network, {"projector": "full", "language": DORA})
    blocks = {f"text.layers.{i}.{leaf}" for i in (0, 1) for leaf in ("q_proj", "v_proj")}
    assert set(adapted_layers(network)) == blocks
    own = {f"{path}.{name}" for path in blocks for name in ("magnitude", "lora_a", "lora_b")}
    assert trainable(network) == own | {f"projector.{i}.{n}" for i in (0, 2) for n in ("weight", "bias")}
    assert audit.trainable == 4 * (8 + 2 * 8 * 2) + 2 * (64 + 8)
    assert torch.equal(network(*data), expected)


def test_patterns_inside_a_part_get_their_own_rules(network):
    mlp = {"method": "magnitude", "layers": ["fc1", "fc2"], "lr": 0.1}
    apply_adapters(
        network,
        {"language": {**DORA, "also": {"mlp": mlp, "last": {"method": "full", "layers": r".*\.1\.norm"}}}},
    )
    kinds = {path.rpartition(".")[2]: type(layer) for path, layer in adapted_layers(network).items()}
    assert kinds == {
        "q_proj": DoRALinear,
        "v_proj": DoRALinear,
        "fc1": MagnitudeLinear,
        "fc2": MagnitudeLinear,
    }
    norms = {name for name in trainable(network) if "norm" in name}
    assert norms == {"text.layers.1.norm.weight", "text.layers.1.norm.bias"}


def test_options_reach_the_layers(network):
    rule = Rule("dora", ("q_proj",), 2, 6, dropout=0.25, dropout_mode="reference", norm_gradient="full")
    apply_adapters(network, {"language": rule})
    layer = network.text["layers"][0].q_proj
    assert (layer.rank, layer.scale, layer.dropout.p) == (2, 3.0, 0.25)
    assert (layer.dropout_mode, layer.norm_gradient) == ("reference", "full")


def test_starts_scales_and_the_merged_forward_reach_the_layers(network):
    rule = {**DORA, "rslora": True, "init": "gaussian", "merged_forward": "never"}
    also = {"mlp": {"method": "lora", "layers": ["fc1"], "rank": 4, "rslora": True, "init": "pissa"}}
    apply_adapters(network, {"language": {**rule, "also": also}})
    layer, other = network.text["layers"][0].q_proj, network.text["layers"][1].fc1
    assert (layer.scale, layer.init, layer.merged_forward) == (4 / 2**0.5, "gaussian", "never")
    assert (other.scale, other.init) == (2.0, "pissa")


def test_a_rule_comes_back_from_plain_types_as_it_was():
    rule = Rule(
        "dora", ("q_proj",), 2, 6.0, rslora=True, init="pissa", lr_ratio=4.0, merged_forward="never", lr=0.1
    )
    vera = Rule("vera", ("fc1",), 2, projection_seed=3, d_initial=0.2, dropout=0.1)
    rules = {"language": Rule("frozen", also={"a": rule, "b": vera}, biases=True)}
    plain = json.loads(json.dumps({name: rule.to_dict() for name, rule in rules.items()}))
    assert read_selection(plain) == rules


def test_alpha_left_out_gives_scale_one(network):
    apply_adapters(network, {"language": {"method": "lora", "layers": "q_proj", "rank": 4}})
    assert network.text["layers"][0].q_proj.scale == 1.0


def test_biases_and_layer_norms_train_beside_any_method(network):
    audit = apply_adapters(network, {"language": {**DORA, "biases": True, "layer_norms": True}})
    rows = {row.method: row for row in audit.rows if row.part == "language"}
    assert rows["biases"].trainable == 2 * (8 + 8 + 16 + 8 + 8)
    assert rows["layer_norms"].trainable == 2 * 8  # the weights; the biases were counted once already
    assert network.text["layers"][0].q_proj.base.bias.requires_grad
    assert not network.vision[0].bias.requires_grad


def test_any_mapping_is_a_selection(network):
    audit = apply_adapters(
        network, MappingProxyType({"language": MappingProxyType({**DORA, "layers": ("fc1",)})})
    )
    assert audit.rows[2].modules == 2


def test_a_plain_module_is_one_part_called_network():
    network = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 3))
    audit = apply_adapters(network, {"network": {"method": "lora", "rank": 2}})
    assert [type(m) for m in network] == [LoRALinear, nn.ReLU, LoRALinear]
    assert (audit.rows[0].part, audit.rows[0].modules) == ("network", 2)


def test_parts_can_be_given(network):
    parts = {"eyes": ("vision", "projector"), "mouth": ("text", "head")}
    audit = apply_adapters(network, {"eyes": {"method": "lora", "rank": 2}}, parts=parts)
    assert set(adapted_layers(network)) == {"vision.0", "projector.0", "projector.2"}
    assert set(audit.parts) == set(parts)


def test_counts_need_no_weights():
    with torch.device("meta"):
        network = nn.Sequential(nn.Linear(10, 20), nn.Linear(20, 5))
    audit = apply_adapters(network, {"network": {"method": "dora", "rank": 3}})
    assert audit.trainable == 3 * (10 + 20) + 20 + 3 * (20 + 5) + 5
    assert audit.total == audit.trainable + 220 + 105
    assert all(p.is_meta for p in network.parameters())


REFUSED = [
    ({"language": "lroa"}, "'lroa' is unknown; allowed: frozen, full, lora, dora, magnitude"),
    (
        {"language": {**DORA, "layers": ["qproj"]}},
        "in language; available: embed, fc1, fc2",
    ),
    ({"language": {**DORA, "layers": ["roj"]}}, "'roj' matches no nn.Linear"),
    ({"language": {**DORA, "layers": ["projector.0"]}}, "reaches into the part projector: projector.0"),
    (
        {"language": {**DORA, "layers": ["norm"]}},
        "matches text.layers.0.norm, a nn.LayerNorm, and no nn.Linear",
    ),
    ({"language": {**DORA, "layers": []}}, "layers is empty"),
    ({"language": {**DORA, "layers": [3]}}, "must be a list of module names"),
    ({"langauge": DORA}, "no part 'langauge'; it has: vision, projector, language"),
    ({"language": {**DORA, "rnak": 3}}, "no option rnak; allowed: method, layers, rank"),
    ({"language": {**DORA, "rank": 9}}, r"adapter.language.rank=9 must be a whole number in 1..8"),
    ({"language": {**DORA, "rank": None}}, "rank is missing"),
    ({"language": {**DORA, "dropout": 2}}, "adapter.language.dropout=2"),
    ({"language": {**DORA, "norm_gradient": "some"}}, "allowed: detached, full"),
    ({"language": {**DORA, "lr": -1}}, "adapter.language.lr=-1"),
    ({"language": {**DORA, "biases": "yes"}}, "adapter.language.biases='yes' must be true or false"),
    ({"projector": {"method": "full", "rank": 4}}, "rank=4 means nothing to method full"),
    (
        {"language": {"method": "lora", "layers": ["fc1"], "rank": 2, "norm_gradient": "full"}},
        "means nothing to",
    ),
    (
        {"language": {"method": "magnitude", "layers": ["fc1"], "dropout": 0.1}},
        "means nothing to method magnitude",
    ),
    ({"language": {"method": "lora", "rank": 2}}, "head shares its weight with text.embed.weight"),
    (
        {"language": {**DORA, "also": {"x": {"method": "full", "layers": ["fc1", "q_proj"]}}}},
        "both reach text.layers.0",
    ),
    (
        {"language": {"method": "full", "also": {"x": {"method": "magnitude", "layers": ["fc1"]}}}},
        "both reach",
    ),
    ({"language": {**DORA, "also": {"x": {**DORA, "biases": True}}}}, "adapter.language.also.x.biases"),
    ({"projector": {"method": "frozen", "layer_norms": True}}, "finds no nn.LayerNorm in projector"),
    ({"language": {**DORA, "init": "olora"}}, "adapter.language.init='olora' is unknown; allowed: kaiming"),
    ({"language": {**DORA, "rslora": "yes"}}, "adapter.language.rslora='yes' must be true or false"),
    ({"language": {**DORA, "merged_forward": "yes"}}, "allowed: auto, always, never"),
    (
        {"language": {**DORA, "merged_forward": "always", "dropout": 0.1}},
        "merged_forward='always' needs dropout 0, here 0.1",
    ),
    ({"language": {**DORA, "lr_ratio": 0}}, "adapter.language.lr_ratio=0 would keep B at its start"),
    ({"language": {**DORA, "lr_ratio": "16"}}, "adapter.language.lr_ratio='16' must be a number"),
    (
        {"language": {"method": "magnitude", "layers": ["fc1"], "lr_ratio": 2}},
        "lr_ratio=2 means nothing to method magnitude",
    ),
    ({"projector": {"method": "full", "lr_ratio": 2}}, "lr_ratio=2 means nothing to method full"),
    ({"language": {**DORA, "projection_seed": 1}}, "projection_seed=1 means nothing to method dora"),
    ({"language": {**DORA, "d_initial": 1}}, "d_initial=1 means nothing to method dora"),
    ("dora", "must be a mapping"),
    ({"language": ["dora"]}, "must be one of frozen"),
]


@pytest.mark.parametrize(("selection", "words"), REFUSED)
def test_a_selection_that_is_refused_says_why_and_changes_nothing(network, selection, words):
    kinds = [type(module) for module in network.modules()]
    with pytest.raises(ValueError) as error:
        apply_adapters(network, selection)
    assert words.replace(r"1\.\.", "1..") in str(error.value)
    assert [type(module) for module in network.modules()] == kinds
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_a_network_has_adapters_once(network):
    apply_adapters(network, {"language": DORA})
    with pytest.raises(ValueError, match="already has adapters"):
        apply_adapters(network, {"projector": {"method": "lora", "rank": 2}})


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"a": ("vision",), "b": ("text", "head")}, "no part holds projector.0.weight"),
        ({"a": ("vision",), "b": ("",)}, "lies in the parts a and b"),
        ({"a": ("visoin",)}, "'visoin', which the network lacks; it has: vision, projector, text, head"),
    ],
)
def test_parts_hold_every_parameter_exactly_once(network, parts, words):
    with pytest.raises(ValueError, match=words):
        apply_adapters(network, {}, parts=parts)


def test_layers_that_attention_reads_past_are_refused():
    network = nn.Sequential(nn.MultiheadAttention(8, 2))
    with pytest.raises(ValueError, match="0.out_proj belongs to an nn.MultiheadAttention"):
        apply_adapters(network, {"network": {"method": "lora", "rank": 2}})


def test_the_audit_adds_up(network):
    before = sum(parameter.numel() for parameter in network.parameters())
    audit = apply_adapters(
        network, {"projector": "full", "language": {**DORA, "biases": True}}, default_lr=1e-3
    )
    assert audit.trainable == sum(p.numel() for p in network.parameters() if p.requires_grad)
    assert audit.total == before + 4 * (8 + 2 * 8 * 2)  # the tied head counts once
    assert audit.total == sum(part.total for part in audit.parts.values())
    assert audit.trainable == sum(part.trainable for part in audit.parts.values())
    named = [name for row in audit.rows for name in row.names]
    assert len(named) == len(set(named))
    assert set(named) == trainable(network)
    assert sum(row.share_percent for row in audit.rows) == pytest.approx(100 * audit.trainable / audit.total)


def test_the_audit_is_readable_and_plain_json(network):
    audit = apply_adapters(
        network, {"projector": {"method": "full", "lr": 0.5}, "language": DORA}, default_lr=1e-3
    )
    plain = json.loads(json.dumps(audit.to_dict()))
    assert plain["rows"][2] == {
        "part": "language",
        "rule": "language",
        "method": "dora",
        "layers": ["q_proj", "v_proj"],
        "modules": 4,
        "rank": 2,
        "trainable": 160,
        "learning_rate": 1e-3,
        "dtype": "float32",
        "share_percent": pytest.approx(100 * 160 / audit.total),
        "lr_ratio": None,
        "quantization": None,
    }
    lines = str(audit).splitlines()
    assert [line.split()[0] for line in lines[2:5]] == ["vision", "projector", "language"]
    assert f"{audit.trainable:,} of {audit.total:,} parameters" in lines[-2]


def grouped(network, audit, **options):
    names = {id(p): name for name, p in network.named_parameters()}
    groups = parameter_groups(network, audit, lr=1e-3, weight_decay=0.01, **options)
    torch.optim.AdamW(groups)
    return {names[id(p)]: (group["lr"], group["weight_decay"]) for group in groups for p in group["params"]}


def test_weight_decay_spares_biases_norms_and_magnitudes(network):
    language = {**DORA, "lr": 5e-3, "layer_norms": True, "biases": True}
    audit = apply_adapters(network, {"projector": "full", "language": language})
    groups = grouped(network, audit)
    assert set(groups) == trainable(network)
    assert groups["text.layers.0.q_proj.lora_a"] == (5e-3, 0.01)
    assert groups["text.layers.0.q_proj.magnitude"] == (5e-3, 0.0)
    assert groups["text.layers.0.norm.weight"] == (5e-3, 0.0)
    assert groups["projector.0.weight"] == (1e-3, 0.01)
    assert groups["projector.0.bias"] == (1e-3, 0.0)


def test_the_reference_decays_everything_but_biases(network):
    audit = apply_adapters(network, {"language": {**DORA, "layer_norms": True, "biases": True}})
    groups = grouped(network, audit, decay_norms_and_magnitudes=True)
    kept = {name for name, (_, decay) in groups.items() if decay == 0.0}
    assert kept == {name for name in groups if name.endswith(".bias")}


def test_groups_refuse_another_network(network, fresh):
    audit = apply_adapters(network, {"language": DORA})
    with pytest.raises(ValueError, match="the audit names text.layers.0.q_proj.magnitude"):
        parameter_groups(fresh(), audit, lr=1e-3, weight_decay=0.0)
