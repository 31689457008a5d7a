"""The page of `rxclip check-sync`: one file, with a plot of every recording."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from revalexo_clip.core.files import atomically
from revalexo_clip.reports.html.page import Html, Section, joined, page, paragraph, row, table, tag, text
from revalexo_clip.sync.command import SyncCheck
from revalexo_clip.sync.plot import sync_figure
from revalexo_clip.sync.result import Sync
from revalexo_clip.sync.table import drift, milliseconds

_CLASSES = {"in time": "yes", "off": "no", "cannot tell": "open"}
_MARKS = {"in time": "✓", "off": "✗", "cannot tell": "?"}
_METHODS = {
    "rotation": "the rotation of the picture against the gyroscope",
    "encoders": "windows of a trained pair of encoders, shifted against each other",
    "events": "events that are marked in both",
}


def write_page(path: Path, result: SyncCheck) -> None:
    """Write the page. Raises `WriteError` if it cannot be written."""
    written = sync_page(result)
    with atomically(path) as temporary:
        temporary.write_text(written, encoding="utf-8")


def sync_page(result: SyncCheck) -> str:
    """Return the page as HTML that needs no other file."""
    methods = dict.fromkeys(_METHODS[found.method] for found in result.results)
    about = f"Measured by {' and '.join(methods)}{f' of sensor {result.sensor}' if result.sensor else ''}."
    head = joined(
        [
            tag("h1", text("IMU and video in time?")),
            paragraph(result.summary()),
            paragraph(
                f"{about} The lag is what has to be added to the times of the IMU. A recording is off if it is more "
                "than half a frame, with 95% confidence."
            ),
        ],
        "\n",
    )
    sections = [Section("lags", "Lags", _table(result)), *_sections(result)]
    return page("IMU and video in time?", head, sections)


def _table(result: SyncCheck) -> Html:
    rows = [
        row(
            [
                tag("a", text(found.recording), href=f"#{_anchor(place)}"),
                text(milliseconds(found.lag)),
                text(drift(found)),
                text(f"{1e3 * found.frame:.1f}"),
                verdict(found),
            ]
        )
        for place, found in enumerate(result.results)
    ]
    return table(["recording", "lag [ms]", "drift [ppm]", "frame [ms]", "verdict"], rows, kind="lags")


def verdict(found: Sync) -> Html:
    """Return a verdict, marked by sign and word and not by colour alone."""
    return tag("strong", text(f"{_MARKS[found.verdict]} {found.verdict}"), class_=_CLASSES[found.verdict])


def _sections(result: SyncCheck) -> Iterator[Section]:
    for place, found in enumerate(result.results):
        yield Section(_anchor(place), found.recording, recording_body(found))


def recording_body(found: Sync) -> Html:
    """Return what is known of a recording, and its plot."""
    told = [verdict(found)]
    if found.lag is not None:
        told.append(text(f": {milliseconds(found.lag)} ms" + (f", {drift(found)} ppm" if found.drift else "")))
    sentences = [paragraph(f"{found.reason[0].upper()}{found.reason[1:]}.")] if found.reason else []
    sentences += [paragraph(note, "quiet") for note in found.notes]
    return joined([tag("p", joined(told)), *sentences, sync_figure(found)], "\n")


def _anchor(place: int) -> str:
    return f"recording-{place + 1}"
