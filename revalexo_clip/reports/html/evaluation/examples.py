"""Retrieval examples: an IMU window as curves, its video and the five nearest videos as strips of frames.

If windows have no frames, their measured motion is shown as curves instead.
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass

import numpy as np
import simplejpeg
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from revalexo_clip.core.types import UNLABELLED, ImuSpec, Sample
from revalexo_clip.data import WindowDataset
from revalexo_clip.metrics.evaluated import EvaluatedWindows, Floats, Ints
from revalexo_clip.metrics.galleries import Gallery
from revalexo_clip.metrics.retrieval import MICROSECOND
from revalexo_clip.reports.html.page import Html, joined, paragraph, tag, text
from revalexo_clip.reports.html.plots import COLOUR, bare, panels, svg
from revalexo_clip.reports.values import MINUS

FRAMES = 8
"""Largest number of frames in a strip; of more frames, an evenly spaced selection is shown."""
SIDE = 72
"""Largest side of a frame [px]."""
QUALITY = 80
"""JPEG quality."""
SENSORS = 3
"""Largest number of sensors with a curve; of more, a selection is shown, evenly spaced in the dataset's order."""
_KINDS = {"acc": "acceleration", "gyro": "angular velocity"}
_ROLES = ("c1", "c2", "c3")


def strip(video_THWC: Tensor, description: str) -> Html:
    """Return frames [T, H, W, 3] uint8 side by side, as a JPEG embedded in the page."""
    frames = np.linspace(0, len(video_THWC) - 1, min(len(video_THWC), FRAMES)).round().astype(np.int64)
    frames_tCHW = video_THWC[torch.from_numpy(frames)].permute(0, 3, 1, 2)
    if frames_tCHW.shape[2] > SIDE:
        frames_tCHW = interpolate(frames_tCHW, (SIDE, SIDE), mode="bilinear", antialias=True)
    wide_HWC = np.ascontiguousarray(torch.cat(list(frames_tCHW), dim=2).permute(1, 2, 0).numpy())
    jpeg = simplejpeg.encode_jpeg(wide_HWC, QUALITY, colorsubsampling="444")
    source = f"data:image/jpeg;base64,{b64encode(jpeg).decode('ascii')}"
    return tag("img", alt=description, src=source)


def motion_curves(motion_MYX3: Tensor) -> Floats:
    """Return the mean motion to the right and down [M, 2], weighted by confidence; 0 if there is none."""
    weight_MYX1 = motion_MYX3[..., 2:].double()
    moved_M2 = (motion_MYX3[..., :2] * weight_MYX1).sum(dim=(1, 2))
    found_M2: Floats = (moved_M2 / weight_MYX1.sum(dim=(1, 2)).clamp(min=1e-9)).numpy()
    return found_M2


def motion_plot(motion_MYX3: Tensor, window: float, description: str) -> Html:
    """Return the motion of a window of `window` seconds as two curves."""
    curve_M2 = motion_curves(motion_MYX3)
    time_M = (np.arange(len(curve_M2)) + 0.5) * window / len(curve_M2)
    (axes,) = panels(4.4, 0.8)
    for place, role in enumerate(_ROLES[:2]):
        axes.plot(time_M, curve_M2[:, place], color=COLOUR[role], linewidth=1.1)
    axes.set_xlim(0, window)
    axes.tick_params(labelsize=7)
    axes.grid(axis="y")
    bare(axes, "left")
    return svg(axes, description)


def sensor_curves(imu_LC: Tensor, spec: ImuSpec) -> dict[str, dict[str, Floats]]:
    """Return by kind (`acc`, `gyro`) and sensor the length of the measured vector, [L]."""
    found: dict[str, dict[str, Floats]] = {}
    for column, channel in enumerate(spec.channels):
        kind, _, rest = channel.partition("_")
        sensor = rest.rpartition("_")[0] or rest
        squares = found.setdefault(kind, {}).setdefault(sensor, np.zeros(len(imu_LC)))
        squares += imu_LC[:, column].double().numpy() ** 2
    return {kind: {sensor: np.sqrt(total) for sensor, total in sensors.items()} for kind, sensors in found.items()}


def imu_plot(imu_LC: Tensor, spec: ImuSpec, description: str) -> Html:
    """Return an IMU window as curves of a few sensors, with a panel for each kind of channel."""
    found = sensor_curves(imu_LC, spec)
    time_L = np.arange(len(imu_LC)) / spec.rate
    unit = {channel.partition("_")[0]: unit for channel, unit in zip(spec.channels, spec.units, strict=True)}
    drawn = panels(2.8, 0.2 + 1.15 * len(found), rows=len(found))
    for axes, (kind, sensors) in zip(drawn, found.items(), strict=True):
        for sensor, role in zip(shown_sensors(list(sensors)), _ROLES, strict=False):
            axes.plot(time_L, sensors[sensor], color=COLOUR[role], linewidth=1.1)
        title = f"{_KINDS.get(kind, kind)} [{unit[kind].replace('^2', '²')}]"
        axes.set_title(title, loc="left", fontsize=8, color=COLOUR["ink"], pad=3)
        axes.tick_params(labelsize=7.5)
        axes.set_ylim(bottom=0)
        axes.set_xlim(0, spec.window)
        axes.grid(axis="y")
        bare(axes, "left")
    drawn[-1].set_xlabel("time [s]", fontsize=8)
    return svg(drawn[0], description)


def shown_sensors(sensors: list[str]) -> list[str]:
    """Return the sensors whose curves are drawn, in the order of their colours."""
    kept = np.linspace(0, len(sensors) - 1, min(len(sensors), SENSORS)).round().astype(np.int64)
    return [sensors[place] for place in kept]


BEST = WORST = 2
RANDOM = 3
"""Number of examples of each kind."""
FOUND = 5
"""Number of nearest windows shown for each example."""


@dataclass(frozen=True)
class Example:
    """A query and its nearest windows."""

    why: str
    query: int
    rank: int
    found: Ints
    """Indices of the nearest windows."""
    similarity: Floats
    """Similarity of each of them."""
    own_similarity: float
    """Similarity of the partner."""


def choose(windows: EvaluatedWindows, gallery: Gallery) -> list[Example]:
    """Choose the best, the worst and a few random examples of a gallery, if possible of different clips."""
    rank_M, rows = gallery.found_at("imu_to_video"), gallery.rows
    own_M = (windows.imu_ND.double() * windows.video_ND.double()).sum(dim=1).numpy()[rows]
    clip_M = windows.clip_N.numpy()[rows]
    best = _of_different_clips(np.lexsort((-own_M, rank_M)), clip_M, BEST)
    rest = np.array([place for place in np.lexsort((own_M, -rank_M)) if place not in best], dtype=np.int64)
    worst = _of_different_clips(rest, clip_M, WORST)
    others = np.setdiff1d(np.arange(len(rows)), best + worst)
    drawn = _of_different_clips(np.random.default_rng(0).permutation(others), clip_M, RANDOM)
    chosen = (
        [("best", place) for place in best]
        + [("worst", place) for place in worst]
        + [("drawn at random", place) for place in drawn]
    )
    return [_example(windows, gallery, place, why) for why, place in chosen]


def _of_different_clips(places: Ints, clip_M: Ints, count: int) -> list[int]:
    """Return the first places, at first only one of each clip."""
    _, first = np.unique(clip_M[places], return_index=True)
    order = [*np.sort(first), *np.setdiff1d(np.arange(len(places)), first)]
    return [int(places[number]) for number in order[:count]]


def _example(windows: EvaluatedWindows, gallery: Gallery, place: int, why: str) -> Example:
    """Return the query at a place of the gallery, with the windows that are nearest to it."""
    rows, query = gallery.rows, int(gallery.rows[place])
    similarity_M = windows.video_ND[torch.from_numpy(rows)].double() @ windows.imu_ND[query].double()
    nearest = torch.sort(similarity_M, descending=True, stable=True)
    found = rows[nearest.indices[:FOUND].numpy()]
    rank = int(gallery.found_at("imu_to_video")[place])
    return Example(why, query, rank, found, nearest.values[:FOUND].numpy(), float(similarity_M[place]))


def section_body(windows: EvaluatedWindows, gallery: Gallery, dataset: WindowDataset, tolerance: float) -> Html:
    """Return the examples. Their windows are read again from the dataset."""
    examples = choose(windows, gallery)
    sensors = list(next(iter(sensor_curves(dataset[0, 0].imu_LC, dataset.imu_spec).values())))
    keys = [
        tag("li", joined([tag("i", style=f"background: var(--c{number + 1})"), text(sensor.replace("_", " "))]))
        for number, sensor in enumerate(shown_sensors(sensors))
    ]
    about = (
        "Left: the IMU window of the query, as the length of each vector. Right: its own video, and the "
        f"{FOUND} nearest of all {len(gallery.rows)} video windows. The best examples are found first and "
        "with the highest similarity, the worst are found last, the others are drawn at random."
    )
    if not dataset.video_spec.frames:
        about += (
            " Windows have no frames: the curves of a video are the mean motion of its picture [picture widths / s], "
            "to the right in the first colour and down in the second, over the seconds of the window."
        )
    cards = (_card(one, windows, len(gallery.rows), dataset, tolerance) for one in examples)
    return joined([paragraph(about), tag("ul", joined(keys), class_="keys"), *cards], "\n")


def _card(example: Example, windows: EvaluatedWindows, size: int, dataset: WindowDataset, tolerance: float) -> Html:
    """Return a query with its nearest windows; `size` is that of the gallery."""
    query = example.query
    sample = dataset[0, query]
    title = f"{example.why.capitalize()}: partner at rank {example.rank} of {size}"
    plot = imu_plot(sample.imu_LC, dataset.imu_spec, f"IMU of {_place(windows, query)}")
    own = _picture(sample, dataset.video_spec.window, f"video of {_place(windows, query)}", "itself")
    about = f"{_place(windows, query)} · similarity {example.own_similarity:.2f}"
    lines = [tag("li", _line(own, "own video of the query", "", about), class_="truth")]
    for place, (row, similarity) in enumerate(zip(example.found.tolist(), example.similarity.tolist(), strict=True)):
        mark, kind = judged(windows, query, row, tolerance, dataset.video_spec.window)
        described = f"video of {_place(windows, row)}"
        picture = _picture(dataset[0, row], dataset.video_spec.window, described, _place(windows, query))
        about = f"{_place(windows, row)} · similarity {similarity:.2f}"
        lines.append(tag("li", _line(picture, f"{place + 1}. {mark}", kind, about)))
    body = joined([tag("h3", text(title)), tag("div", plot), tag("ol", joined(lines, "\n"))], "\n")
    return tag("div", body, class_="example")


def _picture(sample: Sample, window: float, described: str, query: str) -> Html:
    """Return the frames of a window, or its motion. `query` is what it was found for."""
    if len(sample.video_THWC):
        return strip(sample.video_THWC, described)
    return motion_plot(sample.motion_MYX3, window, f"motion of the {described}, found for {query}")


def _line(picture: Html, mark: str, kind: str, about: str) -> Html:
    beside = joined([tag("span", text(mark), class_=f"mark {kind}".strip()), text(about)])
    return joined([picture, tag("div", beside)])


def judged(windows: EvaluatedWindows, query: int, row: int, tolerance: float, length: float) -> tuple[str, str]:
    """Return whether a found window is correct, and if not, how far off it is; and the class of the style sheet.

    `length` is the length of a window [s]; `tolerance` is in seconds, too.
    """
    if row == query:
        return "✓ correct", "yes"
    if windows.recording_N[row] != windows.recording_N[query]:
        return "✗ wrong", "no"
    apart = round(float(windows.time_N[row] - windows.time_N[query]), 3)
    told = f"{apart:+g} s".replace("-", MINUS)
    if abs(apart) < tolerance - MICROSECOND:
        return f"✓ correct, within the tolerance ({told})", "yes"
    if abs(apart) < length - MICROSECOND:
        return f"≈ overlaps the correct one ({told})", "open"
    same = "clip" if windows.clip_N[row] == windows.clip_N[query] else "recording"
    return f"✗ wrong, same {same} ({told})", "no"


def _place(windows: EvaluatedWindows, row: int) -> str:
    """Return clip, start and activity of a window."""
    label = int(windows.label_NK[row, 0])
    activity = "no activity" if label == UNLABELLED else windows.activities[label]
    return f"{windows.clip_names[int(windows.clip_N[row])]}, {float(windows.start_N[row]):g} s, {activity}"
