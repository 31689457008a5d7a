"""The report of an evaluation: one file with the results of `metrics.json`, and missing results."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.html_page import Page
from support.made_evaluation import made_evaluation, made_probe_results
from support.made_windows import MadeDataset, made_pieces, made_windows, perturbed, supervised

from revalexo_clip.core.component import JsonObject
from revalexo_clip.metrics.blocks import units_of
from revalexo_clip.metrics.bootstrap import TimeBootstrap
from revalexo_clip.metrics.embedding_geometry import geometry
from revalexo_clip.metrics.evaluated import EvaluatedWindows
from revalexo_clip.metrics.galleries import ALL_GALLERIES, measure_retrieval, rank_galleries
from revalexo_clip.metrics.robustness import measure_robustness
from revalexo_clip.reports.conclusions.evaluation import verdicts
from revalexo_clip.reports.findings import Findings
from revalexo_clip.reports.html import curves
from revalexo_clip.reports.html import plots as plot
from revalexo_clip.reports.html.evaluation import examples, retrieval, robustness
from revalexo_clip.reports.html.evaluation import page as summary
from revalexo_clip.reports.html.evaluation import probe as probe_section
from revalexo_clip.reports.html.evaluation.page import sections, write_report

ODD = '<b>"walking" & co'


@pytest.fixture(scope="module")
def findings(tmp_path_factory: pytest.TempPathFactory) -> Findings:
    """Findings of two subjects, with names that contain HTML markup."""
    log = tmp_path_factory.mktemp("run") / "metrics.csv"
    log.write_text("epoch,step,train/loss_step,val/loss\n0,0,3.0,\n0,1,2.0,\n0,1,,2.2\n1,2,1.5,\n1,2,,1.9\n")
    windows = made_windows(subjects=2)
    odd = EvaluatedWindows(**{**vars(windows), "activities": ("standing", ODD, "never")})
    return made_evaluation(odd, f"run of {ODD}", made_probe_results(odd), log).findings


@pytest.fixture(scope="module")
def written(findings: Findings, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_report(path, findings)
    return path.read_text(encoding="utf-8")


@pytest.mark.long
def test_it_is_one_file_that_asks_for_no_other(written: str) -> None:
    page = Page(written)
    assert "://" not in written
    assert "xlink" not in written
    assert "url(" not in re.sub(r"url\(#\w+\)", "", written)
    assert "@import" not in written
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in page.elements}
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    references = [str(value) for _, found in page.elements for name, value in found.items() if name in {"href", "src"}]
    for reference in references:
        assert reference.startswith("data:image/jpeg;base64,") or reference.removeprefix("#") in ids, reference[:80]
    assert {tag for tag, _ in page.elements} >= {"svg", "img", "table", "figure"}


def test_colours_are_those_of_the_page(written: str) -> None:
    used = set(re.findall(r"var\((--\w+)\)", written))
    assert used >= {"--imu", "--video", "--c1", "--ink", "--muted", "--grid"}
    assert used <= {*re.findall(r"(--\w+):", written)}
    assert not [colour for colour in plot.COLOUR.values() if colour in written]
    drawings = "".join(re.findall(r"<svg.*?</svg>", written, flags=re.DOTALL))
    assert not re.search(r"#[0-9a-f]{6}", drawings)


def test_names_are_text_and_nothing_else(written: str) -> None:
    page = Page(written)
    assert "b" not in {tag for tag, _ in page.elements}
    assert f"Evaluation of run of {ODD}" in page.text
    assert f"{ODD} (" in page.text


def test_the_table_holds_the_figures_of_metrics_json(findings: Findings, written: str) -> None:
    text = Page(written).text
    for gallery in ALL_GALLERIES:
        found = findings.metrics[gallery]
        assert isinstance(found, dict)
        for arrow, direction in (("IMU → video", "imu_to_video"), ("video → IMU", "video_to_imu")):
            figures = found[direction]
            assert isinstance(figures, dict)
            intervals = figures["interval"]
            assert isinstance(intervals, dict)
            expected = [arrow]
            for name, form in (("r_at_1", 1), ("r_at_5", 1), ("r_at_10", 1), ("mrr", 3), ("median_rank", 1)):
                value, scale = float(str(figures[name])), 100 if name.startswith("r_at") else 1
                expected.append(f"{scale * value:.{form}f}" + ("%" if scale == 100 else ""))
                ends = intervals[name]
                if isinstance(ends, list):
                    expected.append("–".join(f"{scale * float(str(end)):.{form}f}" for end in ends))  # noqa: RUF001
            assert " ".join(expected).replace(" ", "") in text.replace(" ", ""), expected


@pytest.mark.long
def test_the_same_evaluation_gives_the_same_bytes(findings: Findings, written: str, tmp_path: Path) -> None:
    write_report(tmp_path / "again.html", findings)
    assert (tmp_path / "again.html").read_text(encoding="utf-8") == written


@pytest.mark.long
def test_subjects_that_were_seen_are_said_before_all_else(findings: Findings) -> None:
    seen: JsonObject = {"train": ["Subject<1>"], "val": ["Subject2"]}
    text = Page(summary.head("made", {**findings.metrics, "seen": seen})).text
    warning = (
        "⚠ Test subject Subject<1> was used in training and test subject Subject2 was used in model selection, so "
        "these results do not measure generalisation."
    )
    assert text.index(warning) < text.index("Does IMU find the matching video?")
    assert "generalisation" not in Page(summary.head("made", findings.metrics)).text


@pytest.mark.long
def test_what_is_missing_is_said_in_words(tmp_path: Path) -> None:
    windows = made_windows(subjects=1, clips=1)
    bare = EvaluatedWindows(**{**vars(windows), "label_NK": torch.full_like(windows.label_NK, -1)})
    galleries = rank_galleries(bare)
    metrics: JsonObject = {
        "seen": {"train": [], "val": []},
        "tolerance": 1.0,
        "windows": 8,
        "clips": 1,
        "interval_unit": "blocks of 30 s",
        "interval_reason": "6 clips are needed",
        "checkpoint": "best.ckpt",
        "sha256": "0",
        "epoch": 1,
        **measure_retrieval(bare, galleries, TimeBootstrap(units_of(bare), resamples=10)),
        "geometry": geometry(bare.imu_ND, bare.video_ND),
        "probe": None,
        "probe_reason": "no window has a label",
    }
    findings = Findings("bare", metrics, bare, galleries, MadeDataset(bare), tmp_path / "metrics.csv")
    told = {section.anchor: Page(section.body).text for section in sections(findings)}
    assert "There are no intervals: 6 clips are needed. Only results of exactly 0% or 100%" in told["results"]
    assert "no gallery of the same activity" in told["retrieval"]
    assert "start less than 1.0 s apart count as one answer" in told["retrieval"]
    assert told["activities"] == "No window has an activity at the first horizon."
    assert "Only one subject was evaluated" in told["subjects"]
    assert told["probe"] == "No probe: no window has a label."
    assert "confusion" not in told
    assert "No curves" in told["training"]
    assert "no activity" in told["examples"]
    head = Page(summary.head("bare", metrics)).text
    assert "Significance not known, because there is no interval: R@1" in head
    assert "Not measured No probe: no window has a label." in head


@pytest.mark.long
def test_six_subjects_have_means_with_intervals_between_subjects() -> None:
    windows = made_windows(subjects=6, clips=3)
    found = made_evaluation(windows, "made", made_probe_results(windows)).findings
    told = {section.anchor: Page(section.body).text for section in sections(found)}["subjects"]
    assert "Mean of subjects, gallery" in told
    assert "Mean of subjects, linear probe" in told
    assert "it says how the mean would vary with other subjects" in told
    gallery = found.metrics["retrieval_within_clip"]
    assert isinstance(gallery, dict)
    figures = gallery["video_to_imu"]
    assert isinstance(figures, dict)
    between = figures["between_subjects"]
    assert isinstance(between, dict)
    mrr = between["mrr"]
    assert isinstance(mrr, dict)
    assert f"{mrr['mean']:.3f}" in told
    assert "its interval says how it would vary with other subjects" in Page(summary.head("made", found.metrics)).text


@pytest.mark.long
def test_it_begins_with_what_the_features_are_worth(findings: Findings) -> None:
    questions = [one.question for one in verdicts(findings.metrics)]
    assert questions[:3] == [
        "Are its features worth more where labels are few?",
        "Are they worth more in transitions?",
        "Does IMU find the matching video?",
    ]
    text = Page(summary.tables(findings.metrics)).text
    assert text.index("Macro F1, linear probe") < text.index("Retrieval, gallery")
    probe: Any = findings.metrics["probe"]
    for name in ("imu", "imu_untrained", "handcrafted"):
        assert f"{100 * probe['few_labels'][name][0]['macro_f1']:.1f}%" in text
    assert f"{100 * probe['transition_gain']['over_untrained']['macro_f1']:+.1f}".replace("-", "−") in text  # noqa: RUF001
    assert "is measured with rxclip evaluate --reference RUN" in Page(probe_section.section_body(probe)).text


@pytest.mark.long
def test_with_a_reference_the_share_of_the_gap_comes_first() -> None:
    windows = supervised(made_windows(subjects=2))
    found = made_evaluation(windows, "made", made_probe_results(windows)).findings
    first = next(verdicts(found.metrics))
    assert first.question == "How much of what labels teach does pretraining teach without them?"
    probe: Any = found.metrics["probe"]
    closed = f"{100 * probe['gap_closed']['macro_f1']:.1f}%"
    assert first.short.startswith(closed)
    assert first.short.endswith("of the gap between the untrained and the supervised network")
    drawn = probe_section.section_body(probe)
    assert "Share of the gap that pretraining closes" in drawn
    assert "--reference" not in drawn
    assert "IMU, supervised" in Page(summary.tables(found.metrics)).text
    probe["gap_closed"]["macro_f1"], probe["gap_closed"]["reason"]["macro_f1"] = None, "it is so"
    unknown = next(verdicts(found.metrics))
    assert (unknown.answer, unknown.short) == ("open", "Not known")
    assert unknown.reasons.endswith("because it is so.")


def test_robustness_has_a_plot_and_a_table() -> None:
    windows = made_windows(subjects=2)
    found: Any = measure_robustness(windows, None, iter(perturbed(windows)), probed=True)
    body = robustness.section_body(found)
    assert "<svg" in body
    text = Page(body).text
    for title in (
        "as recorded",
        "without Foot",
        "a sensor missing, worst",
        "IMU 100 ms early",
        "half the sampling rate",
    ):
        assert title in text
    assert "sensors turned by 30°: not measured" in text
    for one in found["perturbations"]:
        assert f"{100 * one['perturbed']['probe']['macro_f1']:.1f}%" in text
        assert f"{one['perturbed']['retrieval']['video_to_imu']['mrr']:.3f}" in text


def test_clips_of_one_recording_are_told_from_each_other() -> None:
    windows = made_pieces(clips=3)
    rows = np.argsort(windows.time_N.numpy())
    query = int(rows[0])
    for place, mark in ((1, "≈ overlaps the correct one (+0.5 s)"), (20, "✗ wrong, same recording (+10 s)")):
        assert examples.judged(windows, query, int(rows[place]), tolerance=0.0, length=2.0)[0] == mark


def test_chance_by_rank_is_that_of_a_random_order() -> None:
    windows = made_windows(subjects=2, clips=2)
    for tolerance in (0.0, 0.7):
        for name, gallery in rank_galleries(windows, tolerance).items():
            found_R = retrieval.chance_share(gallery.ranks, torch.tensor([1, 5, 10]).numpy())
            found = measure_retrieval(windows, {name: gallery, "retrieval": gallery}, TimeBootstrap(units_of(windows)))
            of_gallery = found["retrieval"]
            assert isinstance(of_gallery, dict)
            chance = of_gallery["chance"]
            assert isinstance(chance, dict)
            assert found_R.tolist() == pytest.approx([chance["r_at_1"], chance["r_at_5"], chance["r_at_10"]])


def test_curves_are_means_over_each_epoch(findings: Findings) -> None:
    assert curves.read_curves(findings.log) == {
        "train/loss_step": {1: 2.5, 2: 1.5},
        "val/loss": {1: 2.2, 2: 1.9},
    }


def test_examples_are_the_best_the_worst_and_others(findings: Findings) -> None:
    windows, gallery = findings.windows, findings.galleries["retrieval"]
    chosen = examples.choose(windows, gallery)
    rank_N = gallery.ranks.imu_to_video_N
    assert [one.why for one in chosen] == ["best"] * 2 + ["worst"] * 2 + ["drawn at random"] * 3
    assert chosen[0].rank == rank_N.min()
    assert chosen[2].rank == rank_N.max()
    assert len({one.query for one in chosen}) == len(chosen)
    for one in chosen:
        similarity_N = (windows.video_ND.double() @ windows.imu_ND[one.query].double()).numpy()
        assert one.found.tolist() == sorted(range(len(windows)), key=lambda row: -similarity_N[row])[:5]
        assert one.similarity == pytest.approx(similarity_N[one.found])
        assert (one.found[: one.rank] == one.query).any() == (one.rank <= 5)


@pytest.mark.parametrize(
    ("row", "mark"),
    [
        (1, "✓ correct"),
        (2, "✓ correct, within the tolerance (+0.5 s)"),
        (4, "≈ overlaps the correct one (+1.5 s)"),
        (5, "✗ wrong, same clip (+2 s)"),
        (9, "✗ wrong"),
    ],
)
def test_what_was_found_is_judged(row: int, mark: str) -> None:
    found, _ = examples.judged(made_windows(subjects=1), query=1, row=row, tolerance=0.7, length=2.0)
    assert found == mark
