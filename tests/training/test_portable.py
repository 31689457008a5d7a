from __future__ import annotations

import os
import pickle
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from support.small_process import EXPERIMENT
from support.tiny_dataset import revalexo

from revalexo_clip.augment import Augmentation
from revalexo_clip.config.loading import import_experiment_file
from revalexo_clip.core.component import Component
from revalexo_clip.training.drawn_batches import FetchAndDraw, TrainingSample

OWN = """

from numbers_of_mine import doubled
from revalexo_clip import ImuAugmentation, PerWindowImu
from revalexo_clip.data.dataset import ClipWindows
from revalexo_clip.core.types import Sample


class Doubled(PerWindowImu):
    def __call__(self, imu_LC, rng, spec):
        return doubled(imu_LC)


class OwnWindows(ClipWindows):
    def __getitem__(self, key: tuple[int, int]) -> Sample:
        return super().__getitem__(key)


class OwnData(RevalExo):
    def build(self, split, seed):
        made = super().build(split, seed)
        return OwnWindows(
            made.index, made.windows, made.source, imu_spec=made.imu_spec, video_spec=made.video_spec,
            horizons=self.horizons, seed=seed, segment_N=made.segment_N,
        )


class Own(Small):
    data: Dataset = OwnData(**{**dict(Small.model_fields["data"].default), "workers": 2})
    imu_augment: tuple[ImuAugmentation, ...] = (Doubled(),)
"""

RUN = """
import multiprocessing, sys

if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv.pop(1))
    from revalexo_clip.cli.app import main

    main()
"""


WAITS = """
import multiprocessing, os, time
from revalexo_clip.training.workers import windows_loader


class Numbers:
    def __len__(self):
        return 4

    def __getitem__(self, key):
        return os.getpid()


def as_they_are(samples):
    return samples


if __name__ == "__main__":
    multiprocessing.set_start_method("forkserver")
    batches = iter(windows_loader(Numbers(), as_they_are, range(4), 1, workers=1, batch_bytes=8))
    print(next(batches)[0], flush=True)
    time.sleep(120)
"""

OWN_FUNCTION = """
from revalexo_clip import PerWindowImu


class Negated(PerWindowImu):
    def __call__(self, imu_LC, rng, spec):
        return -imu_LC
"""


def test_unpickling_imports_the_experiment_file_that_defines_a_class(written: Path, tmp_path: Path) -> None:
    (tmp_path / "own_function.py").write_text(OWN_FUNCTION)
    module = import_experiment_file(tmp_path / "own_function.py")
    dataset = revalexo(written).build("train", seed=5)
    augmentation = Augmentation((module.Negated(),), (), (), imu_spec=dataset.imu_spec, video_spec=dataset.video_spec)
    fetch = FetchAndDraw(dataset, augmentation, seed=5)
    pickled = pickle.dumps(fetch)
    before = fetch[0, 3]
    try:
        del sys.modules[module.__name__]  # as in a process that has not imported it
        after = pickle.loads(pickled)[0, 3]
        assert sys.modules[module.__name__] is not module
    finally:
        sys.modules.pop(module.__name__, None)
        del Component.registry["Negated"]
    assert isinstance(before, TrainingSample)
    assert isinstance(after, TrainingSample)
    assert torch.equal(before.window.imu_LC, after.window.imu_LC)
    assert torch.equal(before.window.imu_LC, -dataset[0, 3].imu_LC)


@pytest.mark.long
@pytest.mark.parametrize("method", ["forkserver"])  # which imports as spawn does
def test_what_an_experiment_file_defines_reaches_workers_that_are_no_forks(method: str, root: Path) -> None:
    home = root.parent
    (home / "own.py").write_text(EXPERIMENT.read_text() + OWN)
    (home / "numbers_of_mine.py").write_text("def doubled(values):\n    return 2 * values\n")
    (home / "run.py").write_text(RUN)
    elsewhere = home / "elsewhere"  # the file's folder is on no import path
    elsewhere.mkdir()
    settings = ("--set", f"data.root={root}", "--set", "data.pack=off")
    finished = subprocess.run(
        [sys.executable, str(home / "run.py"), method, "pretrain", "../own.py:Own", "--dry-run", *settings],
        cwd=elsewhere,
        env={**os.environ, "COLUMNS": "120"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert finished.returncode == 0, finished.stderr
    assert "loss of one batch" in finished.stdout


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for the worker in /proc")
def test_workers_of_a_fork_server_end_with_a_training_that_is_killed(tmp_path: Path) -> None:
    (tmp_path / "waits.py").write_text(WAITS)
    with subprocess.Popen([sys.executable, "waits.py"], cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        worker = Path("/proc", process.stdout.readline().strip())
        assert worker.is_dir()
        process.kill()
        until = time.monotonic() + 20
        while worker.is_dir() and time.monotonic() < until:
            time.sleep(0.1)
    assert not worker.is_dir()
