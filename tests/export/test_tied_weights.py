"""An encoder of the user's own with a weight under two names, from training to the exported folder."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from support.small_run import built_in_experiment, train
from torch import Tensor, nn

from revalexo_clip import ImuEncoder, ImuSpec, load_encoder
from revalexo_clip.export import PretrainedImuEncoder
from revalexo_clip.export.folder import Format, export_encoder
from revalexo_clip.runs.checkpoint import load_checkpoint

pytestmark = pytest.mark.filterwarnings("ignore:::lightning")


class TiedNet(nn.Module):
    """Projects to maps and back with one matrix, which is a parameter of two layers."""

    def __init__(self, channels: int, embed_dim: int) -> None:
        super().__init__()
        self.into = nn.Linear(channels, channels, bias=False)
        self.back = nn.Linear(channels, channels)
        self.back.weight = self.into.weight
        self.projection = nn.Linear(channels, embed_dim)

    def forward(self, imu_BLC: Tensor) -> Tensor:
        found: Tensor = self.projection(self.back(torch.tanh(self.into(imu_BLC / 100))).mean(dim=1))
        return found


@pytest.mark.long
@pytest.mark.usefixtures("only_built_in")
@pytest.mark.parametrize("average", [None, 0.5])
def test_a_tied_weight_is_trained_and_exported_once_and_loaded_as_one(
    distinct: Path, tmp_path: Path, average: float | None
) -> None:
    class Tied(ImuEncoder):
        """Own encoder."""

        def build(self, spec: ImuSpec, embed_dim: int) -> nn.Module:
            return TiedNet(len(spec.channels), embed_dim)

    trainer = {"max_epochs": 1, "accelerator": "cpu", "average": average}
    run = train(built_in_experiment(distinct, imu={"type": "Tied"}, trainer=trainer), tmp_path)
    model = load_checkpoint(run / "checkpoints" / "best.ckpt").build_model()
    formats: tuple[Format, ...] = ("safetensors", "onnx")
    for fmt in formats:
        export_encoder("imu", run, out=tmp_path / fmt, format=fmt)
        encoder = load_encoder(tmp_path / fmt)
        assert isinstance(encoder, PretrainedImuEncoder)
        net = encoder.encoder
        assert isinstance(net, TiedNet)
        assert net.into.weight is net.back.weight
        imu_BLC = torch.randn(3, 120, 6, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            assert torch.equal(encoder.embed(imu_BLC), model.embed_imu(imu_BLC))
