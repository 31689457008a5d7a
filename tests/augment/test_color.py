from __future__ import annotations

import colorsys
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.augment_specs import VIDEO, generators, video_windows

from revalexo_clip.augment import Augmentation, ColorJitter, Grayscale, View
from revalexo_clip.augment.color import LUMA, brighten, change_contrast, saturate, turn_hue
from revalexo_clip.augment.render import map_colors
from revalexo_clip.core.types import ImuSpec

Colors = npt.NDArray[np.float64]

WHOLE = View(0, 0, 24, 24)
GREY = 0.299 * 0.45 + 0.587 * 0.4 + 0.114 * 0.5
unit = st.floats(0, 1)
colors = st.tuples(unit, unit, unit).map(np.array)


def mapped(affine: Colors, rgb: Colors) -> Colors:
    return np.asarray(affine[:3, :3] @ rgb + affine[:3, 3])


@given(colors, st.floats(0, 2))
def test_brightness_contrast_and_saturation_match_their_definitions(rgb: Colors, factor: float) -> None:
    np.testing.assert_allclose(mapped(brighten(factor), rgb), factor * rgb, atol=1e-12)
    np.testing.assert_allclose(mapped(change_contrast(factor, 0.45), rgb), 0.45 + factor * (rgb - 0.45), atol=1e-12)
    luma = rgb @ LUMA
    np.testing.assert_allclose(mapped(saturate(factor), rgb), luma + factor * (rgb - luma), atol=1e-12)


@given(colors, st.floats(-0.5, 0.5), st.floats(-0.5, 0.5))
def test_hue_keeps_luma_and_greys_and_turns_add_up(rgb: Colors, turns: float, more: float) -> None:
    assert mapped(turn_hue(turns), rgb) @ LUMA == pytest.approx(rgb @ LUMA, abs=1e-9)
    grey = np.full(3, rgb[0])
    np.testing.assert_allclose(mapped(turn_hue(turns), grey), grey, atol=1e-12)
    twice = mapped(turn_hue(more), mapped(turn_hue(turns), rgb))
    np.testing.assert_allclose(twice, mapped(turn_hue(turns + more), rgb), atol=1e-9)


@pytest.mark.parametrize("hue", [0.0, 0.2, 0.45, 0.7, 0.9])
def test_hue_rotates_in_the_same_direction_as_hsv(hue: float) -> None:
    rgb = np.array(colorsys.hsv_to_rgb(hue, 0.3, 0.6))
    turned = colorsys.rgb_to_hsv(*mapped(turn_hue(0.1), rgb))[0]
    assert 0.04 < (turned - hue) % 1 < 0.17


def plain_jitter(augmentation: ColorJitter, rng: np.random.Generator) -> Callable[[Colors], Colors]:
    """Apply the steps one by one to the colours of one clip, [..., 3] from 0 to 1, with the same random numbers."""
    if rng.random() >= augmentation.p:
        return lambda rgb: rgb
    bright, contrast, saturation = 1 + 0.4 * rng.uniform(-1, 1, 3)
    angle = 2 * np.pi * 0.1 * rng.uniform(-1, 1)
    order = rng.permutation(4)

    def luma(rgb: Colors) -> Colors:
        return np.asarray(0.299 * rgb[..., :1] + 0.587 * rgb[..., 1:2] + 0.114 * rgb[..., 2:])

    def turn(rgb: Colors) -> Colors:
        r, g, b = rgb[..., 0], rgb[..., 1], rgb[..., 2]
        i, q = 0.5959 * r - 0.2746 * g - 0.3213 * b, 0.2115 * r - 0.5227 * g + 0.3112 * b
        i, q = i * np.cos(angle) + q * np.sin(angle), q * np.cos(angle) - i * np.sin(angle)
        yiq = np.stack([luma(rgb)[..., 0], i, q], axis=-1)
        back = np.linalg.inv([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])
        return np.asarray(yiq @ back.T)

    steps: list[Callable[[Colors], Colors]] = [
        lambda rgb: rgb * bright,
        lambda rgb: (rgb - GREY) * contrast + GREY,
        lambda rgb: luma(rgb) + (rgb - luma(rgb)) * saturation,
        turn,
    ]

    def jitter(rgb: Colors) -> Colors:
        for place in order:
            rgb = steps[place](rgb)
        return rgb

    return jitter


def test_the_batched_colour_path_equals_a_plain_one_sample_by_sample() -> None:
    jitter, gray = ColorJitter(), Grayscale(p=0.5)
    count = 12
    augmentation = Augmentation(
        (), (jitter, gray), (), imu_spec=ImuSpec(("acc_a_x",), ("m/s^2",), 60.0, 2.0), video_spec=VIDEO
    )
    video_BTHWC = video_windows(count, height=24, width=24)
    color_B34 = torch.stack([augmentation.draw(rng, (24, 24))[1].color for rng in generators(count)])
    rendered_B3THW = map_colors(video_BTHWC, color_B34)
    gray_ones = 0
    for row, rng in enumerate(generators(count)):
        rgb_THWC = video_BTHWC[row].numpy() / 255.0
        rgb_THWC = plain_jitter(jitter, rng)(rgb_THWC)
        if rng.random() < gray.p:
            rgb_THWC = np.repeat(rgb_THWC @ LUMA[:, None], 3, axis=-1)
            gray_ones += 1
        expected = (rgb_THWC - np.array(VIDEO.mean)) / np.array(VIDEO.std)
        np.testing.assert_allclose(rendered_B3THW[row], expected.transpose(3, 0, 1, 2), atol=2e-5)
    assert 0 < gray_ones < count


@pytest.mark.parametrize("augmentation", [ColorJitter(), Grayscale()], ids=["jitter", "grayscale"])
def test_finished_frames_change_as_frames_before_normalisation(augmentation: ColorJitter | Grayscale) -> None:
    always = augmentation.model_copy(update={"p": 1.0})
    rng, again = (np.random.default_rng(3) for _ in range(2))
    drawn = torch.from_numpy(always.sample(rng, VIDEO, WHOLE))[None]
    rgb_n3 = np.random.default_rng(0).random((50, 3))
    mean, std = np.array(VIDEO.mean), np.array(VIDEO.std)
    finished = torch.from_numpy(((rgb_n3 - mean) / std).T.astype(np.float32)).view(1, 3, 1, 5, 10)
    affine = always.affine(again, VIDEO)
    expected = (np.array([mapped(affine, rgb) for rgb in rgb_n3]) - mean) / std
    np.testing.assert_allclose(always.apply(finished, drawn).view(3, 50).T, expected, atol=1e-5)


@pytest.mark.long
def test_probabilities_and_ranges() -> None:
    affines = np.array([ColorJitter().affine(rng, VIDEO) for rng in generators(3000)])
    assert (affines != np.eye(4)).any((1, 2)).mean() == pytest.approx(0.8, abs=0.03)
    grays = np.array([Grayscale().affine(rng, VIDEO) for rng in generators(3000)])
    assert (grays != np.eye(4)).any((1, 2)).mean() == pytest.approx(0.2, abs=0.03)
    only = ColorJitter(contrast=0, saturation=0, hue=0, p=1.0)
    factors = np.array([only.affine(rng, VIDEO)[0, 0] for rng in generators(1000)])
    assert 0.6 <= factors.min() < 0.62
    assert 1.38 < factors.max() <= 1.4


def test_a_tenth_of_the_colours_leaves_the_range_and_is_not_clipped() -> None:
    rgb_n3 = np.random.default_rng(0).random((500, 3))
    affines = [ColorJitter().affine(rng, VIDEO) for rng in generators(500)]
    jittered = np.array([rgb_n3 @ affine[:3, :3].T + affine[:3, 3] for affine in affines])
    assert ((jittered < 0) | (jittered > 1)).mean() == pytest.approx(0.1, abs=0.02)
    strongest = int(jittered.max((1, 2)).argmax())
    drawn = torch.from_numpy(ColorJitter().sample(generators(500)[strongest], VIDEO, WHOLE))[None]
    mean, std = np.array(VIDEO.mean), np.array(VIDEO.std)
    finished = torch.from_numpy(((rgb_n3 - mean) / std).T.astype(np.float32)).view(1, 3, 1, 20, 25)
    colors = ColorJitter().apply(finished, drawn).view(3, -1).T.numpy() * std + mean
    assert colors.max() > 1.2


def test_nothing_to_jitter_changes_nothing() -> None:
    still = ColorJitter(brightness=0, contrast=0, saturation=0, hue=0, p=1.0)
    np.testing.assert_allclose(still.affine(np.random.default_rng(0), VIDEO), np.eye(4), atol=1e-12)
