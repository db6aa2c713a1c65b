"""A run, or a base with an adapter, as a model of lmms-eval: python -m lmms_eval --model vl_dora …

    run=<run directory>[,adapter=<PEFT folder>][,merge=true]
    config=llava_1_5_7b,base=<checkpoint or hub id>,adapter=<PEFT folder>

The adapter stays beside the base, unmerged, unless `merge=true`; answers are the same, decoding is slower.
The entry point is in the group `lmms_eval.models` of lmms-eval 0.7 (extra `lmms-eval`). Questions come worded
by lmms-eval's own tasks, so no task's prompt is put round them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from lmms_eval.api.model import lmms
from torch import Tensor

from vl_dora.adapters import adapted_layers, load_adapter, merge
from vl_dora.batch import Batch

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

# Fields of generation that lmms-eval's tasks set and that mean the same in transformers.
_SAMPLING = ("do_sample", "temperature", "top_p", "top_k", "repetition_penalty")


def manifest() -> Any:
    """What the entry point gives to lmms-eval's registry."""
    from lmms_eval.models.registry_v2 import ModelManifest

    return ModelManifest(model_id="vl_dora", simple_class_path=f"{__name__}.AdaptedModel")


class AdaptedModel(lmms):
    """Base and adapter behind lmms-eval's interface for text and pictures ("simple" models).

    Args:
        run: a run directory; its config tells the network, its `adapter/` what was trained.
        config: in place of `run`: the name of a model of conf/model, such as llava_1_5_7b.
        base: where the base's weights lie; None: as the config says.
        adapter: a folder in PEFT's format; None: the run's own.
        merge: fold the adapter into the base.
        dtype: of the weights: float32, bfloat16 or float16.
        device: auto, cpu, cuda, cuda:1 ...
        batch_size: questions answered together.
        max_batch_size: of lmms-eval's command line; not used.

    Raises:
        ValueError: neither or both of `run` and `config`, or an option that is not understood.
        FileNotFoundError: no such run or adapter.
    """

    is_simple = True

    def __init__(
        self,
        run: str | None = None,
        config: str | None = None,
        base: str | None = None,
        adapter: str | None = None,
        merge: bool | str = False,
        dtype: str = "float32",
        device: str | None = "auto",
        batch_size: int | str = 1,
        max_batch_size: int | str | None = None,
    ) -> None:
        super().__init__()
        if (run is None) == (config is None):
            raise ValueError(
                f"model_args: run={run} and config={config}: give one, a run directory or the name of a model"
            )
        if not str(batch_size).isdigit() or int(batch_size) < 1:
            raise ValueError(f"batch_size={batch_size} must be a whole number of at least 1")
        self.batch_size = int(batch_size)
        self._config = _run_config(str(run)) if run is not None else _model_config(str(config))
        if base is not None:
            self._config.model.base = base
            self._config.model.tokenizer = base
        if adapter is None and run is not None:
            adapter = str(Path(run).expanduser() / "adapter")
        self._build(adapter, str(merge).lower() == "true", dtype)
        chosen = "cuda" if torch.cuda.is_available() else "cpu"
        self.device = torch.device(chosen if device in (None, "auto") else str(device))
        self.network.eval().to(self.device)

    def _build(self, adapter: str | None, merged: bool, dtype: str) -> None:
        import lightning

        from vl_dora.building import made, make_data, make_tokenizer
        from vl_dora.entry_point import composed

        config = self._config
        self._make = made(composed("ask", ["run=none"]).make)
        self._tokenizer = make_tokenizer(config)
        self._data = make_data(config, made(config.task), self._tokenizer)
        # What no base brings is drawn from the seed, as the run drew it.
        lightning.seed_everything(config.seed, workers=True, verbose=False)
        self.network = made(config.model.network)
        if config.model.base is not None:
            made(config.model.load_base)(self.network, config.model.base)
        if adapter is not None:
            load_adapter(self.network, Path(adapter).expanduser())
        if merged and adapted_layers(self.network):
            merge(self.network)
        if dtype not in DTYPES:
            raise ValueError(f"dtype={dtype} must be one of {', '.join(DTYPES)}")
        self.network.to(DTYPES[dtype])
        self._most = getattr(getattr(self.network, "visual_embedding", None), "max_images", None)

    def generate_until(self, requests: Sequence[Any]) -> list[str]:
        """Texts that answer (context, generation fields, doc_to_visual, doc_id, task, split)."""
        answers: list[str] = []
        for chunk in _alike(requests, self.batch_size):
            fields = dict(chunk[0].args[1])
            batch = self._batch([(r.args[0], self._visuals(*r.args[2:]), None) for r in chunk])
            ids = self.network.generate(batch, **_generation(fields))
            texts = self._tokenizer.batch_decode(ids, skip_special_tokens=True)
            for request, text in zip(chunk, texts, strict=True):
                answers.append(_until(text.strip(), fields.get("until")))
                self.cache_hook.add_partial("generate_until", request.args[:2], answers[-1])
        return answers

    def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
        """(log-likelihood, whether it is the greedy text) of (context, continuation, doc_to_visual, ...).

        The end token is no part of a continuation.
        """
        found: list[tuple[float, bool]] = []
        for start in range(0, len(requests), self.batch_size):
            chunk = requests[start : start + self.batch_size]
            asked = []
            for request in chunk:
                context, continuation, *rest = request.args
                doc_to_visual, doc_id, task, split = rest
                if callable(continuation):
                    continuation = continuation(self.task_dict[task][split][doc_id])
                asked.append((context, self._visuals(doc_to_visual, doc_id, task, split), continuation))
            found += self._likelihoods(self._batch(asked))
        return found

    def generate_until_multi_round(self, requests: Sequence[Any]) -> list[str]:
        """Not offered: its tasks decide between rounds what is asked next."""
        raise NotImplementedError(
            "vl_dora answers one round; choose tasks of generate_until or loglikelihood"
        )

    @torch.no_grad()
    def _likelihoods(self, batch: Batch) -> list[tuple[float, bool]]:
        assert batch.labels is not None
        labels = _without_end(batch.labels, self._tokenizer.eos_token_id)
        scores = self.network.logits(batch).float().log_softmax(-1)
        counted = labels != -100
        own = scores.gather(-1, labels.clamp_min(0)[..., None])[..., 0]
        greedy = (scores.argmax(-1) == labels) | ~counted
        sums = own.masked_fill(~counted, 0.0).sum(1)
        return list(zip(sums.tolist(), greedy.all(1).tolist(), strict=True))

    def _visuals(self, doc_to_visual: Any, doc_id: Any, task: str, split: str) -> list[Any]:
        found = doc_to_visual(self.task_dict[task][split][doc_id])
        return [one for one in (found if isinstance(found, list | tuple) else [found]) if one is not None]

    def _batch(self, asked: Iterable[tuple[str, list[Any], str | None]]) -> Batch:
        """Questions with their pictures (PIL) and videos (paths) as a batch on the device."""
        with tempfile.TemporaryDirectory(prefix="vl_dora-lmms-") as folder:
            questions = []
            for number, (context, visuals, target) in enumerate(asked):
                files = [_as_file(v, Path(folder) / f"{number}-{n}.png") for n, v in enumerate(visuals)]
                questions.append(self._make["question"](context, files, target=target))
            batch = self._make["batch"](self._data, questions, most=self._most)
        return batch.to(self.device)


def _as_file(visual: Any, path: Path) -> Path:
    """The file of a picture in memory, without loss, or of a video's path."""
    if isinstance(visual, str | Path):
        return Path(visual)
    if not hasattr(visual, "save"):
        raise ValueError(f"a visual must be a picture or the path of a file, got {type(visual).__name__}")
    visual.save(path)
    return path


def _generation(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of the network's `generate` that a task's generation fields mean."""
    beams = fields.get("num_beams") or 1
    found = {"num_beams": beams, "max_new_tokens": int(fields.get("max_new_tokens") or 1024)}
    # Greedy unless a task asks for both a temperature and sampling.
    samples = bool(fields.get("do_sample")) and float(fields.get("temperature") or 0.0) > 0
    return {**found, **({k: fields[k] for k in _SAMPLING if fields.get(k) is not None} if samples else {})}


def _until(text: str, stops: Any) -> str:
    """The text before the first of the stops."""
    for stop in [stops] if isinstance(stops, str) else stops or []:
        if stop:
            text = text.split(stop)[0]
    return text


def _alike(requests: Sequence[Any], most: int) -> Iterable[list[Any]]:
    """Runs of requests with the same generation fields, of at most so many, in their order."""
    chunk: list[Any] = []
    for request in requests:
        if chunk and (len(chunk) == most or chunk[0].args[1] != request.args[1]):
            yield chunk
            chunk = []
        chunk.append(request)
    if chunk:
        yield chunk


def _without_end(labels: Tensor, end: int) -> Tensor:
    """The labels without the last end token of each row."""
    places = torch.arange(labels.shape[1], device=labels.device)
    last = torch.where(labels == end, places, -1).max(1).values
    return labels.masked_fill(places[None] == last[:, None], -100)


def _run_config(run: str) -> Any:
    from vl_dora.run_directory import settle_paths
    from vl_dora.run_source import find_run, run_config

    folder = find_run(run)
    config = run_config(folder)
    config.paths.run_dir = str(folder)
    settle_paths(config)
    return config


def _model_config(name: str) -> Any:
    from vl_dora.entry_point import composed

    given = ["experiment=llava_instruct", f"model={name}", "adapter=frozen", "paths.run_dir=none"]
    return composed("train", given)
