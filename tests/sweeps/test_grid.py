"""The grid of a sweep: which texts are several values, and the experiments that they make."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.imu_alone import IMU_ALONE
from support.small_process import EXPERIMENT

from revalexo_clip.config.base import Experiment
from revalexo_clip.config.loading import load_experiment_of
from revalexo_clip.core.errors import ConfigError
from revalexo_clip.optim import Adam, AdamW
from revalexo_clip.reports.values import child
from revalexo_clip.sweeps.grid import make_settings, read_grid, split_outside

LOSS = '{"type":"SelfContrast"},{"type":"SelfContrast","temperature":0.3}'


@pytest.fixture(scope="module")
def experiment() -> Experiment:
    return load_experiment_of(Experiment, str(Path(EXPERIMENT).with_name("sweep_experiment.py")))


def settings_of(experiment: Experiment, *texts: str) -> list[str]:
    return [setting.title for setting in make_settings(experiment, read_grid(experiment, texts))]


@pytest.mark.long
def test_settings_are_all_combinations_and_the_last_field_changes_first(experiment: Experiment) -> None:
    assert settings_of(experiment, "optim.lr=1e-3,3e-4", "batch_size=4", "imu.type=SweptNet,ResNet1D") == [
        "optim.lr=1e-3 imu.type=SweptNet",
        "optim.lr=1e-3 imu.type=ResNet1D",
        "optim.lr=3e-4 imu.type=SweptNet",
        "optim.lr=3e-4 imu.type=ResNet1D",
    ]


def test_a_setting_is_what_set_makes_of_the_experiment(experiment: Experiment) -> None:
    file = str(Path(EXPERIMENT).with_name("sweep_experiment.py"))
    texts = ["imu.type=SweptNet,ResNet1D", "imu.kernel=5", "optim.lr=1e-3,3e-4"]
    made = make_settings(experiment, read_grid(experiment, texts))
    for setting in made:
        overrides = [f"{path}={value}" for path, value in setting.values.items()]
        expected = load_experiment_of(Experiment, file, ["imu.kernel=5", *overrides])
        assert setting.experiment.model_dump(mode="json") == expected.model_dump(mode="json")
    assert [child(setting.experiment.model_dump(), "optim")["lr"] for setting in made] == [1e-3, 3e-4, 1e-3, 3e-4]


def test_the_own_component_keeps_its_fields_and_another_one_has_its_defaults() -> None:
    experiment = load_experiment_of(Experiment, str(EXPERIMENT))  # an AdamW with a learning rate of its own
    own, other = make_settings(experiment, read_grid(experiment, ["optim.type=AdamW,Adam"]))
    assert own.experiment == experiment
    assert other.experiment.model_dump()["optim"] == Adam().model_dump()
    assert experiment.model_dump()["optim"] != AdamW().model_dump()


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("imu.dilations=[1,2]", []),
        ("imu.dilations=2", []),
        ("imu.dilations=[[1,2],[3]]", ["[1,2]", "[3]"]),
        ("data.train_subjects=[[1,2],[2]]", ["[1,2]", "[2]"]),
        ('imu_augment=[[],[{"type":"Scale"}]]', ["[]", '[{"type":"Scale"}]']),
        (f"loss={LOSS}", ['{"type":"SelfContrast"}', '{"type":"SelfContrast","temperature":0.3}']),
        ('data.root="a,b.npz",c.npz', ['"a,b.npz"', "c.npz"]),
        ("trainer.early_stopping=none,5", ["none", "5"]),
    ],
)
def test_lists_objects_and_texts_with_commas(experiment: Experiment, text: str, values: list[str]) -> None:
    grid = read_grid(experiment, [text])
    assert [list(found) for found in grid.values.values()] == ([values] if values else [])
    assert len(grid.fixed) == (0 if values else 1)
    make_settings(experiment, grid)


@pytest.mark.long
def test_a_list_of_a_component_that_only_one_type_has_is_known_as_one(experiment: Experiment) -> None:
    assert experiment  # registers SweptNet
    with pytest.raises(ConfigError, match="ambiguous"):
        read_grid(load_experiment_of(Experiment, str(IMU_ALONE)), ["imu.type=SweptNet,Signalled", "imu.dilations=1,2"])


@pytest.mark.parametrize(
    ("texts", "told"),
    [
        (["imu.dilations=1,2"], r"imu.dilations holds a list; write \[1,2\] for one list, or \[\[1\],\[2\]\] for sev"),
        (["data.train_subjects=1,2"], "ambiguous"),
        (["optim.lr=1e-3,"], "a value between commas is empty"),
        (["optim.lr"], "write it as path=value"),
        (["optim.lr=1", "optim.lr=2"], "optim.lr: given twice; write all values after one --set"),
        (["optim.lr=1e-3,0.001"], "optim.lr=1e-3 and optim.lr=0.001 are the same experiment"),
        (["seed=1,2"], "the seeds of a sweep are consecutive"),
        (["name=a,b"], "all trials of a sweep have the same name"),
        (["imu.type=SweptNet,ResNet1D", "imu.dilations=3"], "(?s)imu.type=ResNet1D:.*imu.dilations: unknown field"),
        (["imu.type=SweptNet,ResNt1D"], "unknown ImuEncoder 'ResNt1D'; did you mean 'ResNet1D'"),
        (["optim.lr=1e-3,fast"], "(?s)optim.lr=fast:.*optim.lr: "),
        (["otim.lr=1,2"], "unknown field 'otim'; did you mean 'optim'"),
    ],
)
def test_what_cannot_be_swept_is_refused(experiment: Experiment, texts: list[str], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        make_settings(experiment, read_grid(experiment, texts))


def test_commas_split_only_outside_of_brackets_and_quotes() -> None:
    assert split_outside('a,[b,c],{"d":"e,f"},"g,\\"h,i"') == ["a", "[b,c]", '{"d":"e,f"}', '"g,\\"h,i"']
