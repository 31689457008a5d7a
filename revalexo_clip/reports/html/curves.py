"""How training went, as `metrics.csv` of the run recorded it."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from revalexo_clip.reports.html.page import Html, figure, paragraph
from revalexo_clip.reports.html.plots import COLOUR, WIDTH, heading, label_ends, panels, percent_axis, svg

Curves = Mapping[str, Mapping[int, float]]
"""By column, the mean of what was recorded in each epoch, epochs counted from 1."""


def read_curves(log: Path) -> Curves:
    """What a run recorded; nothing where it recorded nothing."""
    if not log.is_file():
        return {}
    recorded: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    with log.open(newline="", encoding="utf-8") as file:
        for line in csv.DictReader(file):
            for column, value in line.items():
                if value and column not in {"epoch", "step"}:
                    recorded[column][int(line["epoch"]) + 1].append(float(value))
    return {column: {epoch: sum(v) / len(v) for epoch, v in found.items()} for column, found in recorded.items()}


_RECALLS = {
    "val/imu_to_video/r_at_10": ("IMU → video, R@10", "imu"),
    "val/video_to_imu/r_at_10": ("video → IMU, R@10", "video"),
    "val/imu_to_video/r_at_1": ("IMU → video, R@1", "imu"),
    "val/video_to_imu/r_at_1": ("video → IMU, R@1", "video"),
}


_SCORES = {
    "val/weighted_f1": ("weighted F1", "imu"),
    "val/macro_f1": ("macro F1", "c3"),
    "val/accuracy": ("accuracy", "c5"),
}


def section_body(log: Path, epoch: int) -> Html:
    """Losses, and retrieval on the validation subjects, with the epoch that was evaluated."""
    caption = (
        f"The dotted upright line is the checkpoint that was evaluated, of epoch {epoch}. The training loss is that of "
        "augmented windows in batches composed for training, so it need not meet that of validation."
    )
    return _drawn(log, epoch, "retrieval, validation subjects", _RECALLS, caption)


def of_classifier(log: Path, epoch: int) -> Html:
    """Losses, and scores on the validation subjects, with the epoch that was tested."""
    caption = (
        f"The dotted upright line is the checkpoint that was tested, of epoch {epoch}. The training loss is that of "
        "augmented windows, with dropout and activities drawn alike often, so it need not meet that of validation."
    )
    return _drawn(log, epoch, "recognition, validation subjects", _SCORES, caption)


def _drawn(log: Path, epoch: int, title: str, shown: Mapping[str, tuple[str, str]], caption: str) -> Html:
    curves = read_curves(log)
    if not curves.get("val/loss"):
        return paragraph(f"There is no record of validation losses beside this checkpoint ({log.name}), so no curves.")
    losses, shares = panels(WIDTH, 3.0, columns=2)
    training = next((one for one in ("train/loss", "train/loss_epoch") if one in curves), "train/loss_step")
    _draw(losses, curves, {training: ("training", "c5"), "val/loss": ("validation", "imu")})
    heading(losses, "loss")
    _draw(shares, curves, shown)
    heading(shares, title)
    shares.set_ylim(bottom=0)
    percent_axis(shares, "y")
    for axes in (losses, shares):
        axes.axvline(epoch, color=COLOUR["ink"], linewidth=1, linestyle=(0, (1, 2)))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.set_xlabel("epoch")
    losses.grid(axis="y")
    return figure(svg(losses, f"Losses and {title} by epoch"), caption)


def _draw(axes: Axes, curves: Curves, shown: Mapping[str, tuple[str, str]]) -> None:
    """Draw columns by name, and write beside each what it is: (name, role of colour)."""
    ends = []
    for column, (name, role) in shown.items():
        if found := curves.get(column):
            axes.plot(list(found), list(found.values()), "o-", color=COLOUR[role], markersize=4)
            ends.append((max(found), found[max(found)], name, role))
    low, high = axes.get_ylim()
    label_ends(axes, ends, gap=0.075 * (high - low))
