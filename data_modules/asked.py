"""Files that someone asks about, as a batch: pictures and a clip from anywhere on the disk.

What the network's own data module asks of pictures, frames and texts holds for them, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image

from data_modules.collate import Sample
from data_modules.conversation_collate import ConversationCollate
from data_modules.data_module import VisionLanguageDataModule
from data_modules.visuals import Pixels, require_file
from vl_dora.batch import Batch, ClipRef, Example, ImageRef

ID = "question"


@dataclass(frozen=True)
class AskedFiles:
    """One question about files.

    Args:
        prompt: what the network reads.
        files: pictures, and at most one video, by paths from the working directory.
        turns: (question, answer) pairs that came before, for a decoder-only network.
        frames: of the video; None: as the data module says.
        target: a text whose likelihood is wanted; None: the answer is to be generated.
    """

    prompt: str
    files: Sequence[Path | str] = ()
    turns: Sequence[tuple[str, str]] = ()
    frames: int | None = None
    target: str | None = None


def asked_batch(
    data: Any, asked: Sequence[AskedFiles], *, most: int | None = None, part: str | None = None
) -> Batch:
    """Questions as a batch; an example tells which frames of its video are in it.

    Args:
        data: a `VisionLanguageDataModule`, or a mixture with `parts`; its data set is not touched.
        asked: the questions.
        most: pictures that the network takes of one; None: any number.
        part: of a mixture.

    Raises:
        ValueError: a file that cannot be used, too many of them, or a text that is too long.
    """
    own: VisionLanguageDataModule = data.parts[part] if part is not None else data
    collate = own.collate
    if isinstance(collate, ConversationCollate):
        # What is too long is refused below, in the words of one who asks.
        collate = replace(collate, max_tokens=None)
    batch = collate([_sample(own, one, most) for one in asked])
    if isinstance(batch, ValueError):
        raise batch
    _refuse_no_room(own, batch)
    return batch


def _sample(data: VisionLanguageDataModule, asked: AskedFiles, most: int | None) -> Sample:
    refs = [ref_of(Path(file).expanduser().absolute()) for file in asked.files]
    images = tuple(ref for ref in refs if isinstance(ref, ImageRef))
    clips = [ref for ref in refs if isinstance(ref, ClipRef)]
    if len(clips) > 1:
        raise ValueError(f"image names {len(clips)} videos; one can be asked about")
    if asked.frames is not None and not clips:
        raise ValueError(f"frames={asked.frames} is of a video, but image names none")
    if most is not None and len(refs) > most:
        raise ValueError(f"image names {len(refs)} files, the network takes at most {most}")
    room = None if most is None else most - len(images)
    clip = _with_frames(data, clips[0], asked.frames, room) if clips else None
    example = Example(ID, asked.prompt, "", images=images, frames=clip, turns=tuple(asked.turns))
    return replace(_loaded(data, example), target=asked.target)


def ref_of(path: Path) -> ImageRef | ClipRef:
    """What a file is, told by its content: a picture, or a video, which an animation is as well.

    Raises:
        ValueError: it is missing or empty.
    """
    require_file("", ImageRef(str(path)))
    try:
        with Image.open(path) as opened:
            moves = getattr(opened, "is_animated", False) and opened.format != "MPO"
    except Exception:  # noqa: BLE001 - decoders of damaged files raise all sorts of errors
        # A picture that is damaged is named by its reader, any other file by the reader of clips.
        known = path.suffix.lower() in Image.registered_extensions()
        return ImageRef(str(path)) if known else ClipRef(str(path))
    return ClipRef(str(path)) if moves else ImageRef(str(path))


def _with_frames(
    data: VisionLanguageDataModule, clip: ClipRef, frames: int | None, room: int | None
) -> ClipRef:
    if frames is not None and (isinstance(frames, bool) or not isinstance(frames, int) or frames < 1):
        raise ValueError(f"frames={frames} must be a whole number of at least 1, or null")
    if frames is not None and room is not None and frames > room:
        raise ValueError(f"frames={frames} is more than the network takes; at most {room}")
    settled = data.clips.settled(clip if frames is None else replace(clip, count=frames))
    # Of what the data module says only as much as the network takes.
    count = settled.count if room is None or settled.count is None else min(settled.count, room)
    return replace(settled, count=count)


def _loaded(data: VisionLanguageDataModule, example: Example) -> Sample:
    if example.visuals and data.image_size is None:
        raise ValueError("the run reads stored features and its model.image_size is not set")
    from data_modules.video import VideoError  # FFmpeg is loaded only where files are read

    pixels = Pixels("", data.image_size or 1, clips=data.clips, square_fill=data.square_fill)
    visuals = tuple(pixels.load(ref) for ref in example.images)
    if example.frames is not None:
        try:
            shown, frames = pixels.load_clip(example.frames)
        except VideoError as error:
            raise ValueError(
                f"{example.frames.path} is neither a picture nor a video to be read: {error}"
            ) from None
        example, visuals = replace(example, frames=shown), (*visuals, *frames)
    return Sample(example, None, visuals=visuals)


def _refuse_no_room(data: VisionLanguageDataModule, batch: Batch) -> None:
    """A conversation that fills the network leaves nothing for an answer."""
    collate = data.collate
    if not isinstance(collate, ConversationCollate) or batch.prompt_lengths is None:
        return
    # One token at least is left to an answer; one that is given has to fit whole.
    length = max(int(batch.prompt_lengths.max()) + 1, batch.input_ids.shape[1])
    limit = collate.max_tokens
    if limit is not None and length > limit:
        raise ValueError(
            f"the conversation has {length} tokens with its answer, the network reads {limit}; ask in fewer "
            "words, of fewer pictures or frames, or start anew"
        )
