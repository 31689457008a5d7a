"""Names for temporary files that processes of several machines can use in one folder."""

from __future__ import annotations

import os
import platform
import re
import secrets

PREFIX = ".writing-"


def temporary_name(suffix: str = "") -> str:
    """Return a file name that no other process uses, on any machine."""
    node = re.sub(r"[^\w.-]", "_", platform.node())[:40]
    return f"{PREFIX}{node}-{os.getpid()}-{secrets.token_hex(6)}{suffix}"
