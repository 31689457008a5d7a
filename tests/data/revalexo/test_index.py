from __future__ import annotations

import json
import os
import pickle
import re
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import JsonValue
from support.tiny_dataset import pair, revalexo, write_json

from revalexo_clip.core.component import JsonObject
from revalexo_clip.core.errors import DataError
from revalexo_clip.data.revalexo import layout
from revalexo_clip.data.revalexo.index import index_fingerprint, read_index
from revalexo_clip.data.subjects import select_subjects
from revalexo_clip.data.windows import Segments


def edit(path: Path, change: Callable[[dict], object]) -> None:  # type: ignore[type-arg]
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.mark.long
def test_clips_are_ordered_by_subject_and_pair(written: Path) -> None:
    index = read_index(written, ("08", "Subject01"), min_duration=3.0)
    assert index.names == ("Subject01/0000", "Subject01/0001", "Subject08/0000", "Subject08/0001")
    assert index.subjects == ("Subject01", "Subject01", "Subject08", "Subject08")
    assert index.video(2) == written / "videos/Subject08/0000.mp4"
    assert index.imu(1) == written / "imu/Subject01/0001.csv"
    assert index.activities == ("standing", "walking", "stairs_up")
    assert index.duration_N.tolist() == [4.0] * 4


def test_segments_keep_their_clip_and_their_order() -> None:
    segments = Segments.gather([[(2.0, 3.0, 1), (0.0, 2.0, 4)], [], [(0.5, 1.0, 2)]])
    assert [segments.of(clip)[2].tolist() for clip in range(3)] == [[4, 1], [], [2]]
    assert segments.of(0)[0].tolist() == [0.0, 2.0]


def test_only_real_transitions_are_kept(written: Path) -> None:
    start, end, _ = read_index(written, ("01",), 3.0).transition.of(0)
    assert (start.tolist(), end.tolist()) == ([2.2], [2.9])


def test_short_clips_are_left_out_and_counted(root: Path) -> None:
    short = pair("0000", duration=3.9)
    edit(root / "data_pairs/Subject01.json", lambda subject: subject["pairs"].update({"0000": short}))
    index = read_index(root, ("01", "02"), min_duration=4.0)
    assert (len(index), index.num_too_short) == (3, 1)
    with pytest.raises(DataError, match=r"no clip of Subject01 lasts at least 5 s \(2 are shorter"):
        read_index(root, ("01",), min_duration=5.0)


def test_the_fingerprint_depends_on_the_content_and_not_on_the_location(root: Path) -> None:
    def fingerprint(place: Path, *subjects: str) -> str:
        return index_fingerprint(read_index(place, subjects, 3.0))

    moved = Path(shutil.copytree(root, root.parent / "moved"))
    found = [fingerprint(root, "01", "02"), fingerprint(root, "01")]
    assert fingerprint(moved, "Subject02", "01") == found[0]
    edit(moved / "data_pairs/Subject08.json", lambda subject: subject.update(note="of another split"))
    assert fingerprint(moved, "01", "02") == found[0]
    for damage in (
        lambda: edit(moved / "label_mapping.json", lambda mapping: mapping.update(note="")),
        lambda: edit(moved / "data_pairs/Subject01.json", lambda subject: subject.update(note="")),
        lambda: (moved / "imu/Subject01/0000.csv").write_text("acc_Pelvis_x\n1\n"),
        lambda: (moved / "videos/Subject02/0001.mp4").write_bytes(b"0"),
    ):
        damage()
        found.append(fingerprint(moved, "01", "02"))
    assert len(set(found)) == 6
    assert all(re.fullmatch("[0-9a-f]{64}", each) for each in found)


@pytest.mark.long
def test_the_index_of_many_clips_stays_small(tmp_path: Path) -> None:
    segments: list[JsonValue] = [{"start": 0.0, "end": 12.0, "activity": "walking"}]
    write_json(tmp_path / "label_mapping.json", {"label_to_idx": {"walking": 0}})
    one: JsonObject = {"video": "a.mp4", "imu": "a.csv", "activity_segments": segments}
    write_json(
        tmp_path / "data_pairs/s.json",
        {"subject": "s", "video_folder": ".", "imu_folder": ".", "pairs": {f"{n:06d}": one for n in range(20_000)}},
    )
    for name in ("a.mp4", "a.csv"):
        (tmp_path / name).write_text("x")
    index = read_index(tmp_path, ("s",), 10.0)
    assert len(index) == 20_000
    assert len(pickle.dumps(index)) < 170 * len(index)


def test_subjects_are_named_in_full_or_by_number() -> None:
    known = ("GoPro1", "Neon1", "Subject08", "8")
    assert select_subjects(("08", "GoPro1", "8"), known, Path("d")) == ["Subject08", "GoPro1", "8"]
    with pytest.raises(
        DataError, match="subject '1' could be GoPro1 or Neon1; available subjects: GoPro1, Neon1, Subject08, 8"
    ):
        select_subjects(("1",), known, Path("d"))
    with pytest.raises(DataError, match="subject '31' is not in the dataset; available subjects: GoPro1"):
        select_subjects(("31",), known, Path("d"))


def test_a_symlinked_root_is_fine(written: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(written, target_is_directory=True)
    assert len(read_index(tmp_path / "link", ("01",), 3.0)) == 2


def test_files_of_other_subjects_are_not_checked(root: Path) -> None:
    (root / "videos/Subject02/0000.mp4").unlink()
    edit(root / "data_pairs/Subject02.json", lambda subject: subject.update(pairs=3))
    assert len(read_index(root, ("01", "08"), 3.0)) == 4


MAPPING = "label_mapping.json"
PAIRS = "data_pairs/Subject01.json"


def first_pair(**fields: object) -> Callable[[Path], None]:
    return lambda root: edit(root / PAIRS, lambda subject: subject["pairs"]["0000"].update(fields))


def fields(path: str, **values: object) -> Callable[[Path], None]:
    return lambda root: edit(root / path, lambda content: content.update(values))


def segment(**values: object) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        edit(root / PAIRS, lambda subject: subject["pairs"]["0000"]["activity_segments"][1].update(values))

    return change


def second_subject_of_that_name(root: Path) -> None:
    (root / "data_pairs/copy.json").write_bytes((root / PAIRS).read_bytes())


SEGMENT = r"Subject01\.json: pairs\.0000\.activity_segments\.1"

DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "no root": (lambda root: root.rename(root.parent / "away"), "dataset: there is no such dataset folder"),
    "no label mapping": (lambda root: (root / MAPPING).unlink(), r"label_mapping\.json: cannot be read: No such file"),
    "no data_pairs": (lambda root: (root / "data_pairs").rename(root / "p"), r"data_pairs: has no \.json file"),
    "malformed mapping": (
        lambda root: (root / MAPPING).write_text('{"label_to_idx":\n {"a": 0,}}'),
        r"label_mapping\.json: Invalid JSON: .* at line 2",
    ),
    "malformed pairs": (
        lambda root: (root / PAIRS).write_text('{"subject": "Subject01",\n\n "pairs": {'),
        r"Subject01\.json: Invalid JSON: .* at line 3",
    ),
    "pairs that are not text": (
        lambda root: (root / PAIRS).write_bytes(b'{"subject": "\xff\xfe"}'),
        r"Subject01\.json: Invalid JSON",
    ),
    "empty pairs file": (lambda root: (root / PAIRS).write_text(""), r"Subject01\.json: Invalid JSON"),
    "deeply nested pairs file": (
        lambda root: (root / PAIRS).write_text("[" * 100_000),
        r"Subject01\.json: Invalid JSON",
    ),
    "a list for a subject": (
        lambda root: (root / PAIRS).write_text("[]"),
        r"Subject01\.json: Input should be an object",
    ),
    "a subject without name": (fields(PAIRS, subject=7), r"Subject01\.json: subject: Input should be a valid string"),
    "pairs of the wrong shape": (fields(PAIRS, pairs=[1]), r"Subject01\.json: pairs: Input should be an object"),
    "a subject that is described twice": (
        second_subject_of_that_name,
        r"copy\.json: imu/Subject01/0000.csv of Subject01 is already described by",
    ),
    "labels with a gap": (fields(MAPPING, label_to_idx={"standing": 0, "walking": 2}), "from 0 without gaps"),
    "labels that share an index": (fields(MAPPING, label_to_idx={"standing": 0, "walking": 0}), "from 0 without gaps"),
    "labels that are no integers": (
        fields(MAPPING, label_to_idx={"standing": "0"}),
        r"label_mapping\.json: label_to_idx\.standing: Input should be a valid integer",
    ),
    "two mappings that disagree": (
        fields(MAPPING, idx_to_label={"0": "standing", "1": "stairs_up", "2": "walking"}),
        "label_to_idx and idx_to_label disagree about index 1, 2",
    ),
    "one activity in two spellings": (
        fields(MAPPING, label_to_idx={"stairs up": 0, "stairs_up": 1}),
        r"label_mapping\.json: .*'stairs up' and 'stairs_up' differ only in case, .*; use one spelling for both",
    ),
    "missing video": (
        lambda root: (root / "videos/Subject01/0001.mp4").unlink(),
        r"0001\.mp4: the video of Subject01/0001 is missing: No such file .*Subject01\.json",
    ),
    "empty video": (
        lambda root: (root / "videos/Subject01/0001.mp4").write_bytes(b""),
        r"0001\.mp4: the video of Subject01/0001 is empty",
    ),
    "missing recording": (
        lambda root: (root / "imu/Subject01/0000.csv").unlink(),
        r"0000\.csv: the IMU recording of Subject01/0000 is missing",
    ),
    "empty recording": (
        lambda root: (root / "imu/Subject01/0000.csv").write_bytes(b""),
        r"0000\.csv: the IMU recording of Subject01/0000 is empty",
    ),
    "a folder for a video": (first_pair(video="../Subject02"), r"Subject02: the video of .* is not a file"),
    "a name that is too long": (
        first_pair(imu="x" * 5000),
        r"the IMU recording of Subject01/0000 is missing: File name",
    ),
    "a pair that names no recording": (
        lambda root: edit(root / PAIRS, lambda subject: subject["pairs"]["0000"].pop("imu")),
        r"Subject01\.json: pairs\.0000\.imu: Field required",
    ),
    "reversed segment": (segment(start=3.0, end=2.5), SEGMENT + r": ends at 2\.5 s, before it starts at 3 s"),
    "negative segment": (segment(start=-1.0), SEGMENT + r"\.start: Input should be greater than or equal to 0"),
    "endless segment": (segment(end=float("inf")), SEGMENT + r"\.end: Input should be a finite number"),
    "segment at no time": (segment(end=float("nan")), SEGMENT + r"\.end: Input should be"),
    "times as text": (segment(end="4.0"), SEGMENT + r"\.end: Input should be a valid number"),
    "unknown activity": (
        segment(activity="Walkin"),
        r"Subject01\.json: Subject01/0000: activity 'Walkin' is not in label_mapping\.json; did you mean 'walking'\?",
    ),
    "subject without video": (fields(PAIRS, video_folder=None), "Subject01 has no video"),
    "pair without video": (first_pair(video=None), r"pairs\.0000: Subject01 has no video"),
    "video above the root": (
        first_pair(video="../../../out.mp4"),
        r"Subject01\.json: pairs\.0000: the path 'videos/Subject01/\.\./\.\./\.\./out\.mp4' is outside the dataset's",
    ),
    "absolute recording": (first_pair(imu="/etc/passwd"), "the path 'imu/Subject01//etc/passwd' is outside"),
    "absolute folder": (fields(PAIRS, imu_folder="/etc"), "the path '/etc/000.\\.csv' is outside"),
    "folder above the root": (fields(PAIRS, video_folder="videos/../.."), "is outside the dataset's root"),
    "a path with a zero byte": (first_pair(imu="a\0.csv"), "is outside the dataset's root"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_an_error_that_names_the_file(kind: str, root: Path) -> None:
    (root.parent / "out.mp4").write_bytes(b"x")
    damage, message = DAMAGE[kind]
    damage(root)
    with pytest.raises(DataError, match=message):
        read_index(root, ("01",), min_duration=3.0)


@pytest.mark.skipif(os.name == "nt", reason="a backslash separates folders on Windows")
def test_paths_within_the_root_may_contain_dots() -> None:
    assert layout.relative_file("videos/../imu", "./a.csv") == os.path.join("imu", "a.csv")  # noqa: PTH118
    assert layout.relative_file("", "..a.csv") == "..a.csv"
    assert layout.relative_file("a", "..") is None


def test_a_dataset_that_was_surveyed_before_is_indexed_with_one_look_at_each_file(
    written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recordings = revalexo(written)
    first = recordings.build("train", 0)  # remembers what the files say about time
    looks: Counter[str] = Counter()
    stat = os.stat

    def counted(path: Path | str | int, *, dir_fd: int | None = None, follow_symlinks: bool = True) -> os.stat_result:
        looks[Path(str(path)).suffix] += 1
        return stat(path, dir_fd=dir_fd, follow_symlinks=follow_symlinks)

    monkeypatch.setattr(os, "stat", counted)
    again = recordings.build("train", 0)
    assert again.fingerprint() == first.fingerprint()
    clips = len(set(again.clip_names))
    assert (looks[".mp4"], looks[".csv"]) == (clips, clips)
