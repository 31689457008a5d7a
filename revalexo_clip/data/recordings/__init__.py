"""Labelled IMU recordings that are not in RevalExo's layout: `npz` reads one file of them, `tables` CSV files.

Both are a `RecordingSet`, of which `revalexo_clip.data.imu_recordings` makes windows.
"""
