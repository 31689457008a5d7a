"""Load an exported encoder. No code from its folder is run."""

from __future__ import annotations

from pathlib import Path
from textwrap import shorten

from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file

from revalexo_clip.config.loading import import_experiment_file
from revalexo_clip.core.component import describe
from revalexo_clip.core.errors import ConfigError, DataError
from revalexo_clip.export.description import DESCRIPTION, WEIGHTS, EncoderDescription
from revalexo_clip.export.encoder import PretrainedEncoder, build_encoder


def load_encoder(folder: str | Path, experiment_file: str | Path | None = None) -> PretrainedEncoder:
    """Load the encoder of an exported folder, in eval mode on the CPU. No code from the folder is run.

    `experiment_file` defines the encoder if it is not part of this package. Raises `ConfigError` if the folder is not
    an exported encoder, `DataError` if one of its files is missing or corrupt. The message names the file.
    """
    folder = Path(folder)
    if experiment_file is not None:
        import_experiment_file(Path(experiment_file))
    description = _read_description(folder / DESCRIPTION, experiment_file)
    try:
        module = build_encoder(description)
    except ConfigError as error:
        raise DataError(f"{folder / DESCRIPTION}: {error}") from error
    try:
        weights = load_file(folder / WEIGHTS)
    except FileNotFoundError as error:
        raise DataError(f"{folder / WEIGHTS}: missing from this encoder folder") from error
    except (SafetensorError, OSError) as error:
        raise DataError(f"{folder / WEIGHTS}: corrupt, or not a safetensors file: {error}") from error
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:  # names or shapes differ
        differences = shorten(str(error), 500, placeholder=" ...")
        raise DataError(
            f"{folder / WEIGHTS}: the weights do not fit the encoder in {DESCRIPTION}: {differences}"
        ) from error
    return module.eval()


def _read_description(path: Path, experiment_file: str | Path | None) -> EncoderDescription:
    try:
        return EncoderDescription.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such file; {path.parent} is not an exported encoder") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    except ValidationError as error:
        unknown = any(item["type"] == "unknown_component" for item in error.errors())
        hint = ""
        if unknown and experiment_file is None:
            hint = "\nIf an experiment file defines the encoder, pass that file: load_encoder(folder, 'FILE.py')"
        elif unknown:
            hint = f"\n{experiment_file} does not define it"
        raise DataError(f"{path}: {describe(error)}{hint}") from error
