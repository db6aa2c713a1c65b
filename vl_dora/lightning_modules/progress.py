"""The progress bar: loss, learning rate and the current score."""

from __future__ import annotations

from lightning.pytorch.callbacks import RichProgressBar
from lightning.pytorch.callbacks.progress.rich_progress import RichProgressBarTheme


class TrainingBar(RichProgressBar):
    """Lightning's bar with small learning rates legible and passes over the data counted from 1."""

    def __init__(self) -> None:
        super().__init__(theme=RichProgressBarTheme(metrics_format=".3g"))

    def _get_train_description(self, current_epoch: int) -> str:
        # Lightning writes "Epoch 0/-2" where the number of steps, not of epochs, ends a run.
        return f"pass {current_epoch + 1}"
