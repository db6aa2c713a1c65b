"""What all tests share: no network, one thread, and the folder of real data beside the project."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

# Set before any library reads them.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real data, `VL_DORA_SHARED` or `shared` beside the project; skips without it."""
    beside = Path(__file__).resolve().parents[2] / "shared"
    folder = Path(os.environ.get("VL_DORA_SHARED", beside))
    if not (folder / "data").is_dir():
        pytest.skip(f"no real data: {folder} has no folder data; set VL_DORA_SHARED")
    return folder


@pytest.fixture(scope="session")
def browser():
    """What is in tests/browser.py, with a Chromium behind it; skips without one."""
    name = "vl_dora_tests_browser"
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name("browser.py"))
    assert spec is not None and spec.loader is not None
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if module.PROGRAM is None:
        pytest.skip("no chromium on PATH to open the page with")
    return module


@pytest.fixture(scope="session")
def tiny_vl_bart():
    """tiny_vl_bart(seed=0) -> a VL-BART of random weights that reads stored features of width 12."""

    def make(seed: int = 0):
        from vl_dora.models.vl_bart import NUM_ADDED_TOKENS, VLBart

        torch.manual_seed(seed)
        text = {
            "vocab_size": 30 + NUM_ADDED_TOKENS,
            "d_model": 16,
            "encoder_layers": 2,
            "decoder_layers": 1,
            "encoder_attention_heads": 2,
            "decoder_attention_heads": 2,
            "encoder_ffn_dim": 24,
            "decoder_ffn_dim": 24,
            "max_position_embeddings": 32,
            "init_std": 0.2,
        }
        return VLBart(text, feature_dim=12, num_visual_tokens=4, max_images=2).eval()

    return make


@pytest.fixture(scope="session")
def visual_batch():
    """Two questions with stored features of two pictures and one, for `tiny_vl_bart`."""
    from vl_dora.batch import Batch, Example

    generator = torch.Generator().manual_seed(5)
    ids = torch.tensor([[0, 7, 8, 9, 2], [0, 11, 2, 1, 1]])
    return Batch(
        examples=(Example("a", "", ""), Example("b", "", "")),
        input_ids=ids,
        attention_mask=ids != 1,
        features=torch.randn(2, 2, 4, 12, generator=generator),
        image_mask=torch.tensor([[True, True], [True, False]]),
        labels=torch.tensor([[0, 12, 2], [0, 13, 2]]),
    )


@pytest.fixture(scope="session")
def tiny_llava():
    """tiny_llava(seed=0, **options) -> a LLaVA of random weights: 8 x 8 pixels, 4 visual tokens, 40 words."""

    def make(seed: int = 0, **options):
        from vl_dora.models.llava import Llava

        torch.manual_seed(seed)
        vision = {
            "hidden_size": 16,
            "intermediate_size": 24,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": 8,
            "patch_size": 4,
            "initializer_range": 0.3,
        }
        text = {
            "vocab_size": 40,
            "hidden_size": 24,
            "intermediate_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "max_position_embeddings": 64,
            "initializer_range": 0.3,
            "pad_token_id": 0,
            "bos_token_id": 1,
            "eos_token_id": 2,
        }
        return Llava(vision, text, **options).eval()

    return make


@pytest.fixture(scope="session")
def conversation_batch():
    """conversation_batch(rows) -> a batch for `tiny_llava`; a row is (pictures, prompt ids, answer ids)."""
    from vl_dora.batch import VISUAL_PLACE, Batch, Example

    def make(rows, seed: int = 3):
        generator = torch.Generator().manual_seed(seed)
        lines = [[1, *[VISUAL_PLACE] * (4 * n), *prompt, *answer] for n, prompt, answer in rows]
        width, most = max(map(len, lines)), max(n for n, _, _ in rows)
        ids = torch.tensor([[*line, *[0] * (width - len(line))] for line in lines])
        labels = torch.full_like(ids, -100)
        for i, (line, (_, _, answer)) in enumerate(zip(lines, rows, strict=True)):
            labels[i, len(line) - len(answer) : len(line)] = torch.tensor(answer, dtype=torch.long)
        lengths = torch.tensor([len(line) for line in lines])
        # A picture is the same in every batch that it is in, whatever else is there.
        pictures = torch.randint(0, 256, (len(rows), 2, 3, 8, 8), generator=generator, dtype=torch.uint8)
        mask = torch.arange(most)[None] < torch.tensor([n for n, _, _ in rows])[:, None]
        return Batch(
            examples=tuple(Example(str(i), "", "") for i in range(len(rows))),
            input_ids=ids,
            attention_mask=torch.arange(width)[None] < lengths[:, None],
            pixels=pictures[:, :most] if most else None,
            image_mask=mask if most else None,
            labels=labels,
            label_weights=(labels != -100).float() / (labels != -100).sum(),
            prompt_lengths=lengths - torch.tensor([len(answer) for _, _, answer in rows]),
        )

    return make
