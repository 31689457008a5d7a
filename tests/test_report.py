"""What a person sees in a terminal of 80 columns."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console, RenderableType

from revalexo_clip.component import JsonObject
from revalexo_clip.data.check import Problem
from revalexo_clip.experiment import COMPONENT_KINDS
from revalexo_clip.report import (
    component_list,
    config_tree,
    dry_run_table,
    problem_table,
    retrieval_table,
    seen_warning,
)

SCORES: JsonObject = {"r_at_1": 0.125, "r_at_5": 0.5, "r_at_10": 1.0, "mrr": 0.4321, "median_rank": 1234.5}
CHANCE: JsonObject = {"r_at_1": 0.001, "r_at_5": 0.002, "r_at_10": 0.003, "mrr": 0.0001, "median_rank": 2000.5}


def metrics(*subjects: str) -> JsonObject:
    both: JsonObject = {"imu_to_video": SCORES, "video_to_imu": SCORES, "chance": CHANCE, "gallery_size": 4000}
    return {
        "windows": 4000,
        "clips": 200,
        "split": "test",
        "retrieval": both,
        "subjects": {subject: {"windows": 2000, **both} for subject in subjects},
    }


def shown(*parts: RenderableType) -> list[str]:
    """Lines as they come out, cut to what fits: none may be longer."""
    console = Console(width=80, color_system=None)
    with console.capture() as capture:
        for part in parts:
            console.print(part)
    return [line.rstrip() for line in capture.get().splitlines()]


def test_retrieval_is_a_row_for_each_direction_and_for_chance() -> None:
    lines = shown(retrieval_table(metrics("Subject08")))
    assert lines[0] == "Retrieval among 4000 windows of 200 clips (test: 1 subject)"
    assert [line.split() for line in lines if "%" in line] == [
        ["IMU", "→", "video", "4000", "12.5%", "50.0%", "100.0%", "0.432", "1234.5"],
        ["video", "→", "IMU", "4000", "12.5%", "50.0%", "100.0%", "0.432", "1234.5"],
        ["chance", "0.1%", "0.2%", "0.3%", "0.000", "2000.5"],
    ]


def test_several_subjects_have_rows_of_their_own() -> None:
    lines = shown(retrieval_table(metrics("Subject05", "Subject[8]")))
    assert [line.split()[:2] for line in lines if "2000" in line and "2000.5" not in line] == [
        ["Subject05", "2000"],
        ["Subject[8]", "2000"],
    ]
    assert sum("IMU → video" in line for line in lines) == 3


@pytest.mark.parametrize(
    ("seen", "says"),
    [
        ({"train": ["Subject01"], "val": ["Subject08"]}, "was trained on Subject01 and selected on Subject08"),
        ({"train": [], "val": ["Subject08", "Subject09"]}, "was selected on Subject08, Subject09"),
    ],
)
def test_subjects_that_were_seen_are_told(seen: JsonObject, says: str) -> None:
    warning = seen_warning({"seen": seen})
    assert warning is not None
    assert warning.endswith(says)


def test_nothing_is_told_of_subjects_that_are_new() -> None:
    assert seen_warning({"seen": {"train": [], "val": []}}) is None


def test_a_tree_shows_values_as_they_are_written() -> None:
    dumped: JsonObject = {
        "data": {"type": "RevalExo", "root": "[bold]data", "channels": ["acc_[LR]_*", "[/]"], "test_subjects": []},
        "augment": [{"type": "Scale", "p": 0.5}],
        "micro_batch": None,
        "standardize": True,
    }
    assert shown(config_tree("my[idea]", dumped)) == [
        "my[idea]",
        "├── data RevalExo",
        "│   ├── root [bold]data",
        "│   ├── channels acc_[LR]_*, [/]",
        "│   └── test_subjects none",
        "├── augment",
        "│   └── Scale",
        "│       └── p 0.5",
        "├── micro_batch none",
        "└── standardize true",
    ]


def test_components_are_listed_with_fields_defaults_and_units() -> None:
    text = "\n".join(shown(*component_list(COMPONENT_KINDS)))
    for kind in COMPONENT_KINDS:
        assert f"{kind.__name__}  " in text
        for name, component in kind.known().items():
            assert f"  {name}  " in text
            assert all(f"\n    {field} " in text for field in component.model_fields)
    assert "window            2.0                   Length of a window [s]." in text
    assert "kernel  11    Length of each convolution [samples]." in text
    assert "root              required" in text
    assert "betas         0.9, 0.999" in text


def test_a_dry_run_shows_parts_shapes_and_facts() -> None:
    lines = shown(dry_run_table("x3d_xs", {"imu encoder": 15611072}, {"imu": (64, 120, 42)}, {"peak memory": "2 GiB"}))
    assert [" ".join(line.split()) for line in lines if line] == [
        "Dry run of x3d_xs",
        "imu encoder, parameters 15,611,072",
        "imu batch 64 x 120 x 42",
        "peak memory 2 GiB",
    ]


def test_problems_are_a_row_each_under_their_kind_however_long_a_file_s_name_is() -> None:
    problems = [
        Problem("missing_file", Path("data/[1].mp4"), "is missing"),
        Problem("missing_file", Path("data") / ("x" * 90), "is missing"),
        Problem("acc_units", Path("data/a.csv"), "acc_[Head]: gravity is 1.00"),
    ]
    lines = shown(problem_table(problems))
    assert [line.strip().split("  ")[0] for line in lines if line.strip().startswith(("error", "warning"))] == [
        "error: missing_file (2)",
        "warning: acc_units (1)",
    ]
    text = "".join(lines)
    assert "data/[1].mp4" in text
    assert "acc_[Head]: gravity is 1.00" in text
    assert text.count("x") == 90
