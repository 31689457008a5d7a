"""Runs small enough to train in seconds, and an independent measurement of what they learned."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import chdir
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from revalexo_clip.config.pretraining import PretrainExperiment
from revalexo_clip.core.component import JsonObject
from revalexo_clip.data import WindowDataset
from revalexo_clip.pretraining.run import pretrain
from revalexo_clip.runs.checkpoint import load_checkpoint
from support.tiny_dataset import CHANNELS, DURATION, HEIGHT, WIDTH, pair, steady, write_json, write_video

Floats = npt.NDArray[np.float64]

SUBJECTS = ("Subject01", "Subject02", "Subject05", "Subject08", "Subject09")


def write_distinct_dataset(root: Path, channels: Sequence[str] = CHANNELS) -> None:
    """One clip for each of five subjects; no two windows look alike or feel alike."""
    labels: JsonObject = {"standing": 0, "walking": 1}
    write_json(root / "label_mapping.json", {"label_to_idx": labels})
    for place, subject in enumerate(SUBJECTS):
        folder, times = root / subject, steady()
        write_video(folder / "0000.mp4", times, frames=_brightening(place, len(times)))
        samples_LC = np.random.default_rng(place).normal(0, 1, (round(60 * DURATION), len(channels)))
        np.savetxt(folder / "0000.csv", samples_LC, delimiter=",", header=",".join(channels), comments="")
        described: JsonObject = {
            "subject": subject,
            "video_folder": subject,
            "imu_folder": subject,
            "pairs": {"0000": pair("0000")},
        }
        write_json(root / "data_pairs" / f"{subject}.json", described)


def _brightening(seed: int, count: int) -> list[npt.NDArray[np.uint8]]:
    """Coloured squares that become brighter and differ between clips."""
    squares = np.random.default_rng(seed).uniform(0, 255, (HEIGHT // 12, WIDTH // 12, 3))
    picture = np.kron(squares, np.ones((12, 12, 1)))
    return [(picture * number / count).astype(np.uint8) for number in range(count)]


def built_in_experiment(root: Path, **fields: object) -> PretrainExperiment:
    """Components of the package alone, at a size for tests; subjects 01 and 02 train, 08 validates, 05 and 09 test."""
    data = {
        "type": "RevalExo",
        "root": str(root),
        "train_subjects": ("01", "02"),
        "val_subjects": ("08",),
        "test_subjects": ("05", "09"),
        "channels": ("acc_*", "gyro_Pelvis_*"),
        "windows_per_clip": 4,
        "min_duration": 3.0,
        "frames": 4,
        "crop": 32,
        "short_side": 36,
        "workers": 0,
    }
    return PretrainExperiment.model_validate(
        {
            "name": "built_in",
            "data": data,
            "imu": {"type": "DeepConvLSTM", "maps": 4, "hidden": 8},
            "video": {"type": "X3D", "weights": None},
            "embed_dim": 16,
            "batch_size": 4,
            "trainer": {"max_epochs": 1, "accelerator": "cpu", "log_every": 1},
        }
        | fields
    )


def train(experiment: PretrainExperiment, folder: Path) -> Path:
    """Pretrain with `folder` as the working directory, and return the run folder."""
    with chdir(folder):
        return folder / pretrain(experiment)


def link_run(run: Path, target: Path) -> Path:
    """A run folder with the best checkpoint of another one, for a test to write into."""
    (target / "checkpoints").mkdir(parents=True)
    (target / "checkpoints" / "best.ckpt").hardlink_to(run / "checkpoints" / "best.ckpt")
    return target


def embed(checkpoint: Path, dataset: WindowDataset) -> tuple[Floats, Floats]:
    """Compute the embeddings [N, D] of IMU and video with the rebuilt model, window by window."""
    model = load_checkpoint(checkpoint).build_model()
    samples = [dataset[0, index] for index in range(len(dataset))]
    with torch.no_grad():
        pairs = [model(sample.imu_LC[None], sample.video_THWC[None]) for sample in samples]
    imu_ND, video_ND = (torch.cat(rows).double().numpy() for rows in zip(*pairs, strict=True))
    return imu_ND, video_ND


def scores(query_ND: Floats, gallery_ND: Floats, rows: list[int]) -> dict[str, float]:
    """Compute the metrics of `metrics.json` for some queries in a plain way."""
    # One product for a query and all: the partner's similarity, multiplied again on its own, may differ in rounding.
    similarity_NN = query_ND @ gallery_ND.T
    rank_N = np.array([1 + sum(similarity_NN[row] > similarity_NN[row, row]) for row in rows])
    recalls = {f"r_at_{k}": float(np.mean(rank_N <= k)) for k in (1, 5, 10)}
    return {**recalls, "mrr": float(np.mean(1 / rank_N)), "median_rank": float(np.median(rank_N))}
