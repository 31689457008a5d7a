"""GoPro recordings with known signals: mp4 files with a telemetry track, and bare telemetry, written by hand."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from support.tiny_dataset import HEIGHT, WIDTH, numbered

Floats = npt.NDArray[np.float64]
PAYLOAD = 1.001
FPS = 30000 / 1001


def record(key: str, kind: str, size: int, data: bytes, count: int | None = None) -> bytes:
    """One record, padded to four bytes."""
    count = len(data) // size if count is None else count
    head = key.encode() + (kind or "\0").encode("latin-1") + bytes([size]) + struct.pack(">H", count)
    return head + data + b"\0" * (-len(data) % 4)


def nested(key: str, *inside: bytes) -> bytes:
    """A record that holds others."""
    return record(key, "", 1, b"".join(inside))


def text(key: str, content: str) -> bytes:
    """A record of characters."""
    return record(key, "c", 1, content.encode("latin-1"))


def acceleration(time_N: Floats) -> Floats:
    """True accelerations to the left, back and up [N, 3]."""
    return np.stack([np.sin(4 * time_N), np.cos(3 * time_N), 9.81 + np.sin(5 * time_N)], axis=1)


def rotation(time_N: Floats) -> Floats:
    """True angular rates about the axes to the left, back and up [N, 3]."""
    return np.stack([0.5 * np.sin(6 * time_N), 0.3 * np.cos(4 * time_N), 0.7 * np.sin(2 * time_N + 1)], axis=1)


SIGNALS: dict[str, tuple[Callable[[Floats], Floats], int, str]] = {
    "ACCL": (acceleration, 418, "m/s²"),
    "GYRO": (rotation, 3755, "rad/s"),
}


@dataclass(frozen=True)
class Camera:
    """A camera whose file is written."""

    device: str = "HERO9 Black"
    orientation: str = "ZXY"
    """How its values are ordered."""
    says_orientation: bool = True
    has_clock: bool = True
    """Whether its streams have stamps of the camera's clock."""
    rate: float = 199.3
    first: float = -0.004
    """Time of its first sample in the video [s]."""
    jitter: float = 0.0
    """Largest error of the times of payloads [s]."""
    lost: tuple[int, int] = (0, 0)
    """Payload, and number of samples that are lost before it."""

    def stream(self, key: str, time_N: Floats, total: int, stamp: float) -> bytes:
        """The samples of a payload, that were taken at the given times [s]."""
        signal, scale, unit = SIGNALS[key]
        true_N3 = signal(time_N)
        ordered = [
            true_N3[:, "XYZ".index(letter.upper())] * (1 if letter.isupper() else -1) for letter in self.orientation
        ]
        values = np.round(np.stack(ordered, axis=1) * scale).astype(">i2").tobytes()
        return nested(
            "STRM",
            *([record("STMP", "J", 8, struct.pack(">Q", round(stamp * 1e6)))] if self.has_clock else []),
            record("TSMP", "L", 4, struct.pack(">L", total)),
            *([text("ORIN", self.orientation)] if self.says_orientation else []),
            text("SIUN", unit),
            record("SCAL", "s", 2, struct.pack(">h", scale)),
            record(key, "s", 6, values),
        )

    def payloads(self, seconds: float, start: float = 0.0) -> list[bytes]:
        """The payloads of a file that begins at `start` [s] of the recording."""
        count = int(np.ceil(seconds / PAYLOAD))
        found = []
        for number in range(count):
            begin, end = start + number * PAYLOAD, start + min((number + 1) * PAYLOAD, seconds)
            inside = []
            for key in SIGNALS:
                rows = range(self._row(begin), self._row(end))
                place_N = np.array([row for row in rows if row >= 0], dtype=np.float64)
                if self.lost[1] and number == self.lost[0]:
                    place_N = place_N[self.lost[1] :]
                time_N = self.first + place_N / self.rate
                if len(time_N):
                    inside.append(self.stream(key, time_N, int(place_N[-1]) + 1, 7.0 + time_N[0]))
            frames = round(begin * FPS), round(end * FPS)
            if self.has_clock:
                shown = struct.pack(">f", 0.01) * (frames[1] - frames[0])
                stamp = struct.pack(">Q", round((7.0 + frames[0] / FPS) * 1e6))
                inside.append(nested("STRM", record("STMP", "J", 8, stamp), record("SHUT", "f", 4, shown)))
            found.append(nested("DEVC", text("DVNM", self.device), *inside))
        return found

    def _row(self, time: float) -> int:
        return max(int(np.ceil(round((time - self.first) * self.rate, 6))), 0)


def write_gopro(
    path: Path, camera: Camera | None, seconds: float = 4.004, *, start: float = 0.0, size: tuple[int, int] = (96, 72)
) -> None:
    """An mp4 file whose frames show their numbers; without a camera it has no telemetry."""
    path.parent.mkdir(parents=True, exist_ok=True)
    frames, first = round(seconds * FPS), round(start * FPS)
    random = np.random.default_rng(1)
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=Fraction(30000, 1001), options={"preset": "veryfast", "g": "20"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        data = file.add_data_stream("bin_data")
        data.time_base = Fraction(1, 1000)
        for number in range(frames):
            shown_HWC = numbered(first + number) if size == (WIDTH, HEIGHT) else np.zeros((*size[::-1], 3), np.uint8)
            frame = av.VideoFrame.from_ndarray(shown_HWC, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1001, 30000)
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
        contents = camera.payloads(seconds, start) if camera else [b"other"]
        for number, content in enumerate(contents):
            packet = av.Packet(content)
            late = random.uniform(0, camera.jitter) if camera and number else 0.0
            packet.pts = packet.dts = round((number * PAYLOAD + late) * 1000)
            packet.duration, packet.time_base, packet.stream = 1001, Fraction(1, 1000), data
            file.mux(packet)


def write_bare(path: Path, contents: Sequence[bytes]) -> None:
    """A bare telemetry file."""
    path.write_bytes(b"".join(contents))
