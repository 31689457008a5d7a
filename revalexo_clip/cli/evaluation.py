"""`rxclip evaluate`, of one checkpoint or of several. Heavy imports stay inside it, as in `cli`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from revalexo_clip.cli.options import (
    CkptsOption,
    ComparisonFolderOption,
    DataRootOption,
    ExperimentFilesOption,
    JsonOption,
    ProbeOption,
    SeenOption,
    SetOption,
    ToleranceOption,
)
from revalexo_clip.core.console import counting, out, quiet_libraries, say
from revalexo_clip.core.errors import ConfigError

if TYPE_CHECKING:
    from revalexo_clip.evaluation.classifier import ClassifierEvaluation
    from revalexo_clip.evaluation.comparison import Comparison
    from revalexo_clip.evaluation.protocol import Evaluation


def evaluate(  # noqa: PLR0917 (options, which typer passes by name)
    ckpt: CkptsOption = None,
    data: DataRootOption = None,
    overrides: SetOption = None,
    experiment: ExperimentFilesOption = None,
    allow_seen_subjects: SeenOption = False,
    probe: ProbeOption = True,
    tolerance: ToleranceOption = 0.0,
    folder: ComparisonFolderOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure retrieval, and what frozen features know of activities, on people that training has not seen.

    With several --ckpt the others are compared with the first. A finetuned activity classifier is measured by what it
    recognises.
    """
    quiet_libraries()
    from revalexo_clip.evaluation import classifier as recognise
    from revalexo_clip.evaluation import comparison
    from revalexo_clip.evaluation import protocol as command
    from revalexo_clip.runs.classifier_checkpoint import is_classifier
    from revalexo_clip.runs.folder import find_checkpoint

    chosen, files = ckpt or [], experiment or []
    if len(chosen) > 1:
        compared = comparison.compare(
            chosen,
            data_root=data,
            overrides=overrides or [],
            experiment_files=files,
            allow_seen_subjects=allow_seen_subjects,
            probe=probe,
            tolerance=tolerance,
            out=folder,
            progress=counting,
        )
        _show_comparison(compared, as_json=as_json)
        return
    if folder is not None:
        raise ConfigError("--out is where a comparison is written; one checkpoint's evaluation lies beside it")
    path = find_checkpoint(next(iter(chosen), None))
    if is_classifier(path):
        found = recognise.evaluate_classifier(
            path,
            data_root=data,
            overrides=overrides or [],
            experiment_file=_only(files),
            allow_seen_subjects=allow_seen_subjects,
            progress=counting,
        )
        _show_classifier(found, as_json=as_json)
        return
    result = command.evaluate(
        path,
        data_root=data,
        overrides=overrides or [],
        experiment_file=_only(files),
        allow_seen_subjects=allow_seen_subjects,
        probe=probe,
        tolerance=tolerance,
        progress=counting,
    )
    _show_evaluation(result, as_json=as_json)


def _only(files: Sequence[Path]) -> Path | None:
    if len(files) > 1:
        raise ConfigError(f"--experiment: {len(files)} files for one checkpoint; name the one that it was trained from")
    return next(iter(files), None)


def _show_evaluation(result: Evaluation, *, as_json: bool) -> None:
    from revalexo_clip.reports.terminal.evaluation import evaluation_report

    if as_json:
        print(json.dumps(result.metrics, indent=2))
        return
    for part in evaluation_report(result.metrics):
        out.print(part)
    say(f"written to {result.path}")
    say(f"           {result.report}")


def _show_classifier(found: ClassifierEvaluation, *, as_json: bool) -> None:
    from revalexo_clip.reports.terminal.classifier import classifier_report

    if as_json:
        print(json.dumps(found.metrics, indent=2))
        return
    for part in classifier_report(found.metrics):
        out.print(part)
    say(f"written to {found.path}")
    say(f"           {found.path.with_name('report.html')}")


def _show_comparison(compared: Comparison, *, as_json: bool) -> None:
    from revalexo_clip.reports.terminal.comparison import comparison_report

    if as_json:
        print(json.dumps(compared.metrics, indent=2))
        return
    for part in comparison_report(compared.metrics):
        out.print(part)
    say(f"written to {compared.path}")
    say(f"           {compared.report}")
