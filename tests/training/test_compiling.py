from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import torch
import torch._dynamo
from support.small_run import built_in_experiment, train
from support.small_training import logged, small, weights
from torch._dynamo.utils import counters

from revalexo_clip.core.errors import ConfigError
from revalexo_clip.runs.checkpoint import load_checkpoint

pytestmark = pytest.mark.filterwarnings("ignore:::lightning")

SETTINGS = (
    *("batch_size=8", "micro_batch=5", "trainer.max_epochs=3"),
    *("data.val_subjects=05,08", "data.eval_stride=0.25", "optim.lr=0.003"),
)
"""Parts of 5 and 3 windows in training, batches of 5 and 3 in validation."""


@pytest.mark.long
@pytest.mark.skipif(shutil.which(os.environ.get("CXX", "g++")) is None, reason="torch.compile needs a C++ compiler")
def test_compiled_encoders_train_as_others_do_and_are_not_compiled_ever_again(distinct: Path, tmp_path: Path) -> None:
    torch._dynamo.reset()
    counters.clear()
    compiled = train(small(distinct, *SETTINGS, "trainer.compile=true"), tmp_path)
    assert counters["frames"]["total"] == counters["frames"]["ok"]
    assert 2 <= counters["stats"]["unique_graphs"] <= 16, "a few for each encoder, and not one for each batch"
    plain = train(small(distinct, *SETTINGS), tmp_path)
    for metric in ("train/loss_step", "val/loss"):
        assert logged(compiled, metric) == pytest.approx(logged(plain, metric), rel=1e-4)
    state, expected = weights(compiled / "checkpoints/last.ckpt"), weights(plain / "checkpoints/last.ckpt")
    torch.testing.assert_close(state, expected, rtol=1e-4, atol=1e-4)
    model = load_checkpoint(compiled / "checkpoints/last.ckpt").build_model()
    assert set(model.state_dict()) == {name.removeprefix("model.") for name in state if name.startswith("model.")}


def test_what_is_computed_again_is_not_compiled(distinct: Path, tmp_path: Path) -> None:
    video = {"type": "X3D", "weights": None, "gradient_checkpointing": True}
    experiment = built_in_experiment(distinct, video=video, trainer={"compile": True, "accelerator": "cpu"})
    with pytest.raises(ConfigError, match=r"trainer\.compile: .* cannot be combined"):
        train(experiment, tmp_path)


def test_without_a_compiler_nothing_is_compiled(
    distinct: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(ConfigError, match=r"trainer\.compile: torch\.compile needs a C\+\+ compiler"):
        train(small(distinct, "trainer.compile=true"), tmp_path)
    assert list(tmp_path.iterdir()) == []
