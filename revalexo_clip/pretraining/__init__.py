"""Contrastive pretraining of an IMU encoder and a video encoder."""
