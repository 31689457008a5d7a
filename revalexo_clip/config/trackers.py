"""Trackers: services that a training logs to, beside its own files. Lightning's loggers do the work."""

from __future__ import annotations

import json
import os
import uuid
from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from revalexo_clip.core.component import Component, JsonObject
from revalexo_clip.core.errors import ConfigError

if TYPE_CHECKING:
    from lightning.pytorch.loggers import Logger, MLFlowLogger, WandbLogger

Errors = tuple[type[Exception], ...]


class Tracker(Component):
    """A service that gets the configuration and the metrics of a run. The first process of a run logs to it."""

    extra: ClassVar[str]
    """Name of the extra that installs its library."""

    checkpoints: bool = False
    """Upload `best.ckpt` when the training ends."""
    report: bool = False
    """Upload `report.html` when `rxclip evaluate` or a finetuning has written it."""

    @abstractmethod
    def errors(self) -> Errors:
        """Return what its library raises if the service cannot be reached or refuses. Raises `ImportError`."""

    @abstractmethod
    def build(self, run: Path, name: str, run_id: str | None) -> Logger:
        """Return Lightning's logger of a new tracked run, or of the one that `run_id` names.

        - `run`: the run folder, whose name the tracked run has.
        - `name`: name of the experiment.

        Raises one of `errors` if the service cannot be reached.
        """

    @abstractmethod
    def log_configuration(self, logger: Logger, configuration: JsonObject, *, again: bool) -> None:
        """Send the experiment as JSON, `again` if the run is resumed. Raises one of `errors`."""

    @abstractmethod
    def log_file(self, logger: Logger, path: Path) -> None:
        """Upload a file. Raises one of `errors`."""

    def close(self, logger: Logger, status: str) -> None:
        """End the tracked run. Raises one of `errors`."""
        logger.finalize(status)


class WandB(Tracker):
    """Weights & Biases. Needs `pip install 'revalexo-clip[wandb]'` and, unless it is offline, `wandb login`."""

    extra: ClassVar[str] = "wandb"

    project: str | None = None
    """Name of the project; null for that of the experiment."""
    entity: str | None = None
    """User or team; null for the default of the account."""
    mode: Literal["online", "offline"] = "online"
    """`offline` writes into `wandb/` in the run folder, for `wandb sync`."""

    def errors(self) -> Errors:
        """See `Tracker.errors`."""
        import wandb

        return wandb.errors.Error, OSError

    def build(self, run: Path, name: str, run_id: str | None) -> Logger:
        """See `Tracker.build`."""
        from lightning.pytorch.loggers import WandbLogger

        logger = WandbLogger(
            name=run.name,
            project=self.project or name,
            entity=self.entity,
            save_dir=run,
            id=run_id or uuid.uuid4().hex[:12],
            mode=self.mode,
        )
        _ = logger.experiment  # starts the tracked run
        return logger

    def log_configuration(self, logger: Logger, configuration: JsonObject, *, again: bool) -> None:
        """See `Tracker.log_configuration`."""
        logger.log_hyperparams(configuration)

    def log_file(self, logger: Logger, path: Path) -> None:
        """See `Tracker.log_file`."""
        import wandb

        artifact = wandb.Artifact(f"{_wandb(logger).version}-{path.stem}", type=path.suffix.removeprefix("."))
        artifact.add_file(str(path))
        _wandb(logger).experiment.log_artifact(artifact)

    def close(self, logger: Logger, status: str) -> None:
        """See `Tracker.close`."""
        super().close(logger, status)
        _wandb(logger).experiment.finish(exit_code=0 if status == "success" else 1)


class MLflow(Tracker):
    """MLflow. Needs `pip install 'revalexo-clip[mlflow]'`."""

    extra: ClassVar[str] = "mlflow"

    experiment: str | None = None
    """Name of MLflow's experiment; null for that of the experiment."""
    tracking_uri: str | None = None
    """Address of the server, or of a database such as `sqlite:///mlflow.db`; null for MLFLOW_TRACKING_URI, and without
    it for `runs/mlflow.db`."""

    def errors(self) -> Errors:
        """See `Tracker.errors`."""
        from mlflow.exceptions import MlflowException

        return MlflowException, OSError

    def build(self, run: Path, name: str, run_id: str | None) -> Logger:
        """See `Tracker.build`."""
        from lightning.pytorch.loggers import MLFlowLogger

        # MLflow's own default is to try for minutes, while the training waits.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
        runs = Path("runs").resolve()
        address = self.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI")
        local = address is None or address.startswith("sqlite:")
        logger = MLFlowLogger(
            experiment_name=self.experiment or name,
            run_name=run.name,
            tracking_uri=address or f"sqlite:///{runs / 'mlflow.db'}",
            artifact_location=(runs / "mlflow").as_uri() if local else None,
            run_id=run_id,
        )
        mlflow = logger.experiment  # starts the tracked run
        if run_id is not None:
            mlflow.update_run(run_id, status="RUNNING")
        return logger

    def log_configuration(self, logger: Logger, configuration: JsonObject, *, again: bool) -> None:
        """See `Tracker.log_configuration`. The JSON is an artifact; parameters are shortened, and never change."""
        mlflow = _mlflow(logger)
        if not again:
            mlflow.log_hyperparams(configuration)
        mlflow.experiment.log_text(mlflow.run_id, json.dumps(configuration, indent=2), "experiment.json")

    def log_file(self, logger: Logger, path: Path) -> None:
        """See `Tracker.log_file`."""
        mlflow = _mlflow(logger)
        mlflow.experiment.log_artifact(mlflow.run_id, str(path))


def _wandb(logger: Logger) -> WandbLogger:
    from lightning.pytorch.loggers import WandbLogger

    assert isinstance(logger, WandbLogger)
    return logger


def _mlflow(logger: Logger) -> MLFlowLogger:
    from lightning.pytorch.loggers import MLFlowLogger

    assert isinstance(logger, MLFlowLogger)
    return logger


def library_of(tracker: Tracker) -> Errors:
    """Return the errors of a tracker's library. Raises `ConfigError`, naming the extra, if it is not installed."""
    try:
        return tracker.errors()
    except ImportError as error:
        raise ConfigError(
            f"trainer.loggers: {type(tracker).__name__} needs a library that is not installed: "
            f"pip install 'revalexo-clip[{tracker.extra}]' ({error})"
        ) from error
