"""The lag between IMU and video of a dataset's recordings, and pages to look at both.

- `series`: the rotation of the picture, and the mean turning rate of a gyroscope between two frames
- `search`, `rotation`: lag and drift from the rotation of the picture against a gyroscope
- `chance`: what unrelated recordings of the same spectrum reach
- `embeddings`, `events`: lag from a trained pair of encoders, and from marked events
"""
