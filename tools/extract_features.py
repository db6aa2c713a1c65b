"""Runs a frozen tower over a folder of pictures and clips, once, and stores the features.

    python tools/extract_features.py data/vqav2 features/vqav2 --tower resnet101_clip.openai --weights hub
    python tools/extract_features.py clips features/clips --tower vit_base_patch32_clip_224.openai \
        --weights clip.safetensors --frames 16
    python tools/extract_features.py world features/world --model tiny_vl_bart

The folder is the one that `data.root` names: features are found again by the path below it. A run that was
stopped, however hard, is gone on with by the same command. Files that cannot be read are named, listed in
index.json, and make the exit status 1. Training then reads `data.features=<features folder>`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import nn
from torch.utils.data import DataLoader, Dataset

from data_modules.clips import ClipSettings, load_clip
from data_modules.feature_writer import FeatureWriter
from data_modules.visuals import load_picture
from vl_dora.batch import ClipRef, ImageRef

PICTURES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}
CLIPS = {
    ".mp4",
    ".m4v",
    ".mov",
    ".mkv",
    ".webm",
    ".avi",
    ".flv",
    ".ts",
    ".mpg",
    ".mpeg",
    ".wmv",
    ".ogv",
    ".gif",
}

Read = tuple[ImageRef | ClipRef, np.ndarray | None, str]


def refs_below(folder: Path, clips: ClipSettings) -> list[ImageRef | ClipRef]:
    """Pictures and clips below a folder by their suffix, hidden ones left alone, sorted by path.

    Raises:
        ValueError: no folder, or nothing in it.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder")
    found: list[ImageRef | ClipRef] = []
    for path in sorted(folder.rglob("*")):
        below = path.relative_to(folder)
        if any(part.startswith(".") for part in below.parts) or not path.is_file():
            continue
        if path.suffix.lower() in PICTURES:
            found.append(ImageRef(below.as_posix()))
        elif path.suffix.lower() in CLIPS:
            found.append(clips.settled(ClipRef(below.as_posix())))
    if not found:
        raise ValueError(f"{folder} holds no pictures or clips ({', '.join(sorted(PICTURES | CLIPS))})")
    return found


class Files(Dataset):
    """(reference, its (n, 3, size, size) pixels or None, what is wrong with it)."""

    def __init__(self, folder: Path, refs: list[ImageRef | ClipRef], size: int, decoder: str) -> None:
        self.folder, self.refs, self.size, self.decoder = folder, refs, size, decoder

    def __len__(self) -> int:
        return len(self.refs)

    def __getitem__(self, index: int) -> Read:
        ref = self.refs[index]
        try:
            if isinstance(ref, ClipRef):
                return *load_clip(self.folder, ref, self.size, self.decoder), ""
            return ref, load_picture(self.folder, ref, self.size)[None], ""
        except ValueError as error:
            return ref, None, str(error)


def batches(files: Iterable[Read], least: int) -> Iterator[list[Read]]:
    """Files that together hold at least `least` pictures and frames."""
    part: list[Read] = []
    num = 0
    for read in files:
        part.append(read)
        num += 0 if read[1] is None else len(read[1])
        if num >= least:
            yield part
            part, num = [], 0
    if part:
        yield part


def write_batch(writer: FeatureWriter, tower: nn.Module, part: list[Read], size: int, device: str) -> None:
    """Features of a part, saved; what could not be read is noted."""
    good = [(ref, pixels) for ref, pixels, _ in part if pixels is not None]
    if good:
        pictures = torch.from_numpy(np.concatenate([pixels for _, pixels in good]))
        with torch.inference_mode():
            made = [tower(some.to(device)).float().cpu().numpy() for some in pictures.split(size)]
        ends = np.cumsum([len(pixels) for _, pixels in good])[:-1]
        for (ref, _), features in zip(good, np.split(np.concatenate(made), ends), strict=True):
            if isinstance(ref, ClipRef):
                writer.add_clip(ref, features)
            else:
                writer.add(ref, features[0])
    for ref, pixels, problem in part:
        if pixels is None:
            writer.leave_out(ref.path, problem)
    writer.save()


def build_tower(options: argparse.Namespace) -> tuple[nn.Module, str, str | None]:
    """The tower, its name, and where its weights come from.

    Raises:
        ValueError: unknown to timm, no such weights, or a model without a tower.
    """
    if options.tower is not None:
        from vl_dora.models.vision import TimmTower

        weights = None if options.weights == "random" else options.weights
        torch.manual_seed(0)
        return TimmTower(options.tower, weights), options.tower, options.weights
    import hydra
    from omegaconf import OmegaConf

    from vl_dora.building import made

    with hydra.initialize_config_module("vl_dora.conf", version_base="1.3"):
        config = hydra.compose("train", [f"model={options.model}"]).model
    OmegaConf.resolve(config)
    if config.network.vision is None:
        raise ValueError(f"model={options.model} has no tower; give --tower instead")
    network = made(config.network)
    if config.base is not None:
        made(config.load_base)(network, config.base)
    return network.vision, f"{options.model} {config.network.vision._target_}", config.base


def extract(options: argparse.Namespace, console: Console) -> int:
    """Does what the command line says; the exit status."""
    clips = ClipSettings(options.decoder, None if options.fps else options.frames, options.fps)
    refs = refs_below(options.folder, clips)
    module, name, weights = build_tower(options)
    tower: Any = module.eval().requires_grad_(False).to(options.device)
    settings = {"folder": str(options.folder.resolve()), "weights": weights, "size": tower.image_size}
    writer = FeatureWriter(options.features, tower=name, dtype=options.dtype, settings=settings)
    rest = [ref for ref in refs if ref.path not in writer.done]
    if writer.done:
        console.print(f"going on: {len(refs) - len(rest):,} of {len(refs):,} files are done", highlight=False)
    loader = DataLoader(
        Files(options.folder, rest, tower.image_size, options.decoder),
        batch_size=None,
        num_workers=options.num_workers,
    )
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("files", total=len(refs), completed=len(refs) - len(rest))
        for part in batches(loader, options.batch_size):
            write_batch(writer, tower, part, options.batch_size, options.device)
            progress.advance(bar, len(part))
    for path, reason in writer.left_out.items():
        console.print(f"left out {path}: {reason}", highlight=False, soft_wrap=True)
    if not writer.num_rows:
        writer.discard()
        raise ValueError(f"none of the {len(refs)} files of {options.folder} can be read")
    writer.finish()
    console.print(
        f"{options.features}: {len(writer.rows):,} pictures and {len(writer.clips):,} clips, "
        f"{writer.num_rows:,} x {writer.shape} {options.dtype}; {len(writer.left_out):,} files left out",
        highlight=False,
        soft_wrap=True,
    )
    return 1 if writer.left_out else 0


def parsed(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="pictures and clips, at any depth: what data.root names")
    parser.add_argument("features", type=Path, help="folder to make: what data.features will name")
    tower = parser.add_mutually_exclusive_group(required=True)
    tower.add_argument("--tower", help="a timm model, for instance resnet101_clip.openai")
    tower.add_argument("--model", help="the tower, and its weights, of a config in conf/model")
    parser.add_argument(
        "--weights", default="hub", help="of --tower: hub (timm downloads them), random, or a local file"
    )
    parser.add_argument("--dtype", default="float16", choices=("float16", "float32"))
    parser.add_argument("--frames", type=int, default=8, help="of each clip, as data.video.frames")
    parser.add_argument("--fps", type=float, help="frames a second instead, as data.video.fps")
    parser.add_argument("--decoder", default="auto", help="of clips, as data.video.decoder")
    parser.add_argument("--batch-size", type=int, default=64, help="pictures and frames a pass")
    parser.add_argument("--num-workers", type=int, default=0, help="processes that decode")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args(arguments)
    if options.batch_size < 1 or options.num_workers < 0:
        parser.error("--batch-size must be at least 1 and --num-workers at least 0")
    return options


def main(arguments: list[str] | None = None) -> int:
    """The command line; every mistake of the user is one sentence."""
    options = parsed(arguments)
    console = Console(stderr=True)
    try:
        return extract(options, console)
    except (ValueError, FileExistsError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("stopped; the same command goes on from here\n")
        return 130


if __name__ == "__main__":
    sys.exit(main())
