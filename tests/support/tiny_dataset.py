"""Tiny real datasets: H.264 frames that show their own number, CSV cells that encode their row and column."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest

from revalexo_clip.core.component import JsonObject
from revalexo_clip.data import RevalExo, WindowDataset
from revalexo_clip.data.dataset import ClipWindows

WIDTH, HEIGHT = 96, 72
BITS = 9
"""A frame's number is written as 3 x 3 black or white squares in the frame's middle."""
CLOCK = Fraction(1, 90_000)
CHANNELS = tuple(
    f"{kind}_{part}_{axis}" for part in ("Pelvis", "Left_Foot") for kind in ("acc", "gyro") for axis in "xy"
)
ACTIVITIES = ("standing", "walking", "stairs_up")
DURATION = 4.0


def numbered(number: int) -> npt.NDArray[np.uint8]:
    """[HEIGHT, WIDTH, 3] uint8 with the number in the middle and something moving around it."""
    shade = 80 + 60 * np.sin((np.arange(WIDTH) + number) / 7.0)
    frame_HWC = np.broadcast_to(shade[:, None], (HEIGHT, WIDTH, 3)).astype(np.uint8)
    bits = np.array([255 * (number >> bit & 1) for bit in range(BITS)], dtype=np.uint8).reshape(3, 3)
    squares = np.kron(bits, np.ones((HEIGHT // 3, HEIGHT // 3), dtype=np.uint8))
    left = (WIDTH - HEIGHT) // 2
    frame_HWC[:, left : left + HEIGHT] = squares[..., None]
    return frame_HWC


def number_of(frame_HWC: npt.NDArray[np.uint8]) -> int:
    """The number in a frame that was cropped to its central square."""
    side = len(frame_HWC)
    middles = (np.arange(3) * 2 + 1) * side // 6
    bits = frame_HWC[np.ix_(middles, middles)].mean(axis=2).ravel() > 127
    return int(sum(1 << place for place, bit in enumerate(bits) if bit))


def write_video(
    path: Path,
    times: Sequence[float],
    *,
    codec: Mapping[str, str] | None = None,
    container: Mapping[str, str] | None = None,
    frames: Sequence[npt.NDArray[np.uint8]] | None = None,
    matrix: Sequence[int] | None = None,
) -> None:
    """One frame for each time [s]: `frames`, or by default frame i carries number i."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pictures = [numbered(number) for number in range(len(times))] if frames is None else frames
    with av.open(str(path), "w", container_options=dict(container or {})) as file:
        stream = file.add_stream("libx264", rate=30)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = CLOCK
        stream.options = {"preset": "veryfast", "bf": "3", "crf": "18", **(codec or {})}
        if matrix is not None:
            stream.set_display_matrix(matrix)
        for time, picture in zip(times, pictures, strict=True):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.pts, frame.time_base = round(time / CLOCK), CLOCK
            file.mux(stream.encode(frame))
        file.mux(stream.encode())


def steady(duration: float = DURATION, rate: float = 30.0) -> list[float]:
    """Frame times [s] at a constant rate."""
    return [number / rate for number in range(round(duration * rate))]


def write_imu(path: Path, channels: Sequence[str] = CHANNELS, duration: float = DURATION, rate: float = 60.0) -> None:
    """A recording whose row i holds i + 0.001 c in channel c, after a column that is no channel."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [
        f"10:{row:05d}," + ",".join(f"{row + 0.001 * channel:.3f}" for channel in range(len(channels)))
        for row in range(round(duration * rate))
    ]
    path.write_text("\n".join([",".join(("time", *channels)), *rows]) + "\n")


def pair(name: str, duration: float = DURATION) -> JsonObject:
    """The description of one clip: standing, then walking, in between a transition."""
    return {
        "video": f"{name}.mp4",
        "imu": f"{name}.csv",
        "recording": name,  # rows of all clips are alike, which would make them pieces of one recording
        "offset": 0.0,
        "activity_segments": [
            {"start": 0.0, "end": 2.4, "activity": "standing"},
            {"start": 2.4, "end": duration, "activity": "walking"},
        ],
        "transition_segments": [
            {"start": 0.0, "end": 2.2, "transition": "no_transition"},
            {"start": 2.2, "end": 2.9, "transition": "standing_to_walking"},
        ],
        "note": "other keys are ignored",
    }


def write_subject(root: Path, subject: str, clips: int = 2, duration: float = DURATION) -> None:
    """One subject's JSON, videos and recordings."""
    names = [f"{number:04d}" for number in range(clips)]
    for name in names:
        write_video(root / "videos" / subject / f"{name}.mp4", steady(duration), codec={"g": "30"})
        write_imu(root / "imu" / subject / f"{name}.csv", duration=duration)
    write_json(
        root / "data_pairs" / f"{subject}.json",
        {
            "subject": subject,
            "video_folder": f"videos/{subject}",
            "imu_folder": f"imu/{subject}",
            "pairs": {name: pair(name, duration) for name in reversed(names)},
        },
    )


def write_json(path: Path, content: JsonObject) -> None:
    """A JSON file, its folder made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1))


def write_dataset(root: Path, subjects: Sequence[str] = ("Subject01", "Subject02", "Subject08")) -> None:
    """A dataset of two clips of 4 s for each subject."""
    labels = {activity: index for index, activity in enumerate(ACTIVITIES)}
    write_json(
        root / "label_mapping.json",
        {"label_to_idx": dict(labels), "idx_to_label": {str(index): name for name, index in labels.items()}},
    )
    for subject in subjects:
        write_subject(root, subject)


def revalexo(root: Path, **fields: object) -> RevalExo:
    """The component that reads such a dataset, from its own files unless the fields say otherwise."""
    return RevalExo.model_validate(
        {
            "root": root,
            "train_subjects": ("01", "02"),
            "val_subjects": ("08",),
            "channels": ("acc_*", "gyro_Pelvis_*"),
            "min_duration": 3.0,
            "frames": 4,
            "crop": 36,
            "short_side": 36,
            "pack": "off",
        }
        | fields
    )


def source_of(dataset: WindowDataset) -> str:
    """Return the source of its windows."""
    assert isinstance(dataset, ClipWindows)
    return type(dataset.source).__name__


def real_dataset() -> Path:
    """Return the folder of real recordings, or skip the test if there are none."""
    folder = os.environ.get("REVALEXO_CLIP_REAL")
    real = Path(folder) if folder else Path(__file__).parents[3] / "shared" / "real"
    if not (real / "dataset").is_dir():
        pytest.skip(f"no real recordings in {real} (set REVALEXO_CLIP_REAL)")
    return real / "dataset"
