from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_modules import visuals
from data_modules.visuals import Blank, PictureError, Pixels, load_picture
from vl_dora.batch import ImageRef


@pytest.fixture
def rgb() -> np.ndarray:
    """(6, 9, 3) random colours."""
    return np.random.RandomState(0).randint(0, 256, size=(6, 9, 3)).astype(np.uint8)


def save(path: Path, pixels: np.ndarray | Image.Image, **options: object) -> ImageRef:
    picture = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    picture.save(path, **options)
    return ImageRef(path.name)


def refused(root: Path, ref: ImageRef) -> str:
    """The one-line message with which a picture is refused; it names the file."""
    with pytest.raises(PictureError) as caught:
        load_picture(root, ref, 4)
    message = str(caught.value)
    assert ref.path in message and "\n" not in message
    return message


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def test_pixels_come_channel_first_and_unchanged_where_the_size_fits(tmp_path, rgb):
    square = rgb[:, :6]
    loaded = load_picture(tmp_path, save(tmp_path / "a.png", square), 6)
    np.testing.assert_array_equal(loaded, square.transpose(2, 0, 1))
    assert loaded.dtype == np.uint8 and loaded.flags.c_contiguous


def test_resizes_to_a_square_whatever_the_aspect_ratio(tmp_path, rgb):
    ref = save(tmp_path / "a.png", rgb)
    assert load_picture(tmp_path, ref, 4).shape == (3, 4, 4)
    assert load_picture(tmp_path, ref, None).shape == (3, 6, 9)


def test_crops_before_it_resizes(tmp_path, rgb):
    save(tmp_path / "a.png", rgb)
    loaded = load_picture(tmp_path, ImageRef("a.png", crop=(2, 1, 5, 4)), 3)
    np.testing.assert_array_equal(loaded, rgb[1:4, 2:5].transpose(2, 0, 1))


@pytest.mark.parametrize("crop", [(0, 0, 10, 6), (-1, 0, 3, 3), (3, 0, 3, 3), (0, 4, 3, 2)])
def test_a_crop_outside_the_picture_is_an_error_with_its_size(tmp_path, rgb, crop):
    save(tmp_path / "a.png", rgb)
    assert "9 x 6" in refused(tmp_path, ImageRef("a.png", crop=crop))


def test_an_absolute_path_needs_no_root(tmp_path, rgb):
    save(tmp_path / "a.png", rgb)
    ref = ImageRef(str(tmp_path / "a.png"))
    assert load_picture("elsewhere", ref, None).shape == (3, 6, 9)


def test_exif_orientation_turns_the_picture_upright(tmp_path, rgb):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 270 degrees to see it upright
    ref = save(tmp_path / "a.png", rgb, exif=exif)
    np.testing.assert_array_equal(load_picture(tmp_path, ref, None), np.rot90(rgb, -1).transpose(2, 0, 1))


def test_grey_and_one_bit_pictures_are_repeated_over_the_channels(tmp_path, rgb):
    grey = save(tmp_path / "grey.png", rgb[:, :, 0])
    np.testing.assert_array_equal(load_picture(tmp_path, grey, None), np.stack([rgb[:, :, 0]] * 3))
    bits = rgb[:, :, 0] > 99
    one_bit = save(tmp_path / "bits.png", Image.fromarray(bits))
    np.testing.assert_array_equal(load_picture(tmp_path, one_bit, None), np.stack([bits * 255] * 3))


def test_palette_pictures_get_their_colours(tmp_path):
    paletted = Image.new("P", (2, 1))
    paletted.putpalette([10, 20, 30, 200, 100, 0])
    paletted.putpixel((1, 0), 1)
    loaded = load_picture(tmp_path, save(tmp_path / "a.png", paletted), None)
    np.testing.assert_array_equal(loaded[:, 0].T, [[10, 20, 30], [200, 100, 0]])


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bit_grey_is_scaled_and_not_clipped(tmp_path, suffix):
    values = np.array([[0, 257, 1000, 32768, 65535]], dtype=np.uint16)
    loaded = load_picture(tmp_path, save(tmp_path / f"a.{suffix}", values), None)
    np.testing.assert_array_equal(loaded, np.stack([np.round(values / 257)] * 3))


def test_transparency_is_flattened_on_white(tmp_path):
    rgba = np.array([[[255, 0, 0, 255], [255, 0, 0, 0], [0, 0, 0, 51]]], dtype=np.uint8)
    loaded = load_picture(tmp_path, save(tmp_path / "a.png", rgba), None)
    np.testing.assert_array_equal(loaded[:, 0].T, [[255, 0, 0], [255, 255, 255], [204, 204, 204]])
    grey = Image.fromarray(np.array([[[0, 0], [9, 255]]], dtype=np.uint8))
    loaded = load_picture(tmp_path, save(tmp_path / "la.png", grey), None)
    np.testing.assert_array_equal(loaded[:, 0].T, [[255] * 3, [9] * 3])


def test_a_transparent_palette_entry_is_flattened_on_white(tmp_path):
    paletted = Image.new("P", (2, 1))
    paletted.putpalette([10, 20, 30, 200, 100, 0])
    paletted.putpixel((1, 0), 1)
    loaded = load_picture(tmp_path, save(tmp_path / "a.png", paletted, transparency=1), None)
    np.testing.assert_array_equal(loaded[:, 0].T, [[10, 20, 30], [255, 255, 255]])


def test_cmyk_is_converted(tmp_path):
    ink = Image.frombytes("CMYK", (3, 1), bytes([0, 0, 0, 0, 255, 0, 0, 0, 0, 0, 0, 255]))
    loaded = load_picture(tmp_path, save(tmp_path / "a.tif", ink), None)
    np.testing.assert_array_equal(loaded[:, 0].T, [[255, 255, 255], [0, 255, 255], [0, 0, 0]])
    flat = Image.new("CMYK", (16, 16), (255, 0, 0, 0))
    loaded = load_picture(tmp_path, save(tmp_path / "a.jpg", flat, quality=95), None)
    assert np.abs(loaded[:, 8, 8].astype(int) - [0, 255, 255]).max() < 4


def test_float_pixels_are_refused(tmp_path):
    ref = save(tmp_path / "a.tif", Image.fromarray(np.ones((2, 2), dtype=np.float32)))
    assert "float pixels" in refused(tmp_path, ref)


def test_thirty_two_bit_pixels_are_refused(tmp_path):
    ref = save(tmp_path / "a.tif", Image.fromarray(np.full((2, 2), 70_000, dtype=np.int32)))
    assert "32-bit" in refused(tmp_path, ref)


def test_missing_folder_and_empty_files_are_told_apart(tmp_path):
    (tmp_path / "zero.png").touch()
    (tmp_path / "folder.png").mkdir()
    assert "missing" in refused(tmp_path, ImageRef("none.png"))
    assert "zero bytes" in refused(tmp_path, ImageRef("zero.png"))
    assert "not a file" in refused(tmp_path, ImageRef("folder.png"))


def test_a_pipe_is_refused_without_waiting_for_it(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    assert "not a file" in refused(tmp_path, ImageRef("pipe.png"))


def test_a_text_file_is_not_a_picture(tmp_path):
    (tmp_path / "a.jpg").write_text("<html>404 Not Found</html>")
    assert "not a picture" in refused(tmp_path, ImageRef("a.jpg"))


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "webp", "gif", "tif"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_truncated_picture_is_refused(tmp_path, suffix, share):
    noise = np.random.RandomState(1).randint(0, 256, size=(64, 64, 3)).astype(np.uint8)
    path = tmp_path / f"a.{suffix}"
    save(path, noise)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    assert "truncated" in refused(tmp_path, ImageRef(path.name))


def test_a_picture_damaged_in_the_middle_is_refused(tmp_path):
    noise = np.random.RandomState(1).randint(0, 256, size=(64, 64, 3)).astype(np.uint8)
    save(tmp_path / "a.png", noise)
    content = bytearray((tmp_path / "a.png").read_bytes())
    content[2000:2100] = bytes(100)
    (tmp_path / "a.png").write_bytes(content)
    assert "damaged" in refused(tmp_path, ImageRef("a.png"))


@pytest.mark.parametrize("side", [8_000, 11_000, 60_000])
def test_a_huge_picture_is_refused_from_its_header(tmp_path, side):
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0))
    body = png_chunk(b"IDAT", zlib.compress(b"\0")) + png_chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + body)
    message = refused(tmp_path, ImageRef("a.png"))
    assert "too large" in message and "50,000,000" in message


def test_the_pixel_limit_is_inclusive(tmp_path, rgb, monkeypatch):
    ref = save(tmp_path / "a.png", rgb)
    monkeypatch.setattr(visuals, "MAX_PIXELS", 54)
    assert load_picture(tmp_path, ref, None).shape == (3, 6, 9)
    monkeypatch.setattr(visuals, "MAX_PIXELS", 53)
    assert "9 x 6 pixels" in refused(tmp_path, ref)


@pytest.mark.parametrize("suffix", ["gif", "png", "webp", "tif"])
def test_an_animation_is_refused(tmp_path, suffix):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "green", "blue")]
    ref = save(tmp_path / f"a.{suffix}", frames[0], save_all=True, append_images=frames[1:])
    assert "several frames" in refused(tmp_path, ref)


def test_the_photograph_of_a_multi_picture_jpeg_is_read(tmp_path):
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
    save(tmp_path / "a.mpo", frames[0], save_all=True, append_images=frames[1:])
    loaded = load_picture(tmp_path, ImageRef("a.mpo"), None)
    assert loaded[0].min() > 250 and loaded[2].max() < 5


def test_a_still_gif_is_read(tmp_path):
    loaded = load_picture(tmp_path, save(tmp_path / "a.gif", Image.new("RGB", (4, 4), (1, 2, 3))), None)
    np.testing.assert_array_equal(loaded[:, 0, 0], [1, 2, 3])


def test_a_row_of_an_array_is_read_and_blue_green_red_is_turned(tmp_path):
    array = np.random.RandomState(2).randint(0, 256, size=(5, 4, 4, 3)).astype(np.uint8)
    np.save(tmp_path / "a.npy", array)
    loaded = load_picture(tmp_path, ImageRef("a.npy", index=3), 4)
    np.testing.assert_array_equal(loaded, array[3].transpose(2, 0, 1))
    turned = load_picture(tmp_path, ImageRef("a.npy", index=3, bgr=True), 4)
    np.testing.assert_array_equal(turned, array[3, :, :, ::-1].transpose(2, 0, 1))


@pytest.mark.parametrize("index", [None, -1, 5])
def test_an_index_outside_the_array_names_what_is_allowed(tmp_path, index):
    np.save(tmp_path / "a.npy", np.zeros((5, 4, 4, 3), np.uint8))
    assert "0..4" in refused(tmp_path, ImageRef("a.npy", index=index))


def test_an_array_of_another_kind_or_a_damaged_one_is_refused(tmp_path):
    np.save(tmp_path / "float.npy", np.zeros((5, 4, 4, 3)))
    np.save(tmp_path / "flat.npy", np.zeros((5, 4), np.uint8))
    np.save(tmp_path / "short.npy", np.zeros((5, 4, 4, 3), np.uint8))
    (tmp_path / "short.npy").write_bytes((tmp_path / "short.npy").read_bytes()[:-9])
    (tmp_path / "text.npy").write_text("no array")
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    assert "float64" in refused(tmp_path, ImageRef("float.npy", index=0))
    assert "(5, 4)" in refused(tmp_path, ImageRef("flat.npy", index=0))
    for name in ("short.npy", "text.npy", "objects.npy"):
        assert "damaged" in refused(tmp_path, ImageRef(name, index=0))


def test_a_changed_array_is_read_anew(tmp_path):
    for value in (1, 2):
        np.save(tmp_path / "new.npy", np.full((1, 2, 2, 3), value, np.uint8))
        os.replace(tmp_path / "new.npy", tmp_path / "a.npy")
        os.utime(tmp_path / "a.npy", ns=(value, value))
        assert load_picture(tmp_path, ImageRef("a.npy", index=0), None).max() == value


def test_an_index_into_a_picture_file_is_an_error(tmp_path, rgb):
    save(tmp_path / "a.png", rgb)
    assert "index=0" in refused(tmp_path, ImageRef("a.png", index=0))


def test_decoded_pictures_are_kept_up_to_the_budget(tmp_path, rgb):
    refs = [save(tmp_path / f"{i}.png", rgb) for i in range(3)]
    pixels = Pixels(tmp_path, 4, keep_bytes=2 * 3 * 4 * 4)
    first = [pixels.load(ref) for ref in refs]
    for ref in refs:
        (tmp_path / ref.path).unlink()
    assert pixels.load(refs[0]) is first[0] and pixels.load(refs[1]) is first[1]
    with pytest.raises(PictureError, match="missing"):
        pixels.load(refs[2])


def test_the_blank_picture_is_mid_grey_and_needs_no_file():
    blank = Blank.grey(5)
    blank.check(ImageRef("nowhere.png"))
    assert blank.load(ImageRef("nowhere.png")).shape == (3, 5, 5)
    assert set(np.unique(blank.load(ImageRef("x")))) == {128}


def test_real_palette_pictures_load_as_pillow_shows_them(shared):
    root = shared / "data" / "nlvr"
    path = sorted(root.glob("dev/images/*/*.png"))[0]
    loaded = load_picture(root, ImageRef(str(path.relative_to(root))), None)
    expected = np.asarray(Image.open(path).convert("RGB")).transpose(2, 0, 1)
    np.testing.assert_array_equal(loaded, expected)
    right = load_picture(root, ImageRef(str(path), crop=(300, 0, 400, 100)), 100)
    np.testing.assert_array_equal(right, expected[:, :, 300:])


def test_real_arrays_of_blue_green_red_load_as_red_green_blue(shared):
    root = shared / "data" / "shapes"
    stored = np.load(root / "val.input.npy")[7]
    loaded = load_picture(root, ImageRef("val.input.npy", index=7, bgr=True), 30)
    np.testing.assert_array_equal(loaded, stored.transpose(2, 0, 1)[::-1])


def test_square_padding_puts_the_picture_in_the_middle_of_the_mean_colour(tmp_path):
    fill = (122, 116, 104)
    wide = np.full((3, 8, 3), 200, dtype=np.uint8)
    Image.fromarray(wide).save(tmp_path / "wide.png")
    found = load_picture(tmp_path, ImageRef("wide.png"), None, fill)
    assert found.shape == (3, 8, 8)
    # Of the five rows left over, two lie above: LLaVA's integer division.
    assert (found[:, 2:5] == 200).all()
    for rows in (found[:, :2], found[:, 5:]):
        assert (rows == np.array(fill)[:, None, None]).all()
    tall = load_picture(tmp_path, ImageRef("wide.png", crop=(0, 0, 1, 3)), 6, fill)
    assert tall.shape == (3, 6, 6) and abs(int(tall[0, 3, 0]) - 122) < 20
    assert np.array_equal(
        load_picture(tmp_path, ImageRef("wide.png", crop=(0, 0, 3, 3)), None, fill), np.full((3, 3, 3), 200)
    )
