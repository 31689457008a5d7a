from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]

# Known errors of a torchvision that does not match torch, and of one that lacks the operator.
BROKEN = {
    "operator": "raise RuntimeError('operator torchvision::nms does not exist')",
    "symbol": "raise ImportError('undefined symbol')",
    "library": "raise OSError('libc10.so: cannot open shared object file')",
    "name": "import torch; torch.no_such_name",
}
WORKING = "class RoIAlign: pass"

WITHOUT_TORCHVISION = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torchvision":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
"""

BUILD = """
import sys
import torch
from revalexo_clip.models.encoders import X3D
from revalexo_clip.core.types import VideoSpec
assert not [name for name in sys.modules if name.startswith("pytorchvideo")], "imported before it is needed"
net = X3D(weights=None).build(VideoSpec(frames=1, crop=32, short_side=32, window=2.0), embed_dim=8).eval()
assert net(torch.zeros(1, 3, 1, 32, 32)).shape == (1, 8)
loaded = sorted(name for name in sys.modules if name.startswith("torchvision"))
"""


def python(code: str, *path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, [REPOSITORY, *path]))}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr


def torchvision(folder: Path, ops: str) -> Path:
    package = folder / "torchvision"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("from torchvision import extension, ops\n", encoding="utf-8")
    (package / "extension.py").write_text("", encoding="utf-8")
    (package / "ops.py").write_text(ops, encoding="utf-8")
    return folder


@pytest.mark.long
def test_models_build_without_torchvision_and_leave_no_trace_of_the_placeholder() -> None:
    check = """
import pytorchvideo.models.head
assert loaded == [], loaded
try:
    pytorchvideo.models.head.RoIAlign(7, 1.0, 0)
except ImportError as error:
    assert "torchvision" in str(error)
else:
    raise AssertionError("the placeholder passes for the real thing")
"""
    python(WITHOUT_TORCHVISION + BUILD + check)


@pytest.mark.long
def test_models_build_beside_a_broken_torchvision_and_leave_no_trace_of_it(tmp_path: Path) -> None:
    python(BUILD + "assert loaded == [], loaded\n", torchvision(tmp_path, BROKEN["operator"]))


@pytest.mark.long
def test_every_known_error_of_torchvision_is_handled(tmp_path: Path) -> None:
    folders = [str(torchvision(tmp_path / name, ops)) for name, ops in BROKEN.items()]
    check = f"""
import sys
from revalexo_clip.models.encoders.pretrained_weights import builder
for folder in {folders}:
    sys.path.insert(0, folder)
    builder("x3d", "x3d_xs")
    for name in [name for name in sys.modules if name.startswith("pytorchvideo")]:
        del sys.modules[name]
    assert not [name for name in sys.modules if name.startswith("torchvision")], folder
"""
    python(check)


@pytest.mark.long
def test_a_torchvision_without_the_operator_is_left_as_it_was(tmp_path: Path) -> None:
    check = """
import torchvision.ops
assert loaded == ['torchvision', 'torchvision.extension', 'torchvision.ops'], loaded
assert not hasattr(torchvision.ops, "RoIAlign")
"""
    python(BUILD + check, torchvision(tmp_path, ""))


@pytest.mark.long
def test_a_working_torchvision_is_used(tmp_path: Path) -> None:
    check = """
import pytorchvideo.models.head, torchvision.ops
assert pytorchvideo.models.head.RoIAlign is torchvision.ops.RoIAlign
assert loaded == ['torchvision', 'torchvision.extension', 'torchvision.ops'], loaded
"""
    python(BUILD + check, torchvision(tmp_path, WORKING))
