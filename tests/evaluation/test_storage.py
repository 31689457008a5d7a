"""`predictions.h5` is read as it was written, or there is an error."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from support.made_predictions import made_predictions

from revalexo_clip.core.errors import DataError
from revalexo_clip.evaluation.storage import read_predictions, write_predictions


@pytest.fixture
def path(tmp_path: Path) -> Path:
    written = tmp_path / "evaluation" / "predictions.h5"
    write_predictions(written, made_predictions(), {"checkpoint": "runs/made/best.ckpt", "sha256": "0123"})
    return written


def test_what_was_written_is_read(path: Path) -> None:
    made, read = made_predictions(), read_predictions(path)
    for field in fields(made):
        one, other = getattr(made, field.name), getattr(read, field.name)
        assert type(one) is type(other)
        np.testing.assert_array_equal(one, other)
        assert not isinstance(one, np.ndarray) or one.dtype == other.dtype
    with h5py.File(path) as file:
        assert dict(file.attrs) == {"checkpoint": "runs/made/best.ckpt", "sha256": "0123"}


def test_a_flipped_bit_is_found(path: Path) -> None:
    content = bytearray(path.read_bytes())
    made = made_predictions().logits_NKA.tobytes()
    content[content.index(made[:64]) + 100] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"predictions\.h5: corrupt, or not a predictions file"):
        read_predictions(path)


@pytest.mark.parametrize("kept", [0, 100, 5000, -1])
def test_a_truncated_file_is_named(path: Path, kept: int) -> None:
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(DataError, match=r"predictions\.h5: corrupt, or not a predictions file"):
        read_predictions(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"predictions\.h5: no such file"):
        read_predictions(tmp_path / "predictions.h5")


def test_a_file_with_other_content_is_named(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "embeddings.h5", "w") as file:
        file["clip"] = [0, 1]
    with pytest.raises(DataError, match=r"embeddings\.h5: corrupt, or not a predictions file: .*'logits'"):
        read_predictions(tmp_path / "embeddings.h5")


def test_arrays_that_do_not_fit_each_other_are_refused(tmp_path: Path) -> None:
    made = made_predictions()
    nan_NKA = np.where(np.arange(5) == 3, np.nan, made.logits_NKA).astype(np.float32)
    for wrong, told in (
        (replace(made, start_N=made.start_N[1:]), r"start has shape \(293,\), expected \(294,\)"),
        (replace(made, horizons=(0.0,)), "logits has shape"),
        (replace(made, clip_names=made.clip_names[1:]), "clip_names and clip_subjects differ in length"),
        (replace(made, clip_N=made.clip_N + 1), "clip holds values outside 0 to 13"),
        (replace(made, label_NK=made.label_NK - 1), "label holds values outside -1 to 4"),
        (replace(made, recording_N=made.recording_N - 1), "recording holds negative values"),
        (replace(made, time_N=np.where(made.time_N > 9, np.nan, made.time_N)), "time is not finite"),
        (replace(made, logits_NKA=nan_NKA), "logits are not finite"),
    ):
        write_predictions(tmp_path / "predictions.h5", wrong, {})
        with pytest.raises(DataError, match=told):
            read_predictions(tmp_path / "predictions.h5")


def test_an_array_that_claims_terabytes_is_refused(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file["logits"]
        file.create_dataset("logits", shape=(2**40, 5, 5), dtype="f4", chunks=(1, 5, 5))
    with pytest.raises(DataError, match=r"predictions\.h5: corrupt, .*'logits' claims more bytes than the file has"):
        read_predictions(path)


def test_an_array_in_another_file_is_refused(path: Path) -> None:
    with h5py.File(path.with_name("other.h5"), "w") as other, h5py.File(path, "r+") as file:
        file.move("logits", "aside")
        file.copy("aside", other, "logits")
        file["logits"] = h5py.ExternalLink("other.h5", "logits")
    with pytest.raises(DataError, match=r"predictions\.h5: corrupt, .*'logits' is missing, or lies in another file"):
        read_predictions(path)
