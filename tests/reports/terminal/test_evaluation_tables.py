"""The report of an evaluation in a terminal."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from support.made_windows import made_windows, perturbed, supervised
from support.narrow_terminal import assert_numbers_fit

from revalexo_clip.core.component import JsonObject
from revalexo_clip.metrics.blocks import units_of
from revalexo_clip.metrics.bootstrap import TimeBootstrap
from revalexo_clip.metrics.embedding_geometry import geometry
from revalexo_clip.metrics.evaluated import EvaluatedWindows
from revalexo_clip.metrics.galleries import measure_retrieval, rank_galleries
from revalexo_clip.metrics.probe_results import probe_windows
from revalexo_clip.metrics.robustness import measure_robustness
from revalexo_clip.reports.terminal.evaluation import evaluation_report
from revalexo_clip.reports.values import single_activity_warning


@pytest.fixture(scope="module")
def metrics() -> JsonObject:
    """Results of two subjects."""
    windows = made_windows(subjects=2)
    bootstrap = TimeBootstrap(units_of(windows), resamples=50)
    return {
        "seen": {"train": ["Subject[0]"], "val": []},
        "split": "test",
        "windows": len(windows),
        "clips": 14,
        **bootstrap.units.as_metrics(),
        **measure_retrieval(windows, rank_galleries(windows), bootstrap),
        "geometry": geometry(windows.imu_ND, windows.video_ND),
        "probe": probe_windows(windows, None, bootstrap).metrics,
        "probe_reason": None,
    }


def shown(metrics: JsonObject, width: int = 80) -> list[str]:
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        for part in evaluation_report(metrics):
            console.print(part)
    return [line.rstrip() for line in capture.get().splitlines()]


@pytest.mark.long
def test_everything_fits_without_being_cut(metrics: JsonObject) -> None:
    lines = shown(metrics)
    assert sum("windows" in line for line in lines) == sum("windows" in line for line in shown(metrics, width=120))
    assert max(map(len, lines)) <= 80
    assert not [line for line in lines if "…" in line]


def test_it_begins_with_the_subjects_that_were_seen(metrics: JsonObject) -> None:
    assert shown(metrics)[0].startswith("Test subject Subject[0] was used in training, so these results do not")
    unseen = shown({**metrics, "seen": {"train": [], "val": []}})
    assert unseen[0].startswith("Macro F1 of a linear probe: few labels, transitions")
    without = shown({**metrics, "seen": {"train": [], "val": []}, "probe": None, "probe_reason": "not asked for"})
    assert without[0].startswith("Retrieval: 112 windows of 14 clips")


def test_it_begins_with_few_labels_and_transitions(metrics: JsonObject) -> None:
    lines = [line.split() for line in shown({**metrics, "seen": {"train": [], "val": []}})[:12]]
    probe = metrics["probe"]
    assert isinstance(probe, dict)
    for title, name in (("IMU", "imu"), ("untrained", "imu_untrained"), ("handcrafted", "handcrafted")):
        few, single, linear = (probe[key] for key in ("few_labels", "one_subject", "linear"))
        values: Any = [few[name][0], single[name], linear[name][0]["transition"]]  # type: ignore[index,call-overload]
        assert [title, *(f"{100 * value['macro_f1']:.1f}%" for value in values)] in lines
    gained: Any = probe["transition_gain"]
    row = next(line for line in lines if line[:3] == ["gain", "over", "untrained"])
    assert row[-1] == f"{100 * gained['over_untrained']['macro_f1']:+.1f}"


@pytest.mark.long
def test_the_share_of_the_gap_is_one_line(metrics: JsonObject) -> None:
    windows = supervised(made_windows(subjects=2))
    probe: Any = probe_windows(windows, None, TimeBootstrap(units_of(windows), resamples=50)).metrics
    lines = " ".join(shown({**metrics, "probe": probe}, width=200))
    closed = f"Pretraining closes {100 * probe['gap_closed']['macro_f1']:.1f}% (95% interval "
    assert closed in lines
    assert "supervised" in lines
    probe["gap_closed"]["reason"]["macro_f1"] = "it is so"
    reason = "Share of the gap between untrained and supervised: not known, because it is so."
    assert reason in " ".join(shown({**metrics, "probe": probe}, width=200))
    assert "gap in macro F1" not in " ".join(shown(metrics))
    assert_numbers_fit(lambda: evaluation_report({**metrics, "probe": probe}))


@pytest.mark.long
def test_perturbations_have_their_figures_and_differences(metrics: JsonObject) -> None:
    windows = made_windows(subjects=2)
    found: Any = measure_robustness(windows, None, iter(perturbed(windows)), probed=True)
    whole: JsonObject = {**metrics, "robustness": found}
    lines = shown(whole, width=120)
    place = next(number for number, line in enumerate(lines) if line.startswith("without Pelvis"))
    one = found["perturbations"][1]
    for line, part, form in ((lines[place], one["perturbed"], ".1f"), (lines[place + 1], one["difference"], "+.1f")):
        both = (part["retrieval"][way]["r_at_1"] for way in ("imu_to_video", "video_to_imu"))
        assert "/".join(f"{100 * value:{form}}" for value in both) in line.split()
        assert line.split()[-1] == f"{100 * part['probe']['macro_f1']:{form}}"
    text = " ".join(lines)
    for title in ("as recorded", "a sensor missing, mean", "a sensor missing, worst", "IMU 100 ms late", "half the"):
        assert title in text
    assert "IMU 100 ms late: 111 of 112 windows stay inside their recording" in text
    assert "sensors turned by 30°: not measured, because no sensor has channels of all three axes." in text
    assert_numbers_fit(lambda: evaluation_report(whole))


@pytest.mark.long
def test_a_probe_of_a_single_activity_comes_with_a_warning() -> None:
    windows = made_windows(subjects=2)
    single = EvaluatedWindows(**{**vars(windows), "label_NK": torch.zeros_like(windows.label_NK)})
    bootstrap = TimeBootstrap(units_of(windows), resamples=20)
    warning = "All windows are [standing]: the probe does not say whether activities are distinguished."
    assert single_activity_warning(probe_windows(single, None, bootstrap).metrics or {}) == warning
    assert single_activity_warning(probe_windows(windows, None, bootstrap).metrics or {}) == ""


def test_rows_hold_the_figures(metrics: JsonObject) -> None:
    lines = shown(metrics)
    found = metrics["retrieval"]
    assert isinstance(found, dict)
    figures = found["imu_to_video"]
    assert isinstance(figures, dict)
    row = next(line.split() for line in lines if "IMU → video" in line and "%" in line)
    assert row[3:] == [
        *(f"{100 * float(str(figures[name])):.1f}%" for name in ("r_at_1", "r_at_5", "r_at_10")),
        f"{float(str(figures['mrr'])):.3f}",
        f"{float(str(figures['median_rank'])):.1f}",
    ]
    for title in ("same subject and activity", "Subject[1]", "[standing]", "untrained", "over handcrafted", "100%"):
        assert any(title in line for line in lines), title
    assert "never" not in "\n".join(lines)


def test_of_a_single_subject_all_windows_are_those_of_the_same_subject() -> None:
    windows = made_windows(subjects=1)
    bootstrap = TimeBootstrap(units_of(windows), resamples=10)
    alone: JsonObject = {
        "seen": {"train": [], "val": []},
        "split": "test",
        "windows": len(windows),
        "clips": 7,
        **bootstrap.units.as_metrics(),
        **measure_retrieval(windows, rank_galleries(windows), bootstrap),
        "geometry": geometry(windows.imu_ND, windows.video_ND),
        "probe": None,
        "probe_reason": "not asked for",
    }
    assert alone["retrieval_within_subject"] == alone["retrieval"]  # which is why it is not shown twice
    titles = [line.strip() for line in shown(alone)]
    assert "all windows" in titles
    assert "same subject and activity" in titles
    assert "same subject" not in titles
    assert titles[titles.index("By activity: R@1 [%], IMU → video / video → IMU") + 1].split() == [
        *("windows", "all", "windows", "same", "subject", "and", "activity", "same", "clip")
    ]


def test_what_could_not_be_measured_is_left_out(metrics: JsonObject) -> None:
    lines = shown({**metrics, "probe": None, "probe_reason": "not asked for", "activities": {}})
    assert lines[-1] == "No probe: not asked for."
    assert not [line for line in lines if line.startswith("By activity")]


def test_galleries_are_those_of_plain_ranks() -> None:
    windows = made_windows(subjects=2)
    bootstrap = TimeBootstrap(units_of(windows), resamples=10)
    found = measure_retrieval(windows, rank_galleries(windows), bootstrap)
    similarity_NN = windows.imu_ND.double().numpy() @ windows.video_ND.double().numpy().T
    subject_N, label_N = windows.of_subject(), windows.label_NK[:, 0].numpy()
    for name, same_NN in (
        ("retrieval", np.ones_like(similarity_NN, dtype=bool)),
        ("retrieval_within_subject", subject_N[:, None] == subject_N),
        (
            "retrieval_within_subject_and_activity",
            (subject_N[:, None] == subject_N) & (label_N[:, None] == label_N),
        ),
        ("retrieval_within_clip", windows.clip_N.numpy()[:, None] == windows.clip_N.numpy()),
    ):
        own_N = similarity_NN.diagonal()[:, None]
        rank_N = ((similarity_NN > own_N) & same_NN).sum(axis=1) + 1
        gallery = found[name]
        assert isinstance(gallery, dict)
        figures, chance = gallery["imu_to_video"], gallery["chance"]
        assert isinstance(figures, dict)
        assert isinstance(chance, dict)
        assert figures["r_at_5"] == pytest.approx((rank_N <= 5).mean())
        assert figures["median_rank"] == np.median(rank_N)
        assert chance["r_at_1"] == pytest.approx((1 / same_NN.sum(axis=1)).mean())
        assert gallery["gallery_size"] == same_NN.sum(axis=1).mean()


@pytest.mark.long
def test_one_window_of_one_clip_is_measured_like_any_other() -> None:
    alone = made_windows(subjects=1, clips=1)
    rows = slice(0, 1)
    windows = EvaluatedWindows(
        **{
            **vars(alone),
            **{name: getattr(alone, name)[rows] for name in ("imu_ND", "video_ND", "label_NK", "transition_NK")},
            **{name: getattr(alone, name)[rows] for name in ("clip_N", "start_N", "recording_N", "time_N", "moving_N")},
            "features": {name: rows_NF[rows] for name, rows_NF in alone.features.items()},
        }
    )
    bootstrap = TimeBootstrap(units_of(windows), resamples=10)
    found = measure_retrieval(windows, rank_galleries(windows), bootstrap)["retrieval"]
    assert isinstance(found, dict)
    figures = found["imu_to_video"]
    assert isinstance(figures, dict)
    assert figures["r_at_1"] == 1
    assert figures["interval"] == dict.fromkeys(("r_at_1", "r_at_5", "r_at_10", "mrr", "median_rank"))
    probe_results = probe_windows(windows, alone, bootstrap).metrics
    assert probe_results is not None
    assert probe_results["training_windows"] == 8


def test_numbers_are_kept_at_every_width(metrics: JsonObject) -> None:
    assert_numbers_fit(lambda: evaluation_report(metrics))


def test_six_subjects_have_means_with_intervals_between_subjects() -> None:
    windows = made_windows(subjects=6)
    bootstrap = TimeBootstrap(units_of(windows), resamples=50)
    several: JsonObject = {
        "seen": {"train": [], "val": []},
        "split": "test",
        "windows": len(windows),
        "clips": 42,
        **bootstrap.units.as_metrics(),
        **measure_retrieval(windows, rank_galleries(windows), bootstrap),
        "geometry": geometry(windows.imu_ND, windows.video_ND),
        "probe": None,
        "probe_reason": "not asked for",
    }
    found = several["retrieval"]
    assert isinstance(found, dict)
    figures = found["imu_to_video"]
    assert isinstance(figures, dict)
    between = figures["between_subjects"]
    assert isinstance(between, dict)
    first = between["r_at_1"]
    assert isinstance(first, dict)
    ends = first["interval"]
    assert isinstance(ends, list)
    lines = shown(several)
    place = next(number for number, line in enumerate(lines) if line.startswith("mean IMU → video"))
    assert lines[place].split()[4] == f"{100 * float(str(first['mean'])):.1f}"
    assert lines[place + 1].split()[0] == "-".join(f"{100 * float(str(end)):.1f}" for end in ends)
    assert "it says how the mean would vary with other subjects" in " ".join(" ".join(lines).split())
    assert_numbers_fit(lambda: evaluation_report(several))
