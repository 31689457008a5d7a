"""Ways to damage a dataset, and the messages that check-data and training print about each."""

from __future__ import annotations

import json
import wave
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from pydantic import JsonValue

from revalexo_clip.core.component import JsonObject
from support.sound_dataset import CHANNELS, samples, write_samples
from support.tiny_dataset import numbered, steady, write_video

Change = Callable[[Path], object]
"""A function that damages the dataset at a path."""

Signal = npt.NDArray[np.float64]
"""[n] of one channel."""

MAPPING, PAIRS = "label_mapping.json", "data_pairs/Subject01.json"
VIDEO, IMU = "videos/Subject01/0000.mp4", "imu/Subject01/0000.csv"
NEIGHBOUR = "imu/Subject01/0001.csv"
"""The other recording of that subject."""

ANYWHERE = ""
"""Text of training if it only names the file."""
UNSEEN = None
"""Text of training if it cannot notice the damage."""


@dataclass(frozen=True)
class Damage:
    """One kind of damage."""

    what: str
    change: Change
    file: str
    """The file to be named, from the dataset's root."""
    kinds: Sequence[str]
    """The kinds of problem that check-data finds; the first is the file's."""
    says: str
    """What it says about the file."""
    training: str | None = ANYWHERE
    """What pretraining says about it, beside its name."""


def write(path: str, content: str | bytes) -> Change:
    data = content if isinstance(content, bytes) else content.encode()
    return lambda root: (root / path).write_bytes(data)


def patch(path: str, change: Callable[[bytes], bytes]) -> Change:
    return lambda root: (root / path).write_bytes(change((root / path).read_bytes()))


def keep(path: str, share: float) -> Change:
    return patch(path, lambda content: content[: int(share * len(content))])


def replaced(path: str, make: Callable[[Path], object]) -> Change:
    """Replace a file by something else."""

    def change(root: Path) -> None:
        (root / path).unlink()
        make(root / path)

    return change


def edit(path: str, change: Callable[[JsonObject], object]) -> Change:
    def rewrite(root: Path) -> None:
        content = json.loads((root / path).read_text())
        change(content)
        (root / path).write_text(json.dumps(content))

    return rewrite


def first_pair(**values: JsonValue) -> Change:
    def change(subject: JsonObject) -> None:
        pairs = subject["pairs"]
        assert isinstance(pairs, dict)
        pair = pairs["0000"]
        assert isinstance(pair, dict)
        pair.update(values)
        for key in [key for key, value in pair.items() if value == "<absent>"]:
            del pair[key]

    return edit(PAIRS, change)


def segments(*triples: tuple[JsonValue, JsonValue, str]) -> Change:
    described: list[JsonValue] = [
        {"start": start, "end": end, "activity": activity} for start, end, activity in triples
    ]
    return first_pair(activity_segments=described)


def lines(change: Callable[[list[str]], list[str]], path: str = IMU) -> Change:
    return patch(path, lambda content: "\n".join(change(content.decode().splitlines())).encode() + b"\n")


def cell(value: str, row: int = 42) -> Change:
    """Another value in a row of the first accelerometer's y axis."""

    def change(rows: list[str]) -> list[str]:
        cells = rows[row].split(",")
        cells[2] = value
        return [*rows[:row], ",".join(cells), *rows[row + 1 :]]

    return lines(change)


def signal(change: Callable[[dict[str, Signal]], object]) -> Change:
    """Another signal in some channels."""

    def rewrite(root: Path) -> None:
        by_channel = dict(zip(CHANNELS, samples(0).T.copy(), strict=True))
        change(by_channel)
        write_samples(root / IMU, np.stack(list(by_channel.values()), axis=1))

    return rewrite


def film(times: Sequence[float]) -> Change:
    """Another video."""
    return lambda root: write_video(root / VIDEO, times, codec={"g": "30"})


def claim(box: bytes, offset: int, value: bytes) -> Change:
    """Replace bytes of a box of an mp4, at an offset from the box's name."""

    def change(content: bytes) -> bytes:
        place = content.index(box) + offset
        return content[:place] + value + content[place + len(value) :]

    return patch(VIDEO, change)


def huge_pictures(root: Path) -> None:
    """A video whose pictures claim to be 30000 pixels high and wide."""
    with av.open(str(root / VIDEO), "w") as file:
        stream = file.add_stream("mjpeg", rate=30, options={"huffman": "default"})
        stream.width, stream.height, stream.pix_fmt = 96, 72, "yuvj420p"
        for number in range(120):
            file.mux(stream.encode(av.VideoFrame.from_ndarray(numbered(number), format="rgb24")))
        file.mux(stream.encode())
    size, claimed = b"\x08\x00\x48\x00\x60\x03", b"\x08\x75\x30\x75\x30\x03"  # 8 bits, height, width, 3 components
    content = (root / VIDEO).read_bytes()
    assert content.count(size) == 120
    (root / VIDEO).write_bytes(content.replace(size, claimed))


def sound(root: Path) -> None:
    with wave.open(str(root / VIDEO), "wb") as file:
        file.setparams((1, 2, 8000, 8000, "NONE", ""))
        file.writeframes(bytes(64000))


def without_times(root: Path) -> None:
    write_video(root / "bare.h264", steady())
    (root / "bare.h264").rename(root / VIDEO)


def swapped(root: Path) -> None:
    video, imu = (root / VIDEO).read_bytes(), (root / IMU).read_bytes()
    (root / VIDEO).write_bytes(imu)
    (root / IMU).write_bytes(video)


def overwritten(content: bytes) -> bytes:
    middle = len(content) // 3
    return content[:middle] + bytes(3000) + content[middle + 3000 :]


def one_key_twice(content: bytes) -> bytes:
    pairs = json.loads(content)["pairs"]
    return content.replace(b'"pairs": {', b'"pairs": {"0000": ' + json.dumps(pairs["0001"]).encode() + b",", 1)


def other_channels(path: str, channels: Sequence[str]) -> Change:
    places = [CHANNELS.index(channel) for channel in channels]
    return lambda root: write_samples(root / path, samples(9)[:, places], channels)


def copied(source: str, target: str) -> Change:
    return lambda root: (root / target).write_bytes((root / source).read_bytes())


def scaled(kind: str, factor: float) -> Change:
    def change(by_channel: dict[str, Signal]) -> None:
        by_channel.update({name: factor * value_n for name, value_n in by_channel.items() if name.startswith(kind)})

    return signal(change)


def late_film(start: float) -> Change:
    """Another video, whose container says that it starts later than the file."""

    def change(root: Path) -> None:
        times = [start + time for time in steady(4.0 - start)]
        write_video(root / VIDEO, times, codec={"g": "30"})

    return change


def clock(time: Callable[[int], float], *, declare: bool = True) -> Change:
    """Another clock in the first column, and perhaps no declared recordings."""

    def change(root: Path) -> None:
        def rewritten(rows: list[str]) -> list[str]:
            cells = (row.split(",", 1)[1] for row in rows[1:])
            return [rows[0], *(f"{time(row):.6f},{rest}" for row, rest in enumerate(cells))]

        lines(rewritten)(root)
        if not declare:
            first_pair(recording="<absent>", offset="<absent>")(root)

    return change


def mixed(path: str, other: str) -> Change:
    """Rows of another file in the place of the last 2 s of a file."""

    def change(root: Path) -> None:
        own, others = ((root / name).read_text().splitlines() for name in (path, other))
        (root / path).write_text("\n".join([*own[:121], *others[1:121]]) + "\n")

    return change


def wrong_offset(root: Path) -> None:
    """Two clips that are 2 s apart, declared to be 3 s apart."""
    whole = samples(20, 6.0)
    write_samples(root / IMU, whole[:240])
    write_samples(root / NEIGHBOUR, whole[120:])
    subject = json.loads((root / PAIRS).read_text())
    for name, offset in (("0000", 0.0), ("0001", 3.0)):
        subject["pairs"][name] |= {"recording": "one", "offset": offset}
    (root / PAIRS).write_text(json.dumps(subject))


def contradictory_offsets(root: Path) -> None:
    """Two clips that share two stretches, at two distances."""
    one, other = samples(20), samples(21)
    other[:80], other[160:] = one[160:], one[:80]
    write_samples(root / IMU, one)
    write_samples(root / NEIGHBOUR, other)
    _undeclared(root)


def _undeclared(root: Path) -> None:
    subject = json.loads((root / PAIRS).read_text())
    for pair in subject["pairs"].values():
        pair.pop("recording", None)
        pair.pop("offset", None)
    (root / PAIRS).write_text(json.dumps(subject))
