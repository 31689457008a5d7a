"""Config-as-code contrastive pretraining of IMU and first-person-video encoders.

The public names are listed in `__init__.pyi`. They load on first use, so that `rxclip --help` stays quick.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
