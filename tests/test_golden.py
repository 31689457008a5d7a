"""tests/golden keeps the resolved form of each experiment in experiments/, so that reviews show changed defaults.

`make golden` writes the files anew.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from revalexo_clip.config.base import Experiment
from revalexo_clip.config.loading import load_experiment, load_experiment_of
from revalexo_clip.core.component import Component

HERE = Path(__file__).parent
EXPERIMENTS = sorted((HERE.parent / "experiments").rglob("*.py"), key=lambda path: path.stem)
GOLDEN = HERE / "golden"


def loaded(path: Path) -> Experiment:
    """Load an experiment of any kind."""
    return load_experiment_of(Experiment, str(path))


def resolved(path: Path) -> str:
    return loaded(path).to_json() + "\n"


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: str(path.stem))
def test_an_experiment_equals_its_golden_file(path: Path) -> None:
    golden = GOLDEN / f"{path.stem}.json"
    assert golden.is_file(), f"{golden} is missing; `make golden` writes it"
    assert resolved(path) == golden.read_text(encoding="utf-8"), (
        f"{path.name} or a default that it takes has changed; if that is meant, run `make golden` and review the "
        f"difference in {golden}"
    )


def test_there_is_no_golden_file_without_an_experiment() -> None:
    assert {path.stem for path in GOLDEN.glob("*.json")} == {path.stem for path in EXPERIMENTS}


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: str(path.stem))
def test_an_experiment_survives_json(path: Path) -> None:
    experiment = loaded(path)
    assert type(experiment).from_json(experiment.to_json()) == experiment
    through_base = experiment.kind().from_json(experiment.to_json())  # as a checkpoint reads it
    assert through_base.to_json() == experiment.to_json()
    for field in ("data", "loss", "optim"):
        assert isinstance(getattr(through_base, field), Component)
    for field in experiment.kind().model_fields:
        assert getattr(through_base, field) == getattr(experiment, field)


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: str(path.stem))
def test_an_experiment_opens_with_the_command_that_runs_it(path: Path) -> None:
    opening = path.read_text(encoding="utf-8").partition("from pathlib")[0]
    command = loaded(path).kind().__name__.removesuffix("Experiment").lower()
    assert f"rxclip {command} {path.relative_to(HERE.parent).as_posix()}" in opening


PUBLISHED = {
    "name": ("x3d_xs", "mvit_base"),
    "seed": (42, 42),
    "data.type": ("RevalExo", "RevalExo"),
    "data.train_subjects": (["29", "02", "24", "26", "05", "07", "17", "06", "11", "03", "20", "01"],) * 2,
    "data.val_subjects": (["08"], ["08"]),
    "data.channels": (
        [
            *("acc_Pelvis_*", "acc_*_Upper_Leg_*", "acc_*_Lower_Leg_*", "acc_*_Foot_*"),
            *("gyro_Pelvis_*", "gyro_*_Upper_Leg_*", "gyro_*_Lower_Leg_*", "gyro_*_Foot_*"),
        ],
    )
    * 2,
    "data.imu_rate": (60.0, 60.0),
    "data.window": (2.0, 2.0),
    "data.windows_per_clip": (10, 10),
    "data.eval_stride": (0.5, 0.5),
    "data.min_duration": (10.0, 10.0),
    "data.horizons": ([0.0], [0.0]),
    "data.frames": (4, 16),
    "data.crop": (182, 224),
    "data.short_side": (182, 256),
    "imu.type": ("DeepConvLSTM", "DeepConvLSTM"),
    "imu.kernel": (11, 11),
    "imu.maps": (64, 64),
    "imu.hidden": (1024, 1024),
    "video.type": ("X3D", "MViT"),
    "video.weights": ("kinetics400", "kinetics400"),
    "video.dropout": (0.5, 0.5),
    "standardize": (False, False),
    "embed_dim": (256, 512),
    "imu_augment": (
        [
            {"type": "Scale", "range": [0.8, 1.2], "p": 0.5},
            {"type": "MagnitudeWarp", "sigma": 0.2, "knots": 4, "p": 0.3},
            {"type": "TimeWarp", "sigma": 0.2, "knots": 4, "p": 0.3},
            {"type": "ChannelDropout", "rate": 0.1, "p": 0.2},
            {"type": "GaussianNoise", "std": 0.02, "p": 0.5},
        ],
    )
    * 2,
    "video_augment": (
        [
            {"type": "ColorJitter", "brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1, "p": 0.8},
            {"type": "Grayscale", "p": 0.2},
            {"type": "RandomResizedCrop", "scale": [0.6, 1.0], "ratio": [3 / 4, 4 / 3]},
            {"type": "HorizontalFlip", "p": 0.5},
            {"type": "RandomErasing", "scale": [0.02, 0.33], "ratio": [0.3, 3.3], "p": 0.3},
        ],
    )
    * 2,
    "joint_augment": ([], []),
    "loss.type": ("InfoNCE", "InfoNCE"),
    "loss.temperature": (0.1, 0.1),
    "optim.type": ("AdamW", "AdamW"),
    "optim.lr": (5e-5, 5e-5),
    "optim.weight_decay": (2.5e-4, 2.5e-4),
    "optim.final_lr": (1e-6, 1e-6),
    "batch_size": (64, 32),
    "micro_batch": (None, 8),
    "trainer.max_epochs": (50, 50),
    "trainer.precision": ("auto", "auto"),
    "trainer.gradient_clip": (1.0, 1.0),
}
"""What was published for X3D-XS and for MViT-B."""


@pytest.mark.parametrize("place", [0, 1], ids=["x3d_xs", "mvit_base"])
@pytest.mark.parametrize("field", PUBLISHED)
def test_the_published_experiments_say_what_was_published(field: str, place: int) -> None:
    path = HERE.parent / "experiments" / ("x3d_xs.py", "mvit_base.py")[place]
    value: object = load_experiment(str(path)).model_dump(mode="json")
    for key in field.split("."):
        assert isinstance(value, dict)
        value = value[key]
    assert value == PUBLISHED[field][place]


def test_the_published_augmentations_are_the_defaults() -> None:
    published = load_experiment(str(HERE.parent / "experiments" / "x3d_xs.py"))
    for augmentation in (*published.imu_augment, *published.video_augment):
        assert augmentation == type(augmentation)()


def test_the_published_backbones_are_those_of_the_paper() -> None:
    x3d, mvit = (load_experiment(str(HERE.parent / "experiments" / name)) for name in ("x3d_xs.py", "mvit_base.py"))
    assert x3d.model_dump()["video"]["size"] == "xs"
    assert mvit.model_dump()["video"]["variant"] == "16x4"


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for stale in GOLDEN.glob("*.json"):
        stale.unlink()
    for experiment_path in EXPERIMENTS:
        (GOLDEN / f"{experiment_path.stem}.json").write_text(resolved(experiment_path), encoding="utf-8")
        print(GOLDEN / f"{experiment_path.stem}.json")
