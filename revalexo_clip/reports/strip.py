"""A strip of frames: a picture with one row of video frames for each moment."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure
from torch import Tensor

from revalexo_clip.core.files import atomically

_INCH = 1.6
"""Height of a row [in]."""


def write_strip(path: Path, title: str, rows: Sequence[tuple[str, Tensor]]) -> None:
    """Write a PNG: for each row its title and frames [T, H, W, 3] uint8, side by side.

    Raises `WriteError`, naming the file, if it cannot be written.
    """
    columns = max(len(frames_THWC) for _, frames_THWC in rows)
    figure = Figure(figsize=(_INCH * max(columns, 3), (_INCH + 0.25) * len(rows) + 0.5), dpi=100, layout="constrained")
    figure.suptitle(title.replace("$", r"\$"), fontsize=10)
    grid = figure.subplots(len(rows), columns, squeeze=False)
    for of_row, (caption, frames_THWC) in zip(grid, rows, strict=True):
        of_row[0].set_title(caption.replace("$", r"\$"), fontsize=8, loc="left")
        for place, axes in enumerate(of_row):
            axes.set_axis_off()
            if place < len(frames_THWC):
                axes.imshow(frames_THWC[place].numpy())
    with atomically(path) as temporary:
        figure.savefig(temporary, format="png")
