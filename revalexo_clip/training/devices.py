"""What Lightning says of devices that are not there, as a user's error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from lightning.fabric.utilities.exceptions import MisconfigurationException

from revalexo_clip.errors import ConfigError


@contextmanager
def devices_available() -> Iterator[None]:
    """Around the making of a trainer: raises `ConfigError` where this machine lacks the devices it is to have."""
    try:
        yield
    except MisconfigurationException as error:
        raise ConfigError(
            f"trainer: {error} (this machine cannot run with trainer.accelerator and trainer.devices as they are; "
            "--set trainer.accelerator=cpu runs anywhere)"
        ) from error
