"""Measured image motion: from frames to motion on a grid, and its resampling."""
