"""Probes of frozen features: by features, gain from pretraining, by prediction horizon, and with few labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullLocator

from revalexo_clip.core.component import JsonObject
from revalexo_clip.core.text import counted
from revalexo_clip.reports.headline import OVER, closed_by_labels
from revalexo_clip.reports.html.page import Html, figure, joined, paragraph, row, table, tag, text
from revalexo_clip.reports.html.plots import (
    COLOUR,
    ROW_HEIGHT,
    WIDTH,
    Row,
    draw,
    draw_gains,
    heading,
    label_ends,
    largest,
    panels,
    percent_axis,
    svg,
    whiskers,
)
from revalexo_clip.reports.values import (
    FEATURES,
    FEW_OR_SAME,
    PROBES,
    SCORES,
    SETS,
    child,
    children,
    first_horizon,
    measured,
    number,
    probed_features,
    untrained_note,
    when,
    within,
    written,
    written_difference,
)

ROLES = {
    "imu": "imu",
    "imu_untrained": "muted",
    "handcrafted": "c4",
    "imu_supervised": "ink",
    "video": "video",
    "both": "c3",
}
_HALF = WIDTH / 2 - 0.15


def protocol(probe: JsonObject) -> str:
    """Return which subjects the probe was trained and tested on."""
    if probe["protocol"] == "leave_one_subject_out":
        return "each subject is tested with a probe trained on all others (leave one subject out)"
    trained, tested = probe["trained_on"], probe["tested_on"]
    assert isinstance(trained, list)
    assert isinstance(tested, list)
    subjects = counted(len(trained), "training subject")
    return f"the probe is trained on the {subjects} of the pretraining and tested on {', '.join(map(str, tested))}"


def section_body(probe: JsonObject) -> Html:
    """Return plots by features, of the gain from pretraining, by horizon, and by share of the labels."""
    about = (
        f"A linear probe predicts the activity {when(first_horizon(probe))} from frozen features; {protocol(probe)}. "
        "Pretraining helps if the pretrained IMU encoder is better than the same encoder untrained and than "
        "handcrafted features."
    )
    side = joined([_horizon_plot(probe), _few_labels_plot(child(probe, "few_labels"))])
    notes = [paragraph(note, "warning") for note in [untrained_note(probe)] if note]
    drawn = [*notes, _gap_plot(probe), _feature_plot(probe), _gain_plot(probe), tag("div", side, class_="side")]
    return joined([paragraph(about), *drawn, _few_labels_table(probe)])


def _gap_plot(probe: JsonObject) -> Html:
    """Return the share of the gap that pretraining closes; without a reference, how to measure it."""
    found = closed_by_labels(probe)
    if not found:
        about = (
            "Which share of the gap between this network untrained and trained on all labels pretraining closes is "
            "measured with rxclip evaluate --reference RUN, RUN being a classifier with the same encoder trained from "
            "scratch."
        )
        return paragraph(about, "quiet")
    drawn = panels(WIDTH, 0.75 + ROW_HEIGHT * len(found), columns=len(SCORES), share_y=True)
    rows_of = {score: [Row(labels, {"imu": measured(one, score)}) for labels, one in found.items()] for score in SCORES}
    for axes, (score, title) in zip(drawn, SCORES.items(), strict=True):
        rows = rows_of[score]
        draw(axes, rows, title)
        ends = [end for row in rows for one in row.dots.values() for end in (*(one.interval or ()), one.value or 0.0)]
        axes.set_xlim(left=min(axes.get_xlim()[0], 1.1 * min(0.0, *ends)))
        axes.axvline(0, color=COLOUR["muted"], linewidth=1.2)
    caption = (
        "Share of the gap between the untrained and the supervised network that pretraining closes without a label, by "
        "the labels that the linear probe is given. There is no dot if the supervised network is not significantly "
        f"better than the untrained one. {whiskers(rows_of.values(), 'the share is the same in all resamples')}"
    )
    return figure(svg(drawn[0], "Share of the gap that pretraining closes"), caption)


def _feature_plot(probe: JsonObject) -> Html:
    features = probed_features(probe)
    now = {name: children(probe, "linear", name)[0] for name in features}
    drawn = panels(WIDTH, 0.75 + ROW_HEIGHT * len(features), columns=len(SETS), share_y=True)
    rows_of = {
        among: [
            Row(title, {ROLES[name]: measured(child(now[name], among), "macro_f1")}) for name, title in features.items()
        ]
        for among in SETS
    }
    for axes, (among, rows) in zip(drawn, rows_of.items(), strict=True):
        windows = child(now["imu"], among)["windows"]
        draw(axes, rows, f"macro F1, {SETS[among]} ({windows})", upto=largest(rows_of.values()))
    caption = (
        "Macro F1 over all windows, in a steady state, and in transitions; number of windows in brackets. "
        f"{whiskers(rows_of.values(), 'an activity occurs in too few recordings or blocks of them')}"
    )
    return figure(svg(drawn[0], "Macro F1 by features"), caption)


def _gain_plot(probe: JsonObject) -> Html:
    drawn = panels(WIDTH, 0.95 + ROW_HEIGHT * len(PROBES) * len(OVER), columns=len(SCORES), share_y=True)
    rows_of = {}
    for axes, (score, title) in zip(drawn, SCORES.items(), strict=True):
        gained = {
            f"{by}, over {name}": measured(children(probe, "gain", key, over)[0], score)
            for key, by in PROBES.items()
            for over, name in OVER.items()
        }
        rows_of[score] = [Row(label, {"imu": one}) for label, one in gained.items()]
        draw_gains(axes, rows_of[score], f"gain, {title}")
    caption = (
        "Gain from pretraining: right of zero the pretrained IMU encoder is better. A hollow dot is not significant. "
        f"{whiskers(rows_of.values(), FEW_OR_SAME)}"
    )
    return figure(svg(drawn[0], "Gain of the pretrained IMU encoder"), caption)


def _horizon_plot(probe: JsonObject) -> Html:
    horizons = probe["horizons"]
    assert isinstance(horizons, list)
    x = [number(one) or 0.0 for one in horizons]
    lines = {
        name: [number(child(one, "all")["macro_f1"]) for one in children(probe, "linear", name)]
        for name in probed_features(probe)
    }
    (axes,) = panels(_HALF, 3.2)
    _draw_lines(axes, x, lines)
    axes.set_xlabel("prediction horizon [s]")
    heading(axes, "macro F1 by prediction horizon")
    caption = "Linear probe. Horizon 0 is the end of the window."
    return figure(svg(axes, "Macro F1 by prediction horizon"), caption)


def _few_labels_plot(few: JsonObject) -> Html:
    names = [name for name in FEATURES if name in few]
    drawn = {name: children(few, name) for name in names}
    x = [number(point["fraction"]) or 0.0 for point in drawn[names[0]]]
    (axes,) = panels(_HALF, 3.2)
    axes.set_xscale("log")
    _draw_lines(axes, x, {name: [number(point["macro_f1"]) for point in drawn[name]] for name in names})
    axes.xaxis.set_major_locator(FixedLocator(x))
    axes.xaxis.set_minor_locator(NullLocator())
    labels = [f"{100 * share:g}%\n{point['windows']}" for share, point in zip(x, drawn[names[0]], strict=True)]
    axes.set_xticks(x, labels)
    axes.set_xlabel("share of the labels, and number of windows")
    heading(axes, "macro F1 with few labels")
    caption = "Mean over three random selections of labels, with at least one window of each activity."
    return figure(svg(axes, "Macro F1 by the share of labels"), caption)


def _few_labels_table(probe: JsonObject) -> Html:
    """Return macro F1 with the labels of one subject and with shares of all labels, and the gains."""
    few, single = child(probe, "few_labels"), child(probe, "one_subject")
    names = [name for name in FEATURES if name in few]
    shares = [number(point["fraction"]) or 0.0 for point in children(few, names[0])]
    rows = [
        row([text(FEATURES[name]), *(_macro_f1(point) for point in [child(single, name), *children(few, name)])])
        for name in names
    ]
    for over, name in OVER.items():
        points = [child(probe, "one_subject_gain", over), *children(probe, "few_labels_gain", over)]
        rows.append(row([text(f"gain over {name}"), *map(_macro_f1_gain, points)]))
    headings = ["Macro F1, linear probe", "labels of one subject", *(f"{100 * share:g}% of labels" for share in shares)]
    about = (
        "With the labels of one subject: the mean over these subjects, each tested on all others. A gain is that of "
        "the pretrained IMU encoder, in percentage points; in brackets its 95% interval."
    )
    return joined([table(headings, rows, kind="summary"), paragraph(about, "quiet")])


def _macro_f1(point: JsonObject) -> Html:
    return text(written("macro_f1", number(point["macro_f1"])))


def _macro_f1_gain(point: JsonObject) -> Html:
    gained = measured(point, "macro_f1")
    shown = text(written_difference("macro_f1", gained.value))
    return joined([shown, tag("span", text(within("macro_f1", gained.interval)), class_="interval")])


def _draw_lines(axes: Axes, x: Sequence[float], lines: Mapping[str, Sequence[float | None]]) -> None:
    ends = []
    for name, values in lines.items():
        known = [(at, value) for at, value in zip(x, values, strict=True) if value is not None]
        if known:
            at, value = zip(*known, strict=True)
            axes.plot(at, value, "o-", color=COLOUR[ROLES[name]], markersize=4)
            ends.append((at[-1], value[-1], FEATURES[name], ROLES[name]))
    low = min((value for values in lines.values() for value in values if value is not None), default=0.0)
    axes.set_ylim(max(low - 0.08, 0.0) if low > 0.3 else 0.0, 1.0)
    label_ends(axes, ends, gap=0.075 * (axes.get_ylim()[1] - axes.get_ylim()[0]))
    percent_axis(axes, "y")
