"""`rxclip evaluate`, for one checkpoint or several. Heavy imports stay inside the functions, as in `cli`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from revalexo_clip.cli.options import (
    CkptsOption,
    DataRootOption,
    ExperimentFilesOption,
    JsonOption,
    ProbeOption,
    ReferenceOption,
    ResultsFolderOption,
    RobustnessOption,
    SeenOption,
    SetOption,
    ToleranceOption,
    ZeroShotOption,
)
from revalexo_clip.core.console import counting, out, quiet_libraries, say
from revalexo_clip.core.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import RenderableType

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
    reference: ReferenceOption = None,
    robustness: RobustnessOption = False,
    zero_shot: ZeroShotOption = None,
    folder: ResultsFolderOption = None,
    as_json: JsonOption = False,
) -> None:
    """Evaluate a checkpoint on unseen subjects: retrieval and linear probes, or the predictions of a classifier.

    With several --ckpt, the others are compared with the first.
    """
    quiet_libraries()
    from revalexo_clip.evaluation import comparison, protocol

    result: Evaluation | ClassifierEvaluation | Comparison
    checkpoints, files = ckpt or [], experiment or []
    if len(checkpoints) > 1:
        for option, given in (
            ("--reference", reference is not None),
            ("--robustness", robustness),
            ("--zero-shot", zero_shot is not None),
        ):
            if given:
                raise ConfigError(f"{option} applies to a single checkpoint; evaluate each --ckpt on its own")
        result = comparison.compare(
            checkpoints,
            data_root=data,
            overrides=overrides or [],
            experiment_files=files,
            allow_seen_subjects=allow_seen_subjects,
            probe=probe,
            tolerance=tolerance,
            out=folder,
            progress=counting,
        )
    else:
        result = protocol.evaluate(
            next(iter(checkpoints), None),
            data_root=data,
            overrides=overrides or [],
            experiment_file=_only(files),
            allow_seen_subjects=allow_seen_subjects,
            probe=probe,
            tolerance=tolerance,
            reference=reference,
            robustness=robustness,
            zero_shot=zero_shot,
            out=folder,
            progress=counting,
        )
    if as_json:
        print(json.dumps(result.metrics, indent=2))
        return
    for part in _tables(result):
        out.print(part)
    say(f"written to {result.path}")
    say(f"           {result.report}")


def _only(files: Sequence[Path]) -> Path | None:
    if len(files) > 1:
        raise ConfigError(f"--experiment: {len(files)} files for one checkpoint; name the one it was trained with")
    return next(iter(files), None)


def _tables(result: Evaluation | ClassifierEvaluation | Comparison) -> Iterable[RenderableType]:
    from revalexo_clip.evaluation.classifier import ClassifierEvaluation
    from revalexo_clip.evaluation.comparison import Comparison
    from revalexo_clip.reports.terminal.classifier import classifier_report
    from revalexo_clip.reports.terminal.comparison import comparison_report
    from revalexo_clip.reports.terminal.evaluation import evaluation_report

    if isinstance(result, Comparison):
        return comparison_report(result.metrics)
    if isinstance(result, ClassifierEvaluation):
        return classifier_report(result.metrics)
    return evaluation_report(result.metrics)
