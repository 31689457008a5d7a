"""The files of an export; the exported encoder equals that of the checkpoint."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import cast

import pytest
import torch
from safetensors.torch import load_file
from support.plain_deep_conv_lstm import PlainDeepConvLSTM
from support.small_process import EXPERIMENT, call

import revalexo_clip
from revalexo_clip.core.component import JsonObject
from revalexo_clip.core.errors import ConfigError, DataError
from revalexo_clip.core.types import ImuSpec
from revalexo_clip.evaluation.protocol import evaluate
from revalexo_clip.export.folder import export_encoder
from revalexo_clip.models.dual_encoder import DualEncoder
from revalexo_clip.models.encoders import DeepConvLSTM
from revalexo_clip.reports.values import child, children
from revalexo_clip.runs.checkpoint import CLASSIFIER_KEY, PRETRAINING_KEY, load_checkpoint


def read(path: Path) -> JsonObject:
    return cast("JsonObject", json.loads(path.read_text()))


def edit_checkpoint(run: Path, change: Mapping[str, object]) -> None:
    """Replace the best checkpoint of a run by one with changed entries in its metadata."""
    path = run / "checkpoints" / "best.ckpt"
    content = torch.load(path, weights_only=True)
    content[PRETRAINING_KEY] = json.dumps(json.loads(content[PRETRAINING_KEY]) | change)
    path.unlink()  # not written through a link to the original
    torch.save(content, path)


def test_the_folder_lies_in_the_run_and_holds_three_files(run: Path) -> None:
    export = export_encoder("imu", run)
    folder = run / "export" / "imu"
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    assert set(export.files) == set(folder.iterdir())
    assert export.parameters == sum(tensor.numel() for tensor in load_file(folder / "model.safetensors").values())


@pytest.mark.long
def test_the_description_explains_the_imu_encoder(run: Path) -> None:
    export_encoder("imu", run)
    described = read(run / "export" / "imu" / "config.json")
    assert described["modality"] == "imu"
    assert described["encoder"] == {
        "type": "DeepConvLSTM",
        "frozen": 0,
        "kernel": 11,
        "maps": 4,
        "hidden": 8,
        "layers": 1,
        "projector": True,
    }
    assert described["embed_dim"] == 16
    assert described["imu"] == {
        "channels": [f"acc_{part}_{axis}" for part in ("Pelvis", "Left_Foot") for axis in "xy"]
        + ["gyro_Pelvis_x", "gyro_Pelvis_y"],
        "units": ["m/s^2"] * 4 + ["rad/s"] * 2,
        "rate": 60.0,
        "window": 2.0,
        "mean": None,
        "std": None,
    }
    assert described["video"] is None
    assert described["origin"] == {
        "experiment": "built_in",
        "checkpoint": "best.ckpt",
        "data": "RevalExo",
        "epoch": 1,
        "step": 2,
        "subjects": {"train": ["Subject01", "Subject02"], "val": ["Subject08"]},
        "versions": {
            "trained_with": revalexo_clip.__version__,
            "exported_with": revalexo_clip.__version__,
            "torch": metadata.version("torch"),
        },
        "licence": None,
        "metrics": None,
    }


@pytest.mark.long
def test_the_description_explains_the_video_encoder(run: Path, tmp_path: Path) -> None:
    export_encoder("video", run, out=tmp_path / "mine")
    described = read(tmp_path / "mine" / "config.json")
    assert cast("JsonObject", described["encoder"])["type"] == "X3D"
    assert described["video"] == {
        "frames": 4,
        "crop": 32,
        "short_side": 36,
        "window": 2.0,
        "mean": [0.45] * 3,
        "std": [0.225] * 3,
        "burst": 1,
        "motion": None,
    }
    assert described["imu"] is None
    assert not (run / "export").exists()


@pytest.mark.long
def test_what_was_measured_on_the_same_checkpoint_goes_with_it(run: Path) -> None:
    measured = evaluate(run).metrics
    folder = shutil.move(run, run.with_name("renamed"))  # a path does not say which checkpoint it is
    description = export_encoder("imu", Path(folder)).description
    left_behind = ("checkpoint", "sha256", "probe", "activities")
    metrics = dict(description.origin.metrics or {})
    probe, linear = metrics.pop("linear_probe"), children(measured, "probe", "linear", "imu")[0]
    assert metrics == {name: value for name, value in measured.items() if name not in left_behind}
    assert isinstance(probe, dict)
    assert (probe["horizon"], probe["macro_f1"]) == (linear["horizon"], child(linear, "all")["macro_f1"])


@pytest.mark.long
def test_results_on_training_subjects_are_not_called_results_on_test_subjects(run: Path) -> None:
    evaluate(run, overrides=["data.test_subjects=01"], allow_seen_subjects=True, probe=False, out=run / "evaluation")
    export_encoder("imu", run)
    card = (run / "export/imu/README.md").read_text()
    assert "windows of Subject01 (training subject)" in card
    assert "**Subject01 was used in training or model selection" in card


@pytest.mark.long
def test_what_was_measured_on_another_checkpoint_stays_behind(run: Path) -> None:
    evaluate(run)
    edit_checkpoint(run, {"version": "0.0.9"})  # as a run that goes on replaces best.ckpt
    assert export_encoder("imu", run).description.origin.metrics is None


@pytest.mark.long
def test_damaged_metrics_are_an_error_that_names_the_file(run: Path) -> None:
    path = evaluate(run).path
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DataError, match=r"evaluation/metrics\.json is corrupt .* `rxclip evaluate` again"):
        export_encoder("imu", run)


@pytest.mark.long
def test_exporting_again_gives_the_same_bytes(run: Path) -> None:
    once, again = (
        {path.name: path.read_bytes() for fmt in ("safetensors", "revalexo") for path in _export(run, fmt)}
        for _ in range(2)
    )
    assert once == again
    assert set(once) == {"README.md", "config.json", "model.safetensors", "encoder.pt"}


def _export(run: Path, fmt: str) -> tuple[Path, ...]:
    return export_encoder("imu", run, format="revalexo" if fmt == "revalexo" else "safetensors").files


@pytest.mark.long
def test_an_export_that_breaks_off_leaves_no_description_of_other_weights(run: Path) -> None:
    folder = run / "export" / "imu"
    export_encoder("imu", run)
    (folder / "README.md").unlink()
    (folder / "README.md").mkdir()
    with pytest.raises(DataError, match=r"README\.md: cannot be written: Is a directory"):
        export_encoder("imu", run)
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "model.safetensors"]


@pytest.mark.long
def test_an_export_leaves_no_onnx_file_of_other_weights(run: Path) -> None:
    stale = export_encoder("imu", run).files[0].with_name("encoder.onnx")
    stale.write_bytes(b"of another checkpoint")
    export_encoder("imu", run)
    assert not stale.exists()


@pytest.mark.long
def test_a_file_is_no_folder_to_export_to(run: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(ConfigError, match="taken is a file; --out must name a folder"):
        export_encoder("imu", run, out=tmp_path / "taken")


@pytest.mark.long
def test_after_a_finetuning_the_newest_pretraining_is_exported(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    pretrained, classifier, failed = (
        Path("runs") / run for run in ("demo/20261130-101500", "classifier/20261130-101600", "demo/20261130-101700")
    )
    for folder in (pretrained, classifier, failed):
        (folder / "checkpoints").mkdir(parents=True)
    (pretrained / "checkpoints/best.ckpt").hardlink_to(run / "checkpoints/best.ckpt")
    torch.save({CLASSIFIER_KEY: "{}"}, classifier / "checkpoints/best.ckpt")
    Path("runs/latest").symlink_to(classifier.relative_to("runs"))
    finished = call("export-encoder", "--modality", "imu", cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    assert (
        f"using {pretrained}/checkpoints/best.ckpt; the newer run {classifier} has no checkpoint of" in finished.stderr
    )
    assert f"{pretrained}/export/imu/config.json" in finished.stdout
    with pytest.raises(DataError, match="is the checkpoint of an activity classifier, which cannot be used here"):
        export_encoder("imu", classifier)


@pytest.mark.long
def test_python_and_the_command_write_the_same_files(run: Path, tmp_path: Path) -> None:
    export_encoder("imu", str(run), out=str(tmp_path / "python"))
    chosen = ("--modality", "imu", "--ckpt", run, "--out", tmp_path / "command")
    assert call("export-encoder", *chosen, cwd=tmp_path).returncode == 0
    python, command = (
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("python", "command")
    )
    assert python == command


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"modality": "audio"}, "modality: 'audio' is not one of imu, video"),
        ({"modality": "imu", "format": "tflite"}, "format: 'tflite' is not one of safetensors, onnx, revalexo"),
    ],
)
def test_an_unknown_modality_or_format_is_refused(run: Path, arguments: dict[str, str], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        export_encoder(ckpt=run, **arguments)  # type: ignore[arg-type]  # wrong on purpose
    assert not (run / "export").exists()


@pytest.mark.long
def test_revalexo_loads_the_export_by_name_and_shape_into_a_plain_module(run: Path) -> None:
    model = enlarge(run)
    export = export_encoder("imu", run, format="revalexo")
    (file,) = export.files
    assert export.parameters == 15_611_072
    assert file == run / "export" / "imu" / "encoder.pt"
    plain = PlainDeepConvLSTM().eval()
    own = plain.state_dict()
    loaded = torch.load(file, weights_only=True)
    assert {name: tensor.shape for name, tensor in loaded.items()} == {name: t.shape for name, t in own.items()}
    plain.load_state_dict(loaded)
    imu_BLC = 5 * torch.randn(4, 120, 42, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected_BD = model.imu_features(imu_BLC)
        torch.testing.assert_close(plain(imu_BLC), expected_BD, rtol=0, atol=1e-6)
    assert expected_BD.std() > 0.1


def enlarge(run: Path) -> DualEncoder:
    """Give a run the IMU encoder of the published sizes, with new weights; the model is returned."""
    path = run / "checkpoints" / "best.ckpt"
    description = load_checkpoint(path).description
    channels = tuple(f"{kind}_{part}_{axis}" for part in "ABCDEFG" for kind in ("acc", "gyro") for axis in "xyz")
    spec = ImuSpec(channels, ("m/s^2",) * 42, rate=60.0, window=2.0)
    experiment = description.experiment.model_copy(update={"imu": DeepConvLSTM(), "embed_dim": 256})
    torch.manual_seed(0)
    model = experiment.build_model(spec, description.video_spec).eval()
    described = description.model_copy(update={"experiment": experiment, "imu_spec": spec}).model_dump_json()
    state = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    path.unlink()
    torch.save({PRETRAINING_KEY: described, "state_dict": state, "epoch": 0, "global_step": 1}, path)
    return model


def test_revalexo_takes_no_other_encoder(run: Path) -> None:
    with pytest.raises(ConfigError, match="the video encoder of this checkpoint is of type X3D"):
        export_encoder("video", run, format="revalexo")
    assert not (run / "export").exists()


@pytest.mark.long
def test_revalexo_has_no_place_for_standardisation(run: Path) -> None:
    spec = json.loads(load_checkpoint(run / "checkpoints" / "best.ckpt").description.model_dump_json())["imu_spec"]
    path = run / "checkpoints" / "best.ckpt"
    edit_checkpoint(run, {"imu_spec": spec | {"mean": [0.0] * 6, "std": [1.0] * 6}})
    content = torch.load(path, weights_only=True)
    content["state_dict"] |= {"model.samples.mean": torch.zeros(6), "model.samples.std": torch.ones(6)}
    torch.save(content, path)
    with pytest.raises(ConfigError, match="cannot hold the mean and deviation"):
        export_encoder("imu", run, format="revalexo")


@pytest.mark.long
@pytest.mark.usefixtures("only_built_in")
def test_a_component_that_this_process_has_not_met_is_asked_for(run: Path) -> None:
    described = load_checkpoint(run / "checkpoints" / "best.ckpt").description.experiment.model_dump(mode="json")
    edit_checkpoint(run, {"experiment": described | {"imu": {"type": "TCN"}}})
    with pytest.raises(ConfigError, match=r"unknown ImuEncoder 'TCN' .*\n.*--experiment FILE\.py"):
        export_encoder("imu", run)
    with pytest.raises(ConfigError, match=r"no\.py: no such experiment file"):
        export_encoder("imu", run, experiment_file=Path("no.py"))
    with pytest.raises(DataError, match=r"best\.ckpt: its weights do not fit the model that it describes"):
        export_encoder("imu", run, experiment_file=EXPERIMENT)  # it knows TCN now, and these weights are not its
