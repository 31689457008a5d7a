"""Cost of a training step with a frozen video encoder of the shape of CLIP ViT-B/32 whose features are kept.

    make bench-features
    python -m benchmarks.feature_cache DeepConvLSTM  # steps with this IMU encoder alone

The encoder has random weights, gives 512 features of each of 4 frames, and is frozen. A step on made-up windows is both
encoders, heads, InfoNCE, backward pass and optimizer, without data. It is compared with the IMU encoder's own step, in
which the partners of its embeddings are constants. Steps take turns; results are medians, on a CPU of CPU time, so that
other programs matter less. Then the CPU time of reading a window: IMU alone, kept features, frames of a pack.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from rich import box
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from benchmarks.gpu.clock import measure
from benchmarks.recordings import make_recordings
from revalexo_clip import (
    DeepConvLSTM,
    Encoded,
    FrozenFeatures,
    ImuEncoder,
    ImuSpec,
    PretrainExperiment,
    ResNet1D,
    RevalExo,
    StackedConvGRU,
    VideoEncoder,
    VideoSpec,
)
from revalexo_clip.data import LabelledWindows
from revalexo_clip.data.dataset import ClipWindows
from revalexo_clip.data.features import FeatureFiles, KeptFeatures, write_features
from revalexo_clip.data.imu import unit_of
from revalexo_clip.data.revalexo.pack.build import pack
from revalexo_clip.losses import Overlap

ROOT = Path("data/benchmark")
BATCH, ROUNDS, WARM_UP, DIM, FRAMES = 64, 11, 2, 512, 4
FEW = 4
"""Windows whose frames are encoded at once; that takes as long for each window as with many."""
SENSORS = ("Pelvis", "Left_UpperLeg", "Right_UpperLeg", "Left_LowerLeg", "Right_LowerLeg", "Left_Foot", "Right_Foot")
CHANNELS = tuple(f"{kind}_{part}_{axis}" for part in SENSORS for kind in ("acc", "gyro") for axis in "xyz")
IMU = ImuSpec(CHANNELS, tuple(map(unit_of, CHANNELS)), rate=60.0, window=2.0)
VIDEO = VideoSpec(frames=FRAMES, crop=224, short_side=224, window=2.0)
ENCODERS: dict[str, ImuEncoder] = {
    "DeepConvLSTM": DeepConvLSTM(kernel=11, maps=64, hidden=1024),  # as published, see experiments/x3d_xs.py
    "ResNet1D": ResNet1D(width=48, pooled_width=48, shared=16),
    "StackedConvGRU": StackedConvGRU(),
}
out = Console(width=110)


class RandomClip(VideoEncoder):
    """The image encoder of CLIP ViT-B/32 with random weights, averaged over frames."""

    frozen: int | Literal["all"] = "all"

    def feature_dim(self, embed_dim: int) -> int:
        """See `Encoder.feature_dim`."""
        return DIM

    def build(self, spec: VideoSpec, embed_dim: int) -> nn.Module:
        """See `VideoEncoder.build`."""
        return RandomClipNet(spec)


class RandomClipNet(FrozenFeatures):
    """Frames -> features of each frame -> their mean."""

    per_frame = True

    def __init__(self, spec: VideoSpec) -> None:
        super().__init__()
        self.model = CLIPVisionModelWithProjection(CLIPVisionConfig(projection_dim=DIM))
        self.moments, self.model_dim, self.sequence_dim = spec.images, DIM, DIM
        self.register_buffer("time_T", torch.linspace(0, spec.window, spec.images), persistent=False)

    def model_features(self, video_B3THW: Tensor) -> Tensor:
        """See `FrozenFeatures.model_features`."""
        frames_N3HW = video_B3THW.transpose(1, 2).flatten(0, 1)
        features_NP: Tensor = self.model(pixel_values=frames_N3HW).image_embeds
        return features_NP.reshape(len(video_B3THW), -1, DIM)

    def from_features(self, x_BMP: Tensor) -> Encoded:
        """See `FrozenFeatures.from_features`."""
        return Encoded(x_BMP.mean(dim=1), x_BMP)


def main() -> None:
    """Print all results, or those of steps with the IMU encoders that the command names."""
    parser = argparse.ArgumentParser(description="Cost of a training step with kept features.")
    parser.add_argument("encoders", nargs="*", metavar="ENCODER", help=", ".join(ENCODERS))
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="Number of steps whose median is taken.")
    arguments = parser.parse_args()
    named = arguments.encoders
    if unknown := set(named) - set(ENCODERS):
        parser.error(f"no such IMU encoder: {', '.join(unknown)} (known: {', '.join(ENCODERS)})")
    logging.getLogger("revalexo_clip").setLevel(logging.ERROR)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    out.print(f"torch {torch.__version__}, {device}, {torch.get_num_threads()} threads", style="dim")
    table = Table(box=box.SIMPLE, title=f"A step of {BATCH} windows [ms], and its ratio to the IMU encoder's own step")
    for column in ("IMU encoder", "its own step", "features kept", "ratio", "frames encoded", "ratio"):
        table.add_column(column, justify="left" if column == "IMU encoder" else "right")
    for name in named or ENCODERS:
        table.add_row(name, *steps(ENCODERS[name], device, arguments.rounds))
    out.print(table)
    if not named:
        reading()


def steps(encoder: ImuEncoder, device: torch.device, rounds: int) -> list[str]:
    """Measure the steps with one IMU encoder."""
    data = RevalExo(root=ROOT, train_subjects=("01",), val_subjects=("02",))
    experiment = PretrainExperiment(data=data, imu=encoder, video=RandomClip(), embed_dim=256, batch_size=BATCH)
    model = experiment.build_model(IMU, VIDEO).to(device)
    loss = experiment.loss.build().to(device)
    optimizer, _ = experiment.optim.build(nn.ModuleDict({"model": model, "loss": loss}), 1000)
    generator = torch.Generator(device).manual_seed(0)

    def made(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator, device=device)

    imu_BLC, kept_BMP = made(BATCH, IMU.samples, len(IMU.channels)), made(BATCH, FRAMES, DIM)
    constant_BD = nn.functional.normalize(made(BATCH, 256), dim=1)
    video_B3THW = made(BATCH, 3, FRAMES, VIDEO.crop, VIDEO.crop)
    overlap = Overlap(torch.arange(BATCH, device=device), torch.zeros(BATCH, device=device).double(), IMU.window)

    def step(partners: Callable[[], Tensor]) -> Callable[[], None]:
        def take() -> None:
            optimizer.zero_grad()
            torch.autograd.backward(loss(model.encode_imu(imu_BLC).embedding_BD, partners(), overlap))
            optimizer.step()

        return take

    own, kept = seconds_of(
        device, step(lambda: constant_BD), step(lambda: model.encode_features(kept_BMP).embedding_BD), rounds=rounds
    )
    with torch.no_grad():
        (tower,) = seconds_of(device, lambda: model.encode_frames(video_B3THW[:: BATCH // FEW]), rounds=2)
    encoded = kept + tower * BATCH / FEW
    texts = [f"{1000 * own:.1f}", f"{1000 * kept:.1f}", f"{kept / own:.2f}"]
    return [*texts, f"{1000 * encoded:,.0f}", f"{encoded / own:,.0f}"]


def seconds_of(device: torch.device, *steps: Callable[[], object], rounds: int) -> list[float]:
    """Return the median time of each step [s]; they take turns. On a CPU, it is the time of all its threads."""
    if device.type == "cuda":
        costs = measure({f"{place}": step for place, step in enumerate(steps)}, device, rounds=rounds, warm_up=WARM_UP)
        return [cost.seconds for cost in costs.values()]
    times: list[list[float]] = [[] for _ in steps]
    for turn in range(rounds + 1):
        for step, found in zip(steps, times, strict=True):
            begun = time.process_time()
            step()
            if turn:  # the first one warms up
                found.append(time.process_time() - begun)
    return [statistics.median(found) for found in times]


def reading() -> None:
    """Measure the time of reading a window."""
    torch.set_num_threads(1)
    make_recordings(ROOT)
    pack(ROOT)
    subjects = sorted(path.stem for path in (ROOT / "data_pairs").glob("*.json"))
    data = RevalExo(root=ROOT, train_subjects=tuple(subjects), val_subjects=(), frames=FRAMES, crop=224, short_side=224)
    frames, kept = data.build("train", 0), data.build("train", 0)
    assert isinstance(kept, ClipWindows)
    with tempfile.TemporaryDirectory() as folder:
        names = [f"{clip}.safetensors" for clip in range(len(kept.clip_names))]
        for clip, name in enumerate(names):
            time_P, tolerance = kept.source.frame_times(clip)
            value = np.random.default_rng(clip).random((len(time_P), 1, DIM), dtype=np.float32)
            write_features(Path(folder) / name, KeptFeatures(time_P, tolerance, value))
        size = sum((Path(folder) / name).stat().st_size for name in names)
        seconds = float(kept.index.duration_N.sum())
        kept.features = FeatureFiles(Path(folder), [names], kept.video_spec, per_frame=True)
        costs = {
            "IMU alone": timed(data.labelled("train", 0)),
            "kept features": timed(kept),
            "frames": timed(frames),
        }
    texts = ", ".join(f"{name} {1000 * cost:.2f} ms" for name, cost in costs.items())
    out.print(f"reading a window: {texts}")
    out.print(f"size of kept features, P = {DIM}, 30 frames/s: {size / seconds * 3600 / 1e6:.0f} MB per hour of video")


def timed(dataset: LabelledWindows) -> float:
    """Return the median CPU time of reading one window [s], in random order."""
    order = np.random.default_rng(0).permutation(len(dataset))
    costs = []
    for epoch in range(3):
        begun = time.process_time()
        for index in order[:200].tolist():
            dataset[epoch, index]
        costs.append((time.process_time() - begun) / min(len(order), 200))
    return statistics.median(costs)


if __name__ == "__main__":
    main()
