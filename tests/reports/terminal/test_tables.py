"""Dry runs, problems, experiments and components in a terminal."""

from __future__ import annotations

import re
from pathlib import Path

from rich.console import Console, RenderableType
from support.narrow_terminal import assert_numbers_fit

from revalexo_clip.config.pretraining import COMPONENT_KINDS
from revalexo_clip.core.component import JsonObject
from revalexo_clip.data.revalexo.check import Problem
from revalexo_clip.data.revalexo.check.shared import PlacedClip
from revalexo_clip.reports.terminal.tables import (
    component_list,
    config_tree,
    dry_run_table,
    problem_table,
    recording_table,
)


def shown(*parts: RenderableType) -> list[str]:
    """Return the printed lines. None may be longer than the terminal."""
    console = Console(width=80, color_system=None)
    with console.capture() as capture:
        for part in parts:
            console.print(part)
    return [line.rstrip() for line in capture.get().splitlines()]


def test_a_tree_shows_values_as_they_are_written() -> None:
    dumped: JsonObject = {
        "data": {"type": "RevalExo", "root": "[bold]data", "channels": ["acc_[LR]_*", "[/]"], "test_subjects": []},
        "augment": [{"type": "Scale", "p": 0.5}],
        "micro_batch": None,
        "units": {},
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
        "├── units none",
        "└── standardize true",
    ]


def test_components_are_listed_with_fields_defaults_and_units() -> None:
    text = "\n".join(shown(*component_list(COMPONENT_KINDS)))
    for kind in COMPONENT_KINDS:
        assert f"{kind.__name__}  " in text
        for name, component in kind.known().items():
            assert f"  {name}  " in text
            assert all(f"\n    {field} " in text for field in component.model_fields)
    assert "window            2.0                   Window length [s]." in text
    assert "kernel     11    Kernel length of the convolutions [samples]; four numbers" in text
    assert "root              required" in text
    assert re.search(r"betas +0\.9, 0\.999", text)


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


def test_recordings_of_several_clips_are_a_row_each_and_at_most_twenty() -> None:
    def clip(recording: int, number: int) -> PlacedClip:
        name = f"Subject01/{recording:02d}{number:02d}"
        return PlacedClip(name, "Subject01", 8.0 * number, 4.0 * (number > 0), declared=False, duration=12.0)

    recordings = [[clip(recording, number) for number in range(6)] for recording in range(23)]
    lines = [" ".join(line.split()) for line in shown(recording_table([*recordings, [clip(99, 0)]])) if line.strip()]
    assert lines[2] == "Subject01/0000 6 52.0 0, 8, 16, ..., 40 20.0"
    assert lines[-1] == "and 3 more"
    assert len(lines) == 2 + 20 + 1


def test_numbers_of_a_dry_run_are_kept_at_every_width() -> None:
    shapes = {"imu": (64, 120, 42), "video": (64, 8, 224, 224, 3)}
    parameters = {"imu encoder": 15_611_072, "projection of the video encoder": 1_048_576}
    assert_numbers_fit(lambda: [dry_run_table("x3d_xs", parameters, shapes, {"peak memory": "12.5 GiB"})])
