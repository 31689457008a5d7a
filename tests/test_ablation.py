"""The variants of the ablation and the rivals are experiments that can be built, and their runs have names."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

import pytest

from revalexo_clip.config.loading import load_experiment
from revalexo_clip.pretraining.contrast import check_vectors

ROOT = Path(__file__).parents[1]
VARIANTS = (
    *("recipe", "no-aligned", "no-recording", "one-network", "tokens-alone", "one-vector", "no-mirror"),
    *("no-rotation", "no-shared", "windows-4", "sensor-dropout", "self-contrast", "frames"),
)


@pytest.fixture
def ablation(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module; `benchmarks/` is no part of the package."""
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks import ablation

    return ablation


def test_the_variants_are_listed(ablation: ModuleType) -> None:
    assert tuple(ablation.VARIANTS) == VARIANTS


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant_differs_from_the_recipe_and_can_be_trained(ablation: ModuleType, variant: str) -> None:
    recipe, changed = (
        load_experiment(str(ROOT / ablation.RECIPE), ablation.VARIANTS[each]) for each in ("recipe", variant)
    )
    assert (changed.to_json() == recipe.to_json()) is (variant == "recipe")
    loss = changed.loss.build()
    check_vectors(loss, tokens=changed.tokens is not None, frame_tokens=changed.frame_tokens is not None)
    assert any(weight > 0 for weight, _ in loss.terms().values())
    assert changed.video is not None
    assert changed.video.takes_frames is (variant == "frames")


def test_runs_with_settings_have_names_that_are_allowed(ablation: ModuleType) -> None:
    name = ablation.run_name(Path("data/world1"), "recipe", 2, ["trainer.max_epochs=1", "loss.terms.aligned=none"])
    assert name == "world1-recipe-trainer.max_epochs_1-loss.terms.aligned_none-2"
    assert load_experiment(str(ROOT / ablation.RECIPE), [f"name={name}"]).name == name
    assert re.fullmatch(r"[A-Za-z0-9._-]+", name)


@pytest.fixture
def rivals(ablation: ModuleType) -> ModuleType:
    """The module of the other systems."""
    from benchmarks import rivals

    return rivals


@pytest.mark.parametrize("system", ["imu2clip", "primus", "comodo"])
def test_a_rival_has_the_data_and_the_budget_of_the_recipe(rivals: ModuleType, system: str) -> None:
    recipe, rival = (
        load_experiment(str(ROOT / file), settings)
        for file, settings in (rivals.SYSTEMS[name] for name in ("motion", system))
    )
    for field in ("data", "video", "joint_augment", "imu_augment", "batch_size", "trainer", "best", "embed_dim"):
        assert getattr(rival, field) == getattr(recipe, field), field
    assert rival.imu != recipe.imu
    check_vectors(rival.loss.build(), tokens=False)
