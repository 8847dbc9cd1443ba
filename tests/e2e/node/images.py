"""The images that a node has: nothing can be pulled, so all are made here."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "deploy"))

import oci_image

__all__ = ["BILLING", "KLE", "SHOP", "build", "build_earlier"]

KLE = oci_image.NAME
BILLING = "registry.example/billing:1.0"
"""The image that the Deployment of the documentation names."""

SHOP = "registry.example/shop:1.0"
"""An image with a Python and a program, and nothing of this package."""

PAUSE = "localhost/pause:1"
PROGRAM = Path(__file__).resolve().parent / "programs" / "billing.py"


def build(folder: Path, pause: Path) -> Path:
    """Write an archive of all images into a folder, and return it."""
    base = oci_image.interpreter().tar()
    with tempfile.TemporaryDirectory() as scratch:
        package = oci_image.package(oci_image.build_wheel(Path(scratch))).tar()
    shop, sandbox = oci_image.Tree(), oci_image.Tree()
    shop.add("srv/billing.py", PROGRAM)
    sandbox.add("pause", pause, program=True)
    kle, program = _kle(), _program()
    alone = {"Entrypoint": ["/pause"], "User": "65535:65535"}
    archive = folder / "images.tar"
    oci_image.archive(
        [
            oci_image.Image(name=KLE, layers=(base, package), config=kle),
            oci_image.Image(
                name=BILLING, layers=(base, package, _billing()), config=program
            ),
            oci_image.Image(name=SHOP, layers=(base, shop.tar()), config=kle),
            oci_image.Image(name=PAUSE, layers=(sandbox.tar(),), config=alone),
        ],
        to=archive,
    )
    return archive


def build_earlier(folder: Path, *, wheel: Path, name: str) -> Path:
    """Write an archive of the program with another version of the package."""
    package = oci_image.package(wheel).tar()
    layers = (oci_image.interpreter().tar(), package, _billing())
    archive = folder / "earlier.tar"
    image = oci_image.Image(name=name, layers=layers, config=_program())
    oci_image.archive([image], to=archive)
    return archive


def _billing() -> bytes:
    tree = oci_image.Tree()
    tree.add(f"{oci_image.SITE}/billing.py", PROGRAM)
    return tree.tar()


def _kle() -> dict[str, Any]:
    """Return the configuration of the image of `kle`."""
    text = oci_image.CONTAINERFILE.read_text(encoding="utf-8")
    return oci_image.configuration(text)


def _program() -> dict[str, Any]:
    """Return that of the program's image, which starts it."""
    return {**_kle(), "Entrypoint": ["python", "-m", "billing"]}
