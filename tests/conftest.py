"""What all tests share: no network, one thread, and the folder of real data beside the project."""

from __future__ import annotations

import os
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
