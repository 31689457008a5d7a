"""Parts that several pages share: verdicts, warnings, values and differences."""

from __future__ import annotations

from collections.abc import Iterator

from revalexo_clip.core.component import JsonObject
from revalexo_clip.reports.conclusions.verdict import MARKS, Verdict
from revalexo_clip.reports.html.page import Html, joined, tag, text
from revalexo_clip.reports.values import (
    SIGNIFICANT,
    Measured,
    child,
    mean_of_subjects,
    measured,
    within,
    written,
    written_difference,
    written_interval,
)


def as_list(found: Iterator[Verdict]) -> Html:
    """Return questions and answers, marked by sign and word and not by colour alone."""
    parts = []
    for verdict in found:
        short = tag("strong", text(f"{MARKS[verdict.answer]} {verdict.short}".strip()), class_=verdict.answer)
        parts += [tag("dt", text(verdict.question)), tag("dd", joined([short, text(verdict.reasons)]))]
    return tag("dl", joined(parts, "\n"), class_="verdicts")


def warning_box(sentence: str) -> Html:
    """Return a warning that stands out."""
    return tag("p", tag("strong", text(f"⚠ {sentence}")), class_="warning")


_CLASSES = {"better": "yes", "worse": "no", "same": "open"}


def difference(name: str, found: JsonObject) -> tuple[Html, Html]:
    """Return a difference, marked if it is significant, and its interval."""
    gained, significant = measured(found, name), child(found, "significant")[name]
    shown = text(written_difference(name, gained.value))
    if isinstance(significant, str):
        shown = tag("strong", joined([shown, text(f" {SIGNIFICANT[significant]}")]), class_=_CLASSES[significant])
    return shown, tag("span", text(within(name, gained.interval)), class_="quiet")


def cell(name: str, found: Measured) -> Html:
    """Return a value, and below it its interval."""
    shown = text(written(name, found.value))
    if found.interval is None:
        return shown
    return joined([shown, tag("span", text(written_interval(name, found.interval)), class_="interval")])


def mean_cell(name: str, found: JsonObject) -> Html:
    """Return a mean over subjects, and below it its interval for other subjects; a dash if there is none."""
    return cell(name, mean_of_subjects(found, name) or Measured(None))
