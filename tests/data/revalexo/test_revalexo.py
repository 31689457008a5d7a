from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError
from support.tiny_dataset import revalexo

from revalexo_clip.core.errors import DataError
from revalexo_clip.data import Dataset, RevalExo


def test_it_survives_json() -> None:
    data = revalexo(Path("data/RevalExoDataset"))
    assert data.model_dump(mode="json")["root"] == "data/RevalExoDataset"
    assert TypeAdapter(Dataset).validate_json(data.model_dump_json()) == data


def test_the_defaults_are_revalexos() -> None:
    data = RevalExo(root=Path("d"), train_subjects=("01",), val_subjects=("08",))
    assert data.channels == (
        "acc_Pelvis_*", "acc_*_Upper_Leg_*", "acc_*_Lower_Leg_*", "acc_*_Foot_*",
        "gyro_Pelvis_*", "gyro_*_Upper_Leg_*", "gyro_*_Lower_Leg_*", "gyro_*_Foot_*",
    )  # fmt: skip
    assert (data.imu_rate, data.window, data.windows_per_clip, data.eval_stride) == (60.0, 2.0, 10, 0.5)
    assert (data.min_duration, data.horizons) == (10.0, (0.0,))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"crop": 64, "short_side": 48}, r"crop \(64 px\) must not be larger than short_side \(48 px\)"),
        ({"min_duration": 1.0}, r"min_duration \(1 s\) must not be less than window \(2 s\)"),
        ({"imu_rate": 0.1}, "has no IMU samples"),
        ({"window": -1.0}, "greater than 0"),
        ({"channels": ()}, "at least 1 item"),
        ({"horizons": (-0.5,)}, "greater than or equal to 0"),
        ({"val_subjects": ("02",)}, "subject 02 is in both train_subjects and val_subjects"),
        ({"val_subjects": ("Subject02",)}, r"subject 02 is in both train_subjects and val_subjects \(as Subject02\)"),
        ({"test_subjects": ("08",)}, "subject 08 is in both val_subjects and test_subjects"),
        ({"train_subjects": ("01", "Subject01")}, r"subject 01 is twice in train_subjects \(as Subject01\)"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        revalexo(Path("d"), **fields)


def test_it_evaluates_other_subjects_with_everything_else_as_it_was(written: Path) -> None:
    data = revalexo(written, train_subjects=("02",), test_subjects=("01",), frames=3, horizons=(0.0, 0.5), workers=1)
    other = data.evaluating(("08", "02"))
    assert [other.subjects(split) for split in ("train", "val", "test")] == [(), (), ("08", "02")]
    changed = ("train_subjects", "val_subjects", "test_subjects")
    assert other.model_dump(exclude=set(changed)) == data.model_dump(exclude=set(changed))
    assert set(other.build("test", seed=0).clip_subjects) == {"Subject02", "Subject08"}
    assert data.subjects("test") == ("01",)


def test_subjects_to_evaluate_are_checked_like_any_others() -> None:
    with pytest.raises(ValidationError, match=r"subject 08 is twice in test_subjects \(as Subject08\)"):
        revalexo(Path("d")).evaluating(("08", "Subject08"))


def test_an_empty_split_is_an_error(written: Path) -> None:
    with pytest.raises(DataError, match=r"set `data\.test_subjects`"):
        revalexo(written).build("test", seed=0)


def test_a_subject_that_is_not_there_is_an_error_that_lists_those_that_are(written: Path) -> None:
    with pytest.raises(
        DataError, match="'31' is not in the dataset; available subjects: Subject01, Subject02, Subject08"
    ):
        revalexo(written, val_subjects=("31",)).build("val", seed=0)


@pytest.mark.long
def test_a_pattern_without_columns_is_an_error_before_training(written: Path) -> None:
    with pytest.raises(
        DataError, match=r"0000\.csv: no column matches the channel pattern 'acc_Head_\*'; columns: time, acc_"
    ):
        revalexo(written, channels=("acc_Head_*",)).build("train", seed=0)
