"""What a pack or a motion file holds is what was written: anything else is one error that says so."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import av
import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.crafted import crafted, sign
from support.tiny_dataset import CHANNELS, HEIGHT, WIDTH, numbered, revalexo

from revalexo_clip.core.errors import DataError, UserError
from revalexo_clip.data import WindowDataset
from revalexo_clip.data.motion import Motion
from revalexo_clip.data.revalexo.check import KINDS, Problem
from revalexo_clip.data.revalexo.check.command import check_data
from revalexo_clip.data.revalexo.motion import file as motion_file
from revalexo_clip.data.revalexo.motion.build import file_name, make_motion
from revalexo_clip.data.revalexo.pack.build import pack
from revalexo_clip.data.revalexo.pack.checksums import BLOCK, Section, block_checks, check_of, first_checks
from revalexo_clip.data.revalexo.pack.entries import COLUMNS
from revalexo_clip.data.revalexo.pack.find import NAME
from revalexo_clip.data.revalexo.pack.folder import _TABLES, MANIFEST, SHARDS, open_pack
from revalexo_clip.data.video import read_frames, survey

SHARD_TABLES = {f"entries/{name}": dtype for name, (dtype, _) in COLUMNS.items()}
COARSE = Motion(rows=2, columns=2, width=64)
MOTION_FILE = file_name(COARSE)


@pytest.fixture
def packed(written: Path, tmp_path: Path) -> Path:
    """Return a copy of the tiny dataset and its pack, which a test may change."""
    return Path(shutil.copytree(written, tmp_path / "packed"))


@pytest.fixture(scope="module")
def measured(written: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the tiny dataset with a motion file; tests must not change it."""
    root = Path(shutil.copytree(written, tmp_path_factory.mktemp("measured") / "dataset"))
    make_motion(root, COARSE)
    return root


def shard_of(root: Path) -> Path:
    (shard,) = (root / NAME / SHARDS).iterdir()
    return shard


def overwrite(root: Path, name: str, first: int, content: bytes) -> None:
    """Change bytes of an array of the pack, and nothing else."""
    place = open_pack(root / NAME).entries.shards.places(0)[name]
    with shard_of(root).open("r+b") as file:
        file.seek(place.start + first)
        file.write(content)


def val(root: Path) -> WindowDataset:
    return revalexo(root, pack=root / NAME).build("val", seed=0)


def test_samples_that_are_zeroed_are_an_error_that_names_the_place(packed: Path) -> None:
    overwrite(packed, "imu/values", 0, bytes(60 * len(CHANNELS) * 4))
    message = (
        r"Subject08/0000, window at 0\.000 s: .*rxclip-pack/shards/.*\.h5: Subject08/0000: samples 0 to 239: is "
        r"corrupt: checksum mismatch; delete it, and run again to rebuild it"
    )
    with pytest.raises(DataError, match=message):
        _ = val(packed)[0, 0]


@pytest.mark.long
def test_any_changed_byte_of_a_frame_is_an_error_that_names_it(packed: Path) -> None:
    rng, shard = np.random.default_rng(0), shard_of(packed)
    whole, start = shard.read_bytes(), open_pack(packed / NAME).entries.shards.places(0)["frames/jpeg"].start
    with h5py.File(shard) as file:
        place = file["frames/place"][()]
    shown = [0, 20, 40, 60]  # the frames of the first window
    for _ in range(40):
        frame = int(rng.choice(shown))
        at = int(rng.integers(place[frame], place[frame + 1] - 16))
        content = rng.bytes(16)
        if whole[start + at :][:16] == content:
            continue
        shard.write_bytes(whole)
        overwrite(packed, "frames/jpeg", at, content)
        with pytest.raises(DataError, match=rf"h5: Subject08/0000: frame {frame}: is corrupt: checksum mismatch; del"):
            _ = val(packed)[0, 0]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("frames/time", np.full(3, 7.0).tobytes(), "times of frames: is corrupt"),
        ("frames/place", np.array([-5, 2**60]).tobytes(), "the place of frame 0: is corrupt"),
        ("frames/place", np.array([1, 2000]).tobytes(), "frame 0: is corrupt"),
        ("frames/check", bytes(4), "frame 0: is corrupt"),
    ],
)
def test_times_and_places_are_verified(name: str, content: bytes, says: str, packed: Path) -> None:
    overwrite(packed, name, 0, content)
    with pytest.raises(DataError, match=f"Subject08/0000: {says}: checksum mismatch"):
        _ = val(packed)[0, 0]


def test_a_rebuilt_pack_is_whole_again(packed: Path) -> None:
    whole = shard_of(packed).read_bytes()
    overwrite(packed, "frames/jpeg", 1000, b"damage")
    assert not pack(packed).made, "its tables are whole, and the payload is not read"
    shard_of(packed).unlink()
    assert pack(packed).encoded >= 2
    assert shard_of(packed).read_bytes() == whole


@settings(max_examples=60)
@given(st.data())
def test_blocks_are_those_of_a_plain_loop(data: st.DataObject) -> None:
    lengths = data.draw(st.lists(st.integers(0, 3 * BLOCK + 5), min_size=1, max_size=4))
    values = np.arange(sum(lengths), dtype=np.float32)
    first_N1 = np.cumsum([0, *lengths])
    checks = np.concatenate([block_checks(values[a:b]) for a, b in pairwise(first_N1.tolist())])
    plain = [
        check_of(values[first : min(first + BLOCK, end)])
        for start, end in pairwise(first_N1.tolist())
        for first in range(start, end, BLOCK)
    ]
    assert checks.tolist() == plain
    clip = data.draw(st.integers(0, len(lengths) - 1))
    section = Section(int(first_N1[clip]), int(first_N1[clip + 1]), int(first_checks(first_N1)[clip]))
    first = data.draw(st.integers(0, lengths[clip]))
    end = data.draw(st.integers(first, lengths[clip]))
    low, high, check, check_end = section.blocks(first, end)
    assert section.first <= low <= section.first + first
    assert section.first + end <= high <= section.end
    assert high - low < end - first + 2 * BLOCK
    assert block_checks(values[low:high]).tolist() == checks[check:check_end].tolist()


def outcome(read: Callable[[], object]) -> str:
    """Return the message of a user's error, or "" if there is none; any other exception passes."""
    try:
        read()
    except UserError as error:
        return str(error)
    return ""


@pytest.mark.long
@pytest.mark.parametrize("name", [MANIFEST, SHARDS])
def test_a_crafted_pack_with_a_matching_digest_is_one_clear_error(name: str, packed: Path) -> None:
    source, refused, windows = tmp_copy(packed), 0, windows_in(packed)
    target = shard_of(packed) if name == SHARDS else packed / NAME / MANIFEST
    if name == SHARDS:
        (packed / NAME / MANIFEST).unlink()
    for seed in range(60):
        done = crafted(source / target.relative_to(packed), target, seed, _TABLES if name == MANIFEST else SHARD_TABLES)
        says = [outcome(lambda: windows_in(packed)), outcome(lambda: check_data(packed / NAME))]
        refused += any(says) or bool(check_data(packed / NAME).problems)
        assert all(len(message) < 1500 for message in says), (seed, done)
    assert refused > 30 or name == MANIFEST, "a manifest that is not usable is not used"
    assert windows


def tmp_copy(packed: Path) -> Path:
    return Path(shutil.copytree(packed, packed.with_name("whole")))


def windows_in(root: Path) -> str:
    """Read windows and statistics of a dataset from its pack, and return a digest of the windows."""
    digest = hashlib.sha256()
    for split in ("train", "val"):
        windows = revalexo(root, pack=root / NAME, frames=3, burst=2).build(split, seed=0)
        for index in range(0, len(windows), 4):
            for field in windows[0, index]:
                digest.update(np.ascontiguousarray(field.numpy()).tobytes())
        windows.imu_statistics()
    _ = revalexo(root, pack=root / NAME).labelled("val", seed=0)[0, 0]
    return digest.hexdigest()


def damage(path: Path, rng: np.random.Generator) -> str:
    """Change or remove some bytes of a file; return what was done."""
    content = bytearray(path.read_bytes())
    place, how = int(rng.integers(len(content))), int(rng.integers(3))
    if how == 0:
        del content[place:]
    elif how == 1:
        content[place] ^= 1 << int(rng.integers(8))
    else:
        content[place : place + 64] = rng.bytes(min(64, len(content) - place))
    path.write_bytes(content)
    return f"{path.name}: {('truncated at', 'a bit at', '64 bytes at')[how]} {place}"


@pytest.mark.parametrize("count", [10, pytest.param(200, marks=pytest.mark.long)])
def test_damage_anywhere_is_an_error_that_names_the_pack_or_harmless(count: int, packed: Path) -> None:
    source, rng, windows = tmp_copy(packed) / NAME, np.random.default_rng(count), windows_in(packed)
    files = [path.relative_to(source) for path in sorted(source.rglob("*")) if path.is_file()]
    shard = next(path for path in files if path.parent.name == SHARDS)
    noticed = 0
    for number in range(count):
        shutil.rmtree(packed / NAME)
        shutil.copytree(source, packed / NAME)
        damaged = packed / NAME / (shard if number % 2 else files[int(rng.integers(len(files)))])
        done = damage(damaged, rng)
        found = list[str]()
        message = outcome(lambda: found.append(windows_in(packed)))  # noqa: B023
        assert found == [windows] or str(packed / NAME) in message, (done, message)
        problems = outcome(lambda: check_data(packed / NAME)) or check_data(packed / NAME).problems
        assert problems or damaged.name != shard.name, f"{done}: check-data reads all of a shard"
        noticed += bool(message)
        if message and number < 10:  # the file that the message names is deleted, and all is well again
            (packed / NAME / shard).unlink(missing_ok=True)
            assert pack(packed, processes=1).missing == 0
            assert windows_in(packed) == windows, done
    assert noticed


@pytest.mark.long
def test_a_crafted_motion_file_with_a_matching_digest_is_one_clear_error(measured: Path, tmp_path: Path) -> None:
    root, refused = Path(shutil.copytree(measured, tmp_path / "dataset")), 0
    whole = (measured / MOTION_FILE).read_bytes()
    for seed in range(60):
        done = crafted(measured / MOTION_FILE, root / MOTION_FILE, seed, motion_file._TABLES)
        try:
            tables = motion_file.MotionTables(root / MOTION_FILE, COARSE)
            for video in tables.about.videos:
                if not tables.problem(video):
                    edge_E = tables.edges(video)
                    tables.track(video, edge_E, 0, len(edge_E) - 1)
        except DataError:
            refused += 1
        assert outcome(lambda: check_data(root / MOTION_FILE)) == "", done
    assert refused > 30
    assert whole == (measured / MOTION_FILE).read_bytes()


def test_changed_motion_is_an_error_and_is_measured_again(measured: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(measured, tmp_path / "dataset"))
    tables = motion_file.MotionTables(root / MOTION_FILE, COARSE)
    expected = revalexo(root, frames=0, motion=COARSE).build("val", seed=0)[0, 0].motion_MYX3
    with (root / MOTION_FILE).open("r+b") as file:
        file.seek(tables.stored.values.start + int(tables.first_N1[4]) * tables.row_values * 4 + 100)
        file.write(b"damage")
    data = revalexo(root, frames=0, motion=COARSE).build("val", seed=0)
    with pytest.raises(
        DataError, match=rf"{MOTION_FILE}: videos/Subject08/0000\.mp4: motion of frame 0 and after it: "
    ):
        _ = data[0, 0]
    (problem,) = check_data(root / MOTION_FILE).problems
    assert problem.message.startswith("videos/Subject08/0000.mp4: motion of frame 0 and after it: is corrupt")
    (root / MOTION_FILE).unlink()
    make_motion(root, COARSE)
    assert (revalexo(root, frames=0, motion=COARSE).build("val", seed=0)[0, 0].motion_MYX3 == expected).all()


def test_a_motion_file_of_the_format_before_is_measured_anew(
    measured: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Frames of videos that are flipped, or whose pixels are not square, were rendered differently."""
    root = Path(shutil.copytree(measured, tmp_path / "dataset"))
    with h5py.File(root / MOTION_FILE, "r+") as file:
        file.attrs["format"] = 1
        sign(file, motion_file._TABLES)
    data = revalexo(root, frames=0, motion=COARSE)
    assert data.unprepared()
    assert "it has format 1, but this version reads format 2" in caplog.text
    data.prepare(lambda done, total: None, leader=True)
    assert not data.unprepared()


def test_check_data_verifies_every_byte_of_a_pack(packed: Path) -> None:
    found = check_data(packed / NAME)
    assert (found.problems, found.findings.clips, found.findings.seconds) == ((), 6, 24.0)
    assert found.findings.subjects == ("Subject01", "Subject02", "Subject08")
    with h5py.File(shard_of(packed)) as file:
        third = int(file["frames/place"][3])
    overwrite(packed, "frames/jpeg", third + 9, b"damage")
    overwrite(packed, "imu/values", 0, b"damage")
    overwrite(packed, "frames/time", 8, b"damage")
    shard = shard_of(packed)
    assert [
        (problem.file, re.sub(r"^(imu|videos)/Subject0\d/000\d\.\w+", r"\1", problem.message))
        for problem in check_data(packed / NAME).problems
    ] == [
        (shard, "imu: 1 of 1 blocks of samples: corrupt: checksum mismatch"),
        (
            shard,
            "videos: times of frames: is corrupt: checksum mismatch; delete it, and run again to rebuild it",
        ),
        (shard, "videos: frames 3 of 120: corrupt: checksum mismatch"),
        (shard, "its content is not what was written: checksum mismatch"),
    ]
    shard.write_bytes(shard.read_bytes()[:-10])
    (problem,) = check_data(packed / NAME).problems
    assert problem.file == shard
    assert problem.message.startswith("is incomplete or corrupt: it has ")
    (packed / NAME / "pack.json").write_bytes(b"no pack")
    (problem,) = check_data(packed / NAME).problems
    assert problem.message.startswith("is not a pack, or pack.json is corrupt")


@pytest.mark.long
def test_damage_that_no_decoder_notices_is_found_if_it_comes_after_packing(root: Path) -> None:
    """MJPEG stands for HEVC and VP9, too: nothing is promised about damage from before."""
    video, rng, silent = root / "videos/Subject08/0000.mp4", np.random.default_rng(0), 0
    with av.open(str(video), "w") as file:
        stream = file.add_stream("mjpeg", rate=30, options={"huffman": "default"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuvj420p"
        for number in range(120):
            file.mux(stream.encode(av.VideoFrame.from_ndarray(numbered(number), format="rgb24")))
        file.mux(stream.encode())
    pack(root)
    whole, before = video.read_bytes(), video.stat()
    shown = read_frames(video, np.array([2.0]), 36, 36)
    begin, end = [found.start() for found in re.finditer(b"\xff\xd8\xff", whole)][60:62]
    for _ in range(10):
        damaged = bytearray(whole)
        for place in rng.integers((begin + 2 * end) // 3, end - 4, 4):  # beyond the tables of the frame at 2 s
            damaged[place] = rng.integers(255)
        video.write_bytes(damaged)
        with suppress(DataError):
            changed = read_frames(video, np.array([2.0]), 36, 36) != shown
            silent += survey(video).damage is None and bool(changed.any())
    os.utime(video, ns=(before.st_atime_ns, before.st_mtime_ns))
    problems = check_data(root, channels=("acc_*",), processes=1).problems
    assert "changed_content" in {problem.kind for problem in problems}
    assert silent > 0, "if decoders notice this now, the documentation can promise more"
    assert "not every codec notices damage" in KINDS["damaged_video"].meaning


def test_check_data_notices_a_file_that_was_damaged_after_packing(packed: Path) -> None:
    video = packed / "videos/Subject08/0001.mp4"
    before, content = video.stat(), bytearray(video.read_bytes())

    def found() -> list[Problem]:
        problems = check_data(packed, channels=("acc_*",), processes=1).problems
        return [problem for problem in problems if problem.kind == "changed_content"]

    assert found() == []
    content[-1] ^= 1
    video.write_bytes(content)
    os.utime(video, ns=(before.st_atime_ns, before.st_mtime_ns))
    (problem,) = found()
    assert (problem.file, problem.clip, problem.severity) == (video, "Subject08/0001", "warning")
    assert "its content is not what was packed (rxclip-pack), although its size and" in problem.message
    os.utime(video)  # somebody has changed it
    assert found() == []
