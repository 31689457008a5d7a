"""Recordings for the benchmarks, in RevalExo's form: 640 x 480 H.264 at 30 fps, and CSV of 42 channels at 60 Hz."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from revalexo_clip.data.synthetic import synthesize

WIDTH, HEIGHT, RATE = 640, 480, 30


def make_recordings(root: Path, subjects: int = 2, clips: int = 2) -> Path:
    """Make recordings of the demo's subjects at RevalExo's frame size, encoded with x264's defaults."""
    if not (root / "complete").exists():
        synthesize(root, subjects=subjects, clips=clips)
        grain = np.random.default_rng(0).normal(0.0, 4.0, size=(2 * HEIGHT, 2 * WIDTH, 1))
        for path in sorted(root.glob("videos/*/*.mp4")):
            _enlarge(path, grain)
        (root / "complete").write_text("")
    return root


def _enlarge(path: Path, grain: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> None:
    larger = path.with_suffix(".larger.mp4")
    scaler, rng = VideoReformatter(), np.random.default_rng(1)
    with av.open(str(path)) as source, av.open(str(larger), "w") as target:
        stream = target.add_stream("libx264", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for index, frame in enumerate(source.decode(video=0)):
            scaled = scaler.reformat(frame, WIDTH, HEIGHT, "rgb24", interpolation=Interpolation.BICUBIC).to_ndarray()
            top, left = rng.integers(HEIGHT), rng.integers(WIDTH)  # sensor noise differs in every frame
            noisy = scaled + grain[top : top + HEIGHT, left : left + WIDTH]
            picture = av.VideoFrame.from_ndarray(np.clip(noisy, 0, 255).astype(np.uint8), format="rgb24")
            picture.pts, picture.time_base = index, Fraction(1, RATE)
            target.mux(stream.encode(picture))
        target.mux(stream.encode())
    larger.replace(path)


def size_of(root: Path) -> tuple[int, int]:
    """Return the number of clips, and the bytes of their videos and CSV files."""
    pairs = [json.loads(path.read_text(encoding="utf-8"))["pairs"] for path in root.glob("data_pairs/*.json")]
    files = [*root.glob("videos/*/*.mp4"), *root.glob("imu/*/*.csv")]
    return sum(map(len, pairs)), sum(path.stat().st_size for path in files)
