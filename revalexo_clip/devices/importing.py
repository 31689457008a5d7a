"""Importing a recording: reading it, planning, and writing it into its dataset."""

from __future__ import annotations

from pathlib import Path

from revalexo_clip.core.progress import OnProgress
from revalexo_clip.devices.formats import read_recording
from revalexo_clip.devices.plan import DEFAULTS, ImportOptions, ImportPlan, plan_import
from revalexo_clip.devices.tables_options import TableOptions
from revalexo_clip.devices.write import write_import


def import_recording(
    source: Path,
    subject: str,
    into: Path,
    options: ImportOptions = DEFAULTS,
    *,
    place: str | None = None,
    format_name: str | None = None,
    tables: TableOptions | None = None,
    dry_run: bool = False,
    on_progress: OnProgress | None = None,
) -> ImportPlan:
    """Add the recording of a device to the dataset `into`, which is created if it does not exist.

    `place` is the body place of the sensor, in the names of channels; None is the head for cameras and glasses.
    `format_name` is one of `FORMATS`, and is found by the content if it is None. `tables` says what tables do not. With
    `dry_run`, nothing is written; `write_import` writes the plan later. `on_progress(done, total)` counts clips.
    Returns the plan. Raises `DataError` or `ConfigError`; then nothing is written either.
    """
    plan = plan_import(read_recording(source, place, format_name, tables), into, subject, options)
    if not dry_run:
        write_import(plan, on_progress)
    return plan
