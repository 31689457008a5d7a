"""Retrieval within real recordings of a sensor on the camera, by encoders that were trained on simulated people.

    python -m benchmarks.real_recordings --real DIR
    python -m benchmarks.real_recordings --real DIR --set data.window=1 --set tokens.count=15
    python -m benchmarks.real_recordings --real DIR --runs runs/real-0 runs/real-1

Trains `experiments/motion.py` with each seed on a simulated dataset of world 2 whose cameras have an IMU, and some of
whose cameras stabilise their video, or takes runs that were trained so. Each recording is then a gallery of its own
moments. Its MRR, the mean of both directions, is compared with that of all circular shifts of its IMU by at least a
window. The baseline needs no training: the correlation of yaw and pitch rates with the mean motion of the picture.
`--simulated` reports the same for held-out simulated people, which is what settings were chosen by. IMU and video of
different people show how often the test is significant by chance.
"""

from __future__ import annotations

import argparse
import re
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt
import torch
from rich import box
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.nn.functional import normalize

from revalexo_clip.data import RevalExo
from revalexo_clip.data.base import WindowDataset
from revalexo_clip.data.synthetic.geometry import smooth
from revalexo_clip.metrics.circular_shifts import ShiftTest, circular_shift_test
from revalexo_clip.metrics.retrieval import chance
from revalexo_clip.models.dual_encoder import DualEncoder
from revalexo_clip.runs.checkpoint import load_checkpoint
from revalexo_clip.runs.folder import find_checkpoint, runs_of

Floats = npt.NDArray[np.float64]

RECIPE = Path("experiments/motion.py")
SUBJECTS, SEED = 30, 14
TRAIN = ",".join(f"{number:02d}" for number in range(1, 25))
VAL = ",".join(f"{number:02d}" for number in range(25, 27))
HELD_OUT = tuple(f"{number:02d}" for number in range(25, 31))
SETTINGS = (
    "data.channels=acc_Camera_*,gyro_Camera_*",
    "trainer.max_epochs=8",
    'video_augment=[{"type": "RandomResizedCrop", "scale": [0.5, 1.0], "ratio": null}]',
)
"""What the recipe is changed by: one sensor in the camera, fewer epochs, and views of other widths."""

STEP = 0.05
"""Time between window starts, by which recordings are shifted [s]; three samples of the IMU."""
STRIDE = 0.25
"""Time between the moments of a gallery [s]."""

_DOWN = np.radians(12.0)
AXES: Mapping[str, Floats] = {
    "GoPro1": np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]),
    "GoPro2": np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]),
    "Neon1": np.array(
        [[0.0, np.cos(_DOWN), -np.sin(_DOWN)], [-1.0, 0.0, 0.0], [0.0, np.sin(_DOWN), np.cos(_DOWN)]],
    ),
}
"""From the axes of each device's IMU to those of simulated cameras (x along the optical axis, y left, z up), as its
maker documents them; nothing is fitted to the recordings. GoPro, after ORIN and ORIO: x left, y back, z up (the figure
in the readme of gopro/gpmf-parser; issue 100 there). Neon: x right, y ahead, z up, turned by 102 degrees around x from
the axes of the scene camera (x right, y down, z ahead; docs.pupil-labs.com, "IMU Transformations")."""

out = Console(width=130)


@dataclass(frozen=True)
class Clip:
    """All windows of a recording, `STEP` apart."""

    name: str
    imu_GLC: Tensor
    """Accelerometer and gyroscope in axes of the camera."""
    motion_GMYX3: Tensor
    """Measured motion of the picture."""

    def cut(self, seconds: float) -> Clip:
        """Return the windows that start in the first `seconds`."""
        count = round(seconds / STEP) + 1
        return Clip(self.name, self.imu_GLC[:count], self.motion_GMYX3[:count])

    def late(self, steps: int) -> Clip:
        """Return the windows with an IMU whose clock is `steps` behind."""
        return Clip(self.name, self.imu_GLC[steps:], self.motion_GMYX3[: len(self.motion_GMYX3) - steps])

    def mixed(self, other: Clip) -> Clip:
        """Return this clip's video with the IMU of another one."""
        count = min(len(self.imu_GLC), len(other.imu_GLC))
        return Clip(f"{self.name} x {other.name}", other.imu_GLC[:count], self.motion_GMYX3[:count])


def main() -> None:
    """Train what is missing, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--real", type=Path, required=True, help="folder with dataset/, see the readme there")
    parser.add_argument("--data", type=Path, default=Path("data/camera"), help="simulated dataset; made if missing")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--runs", type=Path, nargs="+", help="run folders to take instead of training")
    parser.add_argument("--set", action="append", default=[], help="setting of every training")
    parser.add_argument("--simulated", action="store_true", help="report held-out simulated people, and nothing real")
    asked = parser.parse_args()
    runs = asked.runs or [trained(asked.data, seed, asked.set) for seed in asked.seeds]
    if asked.simulated:
        for table in of_simulated(asked.data, runs):
            out.print(table)
        return
    with TemporaryDirectory() as folder:
        root = in_camera_axes(asked.real / "dataset", Path(folder) / "dataset")
        for table in of_real(root, runs):
            out.print(table)


def trained(data: Path, seed: int, settings: Sequence[str]) -> Path:
    """Return the run folder of a seed, training it if that has not been done."""
    name = run_name(seed, settings)
    if not runs_of(name):
        shape = ("--world", "2", "--camera-imu", "--stabilised", "--subjects", str(SUBJECTS), "--seed", str(SEED))
        rxclip("synthesize", str(data), *shape)
        given = [f"data.root={data}", f"data.train_subjects={TRAIN}", f"data.val_subjects={VAL}", f"seed={seed}"]
        given += [f"name={name}", *SETTINGS, *settings]
        rxclip("pretrain", str(RECIPE), *(part for one in given for part in ("--set", one)))
    return max(runs_of(name))


def run_name(seed: int, settings: Sequence[str]) -> str:
    """Return the name of the runs of a seed, from the characters that names of runs may have."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", "-".join(["real", *settings, str(seed)]))


def rxclip(*arguments: str) -> None:
    """Run a command."""
    print(" ".join(("rxclip", *arguments)), file=sys.stderr, flush=True)
    subprocess.run([sys.executable, "-m", "revalexo_clip", *arguments], check=True)  # noqa: S603


def in_camera_axes(source: Path, root: Path) -> Path:
    """Copy the real recordings, their IMU as `acc_Camera_x` to `gyro_Camera_z` in axes of the camera."""
    shutil.copytree(source, root, copy_function=shutil.copyfile)
    for path in [root, *root.rglob("*")]:
        path.chmod(0o755)
    for name, matrix in AXES.items():
        for path in root.glob(f"imu/{name}/*.csv"):
            imu_L6 = np.loadtxt(path, delimiter=",", skiprows=1)
            turned_L6 = np.concatenate([imu_L6[:, :3] @ matrix.T, imu_L6[:, 3:] @ matrix.T], axis=1)
            columns = [f"{kind}_Camera_{axis}" for kind in ("acc", "gyro") for axis in "xyz"]
            np.savetxt(path, turned_L6, fmt="%.6f", delimiter=",", header=",".join(columns), comments="")
    return root


def read_clips(root: Path, subjects: tuple[str, ...], data: RevalExo) -> list[Clip]:
    """Read all windows of some subjects, in the form of a dataset that an encoder was trained on."""
    changed = {"root": root, "eval_stride": STEP, "min_duration": 4.0, "frames": 0}
    evaluated = data.evaluating(subjects)
    assert isinstance(evaluated, RevalExo)
    windows = evaluated.model_copy(update=changed).build("test", seed=0)
    return list(_clips(windows))


def _clips(windows: WindowDataset) -> Iterator[Clip]:
    samples = [windows[0, number] for number in range(len(windows))]
    for clip, name in enumerate(windows.clip_names):
        own = [sample for sample in samples if int(sample.clip) == clip]
        yield Clip(name, torch.stack([one.imu_LC for one in own]), torch.stack([one.motion_MYX3 for one in own]))


Embed = Callable[[Clip], tuple[Tensor, Tensor]]
"""Returns the unit vectors [G, D] of IMU and video windows of a clip."""


def methods(runs: Sequence[Path]) -> tuple[RevalExo, dict[str, Embed]]:
    """Return the form of windows, and how they are embedded: by correlation, and by the encoders of each run."""
    found: dict[str, Embed] = {"correlation": correlated}
    data: RevalExo | None = None
    for run in runs:
        checkpoint = load_checkpoint(find_checkpoint(run))
        of_run = checkpoint.description.experiment.data
        assert isinstance(of_run, RevalExo)
        assert data is None or data.window == of_run.window, "runs of one table have windows of one length"
        data = of_run
        found[f"seed {checkpoint.description.experiment.seed}"] = partial(embedded, checkpoint.build_model().eval())
    assert data is not None
    return data, found


@torch.no_grad()
def embedded(model: DualEncoder, clip: Clip) -> tuple[Tensor, Tensor]:
    """Embed the windows of a clip by two encoders."""
    no_frames = torch.zeros(len(clip.imu_GLC), 0, 0, 0, 3, dtype=torch.uint8)
    return model.embed_imu(clip.imu_GLC), model.embed_video(no_frames, clip.motion_GMYX3)


def correlated(clip: Clip) -> tuple[Tensor, Tensor]:
    """Return vectors whose products are correlations of angular velocity and image motion, the mean of two axes."""
    return _centred(turning(clip.imu_GLC)), _centred(moving(clip.motion_GMYX3))


def turning(imu_GLC: Tensor) -> Tensor:
    """Return how a turn of the camera moves a distant scene to the right and down, [G, M, 2] in rad/s at 30 Hz.

    A turn to the left (around z) moves it to the right, bending down (around y) moves it up.
    """
    gyro_GM3 = (imu_GLC[:, ::2, 3:] + imu_GLC[:, 1::2, 3:]) / 2
    return torch.stack([gyro_GM3[..., 2], -gyro_GM3[..., 1]], dim=-1)


def moving(motion_GMYX3: Tensor) -> Tensor:
    """Return the mean motion of the picture to the right and down, [G, M, 2], weighted by confidence."""
    weight_GMYX1 = motion_GMYX3[..., 2:]
    return (motion_GMYX3[..., :2] * weight_GMYX1).sum(dim=(2, 3)) / weight_GMYX1.sum(dim=(2, 3)).clamp(min=1e-6)


def _centred(series_GM2: Tensor) -> Tensor:
    unit_GM2 = normalize(series_GM2 - series_GM2.mean(dim=1, keepdim=True), dim=1)
    return unit_GM2.flatten(1) / 2**0.5


def tested(embed: Embed, clip: Clip, window: float) -> ShiftTest:
    """Test a clip against the shifts of its own IMU."""
    imu_GD, video_GD = embed(clip)
    return circular_shift_test(imu_GD, video_GD, every=round(STRIDE / STEP), apart=round(window / STEP))


def of_real(root: Path, runs: Sequence[Path]) -> Iterator[Table]:
    """Yield the tables of the real recordings."""
    data, embeds = methods(runs)
    clips = read_clips(root, tuple(AXES), data)
    table = Table(box=box.SIMPLE, title=f"Within each recording, windows of {data.window:g} s")
    headings = ("", "method", "moments", "MRR", "chance", "mean of shifts", "shifts", "p", "p, all", "best lag [s]")
    for heading in headings:
        table.add_column(heading, justify="left" if heading in {"", "method"} else "right")
    for clip in clips:
        for name, embed in embeds.items():
            found = tested(embed, clip, data.window)
            by_chance = chance(found.moments).mrr
            figures = f"{found.mrr:.3f}", f"{by_chance:.3f}", f"{found.shifted_mrr:.3f}", str(found.shifts)
            p = f"{found.p:.3f}" if found.shifts else "-"
            last = f"{found.p_all:.3f}", f"{found.lag * STEP:+.2f}"
            table.add_row(clip.name, name, str(found.moments), *figures, p, *last)
    yield table
    yield of_turns({clip.name: [clip] for clip in clips})


def of_turns(groups: Mapping[str, Sequence[Clip]]) -> Table:
    """Return how much of the turns of the camera the picture shows, in each group of clips the medians."""
    table = Table(box=box.SIMPLE, title="Turns of the camera and mean motion of the picture, at the best lag")
    headings = ("", "axis", "lag [s]", "r", "r below 1 Hz", "r above 1 Hz", "widths/rad below 1 Hz", "above 1 Hz")
    for heading in headings:
        table.add_column(heading, justify="left" if heading in {"", "axis"} else "right")
    for name, clips in groups.items():
        pairs = [(series(turning(clip.imu_GLC)), series(moving(clip.motion_GMYX3))) for clip in clips]
        for number, axis in enumerate(("yaw, right", "pitch, down")):
            found = [shown_turns(turn_T2[:, number], shown_T2[:, number]) for turn_T2, shown_T2 in pairs]
            table.add_row(name, axis, *(f"{statistics.median(values):+.2f}" for values in zip(*found, strict=True)))
    return table


def shown_turns(turn_T: Floats, shown_T: Floats) -> tuple[float, ...]:
    """Return best lag, correlation at it, correlations below and above 1 Hz, and slopes below and above 1 Hz."""
    lag = max(range(-15, 16), key=lambda late: related(turn_T, shown_T, late)[0])
    low = smooth(turn_T, LOW), smooth(shown_T, LOW)
    (slow, slow_slope), (fast, fast_slope) = (
        related(*low, lag),
        related(turn_T - low[0], shown_T - low[1], lag),
    )
    return lag / 30, related(turn_T, shown_T, lag)[0], slow, fast, slow_slope, fast_slope


LOW = 0.187 * 30
"""Standard deviation of a Gaussian that passes half the power at 1 Hz [samples at 30 Hz]."""


def series(windows_GM2: Tensor) -> Floats:
    """Join windows that start every 0.05 s to one series [T, 2] at 30 Hz: the first three moments of every second."""
    every_second = windows_GM2[::2]
    return torch.cat([*(window_M2[:3] for window_M2 in every_second[:-1]), every_second[-1]]).double().numpy()


def related(turn_T: Floats, shown_T: Floats, lag: int) -> tuple[float, float]:
    """Return correlation and slope of the motion of the picture, `lag` samples later, against turns."""
    turn_T, shown_T = (turn_T[: len(turn_T) - lag], shown_T[lag:]) if lag >= 0 else (turn_T[-lag:], shown_T[:lag])
    (variance, covariance), (_, other) = np.cov(turn_T, shown_T)
    return float(covariance / np.sqrt(variance * other)), float(covariance / variance)


def of_simulated(root: Path, runs: Sequence[Path]) -> Iterator[Table]:
    """Yield the results of held-out simulated people, whose clips are cut to the lengths of the real ones."""
    data, embeds = methods(runs)
    clips = read_clips(root, HELD_OUT, data)
    is_stabilised = [int(clip.name.split("/")[0][-2:]) % 2 == 0 for clip in clips]
    groups = {
        "plain": [clip for clip, is_so in zip(clips, is_stabilised, strict=True) if not is_so],
        "stabilised": [clip for clip, is_so in zip(clips, is_stabilised, strict=True) if is_so],
        "IMU 0.1 s late": [clip.late(round(0.1 / STEP)) for clip in clips],
        "IMU of others": [clip.mixed(other) for clip, other in zip(clips, clips[17:] + clips[:17], strict=True)],
    }
    table = Table(box=box.SIMPLE, title=f"Held-out simulated people, windows of {data.window:g} s")
    headings = ("", "method", "length [s]", "clips", "median MRR", "p <= 0.05 [%]", "p, all", "|lag| <= 0.1 s [%]")
    for heading in headings:
        table.add_column(heading, justify="left" if heading in {"", "method"} else "right")
    for group, members in groups.items():
        for seconds in (11.0, 4.7):
            for name, embed in embeds.items():
                found = [tested(embed, clip.cut(seconds - data.window), data.window) for clip in members]
                near = 100 * statistics.mean(abs(one.lag) * STEP <= 0.1 for one in found)
                by_p = [100 * statistics.mean(one.p <= 0.05 for one in found)]
                by_p.append(100 * statistics.mean(one.p_all <= 0.05 for one in found))
                figures = f"{statistics.median(one.mrr for one in found):.3f}", *(f"{share:.0f}" for share in by_p)
                table.add_row(group, name, f"{seconds:g}", str(len(found)), *figures, f"{near:.0f}")
    yield table
    yield of_turns({name: groups[name] for name in ("plain", "stabilised")})


if __name__ == "__main__":
    main()
