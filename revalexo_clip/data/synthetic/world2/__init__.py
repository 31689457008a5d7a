"""World 2: the same activities as in world 1, recorded as real people record them.

- `plan`: activities in random order
- `wearer`: gait, the head and the camera on it
- `sensors`: IMUs with mounts, slippage, impacts, saturation and a clock of their own
- `place`, `view`: surroundings in any direction
- `figures`, `crowd`: things that stand around, other people, and the wearer's own limbs
- `light`: exposure, flicker, motion blur and noise
- `clip`: the recording
"""
