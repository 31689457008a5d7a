"""Synthetic demo dataset: simulated subjects with seven IMUs and a camera, in RevalExo's layout.

Steps of generating a clip:

- `script`: activities and transitions
- `style`: parameters of a subject's movement
- `gait`, `feet`: footsteps, ground and motion of the feet
- `person`: motion of the whole body
- `sensors`: IMU signals
- `world`, `textures`, `body`: camera images
- `clip`, `write`: files of a clip and of the dataset

`geometry` has rotations, smoothing and random curves.
"""

from revalexo_clip.data.synthetic.write import synthesize

__all__ = ["synthesize"]
