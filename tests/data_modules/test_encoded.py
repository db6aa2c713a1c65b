"""Features kept in memory are those that the tower would make in every step."""

import numpy as np
import pytest
import torch
from PIL import Image

from data_modules.encoded import encode_once
from data_modules.visuals import PictureError, Pixels
from vl_dora.batch import ImageRef


def encode(pixels: torch.Tensor) -> torch.Tensor:
    """(M, 3, 8, 8) -> (M, 4, 3): the mean colour of each quarter."""
    return pixels.float().unfold(2, 4, 4).unfold(3, 4, 4).mean((-1, -2)).flatten(2).transpose(1, 2)


@pytest.fixture
def pictures(tmp_path):
    random = np.random.default_rng(0)
    refs = [ImageRef(f"{number}.png") for number in range(130)]
    for ref in refs:
        Image.fromarray(random.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(tmp_path / ref.path)
    return tmp_path, refs


def test_every_picture_gets_its_own_features(pictures):
    root, refs = pictures
    encoded = encode_once(Pixels(root, 8), refs, encode, most_bytes=10**6)
    for ref in (refs[0], refs[63], refs[64], refs[-1]):
        pixels = np.asarray(Image.open(root / ref.path)).transpose(2, 0, 1)
        expected = [pixels[:, y : y + 4, x : x + 4].mean((1, 2)) for y in (0, 4) for x in (0, 4)]
        np.testing.assert_allclose(encoded.load(ref), np.array(expected), rtol=1e-6)
    with pytest.raises(ValueError, match="other.png"):
        encoded.load(ImageRef("other.png"))


def test_features_that_do_not_fit_are_not_kept(pictures):
    root, refs = pictures
    assert encode_once(Pixels(root, 8), refs, encode, most_bytes=130 * 4 * 3 * 4 - 1) is None
    assert encode_once(Pixels(root, 8), refs, encode, most_bytes=130 * 4 * 3 * 4) is not None


def test_a_picture_that_cannot_be_read_is_named(pictures):
    root, refs = pictures
    (root / "7.png").write_bytes(b"")
    with pytest.raises(PictureError, match="7.png"):
        encode_once(Pixels(root, 8), refs, encode, most_bytes=10**6)
