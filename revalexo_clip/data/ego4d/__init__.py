"""Egocentric videos with an IMU table and narrations: Ego4D, and takes in folders of their own."""
