"""The headline figures of an evaluation: macro F1 of IMU features with few labels, and in transitions."""

from __future__ import annotations

from revalexo_clip.core.component import JsonObject
from revalexo_clip.reports.values import Measured, child, children, list_of, measured, number, object_of

IMU_FEATURES = ("imu", "imu_untrained", "handcrafted", "imu_supervised")
"""Features whose headline figures are shown, if they were probed."""

OVER = {"over_untrained": "untrained", "over_handcrafted": "handcrafted"}
"""Baselines of gains, in a word."""


def columns(probe: JsonObject) -> list[str]:
    """Return the titles of the headline figures: macro F1 with the fewest labels, of one subject, in transitions."""
    return [fewest_labels(probe), "one subject", "transitions"]


def fewest_labels(probe: JsonObject) -> str:
    """Return the smallest share of the labels: `1% of labels`."""
    fraction = number(children(probe, "few_labels", "imu")[0]["fraction"]) or 0.0
    return f"{100 * fraction:g}% of labels"


def figures(probe: JsonObject, features: str) -> list[Measured]:
    """Return the macro F1 of the linear probe in each of the `columns`."""
    found = (
        children(probe, "few_labels", features)[0],
        child(probe, "one_subject", features),
        child(children(probe, "linear", features)[0], "transition"),
    )
    return [measured(one, "macro_f1") for one in found]


def gains(probe: JsonObject, over: str) -> list[Measured]:
    """Return how much better the pretrained IMU features are in each of the `columns`; `over` is a key of `gain`."""
    found = (
        children(probe, "few_labels_gain", over)[0],
        child(probe, "one_subject_gain", over),
        child(probe, "transition_gain", over),
    )
    return [measured(one, "macro_f1") for one in found]


def shown_features(probe: JsonObject) -> list[str]:
    """Return the `IMU_FEATURES` that were probed."""
    return [name for name in IMU_FEATURES if name in child(probe, "linear")]


def closed_by_labels(probe: JsonObject) -> dict[str, JsonObject]:
    """Return the shares of the gap that pretraining closes, by the labels of the probes; empty without a reference."""
    if not isinstance(probe["gap_closed"], dict):
        return {}
    found = {"all labels": object_of(probe["gap_closed"]), "one subject": child(probe, "one_subject_gap_closed")}
    for point in map(object_of, list_of(probe["few_labels_gap_closed"])):
        if (fraction := number(point["fraction"]) or 0.0) < 1:
            found[f"{100 * fraction:g}% of labels"] = point
    return found
