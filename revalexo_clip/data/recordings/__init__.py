"""Labelled IMU recordings in other layouts than RevalExo's.

`npz` reads recordings from one .npz file, `tables` from CSV files. Both are a `RecordingSet` (`base`), which
`imu_recordings` cuts into windows; `units` converts the units.
"""
