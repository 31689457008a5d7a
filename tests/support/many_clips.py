"""A dataset of very many clips, all of which are the same two files, and its pack."""

from __future__ import annotations

from pathlib import Path

from revalexo_clip.core.component import JsonObject
from revalexo_clip.data.revalexo.pack.find import NAME
from revalexo_clip.data.revalexo.pack.part import PackSettings
from revalexo_clip.data.revalexo.pack.write import write_pack
from support.tiny_dataset import steady, write_imu, write_json, write_video

SETTINGS = PackSettings(short_side=8, quality=50)


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
    """Pack the dataset: its two files are packed once."""
    assert write_pack(root, root / NAME, SETTINGS, processes=1).encoded == 2
