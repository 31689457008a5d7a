"""A made miniature in Ego4D's layout, with every fault that its tables have.

Accelerations along x are the time [s], so that every sample of a window tells when it was taken.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pydantic import JsonValue

from revalexo_clip.core.component import JsonObject
from support.tiny_dataset import steady, write_json, write_video

COLUMNS = (
    *("component_idx", "component_timestamp_ms", "canonical_timestamp_ms"),
    *("gyro_x", "gyro_y", "gyro_z", "accl_x", "accl_y", "accl_z"),
)
RATE, DURATION = 200, 8.0
GOOD, FAULTY, NO_TABLE, NO_GYRO, OTHER, NO_IMU, NO_VIDEO, LATE = (
    f"{letter}0000000-0000-4000-8000-00000000000{letter}" for letter in "abcdef89"
)
Row = list[str]


def row(number: int) -> Row:
    """Return the cells of a row without faults: component 0 lasts 4 s, then comes component 1."""
    time = number / RATE
    component, milliseconds = divmod(1000 * time, 4000)
    values = (0.1, -0.2, 0.3, time, 9.81, -1.0)
    return [str(int(component)), f"{milliseconds:.1f}", f"{1000 * time:.1f}", *(f"{value:.6f}" for value in values)]


def write_table(path: Path, change: Callable[[list[Row]], list[Row]] | None = None, *, without: str = "") -> None:
    """Write a table of `DURATION` [s], whose rows `change` may alter; `without` is a column that it lacks."""
    rows = [row(number) for number in range(round(DURATION * RATE))]
    rows = rows if change is None else change(rows)
    kept = [place for place, name in enumerate(COLUMNS) if name != without]
    lines = [",".join(cells[place] for place in kept if place < len(cells)) for cells in [list(COLUMNS), *rows]]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def with_faults(rows: list[Row]) -> list[Row]:
    """Add every fault: 6 rows without time, 3 back in time, 1 far ahead, 5 without a value; component 1 is absent.

    Component 1 is renamed to 2 and begins half a second late.
    """
    for number in (10, 11, 12, 50, 51, 52):
        rows[number][2] = "" if number < 50 else "nan"
    for number in (100, 101, 102):
        rows[number][2] = f"{1000 * (number - 40) / RATE:.1f}"
    rows[200][2] = "999999.0"
    rows[300][6], rows[301][3], rows[302][8], rows[303][4] = "NaN", "", "inf", "broken"
    rows[304] = rows[304][:7]
    for cells in rows[800:]:
        cells[0] = "2"
    return rows[:800] + rows[900:]


def write_ego4d(root: Path) -> None:
    """Write the miniature: eight videos of 8 s, seven of which should have an IMU."""
    participants = {GOOD: 1, FAULTY: 1, NO_TABLE: 2, NO_GYRO: None, OTHER: 12, NO_IMU: 3, NO_VIDEO: 2, LATE: None}
    videos: list[JsonObject] = [
        {
            "video_uid": uid,
            "duration_sec": DURATION,
            "has_imu": uid != NO_IMU,
            "fb_participant_id": participant,
            "video_metadata": {"fps": 10.0, "video_duration_sec": DURATION},
        }
        for uid, participant in participants.items()
    ]
    clips: list[JsonObject] = [
        {"clip_uid": "clip-a", "video_uid": GOOD, "video_start_sec": 1.5, "video_end_sec": 7.5},
        {"clip_uid": "clip-e", "video_uid": OTHER, "video_start_sec": 0.0, "video_end_sec": 6.0},
    ]
    write_json(root / "ego4d.json", {"videos": list(videos), "clips": list(clips)})
    write_json(root / "v2" / "annotations" / "narration.json", dict(narrated()))
    tables = root / "v2" / "imu"
    for uid in (GOOD, OTHER, NO_VIDEO):
        write_table(tables / f"{uid}.csv")
    write_table(tables / f"{FAULTY}.csv", with_faults)
    write_table(tables / f"{NO_GYRO}.csv", without="gyro_y")
    write_table(tables / f"{LATE}.csv", lambda rows: rows[300:])
    for uid in participants:
        if uid != NO_VIDEO:
            write_video(root / "v2" / "full_scale" / f"{uid}.mp4", steady(DURATION, 10.0), codec={"g": "10"})


def write_clips(root: Path) -> None:
    """Add the clips that `ego4d.json` names."""
    for name in ("clip-a", "clip-e"):
        write_video(root / "v2" / "clips" / f"{name}.mp4", steady(6.0, 10.0), codec={"g": "10"})


def narrated() -> JsonObject:
    """Return the narrations, in two passes, unordered: of the wearer every second from 0.5 s, and of another person."""
    sentences: list[JsonValue] = [
        {"timestamp_sec": 6.5 - second, "narration_text": f"#C C does {6 - second}"} for second in range(7)
    ]
    return {
        uid: {
            "narration_pass_1": {"narrations": sentences, "summaries": []},
            "narration_pass_2": {"narrations": [{"timestamp_sec": 3.0, "narration_text": "#O A man X waves"}]},
            "status": "complete",
        }
        for uid in (GOOD, FAULTY, OTHER, LATE)
    }
