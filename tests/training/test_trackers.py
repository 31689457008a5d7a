"""Trackers in their local modes: what they get, resumed runs, a server that dies."""

from __future__ import annotations

import csv
import json
import sys
from contextlib import chdir
from pathlib import Path

import pytest
from support.mlflow_server import serving
from support.small_process import EXPERIMENT, succeed
from support.small_run import built_in_experiment, train

from revalexo_clip.config.pretraining import PretrainExperiment
from revalexo_clip.config.trackers import MLflow, Tracker, WandB
from revalexo_clip.core.errors import ConfigError
from revalexo_clip.pretraining.run import pretrain
from revalexo_clip.training.trackers import FILE, upload_report


def tracked(root: Path, *loggers: Tracker, epochs: int = 1) -> PretrainExperiment:
    described = [tracker.model_dump(mode="json") for tracker in loggers]
    trainer = {"max_epochs": epochs, "accelerator": "cpu", "log_every": 1, "loggers": described}
    return built_in_experiment(root, trainer=trainer)


def rows(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.long
def test_mlflow_gets_the_run_and_a_resumed_run_continues_it(distinct: Path, tmp_path: Path) -> None:
    tracking = pytest.importorskip("mlflow.tracking")
    tracker = MLflow(tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}", checkpoints=True, report=True)
    run = train(tracked(distinct, tracker), tmp_path)
    known = json.loads((run / FILE).read_text())
    (run_id,) = known.values()
    client = tracking.MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    found = client.get_run(run_id)
    assert found.info.status == "FINISHED"
    assert found.data.tags["mlflow.runName"] == run.name
    assert {item.path for item in client.list_artifacts(run_id)} == {"experiment.json", "best.ckpt"}
    stored = Path(client.download_artifacts(run_id, "experiment.json"))
    assert json.loads(stored.read_text()) == json.loads((run / "experiment.json").read_text())
    losses = [(row["step"], float(row["train/loss_step"])) for row in rows(run) if row["train/loss_step"]]
    history = client.get_metric_history(run_id, "train/loss_step")
    assert losses
    assert [(str(one.step), one.value) for one in history] == losses

    longer = tracked(distinct, tracker, epochs=2)
    with chdir(tmp_path):
        pretrain(longer, resume=run, overrides=["trainer.max_epochs=2"])
    assert json.loads((run / FILE).read_text()) == known
    assert len(client.search_runs([found.info.experiment_id])) == 1
    losses = [(row["step"], float(row["train/loss_step"])) for row in rows(run) if row["train/loss_step"]]
    history = client.get_metric_history(run_id, "train/loss_step")
    assert [(str(one.step), one.value) for one in history] == losses
    (run / "report.html").write_text("<p>")
    upload_report(longer, run, run / "report.html")
    assert "report.html" in {item.path for item in client.list_artifacts(run_id)}


@pytest.mark.long
def test_two_processes_are_one_tracked_run_with_each_value_once(written: Path, tmp_path: Path) -> None:
    tracking = pytest.importorskip("mlflow.tracking")
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    loggers = json.dumps([MLflow(tracking_uri=uri).model_dump(mode="json")])
    settings = (f"data.root={written}", "trainer.log_every=1", f"trainer.loggers={loggers}")
    given = (part for setting in settings for part in ("--set", setting))
    succeed("pretrain", EXPERIMENT, *given, "--devices", "2", cwd=tmp_path)
    run = tmp_path / "runs/latest"
    (run_id,) = json.loads((run / FILE).read_text()).values()
    client = tracking.MlflowClient(uri)
    found = client.get_run(run_id)
    assert found.info.status == "FINISHED"
    assert len(client.search_runs([found.info.experiment_id])) == 1
    losses = [(row["step"], float(row["train/loss_step"])) for row in rows(run) if row["train/loss_step"]]
    assert losses
    assert [(str(one.step), one.value) for one in client.get_metric_history(run_id, "train/loss_step")] == losses


@pytest.mark.long
def test_wandb_writes_the_run_beside_it_if_it_is_offline(distinct: Path, tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    tracker = WandB(project="tests", mode="offline", checkpoints=True)
    run = train(tracked(distinct, tracker), tmp_path)
    (run_id,) = json.loads((run / FILE).read_text()).values()
    (folder,) = (run / "wandb").glob("offline-run-*")
    (written,) = folder.glob("*.wandb")
    assert written.name == f"run-{run_id}.wandb"
    content = written.read_bytes()
    for text in (b"train/loss", b"DeepConvLSTM", b"best"):
        assert text in content
    with chdir(tmp_path):
        pretrain(tracked(distinct, tracker, epochs=2), resume=run, overrides=["trainer.max_epochs=2"])
    assert {path.name for path in (run / "wandb").glob("offline-run-*/*.wandb")} == {written.name}
    assert len(list((run / "wandb").glob("offline-run-*"))) == 2


@pytest.mark.long
def test_a_server_that_dies_costs_neither_the_training_nor_its_files(
    distinct: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with serving(tmp_path) as server:
        server.dies_after = 2
        run = train(tracked(distinct, MLflow(tracking_uri=server.url), epochs=2), tmp_path)
        assert len(server.batches) == 2
    assert (run / "checkpoints" / "last.ckpt").is_file()
    assert [row["step"] for row in rows(run) if row["train/loss_step"]] == ["0", "1", "2", "3"]
    warnings = [record.message for record in caplog.records if "MLflow" in record.message]
    assert len(warnings) == 1
    assert "MLflow failed, and gets nothing more of this run: " in warnings[0]
    assert "MLflow failed" in (run / "log.txt").read_text()


def test_a_server_that_is_not_there_is_one_sentence_before_training(
    distinct: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(ConfigError, match=r"^trainer\.loggers: MLflow cannot be used: .*--set trainer\.loggers=\[\]"):
        train(tracked(distinct, MLflow(tracking_uri="http://127.0.0.1:9")), tmp_path)


@pytest.mark.parametrize(("tracker", "extra"), [(WandB(), "wandb"), (MLflow(), "mlflow")])
def test_a_missing_library_names_the_extra_before_anything_is_written(
    tracker: Tracker, extra: str, distinct: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == extra]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, extra, None)
    with pytest.raises(ConfigError, match=rf"{type(tracker).__name__} needs .*pip install 'revalexo-clip\[{extra}\]'"):
        train(tracked(distinct, tracker), tmp_path)
    assert list(tmp_path.iterdir()) == []
