from __future__ import annotations

import json
import multiprocessing
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.small_process import EXPERIMENT
from support.small_run import train
from support.small_training import small, weights

from revalexo_clip.config.loading import import_experiment_file
from revalexo_clip.core.errors import ConfigError, DataError
from revalexo_clip.core.files import UNPICKLING_ERRORS, WriteError
from revalexo_clip.runs.checkpoint import (
    PRETRAINING_KEY,
    AtomicCheckpointIO,
    PretrainingMetadata,
    is_sound,
    load_checkpoint,
)

pytestmark = pytest.mark.filterwarnings("ignore:::lightning")


@pytest.fixture(scope="module")
def trained(written: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of the small experiment after two epochs."""
    run = train(small(written, "standardize=true", "trainer.max_epochs=2"), tmp_path_factory.mktemp("checkpoint"))
    return run / "checkpoints/last.ckpt"


class Full:
    """Simulates a full disk: it cannot be written."""

    def __reduce__(self) -> NoReturn:
        raise OSError(28, "No space left on device")


class Killed:
    """Simulates a killed process: it ends the process that writes it."""

    def __reduce__(self) -> NoReturn:
        os._exit(9)


def overwrite(path: Path, content: object) -> None:
    AtomicCheckpointIO().save_checkpoint({"weights": torch.ones(1000), "content": content}, path)


def test_a_checkpoint_is_written_whole_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "a.ckpt"
    for content in ("old", "new"):
        overwrite(path, content)
        assert torch.load(path, weights_only=True)["content"] == content
    assert list(path.parent.iterdir()) == [path]


def test_an_error_while_writing_leaves_the_old_checkpoint_and_no_other_file(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    overwrite(path, "old")
    with pytest.raises(WriteError, match=r"a\.ckpt: cannot be written: No space left on device"):
        overwrite(path, Full())
    assert torch.load(path, weights_only=True)["content"] == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_an_error_that_names_the_file_whenever_it_is_full(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    overwrite(path, "old")
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    for size in (100, 3000, 5000):
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, limit[1]))
            with pytest.raises(WriteError, match=r"a\.ckpt: cannot be written: File too large"):
                overwrite(path, "new")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert torch.load(path, weights_only=True)["content"] == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_replaced_checkpoint_is_kept_on_request(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    for number in range(3):
        kept = {"keep_old_as": "previous.ckpt"}
        AtomicCheckpointIO().save_checkpoint({"number": number}, path, storage_options=kept)
    numbers = {path.name: torch.load(path, weights_only=True)["number"] for path in tmp_path.iterdir()}
    assert numbers == {"last.ckpt": 2, "previous.ckpt": 1}


def test_a_process_killed_while_writing_leaves_the_old_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    overwrite(path, "old")
    process = multiprocessing.get_context("fork").Process(target=overwrite, args=(path, Killed()))
    process.start()
    process.join(timeout=30)
    assert process.exitcode == 9
    assert torch.load(path, weights_only=True)["content"] == "old"


@pytest.mark.long
def test_a_checkpoint_of_a_run_describes_itself(trained: Path, written: Path) -> None:
    checkpoint = load_checkpoint(trained)
    described = checkpoint.description
    assert (checkpoint.epoch, checkpoint.step) == (2, 10)
    assert described.subjects == {"train": ("Subject01", "Subject02"), "val": ("Subject08",)}
    assert described.activities == ("standing", "walking", "stairs_up")
    assert described.experiment.to_json() == small(written, "standardize=true", "trainer.max_epochs=2").to_json()
    assert len(described.imu_spec.channels) == len(described.imu_spec.mean or ()) == 6
    assert described.video_spec is not None
    assert described.video_spec.frames == 4


def test_a_description_comes_back_from_its_json_as_it_was(trained: Path) -> None:
    described = load_checkpoint(trained).description
    assert PretrainingMetadata.model_validate_json(described.model_dump_json()) == described
    assert json.loads(described.model_dump_json())["experiment"]["imu"]["type"] == "TCN"


def test_the_model_of_a_checkpoint_has_its_weights_and_is_ready_to_use(trained: Path) -> None:
    model = load_checkpoint(trained).build_model()
    assert not any(module.training for module in model.modules())
    saved = weights(trained)
    assert {f"model.{name}" for name in model.state_dict()} | {"loss.log_scale"} == set(saved)
    for name, value in model.state_dict().items():
        assert torch.equal(value, saved[f"model.{name}"])


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_damage_to_a_checkpoint_goes_unnoticed(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "a.ckpt"
    weights_N = torch.arange(50.0)
    torch.save({"weights": weights_N}, path)
    assert is_sound(path)
    content = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    else:
        content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)
    try:
        loaded = torch.load(path, weights_only=True)
    except UNPICKLING_ERRORS:
        return
    assert not is_sound(path) or torch.equal(loaded["weights"], weights_N)


def edited(trained: Path, target: Path, old: str, new: str) -> Path:
    """Return a copy of a checkpoint with other metadata."""
    content = torch.load(trained, weights_only=True)
    assert old in content[PRETRAINING_KEY]
    content[PRETRAINING_KEY] = content[PRETRAINING_KEY].replace(old, new)
    torch.save(content, target)
    return target


def test_weights_that_do_not_fit_the_description_are_an_error_that_names_the_file(
    trained: Path, tmp_path: Path
) -> None:
    other = edited(trained, tmp_path / "other.ckpt", '"kernel":9', '"kernel":5')
    with pytest.raises(DataError, match=r"other\.ckpt: its weights do not fit(.|\n)*imu\.convolutions\.0\.weight"):
        load_checkpoint(other).build_model()


def test_a_layout_from_the_future_is_an_error_that_names_the_field(trained: Path, tmp_path: Path) -> None:
    other = edited(trained, tmp_path / "other.ckpt", '"format":1', '"format":2')
    with pytest.raises(ConfigError, match=r"other\.ckpt: cannot rebuild its experiment:\n *format: "):
        load_checkpoint(other)


def test_the_message_names_a_file_that_lacks_the_component(trained: Path, tmp_path: Path) -> None:
    other = edited(trained, tmp_path / "other.ckpt", '"TCN"', '"TNC"')
    with pytest.raises(ConfigError, match=r"imu: unknown ImuEncoder 'TNC'(.|\n)*small_experiment\.py does not define"):
        load_checkpoint(other, EXPERIMENT)


@pytest.mark.usefixtures("only_built_in")
def test_a_component_that_was_renamed_is_found_under_its_old_name(trained: Path, tmp_path: Path) -> None:
    text = EXPERIMENT.read_text()
    renamed = tmp_path / "mine.py"
    renamed.write_text(text.replace("TCN(ImuEncoder)", "TemporalNet(ImuEncoder)").replace("= TCN()", "= TemporalNet()"))
    import_experiment_file(renamed)
    for file in (renamed, None):  # None: as for `pretrain mine.py --resume`
        with pytest.raises(ConfigError, match=r"unknown ImuEncoder 'TCN'(.|\n)*`class TCN\(NewName\): pass`"):
            load_checkpoint(trained, file)
    renamed.write_text(renamed.read_text() + "\n\nclass TCN(TemporalNet):\n    pass\n")
    import_experiment_file(renamed)
    assert type(load_checkpoint(trained).build_model().imu).__name__ == "TCNNet"


@pytest.mark.long
def test_a_process_that_does_not_know_a_component_asks_for_the_file_that_defines_it(trained: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from revalexo_clip.runs.checkpoint import load_checkpoint\n"
        "from revalexo_clip.core.errors import ConfigError\n"
        "from revalexo_clip.config.loading import import_experiment_file\n"
        "try:\n    load_checkpoint(Path(sys.argv[1]))\nexcept ConfigError as error:\n    print(error)\n"
        "import_experiment_file(Path(sys.argv[2]))\n"
        "print(type(load_checkpoint(Path(sys.argv[1])).build_model().imu).__name__)\n"
    )
    command = [sys.executable, "-c", code, str(trained), str(EXPERIMENT)]
    finished = subprocess.run(command, capture_output=True, text=True, check=True)
    *message, network = finished.stdout.splitlines()
    assert message[0] == f"{trained}: cannot rebuild its experiment:"
    assert "unknown ImuEncoder 'TCN'" in finished.stdout
    assert "--experiment FILE.py" in finished.stdout
    assert network == "TCNNet"
