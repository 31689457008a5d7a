"""Simulated people of all sizes and gaits, with IMUs at fifteen places on the body, in everyday activities.

- `people`: measures and habits
- `posture`, `curves`: joint angles over time
- `gait`, `daily`, `hands`, `whole`, `activities`: what people do
- `skeleton`, `turns`: forward kinematics
- `sensors`: where IMUs are worn, and what they measure
- `session`, `simulate`: recordings
"""

from revalexo_clip.data.synthetic.bodies.activities import ACTIVITIES
from revalexo_clip.data.synthetic.bodies.sensors import PLACES
from revalexo_clip.data.synthetic.bodies.simulate import Bodies, simulate_bodies, write_bodies

__all__ = ["ACTIVITIES", "PLACES", "Bodies", "simulate_bodies", "write_bodies"]
