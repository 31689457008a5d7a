"""Logging a run to trackers, so that a tracker that fails neither stops the training nor its own files.

The tracked runs of a run folder are named in its `trackers.json`, so that a resumed run continues them.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path

from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch.loggers.logger import Logger

from revalexo_clip.config.base import Experiment
from revalexo_clip.config.trackers import Errors, Tracker, library_of
from revalexo_clip.core.component import JsonObject
from revalexo_clip.core.errors import ConfigError, DataError
from revalexo_clip.core.files import write_json
from revalexo_clip.core.text import one_line

log = logging.getLogger("revalexo_clip")

FILE = "trackers.json"
"""File in a run folder: the id of each tracked run, by the tracker's place in `trainer.loggers` and its type."""


class GuardedLogger(Logger):
    """Passes everything to a tracker's logger until it fails; then says so once, and passes nothing more."""

    def __init__(self, tracker: Tracker, logger: Logger, errors: Errors, folder: Path) -> None:
        super().__init__()
        self.tracker, self.logger, self.errors, self.folder = tracker, logger, errors, folder
        self.failed = False

    @property
    def name(self) -> str | None:
        """Name that Lightning's logger has."""
        return self.logger.name

    @property
    def version(self) -> int | str | None:
        """Id of the tracked run."""
        return self.logger.version

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Send metrics."""
        if not self.failed:
            try:
                self.logger.log_metrics(dict(metrics), step)
            except self.errors as error:
                self._note(error)

    def log_hyperparams(self, *args: object, **kwargs: object) -> None:
        """Do nothing: the configuration was sent when the tracked run began."""

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Upload the best checkpoint if that is wanted, and end the tracked run."""
        if self.failed:
            return
        best = self.folder / "checkpoints" / "best.ckpt"
        try:
            if self.tracker.checkpoints and best.is_file():
                self.tracker.log_file(self.logger, best)
            self.tracker.close(self.logger, status)
        except self.errors as error:
            self._note(error)

    def _note(self, error: Exception) -> None:
        self.failed = True
        log.warning(
            "%s failed, and gets nothing more of this run: %s. The training goes on; metrics.csv and tensorboard/ have "
            "everything",
            type(self.tracker).__name__,
            one_line(error),
        )


def start_trackers(experiment: Experiment, folder: Path) -> list[Logger]:
    """Start the tracked runs of a run folder, or continue those that its `trackers.json` names.

    Raises `ConfigError` if a tracker's library is not installed, or the tracker cannot be reached or refuses, and
    `DataError` if `trackers.json` is corrupt.
    """
    configuration = experiment.model_dump(mode="json")
    known, started = _known(folder), list[Logger]()
    for place, tracker in enumerate(experiment.trainer.loggers):
        started.append(_start(tracker, _key(place, tracker), folder, experiment.name, known, configuration))
    return started


def _start(  # noqa: PLR0917 (what a tracked run is made of)
    tracker: Tracker, key: str, folder: Path, name: str, known: dict[str, str], configuration: JsonObject
) -> Logger:
    errors, before = library_of(tracker), known.get(key)
    try:
        logger = tracker.build(folder, name, before)
        known[key] = str(logger.version)
        write_json(folder / FILE, known)
        tracker.log_configuration(logger, configuration, again=before is not None)
    except errors as error:
        continued = f"; it was to continue the tracked run {before} of {folder / FILE}" if before else ""
        raise ConfigError(
            f"trainer.loggers: {type(tracker).__name__} cannot be used: {one_line(error)}{continued}. To train without "
            "it, --set trainer.loggers=[]"
        ) from error
    return GuardedLogger(tracker, logger, errors, folder)


def upload_report(experiment: Experiment, folder: Path, report: Path) -> None:
    """Upload a report to the tracked runs of a run folder whose tracker wants it. A failure is logged."""
    known = _known(folder)
    for place, tracker in enumerate(experiment.trainer.loggers):
        key = _key(place, tracker)
        if not tracker.report or key not in known:
            continue
        try:
            errors = library_of(tracker)
        except ConfigError as error:
            log.warning("%s is not uploaded: %s", report, error)
            continue
        try:
            logger = tracker.build(folder, experiment.name, known[key])
            tracker.log_file(logger, report)
            tracker.close(logger, "success")
        except errors as error:
            log.warning("%s did not get %s: %s", type(tracker).__name__, report, one_line(error))


def _key(place: int, tracker: Tracker) -> str:
    return f"{place} {type(tracker).__name__}"


def _known(folder: Path) -> dict[str, str]:
    path = folder / FILE
    if not path.is_file():
        return {}
    try:
        content: object = json.loads(path.read_bytes())
    except ValueError as error:
        raise DataError(f"{path}: is corrupt: {error}; delete it to start new tracked runs") from error
    if not isinstance(content, dict):
        raise DataError(f"{path}: is corrupt; delete it to start new tracked runs")
    return {str(key): str(value) for key, value in content.items()}
