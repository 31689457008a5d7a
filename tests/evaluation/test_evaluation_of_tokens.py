"""A model with tokens is trained, evaluated and exported by its tokens."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.small_run import built_in_experiment, embed, scores, train

from revalexo_clip.evaluation.protocol import evaluate
from revalexo_clip.reports.values import object_of

pytestmark = pytest.mark.filterwarnings("ignore:::lightning")


@pytest.mark.long
def test_retrieval_compares_the_tokens_of_all_moments(distinct: Path, tmp_path: Path) -> None:
    experiment = built_in_experiment(
        distinct, tokens={"count": 5, "dim": 3, "normalize": "token"}, loss={"type": "InfoNCE", "on": "tokens"}
    )
    run = train(experiment, tmp_path)
    retrieval = object_of(evaluate(run).metrics["retrieval"])
    imu_ND, video_ND = embed(run / "checkpoints" / "best.ckpt", experiment.data.build("test", experiment.seed))
    assert imu_ND.shape[1] == 15
    expected = scores(imu_ND, video_ND, list(range(len(imu_ND))))
    measured = object_of(retrieval["imu_to_video"])
    assert {name: measured[name] for name in expected} == pytest.approx(expected)
