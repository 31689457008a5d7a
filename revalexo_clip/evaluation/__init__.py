"""Evaluation of checkpoints: retrieval, linear probes, activity classification, comparisons."""
