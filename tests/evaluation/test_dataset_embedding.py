"""Vectors of the windows of a dataset: the same as of single windows, with the labels and subjects of the files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.simulated_layout import activity_at, write_simulated, write_untrained

from revalexo_clip import embed_dataset, load_encoder
from revalexo_clip.core.errors import ConfigError, DataError
from revalexo_clip.data import RevalExo
from revalexo_clip.evaluation.dataset_embedding import best_without_overlap
from revalexo_clip.export import PretrainedImuEncoder
from revalexo_clip.metrics.handcrafted_features import handcrafted_features


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_simulated(tmp_path_factory.mktemp("simulated") / "data", (9, 10))


@pytest.fixture(scope="module")
def encoder(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_untrained(tmp_path_factory.mktemp("encoders") / "imu", root)


def reading(root: Path, **fields: object) -> RevalExo:
    return RevalExo.model_validate({"root": root, "train_subjects": ("09",), "val_subjects": ()} | fields)


@pytest.mark.long
def test_vectors_are_those_of_single_windows(root: Path, encoder: Path) -> None:
    loaded = load_encoder(encoder)
    assert isinstance(loaded, PretrainedImuEncoder)
    data = reading(root)
    found = embed_dataset(data, loaded, ["10"], batch=7)
    embedded = embed_dataset(data, encoder, ["10"], vectors="embeddings")
    handcrafted = embed_dataset(data, encoder, ["10"], vectors="handcrafted")
    windows = data.evaluating(("10",)).labelled("test", seed=0)
    assert len(found) == len(windows) == 53  # 28 s, one window of 2 s every 0.5 s: no moment twice
    with torch.no_grad():
        for row in (0, 20, 52):
            imu_BLC = windows[0, row].imu_LC[None]
            assert found.vector_ND[row] == pytest.approx(loaded(imu_BLC)[0].numpy(), abs=1e-5)
            assert embedded.vector_ND[row] == pytest.approx(loaded.embed(imu_BLC)[0].numpy(), abs=1e-5)
            expected = handcrafted_features(imu_BLC, 60.0)[0].numpy()
            assert handcrafted.vector_ND[row] == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_labels_and_subjects_are_those_of_the_files(root: Path, encoder: Path) -> None:
    found = embed_dataset(reading(root, test_subjects=("10",)), encoder)
    assert set(found.subject_N.tolist()) == {"Subject10"}
    both = embed_dataset(reading(root), encoder, ["09", "Subject10"])
    assert set(both.subject_N.tolist()) == {"Subject09", "Subject10"}
    checked = 0
    for clip, start, label in zip(both.clip_N.tolist(), both.start_N.tolist(), both.label_N.tolist(), strict=True):
        if start + 2 < 12:
            assert label == activity_at(root, clip, round(start + 2, 3))
            checked += 1
    assert checked > 90
    row = both.row_at("Subject10/0001", 4.0)
    assert (both.clip_N[row], both.start_N[row]) == ("Subject10/0001", 3.0)
    with pytest.raises(ConfigError, match="Subject10/0009"):
        both.row_at("Subject10/0009", 4.0)


def test_windows_of_another_format_are_refused(root: Path, encoder: Path) -> None:
    with pytest.raises(DataError, match=r"IMU window: 2\.0 in training, 1\.0 here"):
        embed_dataset(reading(root, window=1.0), encoder, ["10"])
    with pytest.raises(DataError, match="gyro_Pelvis_x"):
        embed_dataset(reading(root, channels=("acc_*",)), encoder, ["10"])


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 30), st.integers(-5, 5)), min_size=1, max_size=30))
def test_the_best_windows_share_no_time_and_leave_out_only_what_does(rows: list[tuple[int, int, int]]) -> None:
    recording_N, half_N, rank_N = (np.array(column) for column in zip(*rows, strict=True))
    time_N, score_N = half_N / 2, np.where(rank_N == -5, -np.inf, rank_N.astype(float))
    best = best_without_overlap(score_N, recording_N, time_N, 2.0, len(rows)).tolist()

    def shares(one: int, other: int) -> bool:
        return bool(recording_N[one] == recording_N[other]) and abs(float(time_N[one] - time_N[other])) < 2.0

    assert not any(shares(one, other) for place, one in enumerate(best) for other in best[:place])
    assert score_N[best].tolist() == sorted(score_N[best], reverse=True)
    for row in set(range(len(rows))) - set(best):
        better = [one for one in best if score_N[one] >= score_N[row]]
        assert score_N[row] == -np.inf or any(shares(row, one) for one in better)
    assert best_without_overlap(score_N, recording_N, time_N, 2.0, 2).tolist() == best[:2]
