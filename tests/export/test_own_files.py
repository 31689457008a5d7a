"""An export destroys nothing: neither an earlier export if it fails, nor files of somebody else."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from support.small_run import built_in_experiment

from revalexo_clip.core.errors import ConfigError
from revalexo_clip.export import writing
from revalexo_clip.export.folder import export_encoder
from revalexo_clip.export.onnx import _cause
from revalexo_clip.export.own_files import refuse_files_of_others
from revalexo_clip.runs.checkpoint import PRETRAINING_KEY, load_checkpoint


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.long
def test_an_export_that_fails_leaves_the_one_that_was_there(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = export_encoder("imu", run).files[0].parent
    (folder / "encoder.onnx").write_bytes(b"of the same export")
    before = content(folder)

    def fail(*_: object) -> None:
        raise ConfigError("--format onnx cannot express this DeepConvLSTM")

    monkeypatch.setattr(writing, "write_onnx", fail)
    with pytest.raises(ConfigError, match="cannot express this DeepConvLSTM"):
        export_encoder("imu", run, format="onnx")
    assert content(folder) == before
    with pytest.raises(ConfigError, match="cannot express this DeepConvLSTM"):
        export_encoder("imu", run, format="onnx", out=run / "new")
    assert not (run / "new").exists()


@pytest.mark.long
@pytest.mark.parametrize("name", ["README.md", "config.json", "model.safetensors", "encoder.onnx"])
def test_files_of_somebody_else_are_not_overwritten(run: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text('{"mine": true}')
    with pytest.raises(ConfigError, match=rf"--out: {tmp_path} has {name}, and is not an earlier export; nothing was"):
        export_encoder("imu", run, out=tmp_path)
    assert content(tmp_path) == {name: b'{"mine": true}'}


@pytest.mark.long
def test_other_files_beside_an_export_stay(run: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    export_encoder("imu", run, out=tmp_path)
    export_encoder("imu", run, out=tmp_path)  # an earlier export is replaced
    assert sorted(content(tmp_path)) == ["README.md", "config.json", "model.safetensors", "notes.txt"]
    (tmp_path / "config.json").unlink()  # as after a crash: the card tells whose files they are
    export_encoder("imu", run, out=tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.long
def test_a_state_dict_for_revalexo_replaces_only_such_a_file(run: Path, tmp_path: Path) -> None:
    for _ in range(2):
        export_encoder("imu", run, format="revalexo", out=tmp_path)
    for mine in (b"", b"no state dict"):
        (tmp_path / "encoder.pt").write_bytes(mine)
        with pytest.raises(ConfigError, match=r"has encoder\.pt, and is not an earlier export"):
            export_encoder("imu", run, format="revalexo", out=tmp_path)
        assert content(tmp_path) == {"encoder.pt": mine}


def test_all_files_that_are_in_the_way_are_named(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text("")
    with pytest.raises(ConfigError, match="has a and b, and is not"):
        refuse_files_of_others(tmp_path, ("a", "c", "b"))


@pytest.mark.long
def test_revalexo_is_not_given_an_encoder_whose_projection_it_would_skip(run: Path) -> None:
    path = run / "checkpoints" / "best.ckpt"
    description = load_checkpoint(path).description
    experiment = built_in_experiment(Path("nowhere"), embed_dim=8)  # the size of its LSTM
    model = experiment.build_model(description.imu_spec, description.video_spec)
    described = description.model_copy(update={"experiment": experiment}).model_dump_json()
    state = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    path.unlink()  # not written through a link to the original
    torch.save({PRETRAINING_KEY: described, "state_dict": state, "epoch": 0, "global_step": 1}, path)
    with pytest.raises(ConfigError, match=r"embedding size, 8, equals the size of its LSTM\. .* no feature_projector"):
        export_encoder("imu", run, format="revalexo")
    assert not (run / "export").exists()


def test_the_message_about_onnx_names_what_went_wrong_first() -> None:
    def export() -> None:
        try:
            raise NotImplementedError("adaptive pooling of an unknown size\nin some operator")
        except NotImplementedError as error:
            raise RuntimeError("Failed to decompose the FX graph") from error

    with pytest.raises(RuntimeError) as raised:
        export()
    assert _cause(raised.value) == "adaptive pooling of an unknown size"
    assert _cause(KeyError()) == "KeyError"
