"""Examples: an IMU window, the video that belongs to it, and the five that were found, right and wrong."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from revalexo_clip.core.types import UNLABELLED
from revalexo_clip.data import WindowDataset
from revalexo_clip.metrics.evaluated import EvaluatedWindows, Floats, Ints
from revalexo_clip.metrics.galleries import Gallery
from revalexo_clip.metrics.retrieval import MICROSECOND
from revalexo_clip.reports.html.evaluation.strips import imu_plot, sensor_curves, shown_sensors, strip
from revalexo_clip.reports.html.page import Html, joined, paragraph, tag, text
from revalexo_clip.reports.values import MINUS

BEST = WORST = 2
ANY = 3
FOUND = 5
"""Windows that are shown of what was found."""


@dataclass(frozen=True)
class Example:
    """A query, and what it found."""

    why: str
    query: int
    rank: int
    found: Ints
    """The nearest windows."""
    similarity: Floats
    """Of those."""
    own_similarity: float
    """Of the partner."""


def choose(windows: EvaluatedWindows, gallery: Gallery) -> list[Example]:
    """The best, the worst and a few others, of different clips as far as there are."""
    rank_N = gallery.ranks.imu_to_video_N.numpy()
    own_N = (windows.imu_ND.double() * windows.video_ND.double()).sum(dim=1).numpy()
    clip_N = windows.clip_N.numpy()
    best = _of_different_clips(np.lexsort((-own_N, rank_N)), clip_N, BEST)
    rest = np.array([row for row in np.lexsort((own_N, -rank_N)) if row not in best], dtype=np.int64)
    worst = _of_different_clips(rest, clip_N, WORST)
    others = np.setdiff1d(np.arange(len(windows)), best + worst)
    drawn = _of_different_clips(np.random.default_rng(0).permutation(others), clip_N, ANY)
    chosen = (
        [("best", row) for row in best]
        + [("worst", row) for row in worst]
        + [("drawn at random", row) for row in drawn]
    )
    return [_example(windows, why, row, int(rank_N[row]), float(own_N[row])) for why, row in chosen]


def _of_different_clips(rows: Ints, clip_N: Ints, count: int) -> list[int]:
    """The first rows, those of clips that are not there yet before others."""
    _, first = np.unique(clip_N[rows], return_index=True)
    order = [*np.sort(first), *np.setdiff1d(np.arange(len(rows)), first)]
    return [int(rows[place]) for place in order[:count]]


def _example(windows: EvaluatedWindows, why: str, row: int, rank: int, own: float) -> Example:
    similarity_N = windows.video_ND.double() @ windows.imu_ND[row].double()
    nearest = torch.sort(similarity_N, descending=True, stable=True)
    kept = min(FOUND, len(windows))
    return Example(why, row, rank, nearest.indices[:kept].numpy(), nearest.values[:kept].numpy(), own)


def section_body(windows: EvaluatedWindows, gallery: Gallery, dataset: WindowDataset, tolerance: float) -> Html:
    """The examples; windows are read again from the dataset."""
    examples = choose(windows, gallery)
    sensors = list(next(iter(sensor_curves(dataset[0, 0].imu_LC, dataset.imu_spec).values())))
    keys = [
        tag("li", joined([tag("i", style=f"background: var(--c{number + 1})"), text(sensor.replace("_", " "))]))
        for number, sensor in enumerate(shown_sensors(sensors))
    ]
    about = (
        "To the left what the query's IMU measured, as the length of each vector; to the right the video of the same "
        f"time, and the {FOUND} windows of all {len(windows)} that are most similar to it. The best cases are found "
        "first, with the highest similarity; the worst have the last ranks; the others are drawn at random."
    )
    cards = (_card(one, windows, dataset, tolerance) for one in examples)
    return joined([paragraph(about), tag("ul", joined(keys), class_="keys"), *cards], "\n")


def _card(example: Example, windows: EvaluatedWindows, dataset: WindowDataset, tolerance: float) -> Html:
    query = example.query
    sample = dataset[0, query]
    title = f"{example.why.capitalize()}: partner at rank {example.rank} of {len(windows)}"
    plot = imu_plot(sample.imu_LC, dataset.imu_spec, f"IMU of {_place(windows, query)}")
    own = strip(sample.video_THWC, f"video of {_place(windows, query)}")
    about = f"{_place(windows, query)} · similarity {example.own_similarity:.2f}"
    lines = [tag("li", _line(own, "the query's own video", "", about), class_="truth")]
    for place, (row, similarity) in enumerate(zip(example.found.tolist(), example.similarity.tolist(), strict=True)):
        mark, kind = judged(windows, query, row, tolerance, dataset.video_spec.window)
        picture = strip(dataset[0, row].video_THWC, f"video of {_place(windows, row)}")
        about = f"{_place(windows, row)} · similarity {similarity:.2f}"
        lines.append(tag("li", _line(picture, f"{place + 1}. {mark}", kind, about)))
    body = joined([tag("h3", text(title)), tag("div", plot), tag("ol", joined(lines, "\n"))], "\n")
    return tag("div", body, class_="example")


def _line(picture: Html, mark: str, kind: str, about: str) -> Html:
    beside = joined([tag("span", text(mark), class_=f"mark {kind}".strip()), text(about)])
    return joined([picture, tag("div", beside)])


def judged(windows: EvaluatedWindows, query: int, row: int, tolerance: float, length: float) -> tuple[str, str]:
    """Whether a window that was found is right, and if not, how wrong it is; and the class of the style sheet.

    `length` is that of a window [s], as is `tolerance`.
    """
    if row == query:
        return "✓ right", "yes"
    if windows.clip_N[row] != windows.clip_N[query]:
        return "✗ wrong", "no"
    apart = float(windows.start_N[row] - windows.start_N[query])
    told = f"{apart:+g} s".replace("-", MINUS)
    if abs(apart) < tolerance - MICROSECOND:
        return f"✓ right, within the tolerance ({told})", "yes"
    if abs(apart) < length - MICROSECOND:
        return f"≈ overlaps the right one ({told})", "open"
    return f"✗ wrong, same clip ({told})", "no"


def _place(windows: EvaluatedWindows, row: int) -> str:
    """Clip, start and activity of a window."""
    label = int(windows.label_NK[row, 0])
    activity = "no activity" if label == UNLABELLED else windows.activities[label]
    return f"{windows.clip_names[int(windows.clip_N[row])]}, {float(windows.start_N[row]):g} s, {activity}"
