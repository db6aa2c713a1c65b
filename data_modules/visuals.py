"""Pictures from files: opened with suspicion, brought to 8-bit RGB, cropped, resized.

What is converted: 1-bit, grey, palette, 16-bit grey (values divided by 257, not clipped), 16-bit
colour (high byte), CMYK and YCbCr (Pillow's formula, no colour profile), transparency (flattened
on white). EXIF orientation is applied before a crop. What is refused: missing, empty, damaged or
truncated files, animations and other files of several frames (except MPO photographs, whose
first picture is the photograph), float or 32-bit pixels, and pictures above `MAX_PIXELS`.
"""

from __future__ import annotations

import stat
import warnings
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from data_modules.clips import ClipSettings, load_clip
from vl_dora.batch import ClipRef, ImageRef

# 50 megapixels: four times a common photograph, and small enough for any machine's memory.
MAX_PIXELS = 50_000_000


class PictureError(ValueError):
    """A picture that cannot be used; the message is one sentence with file and reason."""


def picture_path(root: Path | str, ref: ImageRef | ClipRef) -> Path:
    """Where the file of `ref` lies: below `root`, or at its own absolute path."""
    return Path(root) / ref.path


def require_file(root: Path | str, ref: ImageRef | ClipRef) -> Path:
    """The path of `ref` if a file with at least one byte is there; reads no byte of it.

    Raises:
        PictureError: missing, not a file, not accessible, or empty.
    """
    path = picture_path(root, ref)
    kind = "picture" if isinstance(ref, ImageRef) else "video"
    try:
        found = path.stat()
    except FileNotFoundError:
        # Where pictures lie is told by an option of some formats only, where clips lie by one of all.
        elsewhere = "" if kind == "picture" else "; data.files.clip_folders says where clips are looked for"
        raise PictureError(f"{kind} {path} is missing{elsewhere}") from None
    except (OSError, ValueError) as error:
        raise PictureError(f"{kind} {path} cannot be reached: {_reason(error)}") from None
    if not stat.S_ISREG(found.st_mode):
        raise PictureError(f"{kind} {path} is not a file")
    if found.st_size == 0:
        raise PictureError(f"{kind} {path} is empty (zero bytes)")
    return path


def load_picture(
    root: Path | str, ref: ImageRef, size: int | None, square_fill: Sequence[int] | None = None
) -> np.ndarray:
    """Reads one picture.

    Args:
        root: the folder that `ref.path` is relative to.
        ref: file or array row, with an optional crop in pixels of the upright picture.
        size: height and width to resize to (bicubic, aspect ratio not kept), in pixels; None
            keeps the size. A picture that fits already is not touched.
        square_fill: red, green, blue (0-255) of the margins that make the picture a square before it is
            resized; None: it is stretched.

    Returns:
        (3, height, width) uint8; red, green, blue.

    Raises:
        PictureError: the file cannot be used, or the crop or index lies outside.
    """
    path = require_file(root, ref)
    picture = _array_row(path, ref) if path.suffix == ".npy" else _decoded(path, ref)
    if ref.crop is not None:
        left, top, right, bottom = ref.crop
        if not (0 <= left < right <= picture.width and 0 <= top < bottom <= picture.height):
            raise PictureError(
                f"picture {path}: crop {tuple(ref.crop)} (left, top, right, bottom) does not lie inside "
                f"its {picture.width} x {picture.height} pixels"
            )
        picture = picture.crop((left, top, right, bottom))
    if square_fill is not None:
        picture = _squared(picture, square_fill)
    if size is not None and picture.size != (size, size):
        picture = picture.resize((size, size), Image.Resampling.BICUBIC)
    return np.ascontiguousarray(np.asarray(picture, dtype=np.uint8).transpose(2, 0, 1))


def _squared(picture: Image.Image, fill: Sequence[int]) -> Image.Image:
    """The picture in the middle of a square; of an odd margin the smaller half is left and above."""
    width, height = picture.size
    if width == height:
        return picture
    side = max(width, height)
    square = Image.new("RGB", (side, side), tuple(fill))
    square.paste(picture, ((side - width) // 2, (side - height) // 2))
    return square


def _decoded(path: Path, ref: ImageRef) -> Image.Image:
    if ref.index is not None:
        raise PictureError(f"picture {path}: index={ref.index} is for .npy arrays, this is a picture file")
    if ref.crop is None:
        return _open(path)
    found = path.stat()
    return _open_last(path, found.st_mtime_ns, found.st_size)


@lru_cache(maxsize=1)
def _open_last(path: Path, modified: int, size: int) -> Image.Image:
    """The picture last asked for: several crops of one file decode it once."""
    return _open(path)


def _open(path: Path) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            opened = Image.open(path)
        with opened:
            if opened.width * opened.height > MAX_PIXELS:
                raise Image.DecompressionBombError(f"{opened.width} x {opened.height} pixels")
            if getattr(opened, "is_animated", False) and opened.format != "MPO":
                raise PictureError(
                    f"picture {path} has several frames (animation or pages); give one frame as its own file"
                )
            return _rgb(ImageOps.exif_transpose(opened), path)
    except PictureError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise PictureError(
            f"picture {path} is too large: {_reason(error)}; at most {MAX_PIXELS:,} pixels are allowed"
        ) from None
    except Image.UnidentifiedImageError:
        raise PictureError(f"picture {path} is not a picture file that Pillow knows") from None
    except Exception as error:  # noqa: BLE001 - decoders of damaged files raise all sorts of errors
        raise PictureError(f"picture {path} is damaged or truncated: {_reason(error)}") from None


def _rgb(picture: Image.Image, path: Path) -> Image.Image:
    """The decoded picture as 8-bit RGB."""
    if picture.mode == "I" or picture.mode.startswith("I;16"):
        values = np.asarray(picture).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise PictureError(f"picture {path} has 32-bit pixels; save it with 8 or 16 bits")
        return Image.fromarray(((values + 128) // 257).astype(np.uint8)).convert("RGB")
    if picture.mode == "F":
        raise PictureError(f"picture {path} has float pixels of unknown range; save it with 8 or 16 bits")
    if picture.has_transparency_data:
        coloured = picture.convert("RGBA")
        white = Image.new("RGBA", coloured.size, "white")
        return Image.alpha_composite(white, coloured).convert("RGB")
    picture.load()
    return picture.convert("RGB")


def _array_row(path: Path, ref: ImageRef) -> Image.Image:
    found = path.stat()
    try:
        array = _open_array(path, found.st_mtime_ns, found.st_size)
    except Exception as error:  # noqa: BLE001 - numpy raises all sorts of errors on damaged files
        raise PictureError(f"array {path} is damaged or truncated: {_reason(error)}") from None
    if array.dtype != np.uint8 or array.ndim != 4 or array.shape[3] != 3:
        raise PictureError(
            f"array {path} holds {array.dtype} {array.shape}; uint8 (n, height, width, 3) is needed"
        )
    if ref.index is None or not 0 <= ref.index < len(array):
        raise PictureError(f"array {path}: index={ref.index} must lie in 0..{len(array) - 1}")
    row = np.array(array[ref.index])
    return Image.fromarray(row[:, :, ::-1].copy() if ref.bgr else row)


@lru_cache(maxsize=16)
def _open_array(path: Path, modified: int, size: int) -> np.ndarray:
    """Memory map of an array; the file's time and size make a changed file open anew."""
    return np.load(path, mmap_mode="r", allow_pickle=False)


def _reason(error: BaseException) -> str:
    """First line of an error's text, or its type's name."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__


class Pixels:
    """Pictures and clips of a data set as (3, size, size) uint8, kept in memory once decoded.

    Args:
        root: the folder that paths are relative to.
        size: height and width in pixels.
        keep_bytes: how many bytes of decoded pictures this process may keep; 0 keeps none.
        clips: how many frames of a clip are shown, and how they are decoded.
        square_fill: colour of the margins that make pictures square, see `load_picture`; frames of clips
            are stretched.
    """

    def __init__(
        self,
        root: Path | str,
        size: int,
        *,
        keep_bytes: int = 0,
        clips: ClipSettings | None = None,
        square_fill: Sequence[int] | None = None,
    ) -> None:
        self.root = Path(root)
        self.size = size
        self.clips = clips or ClipSettings()
        self.square_fill = square_fill
        self._kept: dict[ImageRef | ClipRef, tuple[ClipRef | None, np.ndarray]] = {}
        self._room = keep_bytes

    def check(self, ref: ImageRef | ClipRef) -> None:
        """Raises PictureError when no file is there; does not decode."""
        require_file(self.root, ref)

    def load(self, ref: ImageRef) -> np.ndarray:
        """(3, size, size) uint8; not to be written to."""
        if ref in self._kept:
            return self._kept[ref][1]
        picture = load_picture(self.root, ref, self.size, self.square_fill)
        self._keep(ref, None, picture)
        return picture

    def load_clip(self, ref: ClipRef) -> tuple[ClipRef, np.ndarray]:
        """The clip with indices and times, and (n, 3, size, size) uint8; not to be written to."""
        shown, frames = self._kept.get(ref, (None, None))
        if shown is None or frames is None:
            shown, frames = load_clip(self.root, self.clips.settled(ref), self.size, self.clips.decoder)
            self._keep(ref, shown, frames)
        return shown, frames

    def _keep(self, ref: ImageRef | ClipRef, shown: ClipRef | None, array: np.ndarray) -> None:
        if array.nbytes <= self._room:
            self._room -= array.nbytes
            self._kept[ref] = (shown, array)


class Blank:
    """One constant array for every picture and every clip: what a text-only run sees.

    Args:
        array: (3, height, width) uint8 or (N, F) features.
    """

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    @classmethod
    def grey(cls, size: int) -> Blank:
        """Mid-grey pictures, (3, size, size), all values 128."""
        return cls(np.full((3, size, size), 128, dtype=np.uint8))

    def check(self, ref: ImageRef | ClipRef) -> None:
        """Accepts every picture and clip, unseen."""

    def load(self, ref: ImageRef) -> np.ndarray:
        """The constant array."""
        return self.array

    def load_clip(self, ref: ClipRef) -> tuple[ClipRef, np.ndarray]:
        """The clip, of which nothing was shown, and the constant array as its only frame."""
        return ref, self.array[None]
