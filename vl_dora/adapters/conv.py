"""Convolutions under LoRA, DoRA and magnitude-only tuning.

A convolution is a linear map of patches: its weight (o, i/g, *k) is a matrix with one row for each output
channel, and A is a convolution of the same geometry with r output channels, B one of width 1:

    y = c * conv(x, W) + b + c * s * conv_1(conv(x~, A), B),   c = m / ||W + s B A||_row

With g groups A and B have the groups of the base, so that B A has the shape of W and can be merged.
Shapes: o, i = output and input channels, g = groups, k = kernel, r = rank, divisible by g; A (r, i/g, *k),
B (o, r/g, *1), m (o,).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vl_dora.adapters.dora import DROPOUT_MODES
from vl_dora.adapters.entry import Entry
from vl_dora.adapters.initialization import fill_first_factor
from vl_dora.adapters.layer import AdaptedLayer, check_number, check_word
from vl_dora.adapters.low_rank import DirectedLayer, LowRankLayer
from vl_dora.adapters.patch_norm import patch_squares
from vl_dora.adapters.rescaled import RescaledLayer
from vl_dora.adapters.row_norm import without_autocast

_POINTWISE = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


class AdaptedConv(AdaptedLayer):
    """An adapted convolution of one, two or three dimensions, of any stride, padding, dilation and groups."""

    kinds = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
    base: nn.Conv1d | nn.Conv2d | nn.Conv3d

    @classmethod
    def takes(cls, module: nn.Module) -> bool:
        # One with a forward of its own computes something else.
        return any(isinstance(module, kind) and type(module).forward is kind.forward for kind in cls.kinds)

    @classmethod
    def check_rank(cls, rank: int, base: nn.Module) -> None:
        """Stops on a rank that a layer on this base cannot have.

        Raises:
            ValueError: `rank` is no whole number in 1..the weight's own rank, or the groups do not divide it.
        """
        assert isinstance(base, nn.Conv1d | nn.Conv2d | nn.Conv3d)
        groups, (rows, columns) = base.groups, base.weight.flatten(1).shape
        limit = groups * min(rows // groups, columns)
        fits = isinstance(rank, int) and not isinstance(rank, bool) and 1 <= rank <= limit
        if not fits or rank % groups:
            multiple = "" if groups == 1 else f" that {groups} divides (the layer has {groups} groups)"
            raise ValueError(f"rank={rank!r} must be a whole number in 1..{limit}{multiple} for a {base}")

    def matrix(self) -> Tensor:
        return self.base.weight.flatten(1)

    def of_channels(self, vector: Tensor) -> Tensor:
        """(o,) as (o, 1, ...), which lies along the channels of an output."""
        return vector.view(-1, *[1] * len(self.base.kernel_size))

    def rescale(self, plain: Tensor, gain: Tensor) -> Tensor:
        """c * conv(x, W) + b out of plain = conv(x, W) + b; exactly `plain` where c = 1.

        Written with the base layer's own output: only so is the start the identity in every dtype.
        """
        gain = self.of_channels(gain)
        scaled = plain * gain
        return scaled if self.base.bias is None else scaled + (1 - gain) * self.of_channels(self.base.bias)

    def file_entries(self) -> dict[str, Entry]:
        entries = super().file_entries()
        if (ending := ".lora_magnitude_vector") in entries:
            entries[ending] = _as_row(entries[ending], self.base.weight.ndim)
        if self.base.groups > 1 and (ending := ".lora_A.weight") in entries:
            entries[ending] = _ungrouped(entries[ending], self.base.groups)
        return entries

    def unit_magnitude(self) -> Entry:
        rows = self.base.weight.shape[0]
        norms = Entry((rows,), lambda: self.merged_weight().flatten(1).norm(dim=1), None)
        return _as_row(norms, self.base.weight.ndim)

    def zero_factors(self) -> dict[str, Entry]:
        """PEFT wants a rank that the groups divide."""
        weight, groups = self.base.weight, self.base.groups
        down = (groups, self.base.in_channels, *weight.shape[2:])
        up = (len(weight), 1, *[1] * len(self.base.kernel_size))
        return {".lora_A.weight": Entry.zeros(down), ".lora_B.weight": Entry.zeros(up)}


class LoRAConv(LowRankLayer, AdaptedConv):
    """A frozen convolution whose weight is shifted by rank r.

    y = conv(x, W) + b + s * conv_1(conv(x~, A), B),   s = alpha / r,   x~ = x after dropout

    At construction B = 0, so the output equals `base(x)` exactly.

    Args:
        base: the layer to adapt; frozen in place, not copied.
        rank: r, divisible by the groups g, at most g * min(o / g, i / g * |k|).
        alpha: numerator of the scale s; unit-less.
        dropout: drop probability on the adapter's view of x, 0 <= p < 1.
        rslora: s = alpha / sqrt(r) instead.
        init: where A starts: kaiming or gaussian.

    Raises:
        ValueError: an option is outside what is stated above.
    """

    method = "lora"

    def __init__(
        self,
        base: nn.Module,
        *,
        rank: int,
        alpha: float,
        dropout: float = 0.0,
        rslora: bool = False,
        init: str = "kaiming",
    ) -> None:
        AdaptedLayer.__init__(self, base)
        self.set_options(rank, alpha, rslora, init)
        check_number("dropout", dropout, low=0.0, high=1.0)
        self.dropout = nn.Dropout(dropout)
        rows, columns, *kernel = self.base.weight.shape
        self.lora_a = self.factor(rank, columns, *kernel)
        self.lora_b = self.factor(rows, rank // self.base.groups, *[1] * len(kernel))
        fill_first_factor(self.lora_a, init, rank)
        self.train(base.training)

    def forward(self, x: Tensor) -> Tensor:
        """(*batch, i, *size) to (*batch, o, *size)."""
        if self.merged:
            return self._merged_forward(x)
        plain = self.base(x)
        return (plain + self.update(self.dropout(x), None)).to(plain.dtype)

    def update(self, x: Tensor, gain: Tensor | None) -> Tensor:
        """c * s * conv_1(conv(x, A), B); c = 1 where `gain` is None."""
        low = self.base._conv_forward(x, self.lora_a.to(x.dtype), None)
        up = self.scale * self.lora_b
        up = up if gain is None else gain.view(-1, *[1] * (up.ndim - 1)) * up
        return _POINTWISE[up.ndim - 2](low, up.to(low.dtype), groups=self.base.groups)

    def unread_by_peft(self) -> str | None:
        base = self.base
        if any(step > 1 < width for step, width in zip(base.dilation, base.kernel_size, strict=True)):
            return f"A of dilation {base.dilation}: PEFT leaves the dilation out"
        if base.padding_mode != "zeros" and any(_pads(base)):
            return f"A of padding mode {base.padding_mode}: PEFT pads with zeros"
        return None

    def factors(self) -> tuple[Tensor, Tensor]:
        """A (g, r/g, i/g |k|) and B (g, o/g, r/g)."""
        groups = self.base.groups
        a, b = self.lora_a.flatten(1), self.lora_b.flatten(1)
        return a.view(groups, -1, a.shape[1]), b.view(groups, -1, b.shape[1])

    def shift(self) -> Tensor:
        a, b = self.factors()
        return (b @ a).flatten(0, 1)

    @torch.no_grad()
    def merged_weight(self) -> Tensor:
        return self.shifted().view_as(self.base.weight)


class DoRAConv(DirectedLayer, LoRAConv):
    """A frozen convolution whose channels are re-scaled and whose weight is shifted by rank r.

    The equation is at the top of this file; the norm is taken over a whole channel, (i/g, *k).

    Args:
        base: as in `LoRAConv`, and so are rank, alpha, dropout, rslora and init.
        rank: r.
        alpha: numerator of the scale s.
        dropout: drop probability on x~.
        norm_gradient: detached or full, as in `DoRALinear`.
        dropout_mode: branch or reference, as in `DoRALinear`.
        rslora: s = alpha / sqrt(r) instead.
        init: kaiming or gaussian.

    Raises:
        ValueError: an option is outside what is stated above.
    """

    method = "dora"

    def __init__(
        self,
        base: nn.Module,
        *,
        rank: int,
        alpha: float,
        dropout: float = 0.0,
        norm_gradient: str = "detached",
        dropout_mode: str = "branch",
        rslora: bool = False,
        init: str = "kaiming",
    ) -> None:
        LoRAConv.__init__(self, base, rank=rank, alpha=alpha, dropout=dropout, rslora=rslora, init=init)
        check_word("dropout_mode", dropout_mode, DROPOUT_MODES)
        self.dropout_mode = dropout_mode
        self.start_norm(norm_gradient)

    def forward(self, x: Tensor) -> Tensor:
        """(*batch, i, *size) to (*batch, o, *size)."""
        if self.merged:
            return self._merged_forward(x)
        plain, gain, seen = self.base(x), self.current_gain(), self.dropout(x)
        if self.dropout_mode == "reference" and self.training and self.dropout.p > 0:
            base = self.base._conv_forward(seen, self.base.weight, None)
            scaled = plain + (self.of_channels(gain) - 1) * base
        else:
            scaled = self.rescale(plain, gain)
        return (scaled + self.update(seen, gain)).to(plain.dtype)

    def unread_by_peft(self) -> str | None:
        if self.base.groups > 1:
            return f"the norm with {self.base.groups} groups: PEFT's is of another weight"
        return super().unread_by_peft()

    def shifted_squares(self) -> Tensor:
        return patch_squares(self.matrix(), self.base_squares(), *self.factors(), self.scale)

    @torch.no_grad()
    def merged_weight(self) -> Tensor:
        return self.rescaled().view_as(self.base.weight)


class MagnitudeConv(RescaledLayer, AdaptedConv):
    """A frozen convolution whose channels are re-scaled: y = c * conv(x, W) + b,   c = m / ||W||_row.

    At construction m = ||W||_row, so y equals `base(x)` exactly.

    Args:
        base: the layer to adapt; frozen in place, not copied.
    """

    method = "magnitude"

    def forward(self, x: Tensor) -> Tensor:
        """(*batch, i, *size) to (*batch, o, *size)."""
        if self.merged:
            return self._merged_forward(x)
        plain = self.base(x)
        return self.rescale(plain, self.base_gain()).to(plain.dtype)

    @torch.no_grad()
    def merged_weight(self) -> Tensor:
        with without_autocast(self.base.weight):
            rows = self.gain(self.base_squares())[:, None] * self.matrix().to(self.wide)
            return rows.view_as(self.base.weight)


def _pads(base: nn.Conv1d | nn.Conv2d | nn.Conv3d) -> list[bool]:
    return [padding != 0 for padding in base._reversed_padding_repeated_twice]


def _as_row(entry: Entry, ndim: int) -> Entry:
    """A vector (o,) as PEFT writes it beside convolutions: (1, o, 1, ...)."""
    (size,) = entry.shape
    shape = (1, size, *[1] * (ndim - 2))
    assign = entry.assign
    return Entry(
        shape,
        lambda: entry.value().view(shape),
        None if assign is None else lambda read: assign(read.view(size)),
    )


def _ungrouped(entry: Entry, groups: int) -> Entry:
    """A of a grouped layer as PEFT has it: without groups, so zero outside of each filter's own channels."""
    rank, columns, *kernel = entry.shape
    shape = (rank, columns * groups, *kernel)
    own = torch.arange(groups)

    def value() -> Tensor:
        grouped = entry.value().detach()
        wide = grouped.new_zeros(groups, rank // groups, groups, columns, *kernel)
        wide[own, :, own] = grouped.view(groups, rank // groups, columns, *kernel)
        return wide.view(shape)

    def inside(read: Tensor) -> Tensor:
        wide = read.view(groups, rank // groups, groups, columns, *kernel)
        return wide[own, :, own].reshape(entry.shape)

    def check(read: Tensor) -> None:
        if inside(read).count_nonzero() != read.count_nonzero():
            raise ValueError(
                f"lora_A {shape} of a convolution with {groups} groups mixes channels of different groups, "
                f"as PEFT trains it; here every group keeps to itself, and only such an A can be merged"
            )

    def assign(read: Tensor) -> None:
        assert entry.assign is not None
        entry.assign(inside(read))

    return Entry(shape, value, assign, check)
