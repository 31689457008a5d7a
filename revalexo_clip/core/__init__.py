"""Shared foundations: components, errors, types, files, progress, text and the console."""
