"""Overrides of a loaded experiment: `--set path=value`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.small_process import EXPERIMENT

from revalexo_clip import RevalExo
from revalexo_clip.config.loading import apply_overrides, load_experiment
from revalexo_clip.config.pretraining import PretrainExperiment
from revalexo_clip.core.component import Component
from revalexo_clip.core.errors import ConfigError

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


def resolve(*overrides: str, target: object = EXPERIMENTS / "x3d_xs.py") -> PretrainExperiment:
    return load_experiment(str(target), overrides)


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ("seed=7", "seed", 7),
        ("optim.lr=1e-3", "optim.lr", 1e-3),
        ("optim.lr=1", "optim.lr", 1.0),
        ("name=08", "name", "08"),
        ("standardize=true", "standardize", True),
        ("standardize=True", "standardize", True),
        ("standardize=no", "standardize", False),
        ("micro_batch=16", "micro_batch", 16),
        ("trainer.gradient_clip=none", "trainer.gradient_clip", None),
        ("trainer.gradient_clip=null", "trainer.gradient_clip", None),
        ("trainer.early_stopping=10", "trainer.early_stopping", 10),
        ("trainer.devices=2", "trainer.devices", 2),
        ("trainer.devices=auto", "trainer.devices", "auto"),
        ("video.frozen=2", "video.frozen", 2),
        ("video.frozen=all", "video.frozen", "all"),
        ("video.weights=none", "video.weights", None),
        ("video.weights=a/b=c.pyth", "video.weights", "a/b=c.pyth"),
        ("data.root=/data/other set", "data.root", "/data/other set"),
        ("data.val_subjects=08", "data.val_subjects", ["08"]),
        ("data.val_subjects=08,09", "data.val_subjects", ["08", "09"]),
        ("data.val_subjects=[08, 09]", "data.val_subjects", ["08", "09"]),
        ('data.val_subjects=["08","09"]', "data.val_subjects", ["08", "09"]),
        ("data.val_subjects=['08']", "data.val_subjects", ["08"]),
        ("data.test_subjects=11x", "data.test_subjects", ["11x"]),
        ("data.test_subjects=9", "data.test_subjects", ["9"]),
        ("data.test_subjects=[]", "data.test_subjects", []),
        ("data.test_subjects=", "data.test_subjects", []),
        ("data.train_subjects.0=30", "data.train_subjects.0", "30"),
        ("data.channels=acc_*", "data.channels", ["acc_*"]),
        ("data.horizons=0,0.5", "data.horizons", [0.0, 0.5]),
        ("data.horizons=[0, 0.5]", "data.horizons", [0.0, 0.5]),
        ("data.horizons=0.5", "data.horizons", [0.5]),
        ("optim.betas=0.8,0.9", "optim.betas", [0.8, 0.9]),
        ("optim.betas.1=0.95", "optim.betas.1", 0.95),
        ('imu={"type": "DeepConvLSTM", "hidden": 4}', "imu.hidden", 4),
    ],
)
def test_an_override_reads_its_value_as_its_field_does(override: str, path: str, value: object) -> None:
    found: object = resolve(override).model_dump(mode="json")
    for key in path.split("."):
        found = found[int(key)] if isinstance(found, list) else found[key]  # type: ignore[index]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("field", "component", "value"),
    [("video", '{"type": "HFImage", "model": "7"}', 0), ("text", '{"type": "HFText", "model": "7"}', 0)],
)
def test_a_number_replaces_a_name_if_the_field_takes_both(field: str, component: str, value: int) -> None:
    found = apply_overrides(
        {field: {**json.loads(component), "frozen": "all"}}, [f"{field}.frozen={value}", f"{field}.model=8"]
    )[field]
    assert found == {**json.loads(component), "frozen": value, "model": "8"}


def test_an_override_leaves_everything_else_as_it_was() -> None:
    before, after = resolve().model_dump(mode="json"), resolve("optim.lr=1e-3").model_dump(mode="json")
    assert before["optim"].pop("lr") != after["optim"].pop("lr")
    assert before == after


def test_of_two_overrides_the_last_one_holds() -> None:
    assert resolve("seed=1", "seed=2").seed == 2


@pytest.mark.parametrize("swap", [False, True])
def test_a_component_is_switched_before_its_fields_are_set(swap: bool) -> None:
    overrides = ["video.type=MViT", "video.variant=32x3", "video.dropout=0.1"]
    experiment = resolve(*(reversed(overrides) if swap else overrides))
    assert experiment.model_dump()["video"] == {
        "type": "MViT",
        "frozen": 0,
        "variant": "32x3",
        "weights": "kinetics400",
        "dropout": 0.1,
        "gradient_checkpointing": False,
    }


def test_a_switch_starts_from_the_new_components_defaults_and_not_from_the_old_ones_values() -> None:
    experiment = resolve("video.weights=none").model_dump(mode="json")
    assert experiment["video"]["weights"] is None
    switched = PretrainExperiment.model_validate(apply_overrides(experiment, ["video.type=MViT"]))
    assert switched.model_dump()["video"]["weights"] == "kinetics400"


def test_naming_the_component_that_is_there_changes_nothing() -> None:
    assert resolve("imu.type=DeepConvLSTM").to_json() == resolve().to_json()


def test_a_component_of_the_same_file_can_be_switched_to() -> None:
    experiment = load_experiment(str(EXPERIMENT), ["imu.type=DeepConvLSTM", "imu.hidden=8", "video.width=3"])
    assert experiment.imu.model_dump()["hidden"] == 8
    again = load_experiment(str(EXPERIMENT), ["imu.dilations=1,2,4"])
    assert again.imu.model_dump() == {"type": "TCN", "frozen": 0, "kernel": 9, "dilations": (1, 2, 4)}


class Recorded(RevalExo):
    """A dataset of another kind, with lists that have no default."""


def test_lists_without_a_default_of_a_component_just_chosen_may_be_written_in_short() -> None:
    try:
        experiment = resolve(
            "data.type=Recorded",
            "data.root=x",
            "data.train_subjects=01,02",
            "data.val_subjects=08",
            "data.horizons.0=1",
        )
    finally:
        del Component.registry["Recorded"]
    assert isinstance(experiment.data, Recorded)
    assert experiment.data.subjects("train") == ("01", "02")
    assert experiment.data.subjects("val") == ("08",)
    assert experiment.data.horizons == (1.0,)


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("batchsize=4", "batchsize: unknown field; did you mean 'batch_size'?"),
        ("trainer.max_epoch=4", "trainer.max_epoch: unknown field; did you mean 'max_epochs'?"),
        ("trainr.max_epochs=4", "--set trainr: unknown field 'trainr'; did you mean 'trainer'?"),
        ("data.rot.x=4", "--set data.rot: unknown field 'rot'; did you mean 'root'?"),
        ("feature_cache.views=2", "set it as a whole, --set feature_cache="),
        ("data.root.x=4", "--set data.root.x: 'data.root' is \"data/RevalExoDataset\" and has no fields"),
        ("data.val_subjects.1=4", "--set data.val_subjects.1: '1' is not an index into a list of 1"),
        ("data.val_subjects.last=4", "'last' is not an index into a list of 1"),
        ("imu.maps=wide", "imu.maps: Input should be a valid integer"),
        (
            "imu.kernel=2.5",
            "imu.kernel: Input should be a valid integer, got a number with a fractional part (got 2.5)",
        ),
        ("imu.kernel=-1", "imu.kernel: Input should be greater than 0 (got -1)"),
        ("imu.kernel=none", "imu.kernel: Input should be a valid integer (got None)"),
        ("imu.kernel=[1]", "imu.kernel: Input should be a valid integer (got [1])"),
        ("optim.lr=nan", "optim.lr: "),
        ("optim.lr=1e-9", "optim: final_lr (1e-06) must not be above lr (1e-09)"),
        ("standardize=maybe", "standardize: Input should be a valid boolean"),
        ("trainer.precision=fp8", "trainer.precision: Input should be 'auto', '32', 'bf16-mixed' or '16-mixed'"),
        ("data.crop=300", "data: crop (300 px) must not be larger than short_side (182 px)"),
        ("data.val_subjects=29", "data: subject 29 is in both train_subjects and val_subjects"),
        ("imu.type=X3D", "imu: unknown ImuEncoder 'X3D'"),
        ("imu=X3D", "--set imu=X3D: imu has fields of its own: write --set imu.type=X3D, or --set imu.FIELD=VALUE"),
        ("trainer=3", "--set trainer=3: trainer has fields of its own: write --set trainer.FIELD=VALUE"),
        ("type=Other", "type: unknown field"),
        ("trainer.type=Other", "trainer.type: unknown field"),
        ("seed", "--set seed: write it as path=value, e.g. --set trainer.max_epochs=10"),
        ("=3", "--set =3: write it as path=value"),
        ("optim.=3", "--set optim.=3: write it as path=value"),
    ],
)
def test_an_override_that_cannot_be_says_why(override: str, says: str) -> None:
    with pytest.raises(ConfigError) as refused:
        resolve(override)
    assert says in str(refused.value)


def test_all_mistakes_in_settings_are_reported_at_once() -> None:
    overrides = (
        "seed",
        "trainr.max_epochs=4",
        "imu=X3D",
        "batchsize=4",
        "imu.maps=wide",
        "imu.hiden=3",
        "trainer.precision=fp8",
        "data.val_subjects=29",
        "optim.lr=1e-9",
        "video.type=X4D",
    )
    with pytest.raises(ConfigError) as refused:
        resolve(*overrides)
    message = str(refused.value)
    for says in (
        "--set seed: write it as path=value",
        "--set trainr: unknown field 'trainr'; did you mean 'trainer'?",
        "--set imu=X3D: imu has fields of its own",
        "batchsize: unknown field; did you mean 'batch_size'?",
        "imu.hiden: unknown field; did you mean 'hidden'?",
        "imu.maps: Input should be a valid integer, unable to parse string as an integer (got 'wide')",
        "trainer.precision: Input should be 'auto', '32', 'bf16-mixed' or '16-mixed' (got 'fp8')",
        "data: subject 29 is in both train_subjects and val_subjects",
        "optim: final_lr (1e-06) must not be above lr (1e-09)",
        "video: unknown VideoEncoder 'X4D'",
    ):
        assert message.count(says) == 1, message
    assert len(message.splitlines()) == len(overrides) + 1  # and the name of the file


def test_all_paths_that_do_not_exist_are_reported_at_once() -> None:
    with pytest.raises(ConfigError, match=r"--set seed: write it .*\n--set trainr: unknown field"):
        apply_overrides(resolve().model_dump(mode="json"), ["trainr.max_epochs=4", "seed"])


def test_the_dumped_experiment_itself_is_not_edited() -> None:
    dumped = resolve().model_dump(mode="json")
    before = json.dumps(dumped)
    apply_overrides(dumped, ["seed=3", "data.val_subjects=07x", "imu.type=TCN"])
    assert json.dumps(dumped) == before


Names = st.text("abcdefghijklmnopqrstuvwxyz0123456789_-* ", min_size=1).map(str.strip).filter(bool)


@given(st.lists(Names, max_size=5))
def test_every_list_of_names_can_be_written_in_short_and_as_json(names: list[str]) -> None:
    dumped: dict[str, object] = {"names": ["x"]}
    for text in (",".join(names), f"[{', '.join(names)}]", json.dumps(names)):
        if text.lower() not in ("none", "null"):
            assert apply_overrides(dumped, [f"names={text}"])["names"] == names  # type: ignore[arg-type]


@given(st.one_of(st.integers(), st.floats(allow_nan=False), st.booleans(), st.none()))
def test_every_json_scalar_arrives_as_itself(value: object) -> None:
    assert apply_overrides({"a": {"b": 0}}, [f"a.b={json.dumps(value)}"]) == {"a": {"b": value}}


@pytest.mark.long
@given(st.text().filter(lambda text: text.lower() not in ("none", "null") and not text.startswith('"')))
def test_every_text_arrives_as_itself(text: str) -> None:
    assert apply_overrides({"a": "x"}, [f"a={text}"]) == {"a": text}
