"""Synthetic demo dataset: simulated subjects with seven IMUs and a camera, in RevalExo's layout.

Steps of generating a recording:

- `script`: activities and transitions
- `style`: parameters of a subject's movement
- `gait`, `feet`: footsteps, ground and motion of the feet
- `person`: motion of the whole body
- `sensors`: IMU signals, of the body and of the camera
- `world`, `textures`, `body`: camera images
- `clip`: recordings of world 1, which never changes
- `world2`: recordings of world 2, which is harder
- `files`, `write`: files of a recording and of the dataset

`geometry` has rotations, smoothing and random curves.
"""

from revalexo_clip.data.synthetic.write import synthesize

__all__ = ["synthesize"]
