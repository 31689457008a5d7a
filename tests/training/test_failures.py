from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.small_process import EXPERIMENT, rxclip
from support.small_run import train
from support.small_training import small

from revalexo_clip.core.errors import UserError
from revalexo_clip.training.failures import finite

pytestmark = pytest.mark.filterwarnings("ignore:::lightning")

NAN, INF = float("nan"), float("inf")


def test_a_step_is_sound_if_its_loss_and_its_gradient_are_finite() -> None:
    assert finite(1.0, 1.0, scale=0)
    assert not finite(NAN, 1.0, scale=0)
    assert not finite(1.0, INF, scale=0)


def test_a_gradient_that_overflowed_is_left_to_the_scaler_until_scaling_is_no_longer_to_blame() -> None:
    assert finite(1.0, INF, scale=65536.0)
    assert not finite(NAN, INF, scale=65536.0)
    assert not finite(1.0, INF, scale=1.0)


def spoiled(root: Path) -> tuple[str, str]:
    """Make the values of a clip so large that they overflow when scaled. Return the clip and the augmentation."""
    recording = root / "imu/Subject01/0001.csv"
    header, *rows = recording.read_text().splitlines()
    huge = ",".join(["1e38"] * (header.count(",") + 1))
    recording.write_text("\n".join([header, *(huge for _ in rows)]))
    return "Subject01/0001", 'imu_augment=[{"type": "Scale", "range": [100, 100], "p": 1}]'


@pytest.mark.long
@pytest.mark.parametrize("part", ["none", "7"])
def test_a_step_that_is_not_finite_names_the_windows(root: Path, tmp_path: Path, part: str) -> None:
    clip, scale = spoiled(root)
    with pytest.raises(UserError) as raised:
        train(small(root, "batch_size=40", f"micro_batch={part}", scale), tmp_path)
    first, second, *rest = str(raised.value).splitlines()
    assert first == "the training diverged: in epoch 1, step 1, the loss is nan and the gradient norm nan"
    named = re.findall(r"(\S+) at (\d\.\d{3}) s", second)
    assert second.startswith("  the IMU embeddings are not finite of ")
    assert {name for name, _ in named} == {clip}
    assert len(named) == 8
    assert second.endswith(" and 2 more")
    assert "The step was not taken. Lower optim.lr" in rest[-1]


@pytest.mark.long
def test_processes_name_the_windows_of_all_of_them_once(root: Path) -> None:
    clip, scale = spoiled(root)
    finished = rxclip(
        *("pretrain", EXPERIMENT, "--devices", "2"),
        *("--set", "data.root=dataset", "--set", "data.workers=0", "--set", "batch_size=40", "--set", scale),
        cwd=root.parent,
    )
    assert finished.returncode == 1, finished.stderr
    assert finished.stderr.count("the training diverged") == 1
    assert len(re.findall(rf"{clip} at", finished.stderr)) == 8
    assert " and 2 more" in finished.stderr
    assert "Traceback" not in finished.stderr
