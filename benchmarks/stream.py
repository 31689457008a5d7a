"""Time from the last sample of a window to its predictions, for streams of activity classifiers, by IMU encoder.

    make bench-stream                 # or: OMP_NUM_THREADS=1 nice -n -10 python -m benchmarks.stream

Each encoder is that of a classifier with new weights, at the channels, rate and window of the RevalExo benchmark (42
channels at 60 Hz, 2 s), with heads for six horizons. Samples are pushed one at a time, and each push that completes a
window is timed. Beside it is the forward pass of the same window alone, as in offline prediction. In CPU time of one
thread, which on a core without other work is the latency.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from rich import box
from rich.console import Console
from rich.table import Table

from revalexo_clip import DeepConvLSTM, ImuEncoder, ImuSpec, LinearHeads, ResNet1D, SpectralAttention
from revalexo_clip.export import ClassifierDescription, ExportedClassifier, Origin
from revalexo_clip.export.classifier import build_classifier

ENCODERS: dict[str, tuple[ImuEncoder, int]] = {
    "ResNet1D of experiments/motion.py": (ResNet1D(width=48, pooled_width=48, shared=16), 128),
    "DeepConvLSTM as published": (DeepConvLSTM(), 256),
    "SpectralAttention": (SpectralAttention(), 128),
}
"""Encoders and the size that they are built for."""

SEGMENTS = ("Pelvis", "T8", "Head", "Left_Foot", "Right_Foot", "Left_Hand", "Right_Hand")
CHANNELS = tuple(f"{kind}_{segment}_{axis}" for segment in SEGMENTS for kind in ("acc", "gyro") for axis in "xyz")
SPEC = ImuSpec(CHANNELS, tuple("m/s^2" if name.startswith("acc") else "rad/s" for name in CHANNELS), 60.0, 2.0)
LABELS = tuple(f"activity {number}" for number in range(11))


def main() -> None:
    """Measure each encoder, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--windows", type=int, default=60)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    table = Table(box=box.SIMPLE, title=f"{asked.windows} windows of {SPEC.samples} x {len(CHANNELS)}, one thread")
    for heading in ("", "parameters", "stream [ms]", "90th percentile", "forward [ms]", "ratio"):
        table.add_column(heading, justify="left" if not heading else "right")
    for name, (encoder, dim) in ENCODERS.items():
        classifier = made(encoder, dim)
        stream_N, forward_N = measured(classifier, asked.windows)
        stream, forward = float(np.median(stream_N)), float(np.median(forward_N))
        parameters = sum(parameter.numel() for parameter in classifier.parameters())
        late = float(np.percentile(stream_N, 90))
        table.add_row(name, f"{parameters:,}", *(f"{one:.2f}" for one in (stream, late, forward, stream / forward)))
    Console(width=120).print(table)


def made(encoder: ImuEncoder, dim: int) -> ExportedClassifier:
    """Return a classifier with new weights."""
    description = ClassifierDescription(
        encoder=encoder,
        embed_dim=dim,
        head=LinearHeads(),
        imu=SPEC,
        labels=LABELS,
        trained_labels=LABELS,
        horizons=(0.0, 0.1, 0.2, 0.3, 0.5, 1.0),
        origin=Origin(experiment="benchmark", checkpoint="none", subjects=None, versions={}),
    )
    return build_classifier(description).eval()


def measured(classifier: ExportedClassifier, windows: int) -> tuple[list[float], list[float]]:
    """Return the times of pushes that complete a window, and of forward passes of such windows, in turn [ms]."""
    step = 6
    generator = np.random.default_rng(0)
    samples_nC = generator.normal(0, 3, (SPEC.samples + step * (windows + 5), len(CHANNELS))).astype(np.float32)
    stream = classifier.stream(rate=SPEC.rate, stride=step / SPEC.rate, check_units=False)
    streamed, offline = [], []
    for number, sample_C in enumerate(samples_nC):
        begin = time.thread_time()
        found = stream.push(sample_C)
        took = 1e3 * (time.thread_time() - begin)
        if not len(found.end_N):
            continue
        streamed.append(took)
        window_BLC = torch.from_numpy(samples_nC[None, number + 1 - SPEC.samples : number + 1])
        begin = time.thread_time()
        with torch.inference_mode():
            classifier(window_BLC)
        offline.append(1e3 * (time.thread_time() - begin))
    return streamed[5:], offline[5:]


if __name__ == "__main__":
    main()
