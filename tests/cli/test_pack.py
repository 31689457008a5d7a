"""`rxclip pack`, and the use of packs in training and evaluation."""

from __future__ import annotations

import json
import re
import shutil
from contextlib import chdir
from pathlib import Path
from typing import cast

import pytest
from support.small_process import EXPERIMENT, call, succeed
from support.small_run import built_in_experiment, link_run, train
from support.tiny_dataset import source_of

from revalexo_clip.core.component import JsonObject
from revalexo_clip.data.revalexo.pack.find import NAME
from revalexo_clip.evaluation.protocol import evaluate
from revalexo_clip.pretraining.run import dry_run_pretraining
from revalexo_clip.runs.options import RunOptions

pytestmark = pytest.mark.filterwarnings("ignore:::lightning")


@pytest.fixture
def unpacked(distinct: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(distinct, tmp_path / "dataset", ignore=shutil.ignore_patterns(NAME)))


def figure(metrics: JsonObject, *path: str) -> float:
    for name in path[:-1]:
        metrics = cast("JsonObject", metrics[name])
    return float(str(metrics[path[-1]]))


@pytest.mark.long
def test_the_command_prints_the_pack_and_its_size(root: Path) -> None:
    finished = call("pack", root, cwd=root.parent)
    assert finished.returncode == 0, finished.stderr
    assert re.fullmatch(rf"{root}/{NAME}\n  6 clips, [\d.]+ [kM]B; source files: [\d.]+ kB\n", finished.stdout)
    assert call("pack", root, cwd=root.parent).stdout.startswith(f"{root}/{NAME} is up to date\n")
    again = call("pack", root, "--quality", "50", "--short-side", "64", "--out", "small", cwd=root.parent)
    assert again.stdout.startswith("small\n")
    assert sum(file.stat().st_size for file in (root.parent / "small/shards").iterdir()) < sum(
        file.stat().st_size for file in (root / NAME / "shards").iterdir()
    )
    (root / "data_pairs/Subject08.json").unlink()
    pruned = call("pack", root, "--short-side", "64", "--prune", cwd=root.parent)
    assert re.search(r"  removed shards/.*\.h5: \d of \d packed files unused\n  [\d.]+ \w+ freed\n$", pruned.stdout)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("nowhere",), 1, "nowhere: there is no such dataset folder"),
        (("dataset", "--out", "dataset/label_mapping.json"), 2, "is a file: a pack is a folder. If it is an old pack,"),
        (("dataset", "--shard", "3/2"), 2, "--shard 3/2: write it as I/N, with I from 1 to N, e.g. 2/8"),
        (("dataset", "--shard", "1/2", "--prune"), 2, "--prune and --shard exclude each other"),
        (("dataset", "--quality", "101"), 2, "less than or equal to 100"),
    ],
)
def test_a_mistake_gives_a_message(arguments: tuple[str, ...], code: int, says: str, root: Path) -> None:
    finished = call("pack", *arguments, cwd=root.parent)
    assert finished.returncode == code
    assert says in " ".join(finished.stderr.split())
    assert "Traceback" not in finished.stderr


def test_a_bad_clip_ends_it_with_one_message(root: Path) -> None:
    (root / "imu/Subject02/0000.csv").write_text("acc_Pelvis_x\n1\nx\n")
    finished = call("pack", root, cwd=root.parent)
    assert finished.returncode == 1
    (line,) = finished.stderr.splitlines()
    assert line == f"error: {root}/imu/Subject02/0000.csv: line 3 (row 2), column acc_Pelvis_x: 'x' is not a number"


@pytest.mark.long
def test_a_dry_run_makes_no_pack(unpacked: Path, tmp_path: Path) -> None:
    before = sorted(unpacked.rglob("*"))
    with chdir(tmp_path):
        dry_run_pretraining(built_in_experiment(unpacked), RunOptions())
    assert sorted(unpacked.rglob("*")) == before


@pytest.mark.long
def test_the_first_pretraining_makes_the_pack_and_the_next_one_uses_it(unpacked: Path, tmp_path: Path) -> None:
    sets = ("--set", f"data.root={unpacked}", "--set", "data.workers=1", "--devices", "2")
    first = succeed("pretrain", EXPERIMENT, *sets, cwd=tmp_path)
    assert first.stderr.splitlines()[0] == (
        f"pack   {unpacked}/{NAME}: built once for faster loading (data.pack=off disables it)"
    )
    assert first.stderr.count("built once") == 1
    made = (unpacked / NAME / "pack.json").stat()
    second = succeed("pretrain", EXPERIMENT, *sets[:-2], cwd=tmp_path)
    assert second.stderr.startswith("train  ")
    assert (unpacked / NAME / "pack.json").stat() == made


@pytest.mark.long
def test_a_stale_pack_is_noticed_and_made_again_by_pretraining(
    unpacked: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    experiment = built_in_experiment(unpacked)
    train(experiment, tmp_path)
    made = set((unpacked / NAME / "shards").iterdir())
    recording = unpacked / "Subject01/0000.csv"
    recording.write_text(recording.read_text().replace("-", "", 1))
    train(experiment, tmp_path)
    assert f"pack not used: {unpacked}/{NAME}: is out of date: {recording} was changed" in caplog.text
    assert set((unpacked / NAME / "shards").iterdir()) > made
    assert source_of(experiment.data.build("train", 0)) == "PackedFiles"


@pytest.mark.long
def test_evaluation_uses_a_pack_and_makes_none_and_finds_about_the_same(
    trained_run: Path, distinct: Path, unpacked: Path, tmp_path: Path
) -> None:
    run = link_run(trained_run, tmp_path / "run")
    packed = evaluate(run, data_root=distinct).metrics
    for root, overrides in ((unpacked, ()), (distinct, ("data.pack=off",))):
        raw = evaluate(run, data_root=root, overrides=overrides).metrics
        assert raw["windows"] == packed["windows"]
        for direction in ("imu_to_video", "video_to_imu"):
            assert figure(raw, "retrieval", direction, "mrr") == pytest.approx(
                figure(packed, "retrieval", direction, "mrr"), abs=0.1
            )
    assert not (unpacked / NAME).exists()
    assert json.loads((run / "evaluation/metrics.json").read_text())["windows"] == 10


@pytest.mark.long
def test_without_a_pack_training_reads_the_files(unpacked: Path, tmp_path: Path) -> None:
    described = built_in_experiment(unpacked).model_dump(mode="json")
    experiment = built_in_experiment(unpacked, data={**described["data"], "pack": "off"})
    train(experiment, tmp_path)
    assert not (unpacked / NAME).exists()
    assert source_of(experiment.data.build("train", 0)) == "RawFiles"
