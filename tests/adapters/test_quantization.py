"""Asking for 4 and 8 bits where there is nothing to round, or nothing to round with."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from vl_dora.adapters import MagnitudeLinear, adapted_layers, apply_adapters
from vl_dora.adapters import quantization as module


def rule(**options) -> dict:
    return {"language": {"method": "dora", "layers": ["fc1", "fc2"], "rank": 2, **options}}


def test_without_the_package_the_option_is_refused(network, monkeypatch):
    monkeypatch.delitem(sys.modules, "bitsandbytes", raising=False)
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        ValueError, match=r"adapter\.language\.quantization='nf4' needs the package bitsandbytes"
    ):
        apply_adapters(network, rule(quantization="nf4"))
    assert not adapted_layers(network)


@pytest.mark.parametrize("bits", ["nf4", "int8"])
def test_the_meta_device_counts_as_if_rounded(fresh, bits):
    plain, rounded = fresh().to("meta"), fresh().to("meta")
    expected, audit = apply_adapters(plain, rule()), apply_adapters(rounded, rule(quantization=bits))
    assert (audit.trainable, audit.total) == (expected.trainable, expected.total)
    assert [row.quantization for row in audit.rows] == [None, None, bits]
    assert f"dora ({bits})" in str(audit)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"quantization": "nf3"}, "quantization='nf3' is unknown; allowed: nf4, int8"),
        ({"quantization": True}, "quantization=True is unknown"),
        ({"quantization": "nf4", "init": "pissa"}, "init='pissa' keeps a residual in the base"),
        ({"quantization": "nf4", "method": "vera"}, "means nothing to method vera"),
        (
            {"quantization": "int8", "layers": ["norm"], "method": "full", "rank": None},
            "nothing to method full",
        ),
    ],
)
def test_combinations_without_a_meaning_are_refused(network, options, words):
    with pytest.raises(ValueError, match=words):
        apply_adapters(network, rule(**options))
    assert not adapted_layers(network)


def test_a_plain_layer_is_not_taken_for_a_quantized_one():
    linear = torch.nn.Linear(4, 3)
    assert module.quantization_of(linear) is None
    assert module.num_parameters(linear.weight) == 12
    assert MagnitudeLinear.takes(linear)


@pytest.mark.slow
def test_the_package_is_not_imported_before_it_is_needed():
    code = "import sys, vl_dora.adapters; sys.exit('bitsandbytes' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
