"""Runs on disk: folders, checkpoints, environment, log, resume."""
