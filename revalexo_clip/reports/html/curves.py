"""Training curves, from `metrics.csv` of the run."""

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
"""By column and epoch, the mean of the recorded values. Epochs are counted from 1."""


def read_curves(log: Path) -> Curves:
    """Read what a run recorded; empty if there is no record."""
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


_NEIGHBOURS = {
    "val/knn_macro_f1": ("macro F1 of neighbours", "imu"),
    "val/next_window/mrr": ("MRR of the next window", "c3"),
    "val/next_window/chance": ("its chance", "muted"),
}


_SCORES = {
    "val/weighted_f1": ("weighted F1", "imu"),
    "val/macro_f1": ("macro F1", "c3"),
    "val/accuracy": ("accuracy", "c5"),
}


def section_body(log: Path, epoch: int) -> Html:
    """Return curves of the losses and of retrieval on the validation subjects, with the evaluated epoch."""
    caption = f"Dotted line: the evaluated checkpoint, epoch {epoch}."
    curves = read_curves(log)
    if "val/loss" not in curves and "train/loss_epoch" in curves:  # no term is computed on validation windows
        return _drawn(log, epoch, "retrieval, validation subjects", _RECALLS, caption, loss="train/loss_epoch")
    caption += (
        " The training loss is computed on augmented windows in batches composed for training, so it is not directly "
        "comparable with the validation loss."
    )
    return _drawn(log, epoch, "retrieval, validation subjects", _RECALLS, caption)


def of_imu_alone(log: Path, epoch: int) -> Html:
    """Return curves of the training loss and of what chooses the checkpoints of IMU alone, with the evaluated epoch."""
    caption = (
        f"Dotted line: the evaluated checkpoint, epoch {epoch}. Checkpoints are chosen by neighbours among the "
        "validation windows, not by the loss, which also falls if the encoder only learns to see through the "
        "augmentations."
    )
    return _drawn(log, epoch, "neighbours, validation subjects", _NEIGHBOURS, caption, loss="train/loss_epoch")


def of_classifier(log: Path, epoch: int) -> Html:
    """Return curves of the losses and of scores on the validation subjects, with the tested epoch."""
    caption = (
        f"Dotted line: the tested checkpoint, epoch {epoch}. The training loss is computed with augmentation, dropout "
        "and class-balanced sampling, so it is not directly comparable with the validation loss."
    )
    return _drawn(log, epoch, "classification, validation subjects", _SCORES, caption)


def _drawn(
    log: Path,
    epoch: int,
    title: str,
    shown: Mapping[str, tuple[str, str]],
    caption: str,
    *,
    loss: str = "val/loss",
) -> Html:
    """Draw losses and the columns `shown`, if there is the column `loss`."""
    curves = read_curves(log)
    if not curves.get(loss):
        which = "validation" if loss == "val/loss" else "training"
        return paragraph(f"No curves: there are no {which} losses in {log.name} of this checkpoint's run.")
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
    """Draw columns with their names beside them. `shown` holds name and role of colour by column."""
    ends = []
    for column, (name, role) in shown.items():
        if found := curves.get(column):
            axes.plot(list(found), list(found.values()), "o-", color=COLOUR[role], markersize=4)
            ends.append((max(found), found[max(found)], name, role))
    low, high = axes.get_ylim()
    label_ends(axes, ends, gap=0.075 * (high - low))
