"""VideoError: a clip that cannot be used."""

from __future__ import annotations

from pathlib import Path


class VideoError(ValueError):
    """A clip that cannot be used; the message is one sentence with file and reason.

    Attributes:
        path: the file.
        reason: what is wrong with it.
    """

    def __init__(self, message: str, *, path: Path | None = None, reason: str = "") -> None:
        super().__init__(message)
        self.path = path
        self.reason = reason or message

    @classmethod
    def of(cls, path: Path, reason: str) -> VideoError:
        """`video <path> <reason>`."""
        return cls(f"video {path} {reason}", path=path, reason=reason)
