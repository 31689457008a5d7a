"""A dataset of very many clips, all of which are the same two files, and its pack."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from revalexo_clip.core.component import JsonObject
from revalexo_clip.data.revalexo.pack.assemble import assemble
from revalexo_clip.data.revalexo.pack.find import NAME
from revalexo_clip.data.revalexo.pack.part import Job, PackSettings, Part, PartInfo, read_part, write_part
from revalexo_clip.data.revalexo.pack.tables import Header
from revalexo_clip.data.revalexo.pack.write import describe
from support.tiny_dataset import CHANNELS, steady, write_imu, write_json, write_video

SETTINGS = PackSettings(short_side=8, quality=50)


@dataclass(frozen=True)
class OneInMemory(Part):
    """A part that is not read again for every clip."""

    arrays: dict[str, npt.NDArray[np.generic]]

    def array(self, name: str) -> npt.NDArray[np.generic]:
        return self.arrays[name]


def write_many(root: Path, clips: int, subjects: int = 10) -> None:
    """`clips` clips, shared equally by subjects that are called s0, s1, ..."""
    write_video(root / "0.mp4", steady(0.4))
    write_imu(root / "0.csv", duration=0.4)
    write_json(root / "label_mapping.json", {"label_to_idx": {"standing": 0, "walking": 1}})
    pair: JsonObject = {
        "video": "0.mp4",
        "imu": "0.csv",
        "activity_segments": [
            {"start": 0.0, "end": 0.2, "activity": "standing"},
            {"start": 0.2, "end": 0.4, "activity": "walking"},
        ],
        "transition_segments": [{"start": 0.1, "end": 0.3, "transition": "standing_to_walking"}],
    }
    for number in range(subjects):
        pairs: JsonObject = {f"{clip:06d}": dict(pair) for clip in range(clips // subjects)}
        described: JsonObject = {"subject": f"s{number}", "video_folder": ".", "imu_folder": ".", "pairs": pairs}
        write_json(root / "data_pairs" / f"s{number}.json", described)


def pack_many(root: Path) -> None:
    """Return a pack in which one part is used for all clips."""
    path = root / "part.npz"
    assert write_part(Job(video=root / "0.mp4", imu=root / "0.csv", settings=SETTINGS, part=path)) is None
    part = read_part(path)
    assert part is not None
    assert isinstance(part.info, PartInfo)
    assert part.info.header == Header(columns=("time", *CHANNELS), kept=CHANNELS)
    arrays = {name: part.array(name) for name in ("time", "length", "check", "jpeg", "values", "value_check")}
    described, _ = describe(root)
    assemble(root / NAME, described, [OneInMemory(path, part.info, arrays)] * len(described.index), SETTINGS)
    path.unlink()
