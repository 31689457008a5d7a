from __future__ import annotations

import pytest
import torch
from torch import Tensor

from revalexo_clip.pretraining.validation import BetweenSubjects

CLIPS = ("Ann", "Bob", "Ann", "Cid", "Dan")


def plain_share(x_ND: Tensor, names: list[str]) -> float:
    rows = {name: [i for i, own in enumerate(names) if own == name] for name in names}
    mean_D = x_ND.mean(0)
    between = sum(len(own) * (x_ND[own].mean(0) - mean_D).square().sum().item() for own in rows.values())
    return between / (x_ND - mean_D).square().sum().item()


def test_the_share_is_that_of_a_plain_analysis_of_variance_however_windows_come() -> None:
    generator = torch.Generator().manual_seed(0)
    clip_N = torch.randint(0, 4, (60,), generator=generator)
    x_ND = torch.randn(60, 7, generator=generator) + 0.3 * clip_N[:, None]
    between = BetweenSubjects(CLIPS)
    for rows in (slice(0, 13), slice(13, 14), slice(14, 60)):
        between.add(x_ND[rows], clip_N[rows])
    expected = plain_share(x_ND.double(), [CLIPS[clip] for clip in clip_N.tolist()])
    assert between.share() == pytest.approx(expected, rel=1e-12)
    assert 0.02 < expected < 0.9
    between.reset()
    between.add(x_ND[:20], clip_N[:20])
    assert between.share() == pytest.approx(plain_share(x_ND[:20].double(), [CLIPS[c] for c in clip_N[:20].tolist()]))


def test_subjects_that_are_all_there_is_have_all_of_it_and_means_that_agree_none() -> None:
    told, hidden = BetweenSubjects(CLIPS), BetweenSubjects(CLIPS)
    told.add(torch.eye(3)[[0, 1, 0, 2]], torch.tensor([0, 1, 2, 3]))
    hidden.add(torch.tensor([[1.0], [-1.0], [1.0], [-1.0]]), torch.tensor([0, 0, 1, 1]))
    assert told.share() == pytest.approx(1)
    assert hidden.share() == pytest.approx(0)


def test_there_is_no_share_of_one_subject_of_equal_windows_or_of_none() -> None:
    between = BetweenSubjects(CLIPS)
    assert between.share() is None
    between.add(torch.randn(5, 3), torch.tensor([0, 2, 0, 2, 2]))
    assert between.share() is None
    alike = BetweenSubjects(CLIPS)
    alike.add(torch.full((4, 3), 0.1), torch.tensor([0, 1, 3, 3]))
    assert alike.share() is None


def test_the_subject_of_a_window_is_that_of_its_clip() -> None:
    between = BetweenSubjects(CLIPS)
    assert [between.names[place] for place in between.of(torch.tensor([4, 0, 2, 1]))] == ["Dan", "Ann", "Ann", "Bob"]
