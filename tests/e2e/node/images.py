"""The images that a node has: nothing can be pulled, so all are made here."""

from __future__ import annotations

import re
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "deploy"))

import oci_image

__all__ = ["BILLING", "KLE", "SHOP", "build", "build_contenders", "build_earlier"]

KLE = oci_image.NAME
BILLING = "registry.example/billing:1.0"
"""The image that the Deployment of the documentation names."""

SHOP = "registry.example/shop:1.0"
"""An image with a Python and a program, and nothing of this package."""

PAUSE = "localhost/pause:1"
OFFICIAL = (
    Path(__file__).resolve().parents[1] / "electors" / "programs" / "official_worker.py"
)
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


def build_contenders(folder: Path, *, elector: Path, name: str) -> Path:
    """Write an archive of an image with the programs of three libraries."""
    package = oci_image.package(oci_image.build_wheel(folder)).tar()
    others = oci_image.Tree()
    others.add("usr/local/bin/clientgo-elector", elector, program=True)
    others.add("srv/official_worker.py", OFFICIAL)
    for wanted in ("kubernetes", *_needed("kubernetes")):
        for file in metadata.distribution(wanted).files or ():
            path = Path(str(file.locate()))
            if ".." not in file.parts and path.suffix != ".pyc" and path.is_file():
                others.add(f"{oci_image.SITE}/{file}", path)
    oci_image.add_byte_code(others, oci_image.SITE)
    layers = (oci_image.interpreter().tar(), package, others.tar(), _billing())
    archive = folder / "contenders.tar"
    image = oci_image.Image(name=name, layers=layers, config=_kle())
    oci_image.archive([image], to=archive)
    return archive


def _needed(name: str) -> set[str]:
    """Return what an installed package needs, and what that needs."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        for line in metadata.requires(waiting.pop()) or ():
            needed = re.split(r"[^\w.-]", line)[0]
            if "extra ==" in line or needed in found:
                continue
            try:
                metadata.distribution(needed)
            except metadata.PackageNotFoundError:
                continue  # for another system or another Python
            found.add(needed)
            waiting.append(needed)
    return found


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
