"""The demo dataset: simulated people with seven IMUs and a camera, in RevalExo's layout.

A clip goes `script` (what somebody does) -> `style` (who they are) -> `gait` and `feet` (where the feet land, and how
they get there) -> `person` (the motion of the body), and from there to `sensors` (what the IMUs measure) and `world`
and `body` (what the camera sees). `clip` and `write` make files of it.
"""

from revalexo_clip.data.synthetic.write import synthesize

__all__ = ["synthesize"]
