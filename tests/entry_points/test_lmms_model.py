"""lmms-eval asks the adapted network what our own evaluation asked, and gets the same answers.

Where lmms-eval is not installed a base class with its documented methods stands in for its own; then the
class is tested against that interface, not against the library.
"""

from __future__ import annotations

import abc
import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch
from PIL import Image

from vl_dora.adapters import adapted_layers

from .test_ask import answered, data_folder


class StandIn(abc.ABC):
    """lmms_eval.api.model.lmms of 0.7: what a subclass has to offer and what it is given."""

    def __init__(self) -> None:
        self.cache_hook = SimpleNamespace(add_partial=lambda attribute, request, result: None)
        self.task_dict: dict = {}

    @abc.abstractmethod
    def loglikelihood(self, requests): ...

    @abc.abstractmethod
    def generate_until(self, requests): ...

    @abc.abstractmethod
    def generate_until_multi_round(self, requests): ...


@pytest.fixture(scope="module")
def adapted():
    """The module under test, on the library's own base class where there is one."""
    name = "vl_dora.lmms_model"
    if find_spec("lmms_eval") is not None:
        from vl_dora import lmms_model

        yield lmms_model
        return
    names = ("lmms_eval", "lmms_eval.api", "lmms_eval.api.model")
    sys.modules.update({one: ModuleType(one) for one in names})
    sys.modules["lmms_eval.api.model"].lmms = StandIn
    from vl_dora import lmms_model

    yield lmms_model
    for one in (*names, name):
        sys.modules.pop(one, None)


@pytest.fixture(scope="module")
def llava_model(adapted, llava):
    return adapted.AdaptedModel(run=str(llava), batch_size=3, device="cpu")


def requests_of(run: Path, model, **fields):
    """The run's own test questions as requests, documents and all, as lmms-eval hands them over."""
    lines = [line for line in answered(run) if "#1" in line["id"] or "#" not in line["id"]]
    folder = data_folder(run)
    documents = [[folder / image for image in line["images"]] for line in lines]
    model.task_dict["own"] = {"test": documents}
    fields = {"max_new_tokens": 3, "temperature": 0, "do_sample": False, "until": ["\n\n"], **fields}
    requests = [
        SimpleNamespace(
            args=(
                line["prompt"].replace("<image>\n", ""),
                dict(fields),
                lambda document: [Image.open(path).convert("RGB") for path in document],
                number,
                "own",
                "test",
            )
        )
        for number, line in enumerate(lines)
    ]
    return requests, [line["text"] for line in lines]


@pytest.mark.slow
def test_a_llava_with_its_adapter_beside_it_answers_as_its_own_evaluation(llava, llava_model):
    layers = adapted_layers(llava_model.network)
    assert layers and not any(layer.merged for layer in layers.values())
    requests, texts = requests_of(llava, llava_model)
    assert llava_model.generate_until(requests) == texts and len(texts) == 2


def test_a_vl_bart_merged_or_not_answers_as_its_own_evaluation(adapted, finished):
    tokens = {"max_new_tokens": 8}
    beside = adapted.AdaptedModel(run=str(finished), batch_size=2, device="cpu")
    merged = adapted.AdaptedModel(run=str(finished), batch_size="5", device="cpu", merge="True")
    assert all(layer.merged for layer in adapted_layers(merged.network).values())
    requests, texts = requests_of(finished, beside, **tokens)
    assert beside.generate_until(requests) == texts and len(texts) > 5
    requests, texts = requests_of(finished, merged, **tokens)
    assert merged.generate_until(requests) == texts


@pytest.mark.slow
def test_likelihoods_are_those_of_the_networks_logits_written_out(llava, llava_model):
    requests, _ = requests_of(llava, llava_model)
    for request, continuation in zip(requests, ("red", "two dogs"), strict=True):
        request.args = (request.args[0], continuation, *request.args[2:])
    found = llava_model.loglikelihood(requests)
    for request, (likelihood, greedy) in zip(requests, found, strict=True):
        context, continuation = request.args[:2]
        picture = llava_model.task_dict["own"]["test"][request.args[3]]
        make = llava_model._make
        batch = make["batch"](llava_model._data, [make["question"](context, picture, target=continuation)])
        scores = llava_model.network.logits(batch)[0].detach().double().log_softmax(-1)
        places = [n for n, label in enumerate(batch.labels[0].tolist()) if label != -100][:-1]
        expected = sum(float(scores[n, batch.labels[0, n]]) for n in places)
        assert likelihood == pytest.approx(expected, rel=1e-4)
        assert greedy == all(int(scores[n].argmax()) == int(batch.labels[0, n]) for n in places)


def test_stops_sampling_and_runs_of_alike_requests(adapted):
    assert adapted._until("red. And\n\nblue", ["\n\n", "."]) == "red"
    greedy = adapted._generation({"max_new_tokens": 5, "temperature": 0.7, "num_beams": None})
    assert greedy == {"num_beams": 1, "max_new_tokens": 5}
    drawn = adapted._generation({"do_sample": True, "temperature": 0.7, "top_p": None, "until": ["."]})
    assert drawn == {"num_beams": 1, "max_new_tokens": 1024, "do_sample": True, "temperature": 0.7}
    requests = [SimpleNamespace(args=("q", {"max_new_tokens": n})) for n in (1, 1, 1, 2, 1)]
    assert [len(chunk) for chunk in adapted._alike(requests, 2)] == [2, 1, 1, 1]
    labels = torch.tensor([[-100, 5, 2, 6, 2, -100], [7, 2, -100, -100, -100, -100]])
    kept = adapted._without_end(labels, 2)
    assert kept.tolist() == [[-100, 5, 2, 6, -100, -100], [7, -100, -100, -100, -100, -100]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "run=None and config=None: give one"),
        ({"run": "a", "config": "b"}, "give one"),
        ({"run": "nowhere"}, "nowhere is not a folder"),
        ({"run": "a", "batch_size": "auto"}, "batch_size=auto must be a whole number"),
    ],
)
def test_a_mistake_is_one_sentence(adapted, options, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        adapted.AdaptedModel(**options)


@pytest.mark.skipif(find_spec("lmms_eval") is None, reason="lmms-eval is not installed (extra lmms-eval)")
def test_lmms_eval_finds_the_model_by_its_name(adapted):
    from lmms_eval.models import get_model

    assert get_model("vl_dora") is adapted.AdaptedModel
