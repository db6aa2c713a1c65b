"""What every adapted layer shares: a frozen base, and merging that undoes itself.

Shapes: o = out_features, i = in_features, r = rank.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from vl_dora.adapters.entry import Entry
from vl_dora.adapters.quantization import quantization_of


class AdaptedLayer(nn.Module):
    """A frozen layer with something small to train beside it.

    The layer's own parameters stay in float32 (float64 beside a float64 base) even when the
    network around it is cast to half precision: bfloat16 swallows small updates.

    Args:
        base: the layer to adapt; frozen in place, not copied.

    Attributes:
        kinds: classes of layers that can be the base.
        file_keys: own parameter -> ending of its key in an adapter file, PEFT's where PEFT has the method.

    Raises:
        ValueError: `base` is of another kind.
    """

    method: str
    kinds: tuple[type[nn.Module], ...]
    file_keys: Mapping[str, str] = {
        "lora_a": ".lora_A.weight",
        "lora_b": ".lora_B.weight",
        "magnitude": ".lora_magnitude_vector",
    }
    base: Any
    # Of layers with low-rank factors only.
    rank: int
    alpha: float
    scale: float
    rslora: bool
    _unmerged: Tensor | None

    def __init__(self, base: nn.Module) -> None:
        super().__init__()
        if not self.takes(base):
            known = " or ".join(f"nn.{kind.__name__}" for kind in self.kinds)
            raise ValueError(f"base is a {type(base).__name__}; only {known} layers can be adapted so")
        self.base = base.requires_grad_(False)
        self.register_buffer("_unmerged", None, persistent=False)
        self.train(base.training)

    @classmethod
    def takes(cls, module: nn.Module) -> bool:
        """Whether a module can be the base."""
        return isinstance(module, cls.kinds)

    @classmethod
    def check_rank(cls, rank: int, base: nn.Module) -> None:
        """Stops on a rank that a layer on this base cannot have.

        Raises:
            ValueError: `rank` is not a whole number in 1..the rank that the weight itself can have.
        """
        limit = min(base.weight.flatten(1).shape)  # type: ignore[operator]
        if isinstance(rank, bool) or not isinstance(rank, int) or not 1 <= rank <= limit:
            raise ValueError(f"rank={rank!r} must be a whole number in 1..{limit} for a {base}")

    @property
    def wide(self) -> torch.dtype:
        """The dtype of adapter parameters and norms: float32, or float64 for a float64 base."""
        return torch.promote_types(self.base.weight.dtype, torch.float32)

    @property
    def weight(self) -> Tensor:
        """The base weight; other code reads device and dtype from it."""
        return self.base.weight

    @property
    def bias(self) -> Tensor | None:
        """The base bias (o,), or None."""
        return self.base.bias

    def matrix(self) -> Tensor:
        """W (o, i) in floating point, one row for each output: the base weight, a view, or made of it."""
        return self.base.weight

    @property
    def merged(self) -> bool:
        """Whether the adapter is folded into the base weight now."""
        return self._unmerged is not None

    def merged_weight(self) -> Tensor:
        """The weight of the plain layer that computes the same map, in `wide`."""
        raise NotImplementedError

    def file_entries(self) -> dict[str, Entry]:
        """Ending of the key -> entry of all that this layer has in an adapter file, in the file's order."""
        own = {ending: getattr(self, name, None) for name, ending in self.file_keys.items()}
        return {ending: Entry.of(tensor) for ending, tensor in own.items() if tensor is not None}

    def remembered(self) -> dict[str, int]:
        """What stands for tensors that no file holds, and must be the same wherever the others are put."""
        return {}

    def unit_magnitude(self) -> Entry:
        """A filler (o,) beside layers with magnitudes: DoRA with this one re-scales nothing (c = 1)."""
        rows = len(self.base.weight)
        return Entry((rows,), lambda: self.merged_weight().flatten(1).norm(dim=1), None)

    def unread_by_peft(self) -> str | None:
        """What PEFT would get wrong about this layer, for the record beside a file; None: nothing."""
        return None

    def zero_factors(self) -> dict[str, Entry]:
        """Fillers beside a magnitude alone, for PEFT: a DoRA whose B A is zero."""
        raise NotImplementedError

    @torch.no_grad()
    def merge(self) -> None:
        """Folds the adapter into the base weight; the original weight is kept aside."""
        if self.merged:
            raise ValueError(f"this {type(self).__name__} is already merged; unmerge it first")
        folded = self.merged_weight().to(self.base.weight.dtype)
        self._unmerged = self.base.weight.data
        self.base.weight.data = folded

    @torch.no_grad()
    def unmerge(self) -> None:
        """Puts the original base weight back, bit for bit."""
        original = self._unmerged
        if original is None:
            raise ValueError(f"this {type(self).__name__} is not merged; there is nothing to undo")
        self.base.weight.data = original
        self._unmerged = None

    def _merged_forward(self, x: Tensor) -> Tensor:
        if self.training and torch.is_grad_enabled():
            raise RuntimeError("a merged adapter cannot train; call unmerge(network) first")
        return self.base(x)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        before = {name: p.data for name, p in self._parameters.items() if p is not None}
        super()._apply(fn, recurse)
        for name, parameter in self._parameters.items():
            if parameter is not None and parameter.dtype.itemsize < before[name].dtype.itemsize:
                if before[name].dtype == torch.float64:  # .float() of a float64 layer is meant
                    if parameter.dtype == torch.float32:
                        continue
                parameter.grad = None
                parameter.data = before[name].to(parameter.device, self.wide)
        return self


class AdaptedLinear(AdaptedLayer):
    """An adapted `nn.Linear`: W (o, i), bias (o,) or none."""

    kinds = (nn.Linear,)
    base: nn.Linear

    @classmethod
    def takes(cls, module: nn.Module) -> bool:
        return super().takes(module) and quantization_of(module) is None

    @property
    def in_features(self) -> int:
        return self.base.in_features

    @property
    def out_features(self) -> int:
        return self.base.out_features

    def zero_factors(self) -> dict[str, Entry]:
        down, up = (1, self.in_features), (self.out_features, 1)
        return {".lora_A.weight": Entry.zeros(down), ".lora_B.weight": Entry.zeros(up)}


def check_word(option: str, word: str, allowed: tuple[str, ...]) -> None:
    """Stops on a word that an option does not know.

    Raises:
        ValueError: `word` is not one of `allowed`.
    """
    if word not in allowed:
        raise ValueError(f"{option}={word!r} is unknown; allowed: {', '.join(allowed)}")


def check_switch(option: str, value: bool) -> None:
    """Stops on a switch that is neither true nor false.

    Raises:
        ValueError: `value` is no boolean.
    """
    if not isinstance(value, bool):
        raise ValueError(f"{option}={value!r} must be true or false")


def check_number(option: str, value: float, *, low: float, high: float) -> None:
    """Stops on a number outside [low, high), on booleans and on what is no number.

    Raises:
        ValueError: `value` is none of these.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value < high:
        raise ValueError(f"{option}={value!r} must be a number, at least {low} and below {high}")
