"""Training steps of the experiments on made-up windows: `x3d_xs`, `mvit_base` and `motion`."""

from __future__ import annotations

import shutil
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.gpu.models import IMU, own_modules_of_pytorchvideo
from revalexo_clip.config.loading import load_experiment
from revalexo_clip.config.pretraining import PretrainExperiment
from revalexo_clip.core.types import VideoSpec
from revalexo_clip.data import RevalExo
from revalexo_clip.losses import Overlap, Vector
from revalexo_clip.losses.terms import shares, weighted_sum
from revalexo_clip.models.dual_encoder import DualEncoder
from revalexo_clip.models.encoders.base import use_channels_last
from revalexo_clip.training.trainer import compile_encoders

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
QUICK = {
    "x3d_xs": ("data.crop=32", "data.short_side=32", "imu.maps=4", "imu.hidden=8"),
    "mvit_base": ("data.crop=32", "data.short_side=32", "data.frames=2", "imu.maps=4", "imu.hidden=8"),
    "motion": (),
}
"""Settings of the tiny sizes."""
BATCHES = {"x3d_xs": (64, 4), "mvit_base": (8, 2), "motion": (96, 24)}
"""Windows of a step: at full size, and at tiny ones."""


@dataclass(frozen=True)
class Variant:
    """A way to compute a step."""

    own_modules: bool = False
    """PyTorchVideo's modules instead of ours."""
    channels_last: bool = False
    compile: bool = False

    def build(self, experiment: PretrainExperiment, device: torch.device) -> DualEncoder:
        """Build the model of an experiment, with new weights that are the same for all variants."""
        torch.manual_seed(0)
        with own_modules_of_pytorchvideo() if self.own_modules else nullcontext():
            model = experiment.build_model(IMU, video_spec(experiment)).to(device).train()
        encoders = [encoder for encoder in (model.imu, model.video) if encoder is not None]
        if self.channels_last:
            for encoder in encoders:
                use_channels_last(encoder)
        if self.compile:
            compile_encoders(model, encoders)
        return model


def variants(name: str, device: torch.device, quick: bool) -> dict[str, Variant]:
    """Return the variants of an experiment that are compared. PyTorchVideo has nothing like `motion`.

    What is compiled is so only at full size on a GPU, and if there is the compiler that it needs.
    """
    compiled = device.type == "cuda" and not quick and shutil.which("g++") is not None
    if name == "motion":
        return {"ours": Variant(), **({"ours, compiled": Variant(compile=True)} if compiled else {})}
    found = {
        "PyTorchVideo": Variant(own_modules=True),
        "PyTorchVideo, channels_last": Variant(own_modules=True, channels_last=True),
        "ours": Variant(),
        "ours, channels_last": Variant(channels_last=True),
    }
    if compiled:
        found["ours, compiled"] = Variant(compile=True)
        found["ours, channels_last, compiled"] = Variant(channels_last=True, compile=True)
    return found


def load(name: str, quick: bool) -> PretrainExperiment:
    """Load an experiment, without published weights."""
    weights = () if name == "motion" else ("video.weights=none",)
    return load_experiment(str(EXPERIMENTS / f"{name}.py"), [*weights, *(QUICK[name] if quick else ())])


def video_spec(experiment: PretrainExperiment) -> VideoSpec:
    """Return the format of the video windows of an experiment."""
    data = experiment.data
    assert isinstance(data, RevalExo)
    motion = None if data.motion is None else data.motion.spec(data.window)
    return VideoSpec(data.frames, data.crop, data.short_side, data.window, burst=data.burst, motion=motion)


class TrainingStep:
    """A step on one made-up batch: both encoders under autocast, the loss, the backward pass and the optimizer."""

    def __init__(self, experiment: PretrainExperiment, variant: Variant, batch: int, device: torch.device) -> None:
        self.device = device
        self.model = variant.build(experiment, device)
        self.loss = experiment.loss.build().to(device)
        trained = nn.ModuleDict({"model": self.model, "loss": self.loss})
        optim = experiment.optim.model_copy(update={"fused": device.type == "cuda"})
        self.optimizer, _ = optim.build(trained, 1000)
        spec = video_spec(experiment)
        generator = torch.Generator(device).manual_seed(0)

        def made(*shape: int) -> Tensor:
            return torch.rand(shape, generator=generator, device=device)

        self.imu_BLC = made(batch, round(IMU.rate * IMU.window), len(IMU.channels))
        self.video_B3THW = made(batch, 3, spec.images, spec.crop, spec.crop)
        motion = spec.motion
        self.motion_BMYX3 = None if motion is None else made(batch, motion.moments, motion.rows, motion.columns, 3)
        index_B = torch.arange(batch, device=device)
        self.overlap = Overlap(index_B // 12, (index_B % 12).double(), IMU.window)  # groups of 12, as in `motion`

    def __call__(self) -> Tensor:
        """Take the step, and return its loss."""
        self.optimizer.zero_grad()
        with torch.autocast(self.device.type, torch.bfloat16):
            imu = self.model.encode_imu(self.imu_BLC)
            video = self.model.encode_frames(self.video_B3THW, self.motion_BMYX3)
        vectors: dict[Vector, Tensor] = {"imu": imu.embedding_BD, "video": video.embedding_BD}
        if imu.tokens_BE is not None and video.tokens_BE is not None:
            vectors |= {"imu_tokens": imu.tokens_BE, "video_tokens": video.tokens_BE}
        loss = weighted_sum(self.loss, dict(shares(self.loss, vectors, self.overlap, slice(0, len(self.imu_BLC)))))
        assert loss is not None
        torch.autograd.backward(loss)
        self.optimizer.step()
        return loss.detach()
