"""Footsteps and ground of a clip.

The ground is built under the footsteps, so that on stairs every foot lands on a tread. It is a height profile along x,
the same over the whole width.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from revalexo_clip.data.synthetic.geometry import Float, wander
from revalexo_clip.data.synthetic.script import STEPPING, Segment
from revalexo_clip.data.synthetic.style import Style

FLOOR, RISER, NOSING, RAMP = range(4)
TOE, HEEL, ANKLE = 0.17, 0.06, 0.08
"""Dimensions of the foot: distance of toe and heel from the ankle along the ground, and height of the ankle [m]."""
BEFORE, AFTER = -2.0, 2.0
"""Simulated time, from before the clip to after it, so that no motion starts or stops at the ends of the clip [s]."""
_PACE = {"walking": (1.0, 1.0), "ramp_up": (0.92, 0.9), "ramp_down": (1.06, 0.85)}
_STAIRS_PACE = {"stairs_up": 0.82, "stairs_down": 0.95}


@dataclass
class Terrain:
    """The ground as a polyline: vertices (x, z) [m], and the kind of each segment between two of them."""

    x: list[float] = field(default_factory=lambda: [-6.0])
    z: list[float] = field(default_factory=lambda: [0.0])
    kinds: list[int] = field(default_factory=list)

    def extend(self, x: float, kind: int, rise: float = 0.0) -> None:
        """Extend the ground to `x`, `rise` [m] higher than its end; existing ground is not changed."""
        if x > self.x[-1] or kind == RISER:
            self.x.append(x)
            self.z.append(self.z[-1] + rise)
            self.kinds.append(kind)

    def height(self, x: Float) -> Float:
        """Compute the height of the ground [m] at `x`."""
        return np.interp(x, self.x, self.z)

    def slope(self, x: float) -> float:
        """Compute the slope (rise over run) of the ground at `x`; 0 except on ramps."""
        index = int(np.searchsorted(self.x, x, side="right")) - 1
        if not 0 <= index < len(self.kinds) or self.kinds[index] != RAMP:
            return 0.0
        return (self.z[index + 1] - self.z[index]) / (self.x[index + 1] - self.x[index])


@dataclass(frozen=True)
class Footstep:
    """One step of a foot (0: right, 1: left), which lifts at `lift` and lands at `land` [s], at (x, y, z) [m]."""

    side: int
    begin: float
    land: float
    x: float
    y: float
    z: float
    slope: float
    activity: str

    @property
    def lift(self) -> float:
        """Time when the toe leaves the ground [s]; before that is the double support phase."""
        return self.begin + 0.22 * (self.land - self.begin)


@dataclass(frozen=True)
class Course:
    """Footsteps and ground of a clip."""

    first_side: int
    footsteps: tuple[Footstep, ...]
    terrain: Terrain
    path: Float
    """Lateral position [m] of the course at `times`."""
    times: Float


class _Stepper:
    """Builder of a course, step by step."""

    def __init__(self, rng: np.random.Generator, style: Style, end: float):
        self.rng, self.style = rng, style
        self.terrain = Terrain()
        self.footsteps: list[Footstep] = []
        self.side = self.first_side = int(rng.integers(2))
        self.x = [0.0, 0.0]
        self.times = np.arange(BEFORE, end + 2.0, 0.05)
        drift = wander(rng, self.times, 0.3, 10.0, 4.0)
        self.path = np.clip(drift, -0.55, 0.55)
        self.tempo = np.clip(
            1.0 + wander(rng, self.times, style.tempo, 9.0, 3.0), 1.0 - 2.2 * style.tempo, 1.0 + 2.2 * style.tempo
        )
        self.riser, self.tread = rng.uniform(0.14, 0.19), rng.uniform(0.28, 0.33)
        self.grade = rng.uniform(0.12, 0.2)

    def step(self, time: float, activity: str) -> float:
        """Add a step of `activity` that starts at `time`; returns the time when it lands."""
        style, side = self.style, self.side
        pace, reach = _PACE.get(activity, (_STAIRS_PACE.get(activity, 1.0), 1.0))
        bias = 1.0 + style.asymmetry * (1.0 if side == 0 else -1.0)
        tempo = float(np.interp(time, self.times, self.tempo))
        seconds = bias * self.rng.uniform(0.97, 1.03) / (style.cadence * pace * tempo)
        length = style.step_length * reach * bias * tempo**0.7
        x = self.x[1 - side] + (self.tread if activity in _STAIRS_PACE else length)
        self.build_ground(x, activity)
        self.land(time, time + seconds, x, activity)
        return time + seconds

    def close(self, time: float) -> float:
        """Add a step that places the rear foot beside the other one; returns the time when it lands."""
        seconds = self.rng.uniform(0.5, 0.7)
        self.land(time, time + seconds, self.x[1 - self.side], "standing")
        return time + seconds

    def land(self, begin: float, land: float, x: float, activity: str) -> None:
        """Record a step of the current foot, then switch to the other foot."""
        half_width = 0.5 * self.style.step_width * (-1.0 if self.side == 0 else 1.0)
        y = float(np.interp(land, self.times, self.path)) + half_width
        z = float(self.terrain.height(np.array(x)))
        self.footsteps.append(Footstep(self.side, begin, land, x, y, z, self.terrain.slope(x), activity))
        self.x[self.side] = x
        self.side = 1 - self.side

    def build_ground(self, x: float, activity: str) -> None:
        """Build ground for a foot whose ankle will be at `x`."""
        ground = self.terrain
        if activity in _STAIRS_PACE:
            edge = max(ground.x[-1], x - 0.1)
            if activity == "stairs_down":
                ground.extend(edge - 0.06, FLOOR)
                ground.extend(edge, NOSING)
                ground.extend(edge, RISER, -self.riser)
            else:
                ground.extend(edge, FLOOR)
                ground.extend(edge, RISER, self.riser)
                ground.extend(edge + 0.06, NOSING)
        elif activity.startswith("ramp"):
            end = x + TOE + 0.03
            rise = self.grade * (end - ground.x[-1])
            ground.extend(end, RAMP, rise if activity == "ramp_up" else -rise)
        else:
            ground.extend(x + TOE + 0.03, FLOOR)


def lay_course(rng: np.random.Generator, style: Style, plan: tuple[Segment, ...]) -> Course:
    """Create the footsteps of the planned activities, and ground that continues beyond the end of the clip."""
    end = plan[-1].end + AFTER
    stepper = _Stepper(rng, style, end)
    stepper.terrain.extend(TOE + 0.03, FLOOR)
    time, last = BEFORE, plan[-1].activity
    while time < end:
        current = next((segment for segment in plan if time < segment.end), plan[-1])
        if current.activity in STEPPING:
            time = stepper.step(time, current.activity)
        elif stepper.x[0] != stepper.x[1]:
            time = stepper.close(time)
        elif current.end < plan[-1].end:
            time = current.end
        else:
            break
    beyond = last if last in STEPPING else "walking"
    for _ in range(int(rng.integers(4, 9))):
        ahead = stepper.tread if beyond in _STAIRS_PACE else style.step_length
        stepper.build_ground(stepper.terrain.x[-1] + ahead - 0.1, beyond)
    stepper.terrain.extend(stepper.terrain.x[-1] + 80.0, FLOOR)
    course = (stepper.first_side, tuple(stepper.footsteps), stepper.terrain, stepper.path, stepper.times)
    return Course(*course)
