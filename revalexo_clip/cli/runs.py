"""The commands `runs` and `prune-runs`. Heavy imports stay inside them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from revalexo_clip.cli.options import JsonOption
from revalexo_clip.core.console import out, say

if TYPE_CHECKING:
    from revalexo_clip.runs.listing import ListedRun

FolderArgument = Annotated[Path | None, typer.Argument(metavar="[FOLDER]", help="Folder of runs.", show_default="runs")]
WhereOption = Annotated[
    list[str] | None,
    typer.Option(
        "--where", metavar="KEY=VALUE[,VALUE]", help="Only runs of this state, kind or experiment. Repeatable."
    ),
]
NameOption = Annotated[
    str | None, typer.Option("--name", metavar="PATTERN", help="Only experiments of this name, e.g. 'demo*'.")
]


def runs(  # noqa: PLR0917 (options, which typer passes by name)
    folder: FolderArgument = None,
    where: WhereOption = None,
    name: NameOption = None,
    sort: Annotated[
        str | None,
        typer.Option(
            "--sort",
            metavar="KEY",
            help="started, experiment, state, kind, size, or a figure; ascending.",
            show_default="newest first",
        ),
    ] = None,
    reverse: Annotated[bool, typer.Option("--reverse", help="With --sort: descending.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List runs with experiment and start, kind, state, key figures and size."""
    from revalexo_clip.runs import listing

    found = listing.select_runs(listing.list_runs(folder), where or [], name)
    if sort is not None:
        found = listing.sort_runs(found, sort, reverse=reverse)
    if as_json:
        print(json.dumps([run.as_json() for run in found], indent=2))
        return
    _show(found)


def prune_runs(  # noqa: PLR0917 (options, which typer passes by name)
    folder: FolderArgument = None,
    where: WhereOption = None,
    name: NameOption = None,
    failed: Annotated[bool, typer.Option("--failed", help="Runs that failed or were killed.")] = False,
    older_than: Annotated[
        float | None, typer.Option("--older-than", min=0, metavar="DAYS", help="Runs that started before that.")
    ] = None,
    all_but_best: Annotated[
        int | None,
        typer.Option(
            "--all-but-best", min=1, metavar="N", help="All but the N best runs of each experiment, with --by."
        ),
    ] = None,
    by: Annotated[str | None, typer.Option("--by", metavar="FIGURE", help="What is best, e.g. val/mrr.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Delete them. Without this, they are only listed.")] = False,
) -> None:
    """Delete runs: show those that fit all options, and delete them with --yes; also as `rxclip runs prune`."""
    from revalexo_clip.reports.terminal.runs import size_text
    from revalexo_clip.runs import listing
    from revalexo_clip.runs.prune import delete_run, select_for_deletion

    found = listing.select_runs(listing.list_runs(folder), where or [], name)
    selected = select_for_deletion(found, failed=failed, older_than=older_than, all_but_best=all_but_best, by=by)
    _show(list(selected.deleted))
    for run, why in selected.kept:
        say(f"kept   {run.path}: {why}")
    if not selected.deleted:
        return
    freed = size_text(sum(run.size for run in selected.deleted))
    if not yes:
        say(f"would delete {len(selected.deleted)} of {len(found)} runs, {freed}; to delete them, pass --yes")
        return
    for run in selected.deleted:
        delete_run(run.path)
    say(f"deleted {len(selected.deleted)} of {len(found)} runs, {freed}")


def _show(found: list[ListedRun]) -> None:
    from revalexo_clip.reports.terminal.runs import run_table

    if found:
        out.print(run_table([run.as_json() for run in found]))
    else:
        say("no run fits")
