"""Which columns of a table are the axes of accelerometers and gyroscopes, by their names.

A name is cut into words. What they say is the kind of the sensor, its axis, its unit, whether gravity has been removed,
and, by the words that are left over, its place on the body. A name that says neither kind nor axis is no channel.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

Kind = Literal["acc", "gyro", "gravity"]

ACC_UNITS = {
    "g": "g",
    "gs": "g",
    "mg": "mg",
    "m/s^2": "m/s^2",
    "m/s2": "m/s^2",
    "m/s/s": "m/s^2",
    "ms2": "m/s^2",
    "mps2": "m/s^2",
    "ms-2": "m/s^2",
    "m.s-2": "m/s^2",
    "m/sec2": "m/s^2",
    "m/sec^2": "m/s^2",
    "m s-2": "m/s^2",
}
"""Units of accelerations as files spell them, in lower case."""
GYRO_UNITS = {
    "rad/s": "rad/s",
    "rads": "rad/s",
    "rps": "rad/s",
    "rad/sec": "rad/s",
    "rad s-1": "rad/s",
    "rad.s-1": "rad/s",
    "rads-1": "rad/s",
    "mrad/s": "mrad/s",
    "deg/s": "deg/s",
    "degs": "deg/s",
    "dps": "deg/s",
    "deg/sec": "deg/s",
    "°/s": "deg/s",
    "degrees/s": "deg/s",
    "degree/s": "deg/s",
    "deg s-1": "deg/s",
    "mdps": "mdeg/s",
}
"""Units of angular velocities as files spell them, in lower case."""
_SPELLED = {
    **dict.fromkeys(("acc", "accs", "accel", "accl", "accelerometer", "acceleration", "accelerations"), "acc"),
    **dict.fromkeys(("gyr", "gyro", "gyros", "gyroscope", "rotationrate", "angvel", "angularvelocity"), "gyro"),
    **dict.fromkeys(("gravity", "grav"), "gravity"),
}
_PHRASES = (
    (("angular", "velocity"), "gyro"),
    (("angular", "rate"), "gyro"),
    (("ang", "vel"), "gyro"),
    (("rotation", "rate"), "gyro"),
    (("rot", "rate"), "gyro"),
    (("rate", "of", "turn"), "gyro"),
)
_OTHERS = frozenset(
    re.findall(
        r"\w+",
        "mag magn magnetic magnetometer quat quaternion orientation euler roll pitch yaw angle position "
        "velocity vel angular rotation pressure temperature temp uncalibrated bias std var mean absolute "
        "abs norm magnitude",
    )
)
"""Words of columns that are something else."""
_WITHOUT_GRAVITY = frozenset(
    re.findall(
        r"\w+",
        "linear lin free user useracceleration linacc freeacc linearacceleration",
    )
)
_NOTHING = frozenset(
    re.findall(
        r"\w+",
        "imu raw cal calibrated sensor sensors data value values axis total the of in measured with "
        "device motion and ned component output m s",
    )
)
"""Words that say nothing about a column."""
_SHORT = re.compile(r"(?:(a|acc|accel|accl)|(g|w|gyr|gyro|omega)|(gf))([xyz])")
_BRACKETS = re.compile(r"[\[(]([^\])]*)[\])]")


class Named(NamedTuple):
    """What the name of a column says."""

    kind: Kind | None
    """None if the name only has an axis, like `x` in a file for each sensor."""
    axis: str
    place: str
    """Place on the body, such as `Right_Arm`; empty if the name has none."""
    unit: str | None
    """Unit; None if the name has none."""
    gravity: bool
    """False if the name says that gravity has been removed."""


def named(column: str) -> Named | None:
    """Return what the name of a column says; None if it is no axis of an accelerometer or gyroscope."""
    text, unit = _without_unit(column)
    words = _words(text)
    for phrase, spelled in _PHRASES:
        for place in range(len(words) - len(phrase) + 1):
            if tuple(words[place : place + len(phrase)]) == phrase:
                words[place : place + len(phrase)] = [spelled]
    kinds: list[str] = [_SPELLED[word] for word in words if word in _SPELLED]
    axes = [word for word in words if word in ("x", "y", "z")]
    rest = [word for word in words if word not in _SPELLED and word not in ("x", "y", "z")]
    short = next((match for word in rest if (match := _SHORT.fullmatch(word))), None)
    if short is not None and not kinds and not axes:
        kinds, axes = ["gyro" if short[2] else "acc"], [short[4]]
        unit = unit or ("g" if short[3] else None)
        rest.remove(short[0])
    if len(axes) != 1 or len(set(kinds)) > 1 or _OTHERS & set(rest):
        return None
    kind = _kind(kinds[0]) if kinds else None
    gravity = not _WITHOUT_GRAVITY & set(rest)
    unit, rest = _trailing_unit(kind, unit, rest)
    left = [word for word in rest if word not in _NOTHING and word not in _WITHOUT_GRAVITY]
    return Named(kind, axes[0], "_".join(word.capitalize() for word in left), unit, gravity)


def kind_of_file(name: str) -> tuple[Kind | None, bool]:
    """Return the kind of sensor that the name of a file or sheet says, and False if it says gravity was removed."""
    words = _words(name)
    found = named(name + "_x")
    if found is None or found.kind is None or _OTHERS & set(words):
        return None, True
    return found.kind, found.gravity


def _kind(kind: str | None) -> Kind | None:
    kinds: tuple[Kind, ...] = ("acc", "gyro", "gravity")
    return next((known for known in kinds if known == kind), None)


def _without_unit(column: str) -> tuple[str, str | None]:
    """Return a name without what is in brackets, and the unit there."""
    for inside in _BRACKETS.findall(column):
        unit = known_unit(inside)
        if unit is not None:
            return _BRACKETS.sub(" ", column), unit
    return _BRACKETS.sub(" ", column), None


def known_unit(text: str) -> str | None:
    """Return the unit of an acceleration or angular velocity that a text spells; None if it is none."""
    spelled = text.strip().lower().replace("²", "2").replace("**", "^").replace("·", ".").replace("⁻", "-")
    return ACC_UNITS.get(spelled) or GYRO_UNITS.get(spelled)


def _trailing_unit(kind: str | None, unit: str | None, rest: list[str]) -> tuple[str | None, list[str]]:
    """Return the unit in words such as those of `acc_x_g`, and the words that are left over."""
    units = {"gyro": GYRO_UNITS, "acc": ACC_UNITS, "gravity": ACC_UNITS}.get(kind or "", {})
    found = [word for word in rest if word in units and word != "gs"]
    if unit is not None or len(found) != 1:
        return unit, rest
    return units[found[0]], [word for word in rest if word != found[0]]


def _words(text: str) -> list[str]:
    """Cut a name into words in lower case, at capitals, too."""
    spread = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", text.replace("gF", "gf"))
    spread = re.sub(r"(?<=[A-Z])(?=[A-Z][a-z])", " ", spread)
    return [word for word in re.split(r"[^a-z0-9°/^²]+", spread.lower()) if word]
