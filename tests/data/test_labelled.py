"""Windows of IMU only, from a dataset that may have video, which is ignored."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from support.tiny_dataset import revalexo

from revalexo_clip.core.errors import DataError
from revalexo_clip.data import LabelledWindows
from revalexo_clip.data.base import NO_VIDEO
from revalexo_clip.data.dataset import LabelledClips
from revalexo_clip.data.revalexo.pack.build import pack
from revalexo_clip.data.revalexo.pack.find import NAME

FORMS = ["off", "auto"]
"""Values of `data.pack`: the dataset's own files, and its pack."""


def source_of(dataset: LabelledWindows) -> str:
    assert isinstance(dataset, LabelledClips)
    return type(dataset.source).__name__


def silence(root: Path, subject: str, *pair_ids: str) -> None:
    """Remove the video of a subject, or of some of its pairs, from the description and from disk."""
    path = root / "data_pairs" / f"{subject}.json"
    described = json.loads(path.read_text())
    for pair_id in pair_ids or described["pairs"]:
        del described["pairs"][pair_id]["video"]
        (root / "videos" / subject / f"{pair_id}.mp4").unlink()
    if not pair_ids:
        del described["video_folder"]
    path.write_text(json.dumps(described))


def make_form(form: str, root: Path) -> str:
    """Make the pack if `form` needs one; return the name of the source of windows."""
    if form == "auto":
        pack(root)
    return "PackedFiles" if form == "auto" else "RawFiles"


@pytest.mark.parametrize("form", FORMS)
def test_windows_are_those_of_the_dataset_with_video(form: str, written: Path) -> None:
    data = revalexo(written, pack=form, horizons=(0.0, 0.5, 3.0))
    for split in ("train", "val"):
        whole, alone = data.build(split, seed=3), data.labelled(split, seed=3)
        assert len(alone) == len(whole)
        assert (alone.clip_names, alone.imu_spec, alone.activities) == (
            whole.clip_names, whole.imu_spec, whole.activities
        )  # fmt: skip
        for index in range(0, len(alone), 3):
            one, other = alone[1, index], whole[1, index]
            assert torch.equal(one.video_THWC, NO_VIDEO)
            for field in set(one._fields) - {"video_THWC"}:
                assert torch.equal(getattr(one, field), getattr(other, field)), field
        assert alone.imu_statistics() == whole.imu_statistics()


def test_a_window_is_chosen_by_epoch_and_index(written: Path) -> None:
    windows = revalexo(written).labelled("train", seed=0)
    with pytest.raises(TypeError, match=r"a window is chosen by epoch and index, windows\[0, 3\], not by 3 alone"):
        windows[3]  # type: ignore[index]


@pytest.mark.parametrize("form", FORMS)
def test_subjects_and_clips_without_video_are_windows_like_others(form: str, root: Path) -> None:
    silence(root, "Subject02")
    silence(root, "Subject08", "0001")
    source = make_form(form, root)
    data = revalexo(root, pack=form)
    train, val = data.labelled("train", seed=0), data.labelled("val", seed=0)
    assert train.clip_subjects == ("Subject01", "Subject01", "Subject02", "Subject02")
    assert val.clip_names == ("Subject08/0000", "Subject08/0001")
    assert source_of(train) == source_of(val) == source
    for dataset, index in ((train, 5), (train, 25), (val, 3), (val, 8)):
        sample = dataset[0, index]
        first = round(sample.start.item() * 60)
        assert sample.imu_LC[:, 0].tolist() == list(range(first, first + 120))
    with pytest.raises(DataError, match="0000: Subject02 has no video; leave this subject out"):
        data.build("train", seed=0)
    with pytest.raises(DataError, match="0001: Subject08 has no video; leave this subject out"):
        data.build("val", seed=0)


@pytest.mark.parametrize("form", FORMS)
def test_videos_are_not_looked_at(form: str, root: Path) -> None:
    source = make_form(form, root)
    data = revalexo(root, pack=form)
    before = data.labelled("train", seed=0)
    expected, print_of = [before[0, index] for index in (0, 39)], before.fingerprint()
    shutil.rmtree(root / "videos")
    (root / "videos").write_text("whoever looks for a file in here is told that this is no folder")
    dataset = data.labelled("train", seed=0)
    assert source_of(dataset) == source
    for one, index in zip(expected, (0, 39), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, dataset[0, index], strict=True))
    assert dataset.fingerprint() == print_of
    with pytest.raises(DataError, match="video of Subject01/0000 is missing"):
        data.build("train", seed=0)


def test_a_fingerprint_without_video_is_that_of_the_recordings_whatever_the_source(root: Path) -> None:
    pack(root)
    prints = {revalexo(root, pack=form).labelled("train", seed=0).fingerprint() for form in FORMS}
    assert len(prints) == 1
    assert revalexo(root).build("train", seed=0).fingerprint() not in prints
    with (root / "imu/Subject01/0000.csv").open("a") as file:
        file.write("\n")
    assert revalexo(root).labelled("train", seed=0).fingerprint() not in prints


def test_descriptions_of_videos_are_ignored_too(root: Path) -> None:
    path = root / "data_pairs" / "Subject01.json"
    path.write_text(path.read_text().replace('"videos/Subject01"', '"../videos"'))
    assert len(revalexo(root).labelled("train", seed=0)) == 40
    with pytest.raises(DataError, match="is outside the dataset's root"):
        revalexo(root).build("train", seed=0)


def test_small_frames_in_a_pack_do_not_matter_for_imu_windows(root: Path) -> None:
    pack(root, short_side=16)
    data = revalexo(root, pack=root / NAME)
    assert source_of(data.labelled("val", seed=0)) == "PackedFiles"
    with pytest.raises(DataError, match="the short side of its frames is 16 px"):
        data.build("val", seed=0)


def test_recordings_must_still_be_those_that_were_packed(root: Path) -> None:
    pack(root)
    recording = root / "imu/Subject08/0001.csv"
    recording.write_text(recording.read_text().replace("119.", "118."))
    assert source_of(revalexo(root, pack="auto").labelled("val", seed=0)) == "RawFiles"
    recording.unlink()
    with pytest.raises(DataError, match=r"0001\.csv: the IMU recording of Subject08/0001 is missing"):
        revalexo(root, pack="auto").labelled("val", seed=0)


@pytest.mark.parametrize("form", FORMS)
def test_bad_recordings_are_excluded_and_bad_videos_are_not(form: str, root: Path) -> None:
    silence(root, "Subject02")
    for path in (root / "videos/Subject01/0000.mp4", root / "imu/Subject01/0001.csv"):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    data = revalexo(root, pack=form, on_bad_clip="exclude", workers=0)
    dataset = data.labelled("train", seed=0)
    assert list(dataset.excluded) == ["Subject01/0001"]
    assert dataset.clip_names == ("Subject01/0000", "Subject02/0000", "Subject02/0001")
    whole = data.split(("01",), (), ())
    with pytest.raises(DataError, match="2 were excluded"):
        whole.build("train", seed=0)
