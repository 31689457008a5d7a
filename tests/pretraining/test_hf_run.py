"""Pretraining with models of the transformers library, whose files are then removed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from support.small_finetuning import finetuning, train_classifier
from support.small_process import EXPERIMENT, call

from revalexo_clip import load_encoder
from revalexo_clip.evaluation.classifier import evaluate_classifier
from revalexo_clip.runs.checkpoint import load_checkpoint

transformers = pytest.importorskip("transformers")

from support.tiny_vision_models import CROP, tiny, write_tiny  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore:::lightning", "ignore:This DataLoader will create"),
    pytest.mark.long,
]


def test_a_frozen_image_model_is_in_the_checkpoint_and_needs_its_files_no_more(
    distinct: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = write_tiny(tmp_path / "clip", "clip")
    video = {"type": "HFImage", "model": str(folder), "local_files_only": True}
    settings = [f"data.root={distinct}", "data.workers=0", f"data.crop={CROP}", f"data.short_side={CROP}"]
    settings += [f"video={json.dumps(video)}", "data.test_subjects=05,09"]
    sets = [part for setting in settings for part in ("--set", setting)]
    done = call("pretrain", EXPERIMENT, *sets, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    longer: list[str | Path] = ["pretrain", EXPERIMENT, *sets, "--resume", "--set", "trainer.max_epochs=2"]
    processor = folder / "preprocessor_config.json"
    before_change = processor.read_text()
    processor.write_text(json.dumps({"image_mean": [0.5] * 3, "image_std": [0.5] * 3}))
    done = call(*longer, cwd=tmp_path)
    assert done.returncode == 2
    assert "the files of the video model have changed since this run started (mean.0, mean.1, " in done.stderr
    processor.write_text(before_change)
    done = call(*longer, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (run,) = (path for path in (tmp_path / "runs" / "small").iterdir() if path.is_dir() and not path.is_symlink())
    before = tiny("clip").model.from_pretrained(folder).state_dict()
    shutil.rmtree(folder)
    done = call(*longer[:-1], "trainer.max_epochs=3", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"video.model: there is no folder {folder}" in done.stderr
    checkpoint = load_checkpoint(run / "checkpoints" / "last.ckpt", EXPERIMENT)
    assert checkpoint.step == 3 * 2
    model = checkpoint.build_model()
    assert model.video is not None
    after = model.video.get_submodule("model").state_dict()
    assert all(torch.equal(after[name], weight) for name, weight in before.items()), "it is frozen"
    assert call("evaluate", "--ckpt", run, "--experiment", EXPERIMENT, cwd=tmp_path).returncode == 0
    out = tmp_path / "out"
    arguments = ("--modality", "video", "--ckpt", run, "--experiment", EXPERIMENT, "--format", "onnx", "--out", out)
    done = call("export-encoder", *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "encoder.onnx differs from torch by at most " in done.stdout
    windows = torch.randint(256, (2, 4, CROP, CROP, 3), dtype=torch.uint8)
    with torch.no_grad():
        assert torch.equal(load_encoder(out)(windows), model.video_features(windows))
    capfd.readouterr()


def test_a_classifier_keeps_the_architecture_of_a_new_image_model(distinct: Path, tmp_path: Path) -> None:
    video = {"type": "HFImage", "model": str(write_tiny(tmp_path / "clip", "clip")), "local_files_only": True}
    run = train_classifier(finetuning(distinct, None, modality="video", video=video), tmp_path)
    shutil.rmtree(tmp_path / "clip")
    assert evaluate_classifier(run / "checkpoints" / "best.ckpt")
