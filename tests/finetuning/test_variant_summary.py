"""The comparison of variants, computed from their predictions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.documented import undocumented
from support.made_predictions import made_predictions
from support.made_variants import KINDS, LABELS, made_comparison, predictions_of, write_outcome

from revalexo_clip.core.errors import DataError
from revalexo_clip.evaluation.storage import read_predictions
from revalexo_clip.finetuning.variant_summary import summarize
from revalexo_clip.finetuning.variants import make_variants
from revalexo_clip.metrics.blocks import units_of
from revalexo_clip.metrics.bootstrap import TimeBootstrap
from revalexo_clip.metrics.paired_differences import compare_classifiers
from revalexo_clip.metrics.per_horizon import SETS, measure_classification
from revalexo_clip.reports.values import child, children


def test_the_comparison_is_that_of_the_predictions_of_each_variant(tmp_path: Path) -> None:
    comparison = made_comparison(tmp_path)
    reading = {name: read_predictions(tmp_path / name / "predictions.h5") for name in ("scratch-10", "full-10")}
    bootstrap = TimeBootstrap(units_of(reading["full-10"]))
    first, last = children(comparison, "labels")
    assert (first["fraction"], first["training_windows"], last["fraction"]) == (0.1, 40, 1.0)
    expected = compare_classifiers(reading["full-10"], reading["scratch-10"], bootstrap)
    assert child(first, "differences", "full") == expected
    assert list(child(first, "differences")) == ["frozen", "full"]
    measured = measure_classification(reading["full-10"], bootstrap, reading["full-10"].activities)
    for found, whole in zip(
        children(first, "variants", "full", "horizons"), children(measured, "horizons"), strict=True
    ):
        for among in SETS:
            assert child(found, among).items() <= child(whole, among).items()
    assert (comparison["windows"], comparison["subjects"]) == (294, ["Subject[0]", "Subject[1]"])
    assert json.loads(json.dumps(comparison, allow_nan=False)) == comparison


def test_every_name_of_the_comparison_is_documented(tmp_path: Path) -> None:
    comparison = made_comparison(tmp_path, missing={"full-10": "it broke"})
    assert undocumented(comparison, {*KINDS, "full-10"}) == []


def test_variants_without_a_result_are_named_and_compared_with_nothing(tmp_path: Path) -> None:
    comparison = made_comparison(tmp_path, missing={"scratch-10": "it broke", "full-100": "so did this"})
    first, last = children(comparison, "labels")
    assert (list(child(first, "variants")), child(first, "differences")) == (["frozen", "full"], {})
    assert (list(child(last, "variants")), list(child(last, "differences"))) == (["scratch", "frozen"], ["frozen"])
    assert comparison["unfinished"] == {"scratch-10": "it broke", "full-100": "so did this"}
    nothing = summarize({}, make_variants(KINDS, [1.0]), {1.0: 9}, {})
    assert (nothing["windows"], nothing["unfinished"]) == (0, dict.fromkeys(f"{kind}-100" for kind in KINDS))


def test_predictions_of_other_windows_are_refused_with_their_file(tmp_path: Path) -> None:
    variants = make_variants(("scratch", "full"), [1.0])
    done = {
        variants[0]: write_outcome(tmp_path / "one", predictions_of(variants[0])),
        variants[1]: write_outcome(tmp_path / "other", made_predictions(clips=6)),
    }
    with pytest.raises(
        DataError, match=r"other/predictions.h5: predictions of different windows .* their clips differ"
    ):
        summarize(done, variants, LABELS, {})
