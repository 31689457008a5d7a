"""Experiment files: which class is loaded, and the error message of a file that fails."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from revalexo_clip.config.base import snake_case
from revalexo_clip.config.loading import experiment_files, load_experiment, split_target
from revalexo_clip.core.errors import ConfigError

EXPERIMENTS = Path(__file__).parents[2] / "experiments"

HEADER = """\
from pathlib import Path
from revalexo_clip import *
DATA = RevalExo(root=Path("d"), train_subjects=("01",), val_subjects=("02",))
class One(PretrainExperiment):
    data: Dataset = DATA
    imu: ImuEncoder = DeepConvLSTM(hidden=8)
    video: VideoEncoder = X3D(weights=None)
"""

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str, name: str = "idea.py") -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path

    return write


def refused(target: object, *overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_experiment(str(target), overrides)
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_the_one_experiment_of_a_file_is_taken_and_named_after_its_class(write: Write) -> None:
    experiment = load_experiment(str(write(HEADER)))
    assert experiment.name == "one"
    expected = {
        "type": "DeepConvLSTM",
        "frozen": 0,
        "kernel": 11,
        "maps": 64,
        "hidden": 8,
        "layers": 1,
        "projector": True,
    }
    assert experiment.imu.model_dump() == expected


def test_of_several_experiments_one_is_named(write: Write) -> None:
    path = write(HEADER + "class Two(One):\n    embed_dim: int = 3\n")
    assert load_experiment(f"{path}:Two").embed_dim == 3
    assert load_experiment(f"{path}:One").embed_dim == 256
    assert refused(path) == f"{path} defines 2 experiments; choose one: {path}:One, {path}:Two"
    assert refused(f"{path}:Twoo") == f"{path} has no experiment 'Twoo'; did you mean 'Two'? (known: One, Two)"


def test_an_imported_experiment_is_not_one_of_the_file(write: Write) -> None:
    write(HEADER, "base_of_it.py")
    path = write("from base_of_it import One\nclass Mine(One):\n    embed_dim: int = 4\n")
    assert load_experiment(str(path)).embed_dim == 4
    assert refused(write("from base_of_it import One\n", "empty.py")).endswith(
        "empty.py defines no experiment: write a subclass of PretrainExperiment in it"
    )


def test_a_file_may_import_the_experiment_beside_it(write: Write) -> None:
    copied = write((EXPERIMENTS / "mvit_base.py").read_text(), "mvit_base.py")
    path = write("from mvit_base import MViTBase\nclass Wider(MViTBase):\n    embed_dim: int = 768\n")
    before = list(sys.path)
    assert load_experiment(str(path)).embed_dim == 768
    assert load_experiment(str(path)).name == "mvit_base"
    assert load_experiment(str(copied)).embed_dim == 512
    assert sys.path == before


def test_a_missing_file_names_those_beside_it(write: Write) -> None:
    path = write(HEADER, "walking.py")
    missing = path.with_name("walkin.py")
    assert refused(missing) == f"{missing}: no such experiment file; did you mean '{path}'? (known: {path})"
    assert "no such experiment file" in refused(path.parent / "nowhere" / "walking.py")


def test_what_is_no_python_file_is_refused(write: Write) -> None:
    assert "is not an experiment file" in refused(write("seed: 1", "run.yaml"))
    assert "no such experiment file" in refused(write(HEADER).parent)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("def f(:\n", "idea.py:1: invalid syntax"),
        ("import revalexo_clip\n\nx = 1 / 0\n", "idea.py:3: ZeroDivisionError: division by zero"),
        (
            "import no_such_module_anywhere\n",
            "idea.py:1: ModuleNotFoundError: No module named 'no_such_module_anywhere'",
        ),
        ("from revalexo_clip import DeepConvLTSM\n", "idea.py:1: ImportError: cannot import name 'DeepConvLTSM'"),
        (HEADER + "class B(One):\n    extra: int = 3\n", "idea.py:8: TypeError: B adds the field extra"),
        (HEADER + "X = InfoNCE(temp=1)\n", "idea.py:8: InfoNCE: temp: unknown field; did you mean 'temperature'?"),
        (
            HEADER + "class C(ImuEncoder):\n    x: int = 1\nC()\n",
            "idea.py:10: TypeError: Can't instantiate abstract class C",
        ),
        (HEADER + "    batch_size: int = 0\n", "idea.py:\nbatch_size: Input should be greater than 0 (got 0)"),
        (HEADER + "    batch_size: int = 1\n", "a contrastive batch needs at least 2 pairs"),
        (HEADER + "    micro_batch: int | None = 65\n", "micro_batch: 65 is more than batch_size, 64"),
        (HEADER + "    imu: ImuEncoder = X3D()\n", "imu: X3D("),
        (HEADER + "    name: str = 'a/b'\n", "name: String should match pattern"),
        ("from revalexo_clip import *\nclass D(PretrainExperiment):\n    pass\n", "data: Field required"),
    ],
)
def test_a_file_that_fails_says_where(write: Write, text: str, says: str) -> None:
    path = write(text)
    assert says in refused(path).replace(f"{path}", "idea.py")


def test_a_file_that_failed_is_not_imported_by_the_processes_of_a_run(write: Write) -> None:
    path = write("x = 1 / 0\n")
    refused(path)
    assert path not in experiment_files()
    write(HEADER)
    load_experiment(str(path))
    assert experiment_files()[-1] == path
    write("x = 1 / 0\n")
    refused(path)
    assert experiment_files()[-1] == path, "its components are still in use"
    assert load_experiment(str(write(HEADER, "other.py"))).name == "one"
    assert experiment_files()[-2:] == (path, path.with_name("other.py"))


def test_every_device_must_have_a_part_of_the_batch() -> None:
    assert "batch_size: 64 windows cannot be shared by 66 devices" in refused(
        EXPERIMENTS / "x3d_xs.py", "trainer.devices=33", "trainer.num_nodes=2"
    )


@pytest.mark.parametrize(
    ("name", "snake"),
    [("MyIdea", "my_idea"), ("TCNBig", "tcn_big"), ("X3DXS", "x3dxs"), ("Demo", "demo"), ("TryOne2", "try_one2")],
)
def test_the_name_of_a_run_follows_from_the_class(name: str, snake: str) -> None:
    assert snake_case(name) == snake


@pytest.mark.parametrize(
    ("target", "file", "name"),
    [
        ("mine.py", "mine.py", ""),
        ("mine.py:Own", "mine.py", "Own"),
        ("a:b/mine.py", "a:b/mine.py", ""),
        (r"C:\exp\mine.py:Own", r"C:\exp\mine.py", "Own"),
        ("mine.txt:Own", "mine.txt", "Own"),
    ],
)
def test_a_colon_before_the_file_belongs_to_its_folder(target: str, file: str, name: str) -> None:
    assert split_target(target) == (Path(file), name)
