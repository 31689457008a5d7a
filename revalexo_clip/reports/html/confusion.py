"""What is taken for what: of the probe, a table for the first and one for the last horizon."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import JsonValue

from revalexo_clip.core.component import JsonObject
from revalexo_clip.reports.html.page import Html, joined, paragraph, tag, text
from revalexo_clip.reports.values import children, horizon_text, list_of, number


def section_body(probe: JsonObject) -> Html:
    """The confusion matrices of the linear probe on pretrained IMU features."""
    found = children(probe, "confusion")
    shown = [found[0]] if len(found) == 1 else [found[0], found[-1]]
    activities = probe["activities"]
    assert isinstance(activities, list)
    about = (
        "Linear probe on the pretrained IMU features. Each row is what was true, and says in percent what it was taken "
        "for; below that, in how many windows. The diagonal, framed, is right."
    )
    return joined([paragraph(about), *(_at_horizon(one, list(map(str, activities))) for one in shown)])


def _at_horizon(found: JsonObject, activities: Sequence[str]) -> Html:
    horizon = horizon_text(number(found["horizon"]) or 0.0)
    return matrix(found["windows"], activities, f"Activity {horizon} after the window, predicted:")


def matrix(windows: JsonValue, activities: Sequence[str], caption: str) -> Html:
    """A table of windows by true and predicted activity, without the activities that are neither."""
    count_AA = [_counts(one) for one in list_of(windows)]
    kept = [a for a in range(len(activities)) if sum(count_AA[a]) or any(row[a] for row in count_AA)]
    head = joined([tag("th", text("true")), *(tag("th", text(_breakable(activities[a])), scope="col") for a in kept)])
    rows = [_row(activities[a], [count_AA[a][b] for b in kept], kept.index(a)) for a in kept]
    parts = [
        tag("caption", text(caption)),
        tag("thead", tag("tr", head)),
        tag("tbody", joined(rows)),
    ]
    return tag("div", tag("table", joined(parts), class_="confusion"), class_="wide")


def _row(activity: str, counts: Sequence[int], own: int) -> Html:
    total = sum(counts)
    cells = [tag("th", text(f"{activity} ({total})"), scope="row")]
    for place, count in enumerate(counts):
        share = 100 * count / total if total else 0.0
        kind = " ".join(["right"] * (place == own) + ["none"] * (count == 0))
        shown = (
            joined([text(f"{share:.0f}%"), tag("small", text(count))]) if count else text("0" if place == own else "·")
        )
        cells.append(tag("td", shown, style=f"--share: {share:.1f}%", class_=kind))
    return tag("tr", joined(cells))


def _breakable(name: str) -> str:
    """A name that may be broken into lines where its words part."""
    return name.replace("_", " ")


def _counts(value: JsonValue) -> list[int]:
    return [int(number(count) or 0) for count in list_of(value)]
