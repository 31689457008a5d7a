from __future__ import annotations

import os
import wave
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest
from av.stream import Disposition
from support.tiny_dataset import number_of, numbered, steady, write_video

from revalexo_clip.core.errors import DataError
from revalexo_clip.data.packets import Video, every_packet, opened_video
from revalexo_clip.data.video import Survey, every_frame, grey_frames, read_frames, survey, upright_centre, video_span


def decode_all(path: Path, late: float = 0.0) -> tuple[npt.NDArray[np.float64], list[int]]:
    """Plain reference: every frame of the file, its time in the clip [s], its number. The first comes `late` [s]."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = [
            (frame.time, np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)) for frame in container.decode(stream)
        ]
    first = min(time for time, _ in frames)
    return np.array([time - first + late for time, _ in frames]), [number_of(central(rgb)) for _, rgb in frames]


def central(frame_HWC: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    height, width = frame_HWC.shape[:2]
    left = (width - height) // 2
    return frame_HWC[:, left : left + height]


JITTER = np.cumsum(np.random.default_rng(5).uniform(0.005, 0.06, 150)).tolist()
MISSING = [time for time in steady(5.0) if not 2.0 < time < 2.19]

VARIANTS: dict[str, Callable[[Path], Path]] = {}


def variant(name: str, times: list[float], suffix: str = ".mp4", **options: dict[str, str]) -> None:
    def write(folder: Path) -> Path:
        path = folder / f"{name}{suffix}"
        write_video(path, times, codec=options.get("codec"), container=options.get("container"))
        return path

    VARIANTS[name] = write


variant("b_frames", steady(5.0), codec={"g": "40", "bf": "4"})
variant("no_b_frames", steady(5.0), codec={"g": "40", "bf": "0"})
variant("one_keyframe", steady(5.0), codec={"g": "999", "sc_threshold": "0"})
variant("keyframes_only", steady(5.0), codec={"g": "1"})
variant("open_groups", steady(5.0), codec={"x264-params": "open-gop=1:keyint=20:bframes=3:b-pyramid=normal"})
variant("ntsc_rate", [number * 1001 / 30000 for number in range(150)], codec={"g": "30"})
variant("jittered", JITTER, codec={"g": "25"})
variant("starts_late", [time + 1.7 for time in steady(5.0)], codec={"g": "30"})
variant("short_gap", MISSING, codec={"g": "30"})
variant("index_first", steady(5.0), codec={"g": "30"}, container={"movflags": "faststart"})
variant("fragmented", steady(5.0), codec={"g": "30"}, container={"movflags": "frag_keyframe+empty_moov"})
variant("first_fragment_listed", steady(5.0), codec={"g": "30", "bf": "3"}, container={"movflags": "frag_keyframe"})
variant(
    "fragments_of_few_frames",
    [number / 4 for number in range(40)],
    codec={"g": "8", "bf": "3"},
    container={"movflags": "frag_keyframe+empty_moov"},
)
variant("no_edit_list", steady(5.0), codec={"g": "30"}, container={"use_editlist": "0"})
variant("matroska", steady(5.0), suffix=".mkv", codec={"g": "30"})
variant("seeks_badly", steady(5.0), suffix=".ts", codec={"g": "30"})


@pytest.mark.parametrize("name", VARIANTS)
def test_the_frames_are_those_nearest_in_time(name: str, tmp_path: Path) -> None:
    path = VARIANTS[name](tmp_path)
    times, numbers = decode_all(path, late=1.7 if name == "starts_late" else 0.0)
    assert sorted(numbers) == list(range(len(numbers)))
    rng = np.random.default_rng(1)
    starts = [times[0], times[-1] - 1.0, *rng.uniform(times[0], times[-1] - 1.0, 12)]
    for start in starts:
        time_T = start + np.linspace(0.0, 1.0, int(rng.integers(2, 9)))
        read = [number_of(frame) for frame in read_frames(path, time_T, 72, 72)]
        distance = np.abs(times[None] - time_T[:, None])
        chosen = [numbers.index(number) for number in read]
        np.testing.assert_allclose(distance[np.arange(len(time_T)), chosen], distance.min(axis=1), atol=2e-6)


DRIFTING = {
    "closed_groups": {"g": "20", "bf": "4", "b-pyramid": "normal"},
    "no_b_frames": {"g": "20", "bf": "0"},
    "one_keyframe": {"g": "999", "bf": "4"},
    "open_groups": {"x264-params": "open-gop=1:keyint=20:min-keyint=20:bframes=3:b-pyramid=normal"},
}


def write_drifting(path: Path, options: dict[str, str]) -> list[npt.NDArray[np.uint8]]:
    """Write 100 frames that depend on each other as `options` allow; return them as from a full decode."""
    texture = np.random.default_rng(0).integers(0, 256, size=(9, 12, 1), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    pictures = [np.roll(texture, (number, 2 * number), (0, 1)).repeat(3, 2) for number in range(100)]
    write_video(path, steady(100 / 30), frames=pictures, codec={"sc_threshold": "0", **options})
    with av.open(str(path)) as container:
        return [np.asarray(frame.to_ndarray(format="rgb24"), np.uint8) for frame in container.decode(video=0)]


@pytest.mark.parametrize("name", DRIFTING)
def test_the_pixels_are_those_of_a_full_decode_however_little_was_decoded(name: str, tmp_path: Path) -> None:
    frames = write_drifting(tmp_path / "a.mp4", DRIFTING[name])
    rng = np.random.default_rng(2)
    for moments in (1, 2, 3, 4, 4, 5, 12):  # few are far apart, with whole groups of pictures between them
        number_T = np.sort(rng.choice(len(frames), moments, replace=False))
        read_THWC = read_frames(tmp_path / "a.mp4", number_T / 30, 72, None)
        for number, rgb_HWC in zip(number_T, read_THWC, strict=True):
            np.testing.assert_array_equal(rgb_HWC, frames[number])


@pytest.mark.parametrize("name", ["closed_groups", "open_groups"])
def test_every_frame_is_found_from_the_keyframe_before_it(name: str, tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    frames = write_drifting(path, DRIFTING[name])
    content = path.read_bytes()
    first = content.index(b"mdat") + 1000  # in the first group of pictures: nothing is decoded from the start
    path.write_bytes(content[:first] + bytes(900) + content[first + 900 :])
    with pytest.raises(DataError, match=r"a\.mp4: "):
        read_frames(path, np.array([0.6]), 72, None)
    for number in range(40, 62):
        both = read_frames(path, np.array([number, number + 31]) / 30, 72, None)
        np.testing.assert_array_equal(both, np.stack([frames[number], frames[number + 31]]))


def test_what_lies_between_two_wanted_frames_is_not_decoded(tmp_path: Path) -> None:
    path = damaged(tmp_path, overwritten)
    with pytest.raises(DataError, match=r"damaged\.mp4: "):
        read_frames(path, np.array([0.1, 2.5, 3.8]), 72, 72)
    assert [number_of(frame) for frame in read_frames(path, np.array([0.1, 3.8]), 72, 72)] == [3, 114]


def test_a_cut_video_is_readable_although_its_first_frames_depend_on_missing_ones(tmp_path: Path) -> None:
    whole, piece = VARIANTS["open_groups"](tmp_path), tmp_path / "piece.mp4"
    with av.open(str(whole)) as source, av.open(str(piece), "w") as copy:
        stream = source.streams.video[0]
        copied = copy.add_stream_from_template(stream)
        source.seek(2_500_000)
        for packet in source.demux(stream):
            if packet.size:
                packet.stream = copied
                copy.mux(packet)
    begin, end = video_span(piece)  # the piece keeps the times of the whole
    assert 2.0 < begin < end - 2
    times = begin + np.array([0.3, 1.3])
    first, last = [number_of(frame) for frame in read_frames(piece, times, 72, 72)]
    assert last - first == 30
    assert first > 50


def test_opening_decodes_nothing_if_the_container_lists_its_frames(tmp_path: Path) -> None:
    for name, found_out in (("b_frames", False), ("fragmented", True), ("matroska", True)):
        with opened_video(VARIANTS[name](tmp_path)) as container:
            assert (container.streams.video[0].codec_context.pix_fmt is not None) == found_out
            rate = container.streams.video[0].average_rate
            assert rate is not None
            assert float(rate) == pytest.approx(30, rel=0.01)


def test_the_same_frame_can_be_nearest_to_several_times(tmp_path: Path) -> None:
    write_video(tmp_path / "slow.mp4", steady(4.0, rate=5.0))
    read = read_frames(tmp_path / "slow.mp4", np.linspace(1.0, 2.0, 11), 72, 72)
    assert [number_of(frame) for frame in read] == [5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10]


def test_real_recordings_give_the_frames_of_a_plain_reference(real: Path) -> None:
    videos = sorted(real.glob("videos/*/*.mp4"))
    assert videos
    for path in videos:
        with av.open(str(path)) as container:
            frames = list(container.decode(video=0))
            times = np.array([frame.time for frame in frames])
            rng = np.random.default_rng(3)
            for start in (0.0, *rng.uniform(0, times[-1] - 2.0, 2)):
                time_T = start + np.linspace(0.0, 2.0, 4)
                read = read_frames(path, time_T, 64, 64)
                for time, rgb_HWC in zip(time_T, read, strict=True):
                    frame = frames[int(np.abs(times - time).argmin())]
                    width = round(frame.width * 64 / frame.height)
                    whole = frame.reformat(width, 64, "rgb24", interpolation="BILINEAR").to_ndarray()
                    left = (width - 64) // 2
                    np.testing.assert_array_equal(rgb_HWC, whole[:, left : left + 64])


def test_frames_are_rgb_resized_by_the_short_side_and_cropped_in_the_centre(tmp_path: Path) -> None:
    picture = np.zeros((120, 240, 3), dtype=np.uint8)
    picture[:] = (200, 30, 30)
    picture[30:90, 90:150] = (20, 60, 180)
    write_video(tmp_path / "a.mp4", steady(1.0), frames=[picture] * 30)
    inside = read_frames(tmp_path / "a.mp4", np.array([0.5]), short_side=60, crop=24)[0]
    assert np.abs(inside.astype(int) - (20, 60, 180)).max() < 12
    around = read_frames(tmp_path / "a.mp4", np.array([0.5]), short_side=60, crop=60)[0]
    assert around.shape == (60, 60, 3)
    blue = around[..., 2] > 100
    box = [*np.argwhere(blue).min(axis=0), *np.argwhere(blue).max(axis=0)]
    np.testing.assert_allclose(box, [15, 15, 44, 44], atol=1)  # colour is stored at half the resolution
    corners = around[[0, 0, -1, -1], [0, -1, 0, -1]]
    assert np.abs(corners.astype(int) - (200, 30, 30)).max() < 12


def test_without_a_crop_the_frame_stays_whole_and_keeps_its_aspect(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", steady(1.0))
    time_T = np.array([0.1, 0.5])
    whole = read_frames(tmp_path / "a.mp4", time_T, 36, None)
    assert whole.shape == (2, 36, 48, 3)
    np.testing.assert_array_equal(whole[:, 2:34, 8:40], read_frames(tmp_path / "a.mp4", time_T, 36, 32))
    clockwise = [0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30]
    write_video(tmp_path / "upright.mp4", steady(1.0), matrix=clockwise)
    assert read_frames(tmp_path / "upright.mp4", time_T, 36, None).shape == (2, 48, 36, 3)


def test_shrinking_does_not_alias(tmp_path: Path) -> None:
    stripes = np.zeros((144, 192, 3), dtype=np.uint8)
    stripes[:, ::2] = 255
    write_video(tmp_path / "a.mp4", steady(0.5), frames=[stripes] * 15, codec={"crf": "1"})
    small = read_frames(tmp_path / "a.mp4", np.array([0.2]), 36, 36)[0].astype(int)
    assert small[:, 4:-4].min() > 100
    assert small[:, 4:-4].max() < 155


def test_frames_are_turned_upright(tmp_path: Path) -> None:
    # The matrix of a phone held upright: it takes the picture's right to the bottom, a quarter turn clockwise.
    clockwise = [0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30]
    stored = [np.rot90(central(numbered(number))) for number in range(30)]
    write_video(tmp_path / "a.mp4", steady(1.0), frames=stored, matrix=clockwise)
    read = read_frames(tmp_path / "a.mp4", np.array([0.1, 0.5, 0.8]), 72, 72)
    assert [number_of(frame) for frame in read] == [3, 15, 24]


ONE = 1 << 16
Picture = npt.NDArray[np.uint8]
MATRICES: dict[str, tuple[list[int], Callable[[Picture], Picture]]] = {
    "horizontal flip": ([-ONE, 0, 0, 0, ONE, 0, 0, 0, 1 << 30], lambda picture: picture[:, ::-1]),
    "vertical flip": ([ONE, 0, 0, 0, -ONE, 0, 0, 0, 1 << 30], lambda picture: picture[::-1]),
    "transposed": ([0, ONE, 0, ONE, 0, 0, 0, 0, 1 << 30], lambda picture: picture.transpose(1, 0, 2)),
    "half a turn": ([-ONE, 0, 0, 0, -ONE, 0, 0, 0, 1 << 30], lambda picture: picture[::-1, ::-1]),
    "a quarter turn": ([0, ONE, 0, -ONE, 0, 0, 0, 0, 1 << 30], lambda picture: np.rot90(picture, -1)),
}


@pytest.mark.parametrize("name", MATRICES)
def test_frames_are_shown_as_the_display_matrix_says(name: str, tmp_path: Path) -> None:
    matrix, shown = MATRICES[name]
    picture = np.random.default_rng(0).integers(0, 256, (9, 12, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    for stem, how in (("plain", None), ("a", matrix)):
        write_video(tmp_path / f"{stem}.mp4", steady(0.5), frames=[picture] * 15, matrix=how)
    plain = read_frames(tmp_path / "plain.mp4", np.array([0.2]), 36, None)[0]
    np.testing.assert_array_equal(read_frames(tmp_path / "a.mp4", np.array([0.2]), 36, None)[0], shown(plain))
    first = next(every_frame(tmp_path / "a.mp4", 36))
    plain = next(every_frame(tmp_path / "plain.mp4", 36)).rgb_HWC
    np.testing.assert_array_equal(upright_centre(first.rgb_HWC[None], None, first.turns)[0], shown(plain))
    grey = next(grey_frames(tmp_path / "a.mp4", 32))[1].astype(int)
    expected = next(grey_frames(tmp_path / "plain.mp4", 32 if grey.shape[1] > grey.shape[0] else 43))[1]
    assert np.abs(grey - shown(expected[..., None])[: grey.shape[0], : grey.shape[1], 0]).mean() < 8


@pytest.mark.parametrize(("aspect", "size"), [(Fraction(2), (36, 96)), (Fraction(1, 2), (54, 36))])
def test_pixels_that_are_not_square_are_shown_in_their_shape(
    aspect: Fraction, size: tuple[int, int], tmp_path: Path
) -> None:
    write_video(tmp_path / "square.mp4", steady(0.5))
    with av.open(str(tmp_path / "square.mp4")) as source, av.open(str(tmp_path / "wide.mp4"), "w") as copy:
        stream = source.streams.video[0]
        copied = copy.add_stream_from_template(stream)
        copied.sample_aspect_ratio = aspect
        for packet in source.demux(stream):
            if packet.size:
                packet.stream = copied
                copy.mux(packet)
    path = tmp_path / "wide.mp4"
    assert read_frames(path, np.array([0.2]), 36, None).shape[1:3] == size
    assert next(every_frame(path, 36)).rgb_HWC.shape[:2] == size
    assert next(every_frame(path, 36)).size == (72, round(96 * aspect))
    height, width = next(grey_frames(path, 48))[1].shape
    assert width / height == pytest.approx(96 * aspect / 72, rel=0.03)


def test_an_attached_picture_is_not_the_video(tmp_path: Path) -> None:
    write_video(tmp_path / "film.mp4", steady(1.0))
    picture = av.VideoFrame.from_ndarray(numbered(7), format="rgb24")
    with av.open(str(tmp_path / "film.mp4")) as source, av.open(str(tmp_path / "a.mp4"), "w") as copy:
        cover = copy.add_stream("png")
        cover.width, cover.height, cover.pix_fmt = picture.width, picture.height, "rgb24"
        cover.disposition = Disposition.attached_pic
        stream = source.streams.video[0]
        copied = copy.add_stream_from_template(stream)
        copy.mux(cover.encode(picture))
        for packet in source.demux(stream):
            if packet.size:
                packet.stream = copied
                copy.mux(packet)
    assert [number_of(frame) for frame in read_frames(tmp_path / "a.mp4", np.array([0.1, 0.5]), 72, 72)] == [3, 15]
    assert video_span(tmp_path / "a.mp4")[1] == pytest.approx(29 / 30 + 0.1, abs=0.02)


def resident() -> int:
    """Memory of this process [bytes]."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the memory of a process is read from /proc")
@pytest.mark.parametrize("read", [lambda path: every_frame(path, 36), lambda path: grey_frames(path, 48), survey])
def test_reading_a_whole_file_never_holds_its_packets(read: Callable[[Path], object], tmp_path: Path) -> None:
    path = tmp_path / "large.mkv"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("rawvideo", rate=30)
        stream.width, stream.height, stream.pix_fmt = 1280, 720, "yuv420p"
        frame = av.VideoFrame(1280, 720, "yuv420p")
        for number in range(100):
            frame.pts = number
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    assert path.stat().st_size > 130e6
    peak = before = resident()
    found = read(path)
    for _ in found if isinstance(found, Iterator) else ():
        peak = max(peak, resident())
    assert max(peak, resident()) - before < 60e6
    if isinstance(found, Survey):
        peaks: list[int] = []
        with opened_video(path) as container:
            peaks.extend(resident() for _ in every_packet(Video(path, container)))
        assert len(peaks) == len(found.time_P) == 100
        assert max(peaks) - before < 60e6


def damaged(tmp_path: Path, change: Callable[[bytes], bytes]) -> Path:
    path = tmp_path / "damaged.mp4"
    write_video(path, steady(4.0), codec={"g": "30"}, container={"movflags": "faststart"})
    path.write_bytes(change(path.read_bytes()))
    return path


def overwritten(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes(3000) + content[middle + 3000 :]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda content: content[: len(content) // 2], id="truncated"),
        pytest.param(lambda content: content[:30], id="only a few bytes"),
        pytest.param(lambda content: b"", id="empty"),
        pytest.param(lambda content: b"not a video at all\n" * 100, id="text"),
        pytest.param(overwritten, id="overwritten in the middle"),
    ],
)
def test_damage_is_an_error_that_names_the_file(change: Callable[[bytes], bytes], tmp_path: Path) -> None:
    path = damaged(tmp_path, change)
    with pytest.raises(DataError, match=r"damaged\.mp4: "):
        read_frames(path, np.linspace(1.5, 3.5, 4), 72, 72)


def test_damage_elsewhere_does_not_stop_a_window(tmp_path: Path) -> None:
    path = damaged(tmp_path, overwritten)
    assert [number_of(frame) for frame in read_frames(path, np.array([0.0, 0.5]), 72, 72)] == [0, 15]


def test_single_wrong_bytes_never_silently_change_a_frame(tmp_path: Path) -> None:
    path = damaged(tmp_path, lambda content: content)
    content = path.read_bytes()
    time_T = np.linspace(1.0, 3.0, 20)
    whole = read_frames(path, time_T, 72, 72).astype(int)
    rng = np.random.default_rng(0)
    caught = 0
    for _ in range(40):
        place = int(rng.integers(len(content) // 4, len(content) - 8))
        path.write_bytes(content[:place] + rng.bytes(8) + content[place + 8 :])
        try:
            read = read_frames(path, time_T, 72, 72).astype(int)
        except DataError:
            caught += 1
        else:
            assert np.abs(read - whole).mean() < 40
    assert caught > 10


def test_a_file_that_is_not_there_or_holds_no_video_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.mp4: cannot be decoded as video: No such file"):
        read_frames(tmp_path / "gone.mp4", np.array([0.0]), 72, 72)
    with wave.open(str(tmp_path / "sound.mp4"), "wb") as sound:
        sound.setparams((1, 2, 8000, 8000, "NONE", ""))
        sound.writeframes(bytes(16000))
    with pytest.raises(DataError, match=r"sound\.mp4: has no video stream"):
        read_frames(tmp_path / "sound.mp4", np.array([0.0]), 72, 72)


def test_a_stream_without_presentation_times_is_an_error(tmp_path: Path) -> None:
    write_video(tmp_path / "bare.h264", steady(2.0))
    with pytest.raises(DataError, match=r"bare\.h264: its frames have no presentation times"):
        read_frames(tmp_path / "bare.h264", np.array([0.5]), 72, 72)


def test_a_time_with_no_frame_near_it_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "short.mp4"
    write_video(path, [time for time in steady(4.0) if not 1.0 < time < 2.0])
    with pytest.raises(DataError, match=r"short\.mp4: has no frame near 4\.500 s: .* 3\.967 s, the end of the video"):
        read_frames(path, np.array([3.0, 4.5]), 72, 72)
    with pytest.raises(DataError, match=r"no frame near 1\.500 s: the nearest is at (1|2)\.000 s"):
        read_frames(path, np.array([0.5, 1.5, 2.5]), 72, 72)
    assert number_of(read_frames(path, np.array([4.05]), 72, 72)[0]) == 90
