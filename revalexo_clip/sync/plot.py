"""The plot of one recording: agreement by lag, and IMU and video over each other."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from revalexo_clip.reports.html.page import Html, figure
from revalexo_clip.reports.html.plots import COLOUR, WIDTH, heading, panels, svg
from revalexo_clip.sync.result import Curve, Overlay, Sync
from revalexo_clip.sync.series import Floats

SHOWN = 12.0
"""Time that is shown of the two series over each other [s]."""


def sync_figure(found: Sync) -> Html:
    """Return the plot of a recording; nothing if there is nothing to draw."""
    if found.curve is None:
        return Html("")
    if found.method == "events":
        (axes,) = panels(WIDTH / 2, 2.6)
        axes.plot(found.curve.lag_S, 1e3 * found.curve.value_S, "o", color=COLOUR["imu"])
        axes.set_xlabel("time of the event [s]")
        heading(axes, "lag of each event [ms]")
        axes.grid(axis="y")
        return figure(svg(axes, f"Lag of the events of {found.recording}"), "")
    if found.overlay is None:
        (left,) = panels(WIDTH / 2, 2.6)
        _draw_curve(left, found.curve, found)
        return figure(svg(left, f"Agreement of {found.recording} by lag"), _curve_caption(found))
    left, right = panels(WIDTH, 2.6, columns=2)
    _draw_curve(left, found.curve, found)
    _draw_overlay(right, found.overlay, found)
    caption = f"{_curve_caption(found)} Right: {_overlay_caption(found)}"
    return figure(svg(left, f"Agreement of {found.recording} by lag, and both signals over each other"), caption)


def _curve_caption(found: Sync) -> str:
    assert found.curve is not None
    marks = "the line is the lag that was found" if found.lag is not None else "no peak stands out"
    return f"Left: {found.curve.what} at each lag; {marks}."


def _overlay_caption(found: Sync) -> str:
    at = "moved by the lag that was found" if found.lag is not None else "as it fits best, which is not well enough"
    return f"the rotation of the picture, and what the gyroscope makes of it, {at}. In time, the lines are one."


def _draw_curve(axes: Axes, curve: Curve, found: Sync) -> None:
    axes.axvline(0, color=COLOUR["muted"], linewidth=1, linestyle=(0, (1, 2)))
    axes.plot(1e3 * curve.lag_S, curve.value_S, color=COLOUR["imu"], linewidth=1.4)
    if found.lag is not None:
        axes.axvline(1e3 * found.lag.value, color=COLOUR["video"], linewidth=1.2)
    axes.set_xlabel("lag [ms]")
    axes.grid(axis="y")
    heading(axes, f"{curve.what} by lag")


def _draw_overlay(axes: Axes, overlay: Overlay, found: Sync) -> None:
    first = busiest(overlay.time_P, overlay.video_P)
    shown_P = (overlay.time_P >= first) & (overlay.time_P <= first + SHOWN)
    time_P = overlay.time_P[shown_P]
    axes.plot(time_P, overlay.video_P[shown_P], color=COLOUR["video"], linewidth=1.2, label="video")
    axes.plot(time_P, overlay.imu_P[shown_P], color=COLOUR["imu"], linewidth=1.2, label="gyroscope")
    axes.set_xlabel("time [s]")
    axes.grid(axis="y")
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), frameon=False, fontsize=8.5, ncols=2, borderaxespad=0.2)
    heading(axes, overlay.what)


def busiest(time_P: Floats, value_P: Floats) -> float:
    """Return where the `SHOWN` seconds with most movement begin [s]."""
    squares_P = np.concatenate([[0.0], np.cumsum(np.nan_to_num(value_P) ** 2)])
    end_P = np.searchsorted(time_P, time_P + SHOWN, side="right")
    total_P = squares_P[end_P] - squares_P[:-1]
    total_P[time_P > max(float(time_P[-1]) - SHOWN, float(time_P[0]))] = -1
    return float(time_P[int(total_P.argmax())])
