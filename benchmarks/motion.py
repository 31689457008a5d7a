"""Fronts that measure image motion: accuracy, what they say about the camera's gyroscope, and cost.

    python -m benchmarks.motion

All measure the same frames of 160 x 120 px on the same grid of 3 x 4 cells. The first table has the distance from the
true shift of a textured plane, in hundredths of a pixel (median over cells and pairs), and in brackets the share of
cells that are more than 1 px off, in percent. The second has the share of the variance of a simulated camera's angular
velocity that a linear map from the motion of all cells explains, on clips of people that the map was not fitted to, and
the cost of a pair of frames on one thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import numpy.typing as npt
import torch
from rich import box
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.nn.functional import avg_pool2d, grid_sample, interpolate

from revalexo_clip.data.synthetic.clip import clip_frames, clip_motion
from revalexo_clip.data.synthetic.files import VIDEO_RATE
from revalexo_clip.data.synthetic.person import MOTION_RATE
from revalexo_clip.motion import Front, GradientFlow, PhaseCorrelation

HEIGHT, WIDTH, ROWS, COLUMNS = 120, 160, 3, 4
SIZE, PAIRS = 512, 24
SECONDS, FITTED, HELD_OUT = 12.0, (0, 1, 2), (3, 4, 5)
out = Console(width=120)

Floats = npt.NDArray[np.float64]


def fronts() -> dict[str, Front]:
    """Return what is compared."""
    size = HEIGHT, WIDTH, ROWS, COLUMNS
    return {
        "phase": PhaseCorrelation(*size),
        "phase, cells only": PhaseCorrelation(*size, coarse=False),
        "gradient": GradientFlow(*size),
    }


Change = Callable[[Tensor, torch.Generator], Tensor]


def plain(frame_HW: Tensor, draw: torch.Generator) -> Tensor:
    """Change nothing."""
    return frame_HW


def noisy(frame_HW: Tensor, draw: torch.Generator) -> Tensor:
    """Add noise with a deviation of 8 of 255, as of a camera in a dark room."""
    return frame_HW + 8 * torch.randn(frame_HW.shape, generator=draw)


def blurred(frame_HW: Tensor, draw: torch.Generator) -> Tensor:
    """Average over 5 x 5 px."""
    return avg_pool2d(frame_HW[None, None], 5, stride=1, padding=2, count_include_pad=False)[0, 0]


def faint(frame_HW: Tensor, draw: torch.Generator) -> Tensor:
    """Keep a tenth of the contrast, and add noise with a deviation of 1."""
    return 127 + 0.1 * (frame_HW - 127) + torch.randn(frame_HW.shape, generator=draw)


CONDITIONS: Mapping[str, tuple[float, Change]] = {
    "up to 1 px": (1.0, plain),
    "4 px": (4.0, plain),
    "10 px": (10.0, plain),
    "18 px": (18.0, plain),
    "30 px": (30.0, plain),
    "4 px, noise": (4.0, noisy),
    "4 px, blur": (4.0, blurred),
    "4 px, faint": (4.0, faint),
}
"""Length of shifts [px], and a change of both frames."""


def main() -> None:
    """Print both tables."""
    torch.set_num_threads(1)
    known_shifts(fronts())
    gyroscope(fronts())


@torch.no_grad()
def known_shifts(compared: Mapping[str, Front]) -> None:
    """Print the errors of shifts of a plane."""
    table = Table(
        "shift", *compared, box=box.SIMPLE, title="distance from the true shift [0.01 px] (% of cells > 1 px)"
    )
    for name, (length, change) in CONDITIONS.items():
        first, second, truth_B2 = moved_planes(length, change)
        cells = []
        for front in compared.values():
            shift_BYX2 = front(first, second)[..., :2] * WIDTH
            distance = (shift_BYX2 - truth_B2[:, None, None]).norm(dim=-1)
            cells.append(f"{100 * distance.median():.1f} ({100 * (distance > 1).float().mean():.0f}%)")
        table.add_row(name, *cells)
    out.print(table)


def moved_planes(length: float, change: Change) -> tuple[Tensor, Tensor, Tensor]:
    """Return pairs of frames [B, H, W] uint8 and their shifts [B, 2] in px: `length`, or up to it if that is 1."""
    draw = torch.Generator().manual_seed(0)
    first, second, shifts = list[Tensor](), list[Tensor](), list[Tensor]()
    for _ in range(PAIRS):
        plane = texture(draw)
        turn = 2 * torch.pi * torch.rand((), generator=draw)
        far = length * (torch.rand((), generator=draw) if length <= 1 else 1.0)
        shifts.append(far * torch.stack([turn.cos(), turn.sin()]))
        for frames, shift in ((first, torch.zeros(2)), (second, shifts[-1])):
            frame_HW = change(shown(plane, shift), draw)
            frames.append(frame_HW.round().clamp(0, 255).byte())
    return torch.stack(first), torch.stack(second), torch.stack(shifts)


def texture(draw: torch.Generator) -> Tensor:
    """Draw a plane [1, 1, SIZE, SIZE] with details of all sizes, the larger the stronger, as in natural images."""
    plane = torch.zeros(1, 1, SIZE, SIZE)
    for cell in (4, 8, 16, 32, 64, 128):
        noise = torch.randn(1, 1, SIZE // cell + 3, SIZE // cell + 3, generator=draw)
        plane += cell**0.5 * interpolate(noise, (SIZE, SIZE), mode="bicubic", align_corners=False)
    return 127 + 40 * plane / plane.std()


def shown(plane: Tensor, shift_2: Tensor) -> Tensor:
    """Return the middle [H, W] of a plane whose content has moved to the right and down [px]."""
    columns = torch.arange(WIDTH) + 0.5 * (SIZE - WIDTH) - shift_2[0]
    rows = torch.arange(HEIGHT) + 0.5 * (SIZE - HEIGHT) - shift_2[1]
    grid = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1)[None]
    return grid_sample(plane, (grid + 0.5) / SIZE * 2 - 1, mode="bicubic", align_corners=False)[0, 0]


@torch.no_grad()
def gyroscope(compared: Mapping[str, Front]) -> None:
    """Print how much of the camera's angular velocity the motion of simulated clips explains."""
    table = Table("", *compared, box=box.SIMPLE, title="variance of the camera's gyroscope explained; cost")
    clips = {subject: list(rendered(subject)) for subject in (*FITTED, *HELD_OUT)}
    for rate in (30, 15, 10):
        step = VIDEO_RATE // rate
        cells = []
        for front in compared.values():
            found = {subject: pairs_of(front, frames, step) for subject, frames in clips.items()}
            cells.append(f"{explained([found[s] for s in FITTED], [found[s] for s in HELD_OUT]):.3f}")
        table.add_row(f"at {rate} fps", *cells)
    grey_NHW = torch.stack([frame_HW for frame_HW, _ in clips[0]])
    table.add_row("ms per pair", *(f"{cost(front, grey_NHW):.2f}" for front in compared.values()))
    out.print(table)


def rendered(subject: int) -> Iterator[tuple[Tensor, Floats]]:
    """Yield grey frames [H, W] and the rotation [3, 3] of the camera of a simulated clip."""
    motion = clip_motion(7, subject, subject, SECONDS)
    start = int(np.searchsorted(motion.times, -1e-9))
    for number, rgb_HWC in enumerate(clip_frames(7, subject, subject, motion, SECONDS)):
        grey_HW = torch.from_numpy(rgb_HWC.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32))
        yield grey_HW.round().byte(), motion.camera.rotation[start + number * (MOTION_RATE // VIDEO_RATE)]


def pairs_of(front: Front, frames: list[tuple[Tensor, Floats]], step: int) -> tuple[Floats, Floats]:
    """Return the motion [P, Y x X x 2] and the camera's rotation vector [P, 3] of pairs of every `step`-th frame."""
    grey_NHW = torch.stack([frame_HW for frame_HW, _ in frames[::step]])
    measured = front(grey_NHW[:-1], grey_NHW[1:])
    rotation = np.stack([rotation for _, rotation in frames[::step]])
    between = rotation[:-1].transpose(0, 2, 1) @ rotation[1:]
    vector = np.stack(
        [between[:, (k + 2) % 3, (k + 1) % 3] - between[:, (k + 1) % 3, (k + 2) % 3] for k in range(3)], 1
    )
    return measured[..., :2].flatten(1).double().numpy(), vector / 2


def explained(fitted: list[tuple[Floats, Floats]], held_out: list[tuple[Floats, Floats]]) -> float:
    """Return the share of variance that a linear map explains on other clips, over all axes."""
    motion, rotation = (np.concatenate(parts) for parts in zip(*fitted, strict=True))
    mean = rotation.mean(axis=0)
    regular = 1e-3 * np.trace(motion.T @ motion) / motion.shape[1] * np.eye(motion.shape[1])
    weights = np.linalg.solve(motion.T @ motion + regular, motion.T @ (rotation - mean))
    motion, rotation = (np.concatenate(parts) for parts in zip(*held_out, strict=True))
    error = ((rotation - mean - motion @ weights) ** 2).sum()
    return float(1 - error / ((rotation - rotation.mean(axis=0)) ** 2).sum())


def cost(front: Front, grey_NHW: Tensor) -> float:
    """Return the CPU time of a pair of frames [ms], the median of five."""
    spent = []
    for _ in range(5):
        before = time.process_time()
        front(grey_NHW[:32], grey_NHW[1:33])
        spent.append((time.process_time() - before) / 32 * 1e3)
    return float(np.median(spent))


if __name__ == "__main__":
    main()
