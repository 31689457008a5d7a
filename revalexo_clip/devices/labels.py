"""Labels of a recording: ELAN files (.eaf), label tracks of Audacity (.txt), tables with start, end and label.

Times are seconds of the video that was labelled.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np

from revalexo_clip.core.errors import DataError
from revalexo_clip.core.text import counted
from revalexo_clip.devices.base import Label, LabelTrack
from revalexo_clip.devices.tables_form import DELIMITERS, is_comment, split

_STARTS = frozenset({"start", "begin", "onset", "from", "start_time", "begin_time", "start_s", "begin_s"})
_ENDS = frozenset({"end", "stop", "offset", "to", "end_time", "stop_time", "end_s", "stop_s"})
_LABELS = frozenset({"label", "activity", "annotation", "name", "class", "value", "text"})
_UNITS = {"": 1.0, "s": 1.0, "sec": 1.0, "seconds": 1.0, "ms": 1e-3, "milliseconds": 1e-3}
_CLOCK = re.compile(r"(?:(\d+):)?(\d+):(\d+(?:[.,]\d+)?)")


class ReadLabels(NamedTuple):
    """Labels, and sentences on what was left out."""

    track: LabelTrack
    notes: tuple[str, ...]


def read_labels(path: Path | None, track: str | None = None) -> ReadLabels:
    """Read labels from a file, by its suffix; none if `path` is None.

    `track` chooses a tier of an ELAN file that has several. Points without length are left out and counted. Raises
    `DataError`, naming the file and line, if the file is damaged or a label ends before it starts.
    """
    if path is None:
        return ReadLabels(LabelTrack(()), ())
    if not path.is_file():
        raise DataError(f"{path}: there is no such file with labels")
    name = ""
    if path.suffix.lower() == ".eaf":
        name, found = _elan(path, track)
    else:
        found = _text(path)
    points = sum(label.start == label.end for label in found)
    notes = [f"{path.name}: {counted(points, 'label')} without length left out"] if points else []
    kept = sorted((label for label in found if label.end > label.start), key=lambda label: (label.start, label.end))
    if not kept:
        raise DataError(f"{path}: has no label with a start and an end")
    return ReadLabels(LabelTrack(tuple(kept), name), tuple(notes))


def _checked(where: str, start: float, end: float, text: str) -> Label:
    if not text.strip():
        raise DataError(f"{where}: the label is empty")
    if not (math.isfinite(start) and math.isfinite(end)) or start < 0:
        raise DataError(f"{where}: a label from {start:g} s to {end:g} s is not possible")
    if end < start:
        raise DataError(f"{where}: the label '{text}' ends at {end:g} s, before it starts at {start:g} s")
    return Label(start, end, text.strip())


def _elan(path: Path, track: str | None) -> tuple[str, list[Label]]:
    try:
        root = ElementTree.parse(path).getroot()  # noqa: S314 (the user's own file)
    except (ElementTree.ParseError, OSError) as error:
        raise DataError(f"{path}: cannot be read as an ELAN file: {error}") from error
    if root.tag != "ANNOTATION_DOCUMENT":
        raise DataError(f"{path}: is not an ELAN file: its first element is {root.tag}")
    for media in root.iter("MEDIA_DESCRIPTOR"):
        if int(media.get("TIME_ORIGIN", "0")):
            raise DataError(
                f"{path}: ELAN shifts {media.get('MEDIA_URL', 'a video')} by {media.get('TIME_ORIGIN')} ms; remove the "
                "offset in ELAN (Options, media synchronization mode), and move the labels with it"
            )
    times = _slots(path, root)
    tiers = {tier.get("TIER_ID", ""): tier for tier in root.iter("TIER") if tier.find("ANNOTATION") is not None}
    if track is None and len(tiers) > 1:
        raise DataError(f"{path}: has several tiers ({', '.join(tiers)}); choose one with --label-track")
    name = track if track is not None else next(iter(tiers), "")
    if name not in tiers:
        raise DataError(f"{path}: has no tier '{name}' with labels; its tiers are {', '.join(tiers) or 'empty'}")
    spans = _spans(path, root, times)
    found = []
    for annotation in tiers[name].iter():
        number = annotation.get("ANNOTATION_ID", "")
        if annotation.tag in ("ALIGNABLE_ANNOTATION", "REF_ANNOTATION"):
            start, end = spans[number]
            found.append(_checked(f"{path}: {number}", start, end, annotation.findtext("ANNOTATION_VALUE") or ""))
    return name, found


def _slots(path: Path, root: ElementTree.Element) -> dict[str, float]:
    """Return the time of each slot [s]; slots without one lie evenly between those that have one."""
    slots = [(slot.get("TIME_SLOT_ID", ""), slot.get("TIME_VALUE")) for slot in root.iter("TIME_SLOT")]
    known = [place for place, (_, value) in enumerate(slots) if value is not None]
    if not known:
        raise DataError(f"{path}: none of its labels has a time")
    values = [int(value) / 1000 for _, value in slots if value is not None]
    times = np.interp(np.arange(len(slots)), known, values)
    return {name: float(time) for (name, _), time in zip(slots, times, strict=True)}


def _spans(path: Path, root: ElementTree.Element, times: dict[str, float]) -> dict[str, tuple[float, float]]:
    """Return the start and end of each annotation [s]; one that refers to another has the times of that."""
    spans: dict[str, tuple[float, float]] = {}
    try:
        for one in root.iter("ALIGNABLE_ANNOTATION"):
            spans[one.attrib["ANNOTATION_ID"]] = (
                times[one.attrib["TIME_SLOT_REF1"]],
                times[one.attrib["TIME_SLOT_REF2"]],
            )
        waiting = {one.attrib["ANNOTATION_ID"]: one.attrib["ANNOTATION_REF"] for one in root.iter("REF_ANNOTATION")}
        for _ in range(len(waiting)):
            ready = [name for name, other in waiting.items() if other in spans]
            spans |= {name: spans[waiting.pop(name)] for name in ready}
        if waiting:
            raise KeyError(next(iter(waiting.values())))
    except KeyError as error:
        raise DataError(f"{path}: is damaged: it has no time or label {error}") from error
    return spans


def _text(path: Path) -> list[Label]:
    """Read a label track of Audacity, or a table with a header of start, end and label."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as text: {error}") from error
    numbered = [(place + 1, line) for place, line in enumerate(lines) if not is_comment(line)]
    if not numbered:
        raise DataError(f"{path}: has no labels")
    for delimiter in DELIMITERS:
        if columns := _header(split(numbered[0][1], delimiter)):
            return [_row(path, number, split(line, delimiter), columns) for number, line in numbered[1:]]
    first = numbered[0][1].split("\t")
    if len(first) >= 2 and _seconds(first[0]) is not None and _seconds(first[1]) is not None:
        # A second line for a label, which begins with a backslash, has the frequencies of a selection.
        rows = [(number, line.split("\t", 2)) for number, line in numbered if not line.startswith("\\")]
        return [_row(path, number, [*row, ""][:3], [(0, 1.0), (1, 1.0), (2, 1.0)]) for number, row in rows]
    raise DataError(
        f"{path}: labels are in ELAN files (.eaf), label tracks of Audacity (start, tab, end, tab, label), or tables "
        f"with the columns start, end and label; its first line is '{numbered[0][1].strip()[:60]}'"
    )


def _header(cells: Sequence[str]) -> list[tuple[int, float]] | None:
    """Return the places of start, end and label, and the factors of their units to seconds; None if one is missing."""
    found: list[tuple[int, float]] = []
    for names in (_STARTS, _ENDS, _LABELS):
        for place, cell in enumerate(cells):
            match = re.fullmatch(r"([\w ]+?)\s*(?:[\[(](\w*)[\])])?", cell.strip().lower())
            if match is None:
                continue
            name, unit = match[1].strip().replace(" ", "_"), match[2] or ""
            if name.endswith("_ms") and not unit:
                name, unit = name.removesuffix("_ms"), "ms"
            if name in names and unit in _UNITS:
                found.append((place, _UNITS[unit]))
                break
    return found if len(found) == 3 else None


def _row(path: Path, number: int, cells: Sequence[str], columns: Sequence[tuple[int, float]]) -> Label:
    where = f"{path}: line {number}"
    if len(cells) <= max(place for place, _ in columns):
        raise DataError(f"{where}: has {counted(len(cells), 'cell')}, too few for start, end and label")
    times = []
    for place, factor in columns[:2]:
        time = _seconds(cells[place])
        if time is None:
            raise DataError(f"{where}: '{cells[place]}' is no time [s]")
        times.append(time * factor)
    return _checked(where, times[0], times[1], cells[columns[2][0]])


def _seconds(text: str) -> float | None:
    """Return the seconds that a text says, as a number or as hours, minutes and seconds; None if it is no time."""
    text = text.strip()
    if match := _CLOCK.fullmatch(text):
        return int(match[1] or 0) * 3600 + int(match[2]) * 60 + float(match[3].replace(",", "."))
    try:
        return float(text.replace(",", "."))
    except ValueError:
        return None
