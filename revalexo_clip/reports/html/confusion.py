"""Confusion matrices, at the first and the last prediction horizon."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import JsonValue

from revalexo_clip.core.component import JsonObject
from revalexo_clip.reports.conclusions.verdict import plain_name
from revalexo_clip.reports.html.page import Html, joined, paragraph, tag, text
from revalexo_clip.reports.values import UNTRAINED, children, list_of, never_trained, number, when

LEGEND = (
    "Rows: true activity. Columns: predicted activity. Each cell shows the share of its row in percent, and below it "
    "the number of windows. The framed diagonal is correct."
)


def section_body(probe: JsonObject) -> Html:
    """Return the confusion matrices of the linear probe on pretrained IMU features."""
    found = children(probe, "confusion")
    shown = [found[0]] if len(found) == 1 else [found[0], found[-1]]
    activities = probe["activities"]
    assert isinstance(activities, list)
    return joined(
        [
            paragraph(f"Linear probe on the pretrained IMU features. {LEGEND}"),
            *(_at_horizon(one, list(map(str, activities)), never_trained(probe)) for one in shown),
        ]
    )


def _at_horizon(found: JsonObject, activities: Sequence[str], untrained: Sequence[str]) -> Html:
    return matrix(found["windows"], activities, f"Predicted activity, {when(found['horizon'])}", untrained)


def matrix(windows: JsonValue, activities: Sequence[str], caption: str, untrained: Sequence[str]) -> Html:
    """Return a table of windows by true and predicted activity, without the activities that are neither.

    `untrained` are the activities that are not in training.
    """
    count_AA = [_counts(one) for one in list_of(windows)]
    kept = [a for a in range(len(activities)) if sum(count_AA[a]) or any(row[a] for row in count_AA)]
    head = joined([tag("th", text("true")), *(tag("th", text(plain_name(activities[a])), scope="col") for a in kept)])
    rows = [
        _row(
            plain_name(activities[a]),
            [count_AA[a][b] for b in kept],
            kept.index(a),
            known=activities[a] not in untrained,
        )
        for a in kept
    ]
    parts = [
        tag("caption", text(caption)),
        tag("thead", tag("tr", head)),
        tag("tbody", joined(rows)),
    ]
    return tag("div", tag("table", joined(parts), class_="confusion"), class_="wide")


def _row(activity: str, counts: Sequence[int], own: int, *, known: bool) -> Html:
    total = sum(counts)
    remark = "" if known else f", {UNTRAINED}"
    cells = [tag("th", text(f"{activity} ({total}{remark})"), scope="row")]
    for place, count in enumerate(counts):
        share = 100 * count / total if total else 0.0
        kind = " ".join(["right"] * (place == own) + ["none"] * (count == 0))
        shown = (
            joined([text(f"{share:.0f}%"), tag("small", text(count))]) if count else text("0" if place == own else "·")
        )
        cells.append(tag("td", shown, style=f"--share: {share:.1f}%", class_=kind))
    return tag("tr", joined(cells))


def _counts(value: JsonValue) -> list[int]:
    return [int(number(count) or 0) for count in list_of(value)]
