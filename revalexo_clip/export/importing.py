"""Convert encoders of others to encoder folders, as `rxclip import-encoder` does. Names of tensors tell whose it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from revalexo_clip.config.pretraining import PretrainExperiment
from revalexo_clip.core.errors import ConfigError, DataError
from revalexo_clip.export import harnet, imagebind, revalexo
from revalexo_clip.export.stacked import Form, HeadName, import_stacked, stacked_tensors
from revalexo_clip.export.state_dict import Import, below_prefix, state_dicts_in


def import_encoder(
    file: str | Path,
    experiment: PretrainExperiment | None = None,
    *,
    out: str | Path | None = None,
    subjects: Sequence[str] | None = None,
    form: Form | None = None,
    rate: float | None = None,
    window: float | None = None,
    head: HeadName | None = None,
) -> Import:
    """Write an encoder of others to a folder.

    - `file`: state dict, or a checkpoint that contains it: a `DeepConvLSTM` with RevalExo's names, or a stacked encoder
      of IMU2CLIP or PRIMUS, or a HARNet, or an ImageBind.
    - `experiment`: for RevalExo's, experiment whose dataset has the channels, the rate and the window of the encoder.
    - `out`: output folder; the default is the name of `file` without its suffix.
    - `subjects`: training subjects of the encoder, if they are known.
    - `form`, `rate`, `window`, `head`: for stacked encoders, see `import_stacked`.

    Raises `ConfigError` if an argument is wrong, missing or does not apply; `DataError` if the file has no such
    encoder.
    """
    file = Path(file)
    dicts = state_dicts_in(file)
    stacked = stacked_tensors(dicts)
    if stacked is not None:
        if experiment is not None:
            raise ConfigError("--experiment does not apply to a stacked encoder; use --rate and --window instead")
        return import_stacked(
            file, *stacked, out=out, form=form, rate=rate, window=window, head=head, subjects=subjects
        )
    for first, whose, importer in (
        (harnet.FIRST, "a HARNet", harnet.import_harnet),
        (imagebind.FIRST, "an ImageBind", imagebind.import_imagebind),
    ):
        found = below_prefix(dicts, first)
        if found is not None:
            _refuse_settings_of_stacked(whose, form, rate, window, head)
            if experiment is not None:
                raise ConfigError(f"--experiment does not apply to {whose}, whose channels, rate and window are known")
            return importer(file, found, out=out, subjects=subjects)
    if below_prefix(dicts, revalexo.FIRST) is None:
        raise DataError(
            f"{file} has no encoder with RevalExo's names: {revalexo.FIRST} is missing; nor a stacked encoder of "
            "IMU2CLIP or PRIMUS: net.5.weight_ih_l0 and backbone.5.weight_ih_l0 are missing; nor a HARNet: "
            f"{harnet.FIRST} is missing; nor an ImageBind: {imagebind.FIRST} is missing"
        )
    _refuse_settings_of_stacked("RevalExo's", form, rate, window, head)
    if experiment is None:
        raise ConfigError("--experiment is required for an encoder of RevalExo: its dataset names the channels")
    return revalexo.import_encoder(file, experiment, out=out, subjects=subjects)


def _refuse_settings_of_stacked(whose: str, *settings: object) -> None:
    if any(given is not None for given in settings):
        raise ConfigError(f"--form, --rate, --window and --head apply to stacked encoders only, and this is {whose}")
