"""Labelled recordings in other layouts than RevalExo's: windows, labels, units, rates and errors."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from support.recorded import CHANNELS, LABELS, LENGTHS, Array, from_npz, write_csv, write_npz, write_table
from torch.utils.data import DataLoader

from revalexo_clip.core.errors import ConfigError, DataError
from revalexo_clip.core.types import UNLABELLED, Batch, ImuSpec
from revalexo_clip.data import ImuRecordings, Recordings
from revalexo_clip.data.batches import EpochSampler
from revalexo_clip.data.dataset import Fetch, arrived, collate
from revalexo_clip.data.recordings import imu_recordings
from revalexo_clip.export.sliding_windows import slide

RATE = 198.45
BEGUN = 1_700_000_000.5
"""Start time of a recording with a time column [s]."""


@pytest.fixture(scope="module")
def npz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five recordings of three subjects; tests must not change it."""
    return write_npz(tmp_path_factory.mktemp("npz") / "five.npz")


def write_walk(path: Path, seconds: float = 7.0, phase: float = 0.0) -> None:
    """Write slow oscillations in g and deg/s, at another rate, with a time column."""
    time_n = np.arange(round(seconds * RATE)) / RATE
    write_csv(
        path,
        {
            "clock": BEGUN + time_n,
            "turn": 30 * np.cos(2 * time_n + phase),
            "up": 1 + 0.2 * np.sin(3 * time_n + phase),
            "battery": np.full(len(time_n), 3.7),
        },
    )


@pytest.fixture
def walks(tmp_path: Path) -> Path:
    """Two recordings of two subjects, with segments by the recordings' own clock."""
    root = tmp_path / "walks"
    write_walk(root / "anna" / "1.csv")
    write_walk(root / "ben.csv", phase=1.0)
    write_table(root / "recordings.csv", "subject,note,file", "Anna,first,anna/1.csv", "Ben,,./ben.csv")
    write_table(
        root / "segments.csv",
        "file,start,end,label",
        f"anna/1.csv,{BEGUN + 2.5},{BEGUN + 4.0},walking",
        f"anna/1.csv,{BEGUN + 4.25},{BEGUN + 7.2},climbing",
        f"ben.csv,{BEGUN + 0.0},{BEGUN + 3.0},standing",
    )
    return root


def from_csv(root: Path, **fields: object) -> ImuRecordings:
    wanted: dict[str, object] = {
        "root": root,
        "train_subjects": ("Ben",),
        "val_subjects": ("Anna",),
        "channels": {"acc_Head_z": "up", "gyro_Head_z": "turn"},
        "units": {"acc": "g", "gyro": "deg/s"},
        "time": "clock",
    }
    return ImuRecordings.model_validate(wanted | fields)


def test_windows_of_an_npz_file_are_its_rows(npz: Path) -> None:
    dataset = from_npz(npz, horizons=(0.0, 1.2)).labelled("val", seed=0)
    assert (dataset.clip_names, dataset.clip_subjects) == (("1/2", "1/4"), ("1", "1"))
    assert (dataset.activities, dataset.num_too_short) == (("walking", "sitting", "climbing"), 0)
    assert dataset.imu_spec == ImuSpec(CHANNELS, ("m/s^2", "m/s^2", "rad/s"), 60.0, 2.0)
    starts = [(0, 0.0), (0, 0.5), (0, 1.0), (1, 0.0), (1, 0.5), (1, 1.0), (1, 1.5), (1, 2.0)]
    assert len(dataset) == len(starts)
    for index, (clip, start) in enumerate(starts):
        sample = dataset[0, index]
        assert (sample.clip.item(), sample.start.item(), sample.window.item()) == (clip, start, index)
        first = (300 + 90, 300 + 90 + 180 + 721)[clip] + round(60 * start)
        expected_L = np.arange(first, first + 120)
        assert np.array_equal(sample.imu_LC, expected_L[:, None] + np.array([0, 0.25, 0.5]))
        assert sample.video_THWC.shape == (0, 0, 0, 3)
        later = UNLABELLED if start + 3.2 > (3.0, 4.0)[clip] else (2, 0)[clip]
        assert sample.label_K.tolist() == [(2, 0)[clip], later]
        assert sample.transition_K.tolist() == [False, False]


def test_training_windows_are_as_many_as_a_recording_is_long(npz: Path) -> None:
    dataset = from_npz(npz).labelled("train", seed=4)
    assert (dataset.clip_names, dataset.num_too_short) == (("12/3", "3/0"), 1)  # the one of 1.5 s is no window
    assert np.bincount(dataset.windows.clip_N).tolist() == [11, 3]
    starts = [[dataset[epoch, index].start.item() for index in range(len(dataset))] for epoch in range(2)]
    assert not set(starts[0]) & set(starts[1])
    for clip, length in ((0, 721), (1, 300)):
        of_clip = dataset.windows.clip_N == clip
        stretch = (length / 60 - 2) / of_clip.sum()
        assert 0.9 < stretch <= 1.0
        for drawn in starts:
            assert np.floor(np.array(drawn)[of_clip] / stretch).tolist() == list(range(of_clip.sum()))
    assert starts[0] == [from_npz(npz).labelled("train", seed=4)[0, i].start.item() for i in range(len(dataset))]
    assert len(from_npz(npz, train_stride=4.0).labelled("train", seed=4)) == 3 + 1


def test_labels_are_those_of_the_samples_in_every_epoch(walks: Path) -> None:
    both: dict[str, object] = {"train_subjects": ("Anna", "Ben"), "val_subjects": ()}
    dataset = from_csv(walks, **both, horizons=(0.0, 0.1, 0.7, 2.0), train_stride=0.2).labelled("train", seed=1)
    for epoch in (0, 3):
        labels_NK = dataset.labels(epoch)
        assert labels_NK.tolist() == [dataset[epoch, index].label_K.tolist() for index in range(len(dataset))]
        assert set(labels_NK.ravel().tolist()) == {UNLABELLED, 0, 1, 2}


def test_csv_files_are_mapped_converted_and_resampled(walks: Path) -> None:
    dataset = from_csv(walks).labelled("val", seed=0)
    assert dataset.imu_spec == ImuSpec(("acc_Head_z", "gyro_Head_z"), ("m/s^2", "rad/s"), 60.0, 2.0)
    assert dataset.clip_names == ("Anna/anna/1.csv",)
    assert len(dataset) == 11
    for index in (1, 6, 9):  # the very ends of a recording feel that it ends
        time_L = 0.5 * index + np.arange(120) / 60
        expected_LC = np.stack([9.80665 * (1 + 0.2 * np.sin(3 * time_L)), np.deg2rad(30) * np.cos(2 * time_L)], axis=1)
        np.testing.assert_allclose(dataset[0, index].imu_LC, expected_LC, atol=2e-4)


def test_labels_apply_only_within_their_segments(walks: Path) -> None:
    dataset = from_csv(walks, horizons=(0.0, 2.0)).labelled("val", seed=0)
    assert dataset.activities == ("climbing", "standing", "walking")  # of all subjects
    names = {UNLABELLED: None, **dict(enumerate(dataset.activities))}
    shown = [[names[label] for label in dataset[0, index].label_K.tolist()] for index in (0, 1, 4, 5, 10)]
    assert shown == [
        [None, None],  # 2.0 s; 4.0 s, where walking ends
        ["walking", "climbing"],  # 2.5 s; 4.5 s
        [None, "climbing"],  # 4.0 s; 6.0 s
        ["climbing", "climbing"],  # 4.5 s; 6.5 s
        ["climbing", None],  # 7.0 s, where the recording ends; 9.0 s
    ]


@pytest.mark.parametrize("how", [{"rate": RATE, "time": None}, {"time": "clock"}])
def test_windows_are_those_that_an_exported_encoder_cuts(how: dict[str, object], walks: Path) -> None:
    (walks / "segments.csv").unlink()
    write_table(walks / "recordings.csv", "file,subject,label", "anna/1.csv,Anna,a", "ben.csv,Ben,b")
    channels = {"up": "up", "turn": "turn"}
    dataset = from_csv(walks, channels=channels, units={}, **how).labelled("val", seed=0)
    columns_nC = np.loadtxt(walks / "anna" / "1.csv", delimiter=",", skiprows=1)
    frame = dict(zip(("clock", "turn", "up", "battery"), columns_nC.T, strict=True))
    rate = RATE if "rate" in how else None
    own = slide(frame, dataset.imu_spec, rate=rate, time=None if rate else "clock", stride=0.5)
    (batch_BLC,) = own.batches(len(own.places))
    assert len(batch_BLC) == len(dataset) == 11
    np.testing.assert_allclose(batch_BLC, torch.stack([dataset[0, index].imu_LC for index in range(11)]), atol=1e-5)


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_samples_are_the_same_for_any_number_of_workers(npz: Path) -> None:
    def loaded(workers: int, context: str | None) -> list[torch.Tensor]:
        dataset = from_npz(npz).labelled("train", seed=4)
        sampler = EpochSampler(len(dataset), 4, seed=1)
        sampler.set_epoch(2)
        loading = DataLoader(
            Fetch(dataset),
            batch_size=4,
            sampler=sampler,
            num_workers=workers,
            collate_fn=collate,
            multiprocessing_context=context,
        )
        return [field for fetched in loading for field in arrived(fetched)]

    alone = loaded(0, None)
    assert len(alone) == 3 * len(Batch._fields)
    assert all(torch.equal(one, other) for one, other in zip(alone, loaded(2, "fork"), strict=True))


def test_it_can_be_pickled_and_samples_do_not_share_memory(npz: Path) -> None:
    dataset = from_npz(npz).labelled("val", seed=0)
    travelled = pickle.loads(pickle.dumps(dataset))
    dataset[0, 3].imu_LC.zero_()
    assert torch.equal(dataset[0, 3].imu_LC, travelled[0, 3].imu_LC)
    assert dataset[0, 3].imu_LC.min() > 0


def test_statistics_are_those_of_the_split(npz: Path) -> None:
    mean, std = from_npz(npz).labelled("train", seed=0).imu_statistics()
    rows = np.concatenate([np.arange(300), np.arange(300 + 90 + 180, sum(LENGTHS) - 240)])
    np.testing.assert_allclose(mean, [rows.mean(), rows.mean() + 0.25, rows.mean() + 0.5], rtol=1e-6)
    np.testing.assert_allclose(std, [rows.std()] * 3, rtol=1e-6)


def test_a_fingerprint_is_that_of_the_content(npz: Path, walks: Path, tmp_path: Path) -> None:
    one, moved = from_npz(npz), from_npz(write_npz(tmp_path / "moved.npz"))
    changed = from_npz(write_npz(tmp_path / "changed.npz", label=np.array(LABELS[1:] + LABELS[:1])))
    prints = [data.labelled("val", seed).fingerprint() for data in (one, moved, changed) for seed in (0, 1)]
    assert prints[0] == prints[1] == prints[2] == prints[3] != prints[4]
    parts = {one.evaluating(subjects).labelled("test", 0).fingerprint() for subjects in (("1",), ("3",), ("3", "1"))}
    assert len(parts) == 3
    before = from_csv(walks).labelled("val", 0).fingerprint()
    (walks / "segments.csv").write_text((walks / "segments.csv").read_text().replace("walking", "running"))
    assert from_csv(walks).labelled("val", 0).fingerprint() != before


def test_it_survives_json_with_its_channels_in_order(walks: Path) -> None:
    data = from_csv(walks, channels={"gyro_Head_z": "turn", "acc_Head_z": "up"})
    again = TypeAdapter(Recordings).validate_json(data.model_dump_json())
    assert again == data
    assert again.labelled("val", 0).imu_spec.channels == ("gyro_Head_z", "acc_Head_z")


def test_without_a_mapping_channels_are_the_columns_that_are_named_so(walks: Path) -> None:
    for path in (walks / "anna" / "1.csv", walks / "ben.csv"):
        path.write_text(path.read_text().replace("turn", "gyro_z").replace("up", "acc_z"))
    assert from_csv(walks, channels={}).labelled("val", 0).imu_spec.channels == ("acc_z", "gyro_z")


def test_the_longest_matching_name_sets_the_unit(npz: Path) -> None:
    plain = from_npz(npz).labelled("val", 0)[0, 0].imu_LC
    mixed = from_npz(npz, units={"acc": "g", "acc_y": "m/s^2"}).labelled("val", 0)[0, 0].imu_LC
    np.testing.assert_allclose(mixed, plain * torch.tensor([9.80665, 1, 1]), rtol=1e-6)


def test_evaluation_windows_of_other_subjects(npz: Path) -> None:
    dataset = from_npz(npz).evaluating(("12", "3")).labelled("test", seed=0)
    assert dataset.clip_names == ("12/3", "3/0")
    assert len(dataset) == 21 + 7


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"val_subjects": ("3",)}, "subject 3 is in both train_subjects and val_subjects"),
        ({"units": {"acc": "mg"}}, r"units\.acc\n.*Input should be 'm/s\^2', 'g', 'rad/s' or 'deg/s'"),
        ({"rate": 60.0}, "an .npz file contains its sampling rate"),
        ({"root": "walks"}, r"set either rate \[Hz\] or time"),
        ({"root": "walks", "rate": 50.0, "time": "t"}, "either rate"),
        ({"channels": {"acc_x": "ax", "acc_y": "ax"}}, "column ax is used for more than one channel"),
        ({"window": 0.001}, "has no IMU samples"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        from_npz(Path("five.npz"), **fields)


NAN = np.full((sum(LENGTHS), 3), 1.0)
NAN[395, 1] = np.nan
HUGE = np.full((sum(LENGTHS), 3), 1e39)

BROKEN_NPZ: dict[str, dict[str, Array | None]] = {
    "lacks the array label, fs; arrays: data, offsets, subject": {"fs": None, "label": None},
    "pickled Python objects, which are never read: save text as arrays of strings": {
        "activities": np.array(["a", "b", "c"], dtype=object)
    },
    r"row 395 of data \(row 5 of recording 2\), channel acc_y: nan is not a finite number \(1 such values\)": {
        "data": NAN
    },
    "channel acc_x: inf is not a finite number": {"data": HUGE},
    r"data should be numbers \[N, 3\], but is float64 \[1531, 2\]": {"data": NAN[:, :2]},
    "offsets should ascend from 0 to 1531, the length of data, but they go from 0 to 1532": {
        "offsets": np.array([0, 300, 390, 570, 1291, 1532])
    },
    "offsets should ascend": {"offsets": np.array([0, 390, 300, 570, 1291, 1531])},
    "offsets should be integers, but is float64": {"offsets": np.array([0.0, 1531.0])},
    "recording 3 has label 3, but labels should be from 0 to 2, indices into activities": {
        "label": np.array([0, 1, 2, 3, 0])
    },
    "recording 0 has label -1": {"label": np.array([-1, 1, 2, 1, 0])},
    r"label should be 5 integers, one per recording, but is int64 \[4\]": {"label": np.array(LABELS[:4])},
    "subject should be 5 integers or strings": {"subject": np.array(["Anna", "Ben"])},
    "the activities 'sit down' and 'sit_down' differ only in case, spaces, hyphens or underscores": {
        "activities": np.array(["sit down", "walk", "sit_down"])
    },
    "channels contains a name twice: acc_x, acc_x, gyro_x": {"channels": np.array(["acc_x", "acc_x", "gyro_x"])},
    r"activities should be an array of strings, but is int64 \[3\]": {"activities": np.arange(3)},
    r"fs should be a positive number, the sampling rate \[Hz\], but is int64 \[\]": {"fs": np.array(0)},
    r"a recording at 25 Hz has no signal above 12\.5 Hz": {"fs": np.array(25.0)},
}


@pytest.mark.parametrize("message", BROKEN_NPZ)
def test_an_npz_file_that_is_not_as_described_is_an_error_that_names_it(message: str, tmp_path: Path) -> None:
    path = write_npz(tmp_path / "broken.npz", **BROKEN_NPZ[message])
    with pytest.raises(DataError, match=f"^{re.escape(str(path))}: .*{message}"):
        from_npz(path).labelled("val", seed=0)


def test_what_is_no_npz_file_is_an_error_that_says_so(npz: Path, tmp_path: Path) -> None:
    path = tmp_path / "broken.npz"
    for content, message in (
        (None, "cannot be read: No such file or directory"),
        (b"<html>", "is not an .npz file"),
        (b"", "is not an .npz file"),
        (npz.read_bytes()[:5000], "is an incomplete or corrupt .npz file: "),
    ):
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(DataError, match=f"^{re.escape(str(path))}: {message}"):
            from_npz(path).labelled("val", seed=0)


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"val_subjects": ("7",)}, DataError, "subject '7' is not in the dataset; available subjects: 3, 1, 12"),
        ({"val_subjects": ()}, DataError, r"set `data\.val_subjects`"),
        ({"channels": {"acc_Head_x": "ax"}}, DataError, "five.npz: no column ax; columns: acc_x, acc_y, gyro_x"),
        ({"units": {"accel": "g"}}, ConfigError, r"data\.units: no channel .* accel; channels: acc_x, acc_y, gyro_x"),
        ({"units": {"acc": "deg/s"}}, ConfigError, r"acc_x cannot be converted from deg/s to m/s\^2"),
        ({"window": 30.0}, DataError, "no recording of 1 is as long as a window of 30 s"),
    ],
)
def test_what_does_not_fit_the_recordings_is_an_error(
    fields: dict[str, object], error: type[Exception], message: str, npz: Path
) -> None:
    with pytest.raises(error, match=message):
        from_npz(npz, **fields).labelled("val", seed=0)


def test_more_than_memory_should_hold_is_an_error(npz: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imu_recordings, "LARGEST", 180 * 3 * 4)
    with pytest.raises(DataError, match=r"five\.npz: the recordings of this split take more than .*data\.imu_rate"):
        from_npz(npz).labelled("val", seed=0)


def replace(file: str, old: str, new: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        text = (root / file).read_text()
        assert old in text
        (root / file).write_text(text.replace(old, new, 1))

    return change


def remove(file: str) -> Callable[[Path], None]:
    return lambda root: (root / file).unlink()


BROKEN_CSV: dict[str, tuple[Callable[[Path], object], str]] = {
    "no folder": (
        lambda root: root.rename(root.with_name("gone")),
        r"walks: there is no such folder; set `data\.root`",
    ),
    "a file": (
        lambda root: (root.rename(root.with_name("gone")), root.write_text("")),
        "walks: is neither a folder nor an .npz file",
    ),
    "no table": (remove("recordings.csv"), "walks: has no recordings.csv"),
    "no labels": (remove("segments.csv"), r"recordings\.csv: has no column label, and segments\.csv does not exist"),
    "labels twice": (
        replace("recordings.csv", "note", "label"),
        r"recordings\.csv: has a column label, but segments\.csv exists too; keep one of them",
    ),
    "no subject": (
        replace("recordings.csv", "subject", "who"),
        r"recordings\.csv: no column subject; columns: who, note, file",
    ),
    "empty cell": (replace("recordings.csv", "Ben", " "), r"recordings\.csv: line 3: column subject is empty"),
    "short line": (replace("recordings.csv", "Ben,", ""), r"recordings\.csv: line 3 has 2 cells, the header has 3"),
    "same file twice": (
        replace("recordings.csv", "./ben.csv", "anna/../anna/1.csv"),
        r"recordings\.csv: line 3: anna/1\.csv is already in line 2",
    ),
    "outside": (
        replace("recordings.csv", "anna/1.csv", "../1.csv"),
        r"recordings\.csv: line 2: the path '\.\./1\.csv' is outside the table's folder",
    ),
    "file not there": (
        remove("anna/1.csv"),
        r"anna/1\.csv: the recording of Anna is missing: No such file or directory \(named in .*recordings\.csv\)",
    ),
    "one activity in two spellings": (
        replace("segments.csv", "climbing", "Walking"),
        r"segments\.csv: the activities 'Walking' and 'walking' differ only in case, .*; use one spelling for both",
    ),
    "segment of no recording": (
        replace("segments.csv", "anna/1.csv", "anna/2.csv"),
        r"segments\.csv: line 2: anna/2\.csv is not in recordings\.csv",
    ),
    "segment runs back": (
        replace("segments.csv", f"{BEGUN + 4.0}", f"{BEGUN + 2.0}"),
        r"segments\.csv: line 2: ends at .* s, before it starts at",
    ),
    "segment beyond": (
        replace("segments.csv", f"{BEGUN + 7.2}", f"{BEGUN + 8}"),
        r"segments\.csv: line 3: .* from 1700000004\.75 s to .* but anna/1\.csv is from 1700000000\.50 s to",
    ),
    "no number": (
        replace("segments.csv", f"{BEGUN + 7.2}", "end"),
        r"segments\.csv: line 3, column end: 'end' is not a number of seconds",
    ),
    "no such column": (replace("anna/1.csv", "up", "Up"), r"1\.csv: no column up; columns: clock, turn, Up, battery"),
    "column twice": (replace("anna/1.csv", "battery", "up"), r"1\.csv: more than one column is named up"),
    "no clock": (replace("anna/1.csv", "clock", "t"), r"1\.csv: no column clock; columns: t, turn"),
    "not a number": (replace("anna/1.csv", ",30.0,", ",off,"), r"1\.csv: line 2 \(row 1\), column turn: 'off' is not"),
    "nan": (replace("anna/1.csv", ",30.0,", ",nan,"), r"1\.csv: line 2 \(row 1\), column turn: 'nan' is not a finite"),
    "clock stands": (
        replace("anna/1.csv", repr(BEGUN + 1 / RATE), repr(BEGUN)),
        r"1\.csv: line 3, column clock: the clock repeats 1700000000\.500000 s .*on_bad_time=sort",
    ),
}


@pytest.mark.parametrize("damage", BROKEN_CSV)
def test_csv_files_that_are_not_as_described_are_an_error_that_names_them(damage: str, walks: Path) -> None:
    change, message = BROKEN_CSV[damage]
    change(walks)
    with pytest.raises(DataError, match=message):
        from_csv(walks).labelled("val", seed=0)


def test_channels_must_be_set_if_no_column_has_a_standard_name(walks: Path) -> None:
    with pytest.raises(DataError, match=r"1\.csv: no column is named acc_\.\.\. or gyro_\.\.\.: set data\.channels"):
        from_csv(walks, channels={}, units={}).labelled("val", seed=0)


def test_a_real_collection_makes_windows(real: Path) -> None:
    file = real.parent / "har_classyglass1a_60hz.npz"
    if not file.is_file():
        pytest.skip(f"no {file.name} beside the real recordings")
    people = tuple(map(str, range(1, 13)))
    data = ImuRecordings(root=file, train_subjects=people[:8], val_subjects=people[8:10], test_subjects=people[10:])
    with np.load(file, allow_pickle=False) as stored:
        samples_NC, offset_R1 = stored["data"], stored["offsets"]
        label_R, subject_R = stored["label"], stored["subject"]
    dataset = data.labelled("val", seed=0)
    assert dataset.imu_spec.channels == tuple(f"{kind}_{axis}" for kind in ("acc", "gyro") for axis in "xyz")
    chosen = [number for number in np.lexsort((np.arange(129), subject_R.astype(str))) if subject_R[number] in (9, 10)]
    windows = [
        (number, start)
        for number in chosen
        for start in np.arange(0, offset_R1[number + 1] - offset_R1[number] - 119, 30)
    ]
    assert len(dataset) == len(windows)
    for index in range(0, len(dataset), 97):
        number, start = windows[index]
        expected_LC = samples_NC[offset_R1[number] + start :][:120].astype(np.float32)
        assert np.array_equal(dataset[0, index].imu_LC, expected_LC)
        assert dataset[0, index].label_K.item() == label_R[number]
    assert set(dataset.labels(0).ravel().tolist()) <= set(range(11))
    train = data.labelled("train", seed=0)
    assert train.num_too_short == sum(
        offset_R1[number + 1] - offset_R1[number] < 120 for number in range(129) if subject_R[number] <= 8
    )
    for index in range(0, len(train), 500):
        assert 7.0 < train[0, index].imu_LC[:, :3].norm(dim=1).mean() < 13.0  # m/s^2, with gravity


def test_real_recordings_at_their_own_rates_are_those_that_others_have_resampled(real: Path, tmp_path: Path) -> None:
    names = {"GoPro1": "gopro_hero7_imu.csv", "Neon1": "neon_multipart1_imu.csv"}  # 198 Hz, and 114 Hz with jitter
    for file in names.values():
        (tmp_path / file).symlink_to(real.parent / file)
    lines = (f"{file},{name},moving" for name, file in names.items())
    write_table(tmp_path / "recordings.csv", "file,subject,label", *lines)
    channels = {f"{kind}_Head_{axis}": f"{kind}_{axis}" for kind in ("acc", "gyro") for axis in "xyz"}
    data = ImuRecordings(
        root=tmp_path, train_subjects=("GoPro1",), val_subjects=("Neon1",), channels=channels, time="time"
    )
    for name, file in names.items():
        dataset = data.evaluating((name,)).labelled("test", seed=0)
        begun = float(np.loadtxt(tmp_path / file, delimiter=",", skiprows=1, max_rows=1)[0])
        at_60_nC = np.loadtxt(real / "imu" / name / "0001.csv", delimiter=",", skiprows=1)
        sample = dataset[0, 2]
        time_L = begun + sample.start.item() + np.arange(120) / 60
        for channel, theirs_n in enumerate(at_60_nC.T):
            theirs_L = np.interp(time_L, np.arange(len(theirs_n)) / 60, theirs_n)
            assert np.corrcoef(theirs_L, sample.imu_LC[:, channel])[0, 1] > 0.97  # half a sample off: 0.90
            assert sample.imu_LC[:, channel].mean() == pytest.approx(theirs_L.mean(), abs=0.1 * theirs_L.std())
