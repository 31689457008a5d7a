"""The shared embedding space: a t-SNE map of IMU and video windows, and a table of its geometry.

t-SNE (van der Maaten & Hinton, 2008) is that of scikit-learn.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from matplotlib.axes import Axes
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from revalexo_clip.core.component import JsonObject
from revalexo_clip.core.types import UNLABELLED
from revalexo_clip.metrics.evaluated import Bools, EvaluatedWindows, Floats, Ints
from revalexo_clip.reports.conclusions.verdict import plain_name
from revalexo_clip.reports.html.page import Html, joined, paragraph, row, table, tag, text
from revalexo_clip.reports.html.plots import COLOUR, WIDTH, panels, svg
from revalexo_clip.reports.values import MINUS, MODALITIES, NONE, child, number

MOST = 1000
"""Largest number of windows on the map; of more windows, an evenly spaced selection is shown."""
KINDS = 7
"""Categories with a colour of their own; those with the fewest windows share another one."""
LEAST = 5
"""Least number of windows for a map."""
_OTHERS = "c8"
_WIDTH = 0.8 * WIDTH


def section_body(windows: EvaluatedWindows) -> Html:
    """Return the map coloured by activity, subject or modality: a switch on screen, all three on paper."""
    if len(windows) < LEAST:
        return paragraph(f"No map: there are fewer than {LEAST} windows.")
    rows = np.linspace(0, len(windows) - 1, min(len(windows), MOST)).round().astype(np.int64)
    of = torch.from_numpy(rows)
    embeddings = [windows.imu_ND[of], *([windows.video_ND[of]] if windows.has_video else [])]
    place_m2 = flat(torch.cat(embeddings).double().numpy())
    label_M = windows.label_NK[of, 0].numpy()
    named: dict[str, tuple[Ints, Sequence[str]]] = {
        "activity": (label_M, [plain_name(name) for name in windows.activities]),
        "subject": (windows.of_subject()[rows], windows.subjects),
    }
    drawn = [_coloured(place_m2, name, *kinds) for name, kinds in named.items()]
    names = [*named]
    if windows.has_video:
        drawn.append(_by_modality(place_m2))
        names.append("modality")
    switches = []
    for place, name in enumerate(names):
        checked = {"checked": "checked"} if place == 0 else {}
        button = tag("input", type="radio", name="colouring", id=f"by-{name}", **checked)
        switches += [button, tag("label", text(f"by {name}"), for_=f"by-{name}")]
    shown = f"all {len(windows)}" if len(rows) == len(windows) else f"{len(rows)} of {len(windows)}"
    twice = "twice, as IMU (filled) and as video (hollow)" if windows.has_video else "by its IMU"
    desirable = "partners together, activities in clusters, subjects and modalities mixed"
    if not windows.has_video:
        desirable = "activities in clusters, subjects mixed"
    about = (
        f"Each window ({shown}) is on this t-SNE map {twice}. Similar windows are close to each other; large distances "
        f"have no meaning. Desirable: {desirable}."
    )
    return joined([paragraph(about), tag("div", joined([*switches, *drawn], "\n"), class_="switch")])


def flat(embedding_mD: Floats) -> Floats:
    """Return a t-SNE map, [m, 2]; deterministic."""
    if np.ptp(embedding_mD, axis=0).max() < 1e-9:
        return np.zeros((len(embedding_mD), 2))
    perplexity = min(30.0, (len(embedding_mD) - 1) / 3)
    compact = PCA(min(50, *embedding_mD.shape), svd_solver="full").fit_transform(embedding_mD)
    return np.asarray(
        TSNE(perplexity=perplexity, init="pca", random_state=0, n_jobs=1).fit_transform(compact), dtype=np.float64
    )


def _coloured(place_m2: Floats, what: str, kind_M: Ints, names: Sequence[str]) -> Html:
    count_A = np.bincount(kind_M[kind_M != UNLABELLED], minlength=len(names))
    present = [int(kind) for kind in np.argsort(-count_A, kind="stable") if count_A[kind]]
    own, others = present[:KINDS], [names[kind] for kind in present[KINDS:]]
    groups = [(names[kind], f"c{number + 1}", kind_M == kind) for number, kind in enumerate(own)]
    rest_M = ~np.isin(kind_M, own)
    if rest_M.any():
        unknown = [f"no {what}"] if (kind_M == UNLABELLED).any() else []
        groups.append((", ".join([*others, *unknown]), _OTHERS, rest_M))
    return _drawn(place_m2, f"Map by {what}", groups)


def _by_modality(place_m2: Floats) -> Html:
    everything_M = np.ones(len(place_m2) // 2, dtype=bool)
    axes = _canvas(place_m2)
    _draw(axes, place_m2[: len(everything_M)], everything_M, "imu", "imu")
    _draw(axes, place_m2[len(everything_M) :], everything_M, "video", "video")
    keys = [_key("imu", "IMU"), _key("video", "video")]
    return _framed(axes, "Map by modality", keys)


def _drawn(place_m2: Floats, title: str, groups: Sequence[tuple[str, str, Bools]]) -> Html:
    axes = _canvas(place_m2)
    for _, role, rows_M in reversed(groups):
        if len(place_m2) > len(rows_M):
            _draw(axes, place_m2[len(rows_M) :], rows_M, "video", role)
        _draw(axes, place_m2[: len(rows_M)], rows_M, "imu", role)
    return _framed(axes, title, [_key(role, name) for name, role, _ in groups])


def _canvas(place_m2: Floats) -> Axes:
    """Return axes with the proportions of the map."""
    width, height = np.maximum(np.ptp(place_m2, axis=0), 1e-9)
    (axes,) = panels(_WIDTH, float(np.clip(_WIDTH * height / width, 3.0, 6.0)))
    axes.set_axis_off()
    axes.set_aspect("equal", adjustable="datalim")
    return axes


def _draw(axes: Axes, place_M2: Floats, rows_M: Bools, modality: Literal["imu", "video"], role: str) -> None:
    x, y = place_M2[rows_M].T
    fill = COLOUR[role] if modality == "imu" else "none"
    axes.plot(x, y, "o", markersize=4, color=COLOUR[role], markerfacecolor=fill, markeredgewidth=0.9)


def _framed(axes: Axes, title: str, keys: Sequence[Html]) -> Html:
    return tag("figure", joined([svg(axes, title), tag("ul", joined(keys), class_="keys")]))


def _key(role: str, name: str) -> Html:
    return tag("li", joined([tag("i", style=f"background: var(--{role})"), text(name)]))


def geometry_table(geometry: JsonObject) -> Html:
    """Return alignment, uniformity, modality gap and effective rank with reference values."""
    rows = []
    if geometry["alignment"] is not None:
        rows = [
            _row("alignment", number(geometry["alignment"]), "0: partners coincide; 2: unrelated"),
            _row("modality gap", number(geometry["modality_gap"]), "0: no gap; 2: on opposite sides"),
        ]
    measured = {modality: MODALITIES[modality] for modality in child(geometry, "uniformity")}
    for modality, title in measured.items():
        uniformity = number(child(geometry, "uniformity")[modality])
        rows.append(_row(f"uniformity, {title}", uniformity, f"{MINUS}4: spread evenly; 0: one point"))
    for modality, title in measured.items():
        rank = number(child(geometry, "effective_rank")[modality])
        rows.append(_row(f"effective rank, {title}", rank, f"{geometry['dimensions']}: all dimensions; 1: collapsed"))
    return table(["Geometry", "value", "reference values"], rows, kind="geometry")


def _row(title: str, value: float | None, meaning: str) -> Html:
    return row([text(title), text(NONE if value is None else f"{value:.2f}".replace("-", MINUS)), text(meaning)])
