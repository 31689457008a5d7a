"""Runs on disk: folder, log, environment, checkpoints, resume."""
