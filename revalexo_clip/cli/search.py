"""`rxclip search`. Heavy imports stay inside the function, as in `cli`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from revalexo_clip.cli.options import (
    CkptOption,
    DataRootOption,
    ExperimentFileOption,
    JsonOption,
    ModalityOption,
    SetOption,
)
from revalexo_clip.core.console import counting, out, quiet_libraries, say


def search(  # noqa: PLR0917 (options, which typer passes by name)
    query: Annotated[str, typer.Argument(metavar="SENTENCE", help="What to search for, in words.")],
    recordings: Annotated[
        list[str], typer.Argument(metavar="RECORDING...", help="Subjects (Subject10) or clips (Subject10/0003).")
    ],
    ckpt: CkptOption = None,
    data: DataRootOption = None,
    overrides: SetOption = None,
    experiment: ExperimentFileOption = None,
    modality: Annotated[ModalityOption, typer.Option(help="What is compared with the sentence.")] = ModalityOption.imu,
    top: Annotated[int, typer.Option(min=1, help="Number of moments.")] = 5,
    strip: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE.png", help="Picture of the moments.", show_default="in the run folder"),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the moments of recordings that fit a sentence best."""
    quiet_libraries()
    from revalexo_clip.evaluation import search as command
    from revalexo_clip.reports.terminal.report_table import Column, ReportTable

    result = command.search(
        query,
        recordings,
        ckpt=ckpt,
        data_root=data,
        overrides=overrides or [],
        experiment_file=experiment,
        modality=modality.value,
        top=top,
        out=strip,
        progress=counting,
    )
    if as_json:
        print(json.dumps(result.to_json(), indent=2))
        return
    table = ReportTable(result.query, [Column("start [s]"), Column("end [s]"), Column("score")])
    for moment in result.moments:
        table.add_row(moment.recording, f"{moment.start:.2f}", f"{moment.end:.2f}", f"{moment.score:.3f}")
    out.print(table)
    if result.strip is not None:
        say(f"frames: {result.strip}")
