"""Frames of clips by time: `sample_frames(path, count=8)` or `sample_frames(path, fps=2)`.

frames          sample_frames, SampledFrames: which decoder, which frames, within which limits
instants        which frames lie on the screen at the instants asked for
survey          what a file holds: its stream, and the time of every frame
upright         a decoded frame as 8-bit RGB, turned as the file says
pyav_reader     decoding by PyAV, in one go or by seeking; notices damage
decord_reader   decoding by decord, for the files that it reads right
forked          what a loader worker does not collect
error           VideoError
"""

from data_modules.video import forked
from data_modules.video.error import VideoError
from data_modules.video.frames import SampledFrames, sample_frames

forked.protect()

__all__ = ["SampledFrames", "VideoError", "sample_frames"]
