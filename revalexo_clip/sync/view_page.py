"""The page of `rxclip view`: one file that any browser opens, also without a network."""

from __future__ import annotations

import json
from base64 import b64encode
from importlib.resources import files
from pathlib import Path

import numpy as np

from revalexo_clip.core.component import JsonObject
from revalexo_clip.core.files import atomically
from revalexo_clip.reports.html.page import Html, Section, joined, page, paragraph, tag, text
from revalexo_clip.reports.values import MINUS
from revalexo_clip.sync.page import recording_body
from revalexo_clip.sync.view import Track, View, encoded

_LENGTHS = {"whole clip": 0, "10 s": 10, "3 s": 3}
"""Buttons for how much is shown [s]; 0 shows all."""


def write_view(path: Path, view: View) -> None:
    """Write the page. Raises `WriteError` if it cannot be written."""
    written = view_page(view)
    with atomically(path) as temporary:
        temporary.write_text(written, encoding="utf-8")


def view_page(view: View) -> str:
    """Return the page as HTML that needs no other file."""
    head = joined([tag("h1", text(view.clip.name)), paragraph(_facts(view), "quiet")], "\n")
    sections = [Section("clip", "Video, IMU and labels", _clip(view))]
    if view.sync is not None:
        sections.append(Section("sync", "In time?", recording_body(view.sync)))
    return page(view.clip.name, head, sections)


def _facts(view: View) -> str:
    rows = max(len(view.time_n) - 1, 1)
    moved = f" · IMU moved by {1e3 * view.imu_offset:+.1f} ms".replace("-", MINUS) if view.imu_offset else ""
    first, last = (round(float(time), 2) + 0.0 for time in (view.time_n[0], view.time_n[-1]))
    rates = f"{1 / view.frame:.2f} frames per second"
    return f"{view.end:.2f} s · {rates} · {rows} IMU rows from {first:.2f} s to {last:.2f} s{moved}"


def _clip(view: View) -> Html:
    style, script = (files("revalexo_clip.sync").joinpath(f"view.{kind}").read_text("utf-8") for kind in ("css", "js"))
    content = json.dumps(_data(view), separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    return joined(
        [
            Html(f"<style>\n{style}</style>"),
            tag("div", joined([_picture(view), _track_list(view)], "\n"), class_="view"),
            Html(f'<script type="application/json" id="view-data">{content}</script>'),
            Html(f"<script>\n{script}</script>"),
        ],
        "\n",
    )


def _picture(view: View) -> Html:
    if view.video is not None:
        source = f"data:video/{view.kind};base64,{b64encode(view.video).decode('ascii')}"
        shown = tag("video", src=source, controls="", muted="", playsinline="", preload="auto")
    else:
        shown = tag("img", alt=f"frames of {view.clip.name}", src=_source(view.frames[0]))
    buttons = [
        tag("button", text(title), type="button", data_length=length, aria_pressed=str(length == 0).lower())
        for title, length in _LENGTHS.items()
    ]
    parts = [
        shown,
        tag("p", class_="now"),
        tag("p", class_="clock"),
        tag("input", type="range", min=0, max=view.end, step="any", value=0, aria_label="time"),
        tag("div", joined([tag("button", text("Play"), type="button", id="play"), *buttons]), class_="buttons"),
        paragraph("Space: play. Arrows: one frame; with Shift one second. Click into the curves to go there.", "quiet"),
    ]
    return tag("div", joined(parts, "\n"), class_="picture")


def _source(jpeg: bytes) -> str:
    return f"data:image/jpeg;base64,{b64encode(jpeg).decode('ascii')}"


def _track_list(view: View) -> Html:
    parts = [
        *(_track(one.title, "", "labels", place) for place, one in enumerate(view.labels)),
        *(_track(one.title, _range(one), "values", place) for place, one in enumerate(view.tracks)),
        tag("div", tag("canvas", data_kind="axis"), class_="track axis"),
        tag("div", class_="cursor"),
    ]
    axes = zip("xyz", ("c1", "c2", "c3"), strict=True)
    keys = (tag("li", joined([tag("i", style=f"background: var(--{role})"), text(axis)])) for axis, role in axes)
    return tag(
        "div", joined([tag("ul", joined(keys), class_="keys"), tag("div", joined(parts, "\n"), class_="tracks")])
    )


def _range(track: Track) -> str:
    """Return the smallest and largest value of a track, and the unit."""
    low, high = float(np.nanmin(track.values_3n)), float(np.nanmax(track.values_3n))
    return f"{low:.1f} to {high:.1f} {track.unit}".replace("-", MINUS)


def _track(title: str, unit: str, kind: str, place: int) -> Html:
    heading = tag("p", joined([tag("span", text(title)), tag("span", text(unit))]), class_="title")
    canvas = tag("canvas", data_kind=kind, data_place=place, role="img", aria_label=title)
    return tag("div", joined([heading, canvas]), class_=f"track {kind}")


def _data(view: View) -> JsonObject:
    return {
        "begin": 0.0,
        "end": view.end,
        "step": view.frame,
        "time": encoded(view.time_n),
        "tracks": [{"values": [encoded(values_n) for values_n in one.values_3n]} for one in view.tracks],
        "labels": [{"segments": [list(segment) for segment in one.segments]} for one in view.labels],
        "frames": [b64encode(jpeg).decode("ascii") for jpeg in view.frames],
        "frame_rate": view.frame_rate,
        "first_frame": view.first_frame,
    }
