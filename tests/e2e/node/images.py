"""The images that a node has: nothing can be pulled, so all are made here."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "deploy"))

import oci_image

__all__ = ["BILLING", "KLE", "build"]

KLE = oci_image.NAME
BILLING = "registry.example/billing:1.0"
"""The image that the Deployment of the documentation names."""

PAUSE = "localhost/pause:1"
PROGRAMS = Path(__file__).resolve().parent / "programs"


def build(folder: Path, pause: Path) -> Path:
    """Write an archive of all images into a folder, and return it."""
    base = oci_image.interpreter().tar()
    with tempfile.TemporaryDirectory() as scratch:
        package = oci_image.package(oci_image.build_wheel(Path(scratch))).tar()
    containerfile = oci_image.CONTAINERFILE.read_text(encoding="utf-8")
    kle = oci_image.configuration(containerfile)
    program = oci_image.Tree()
    program.add(f"{oci_image.SITE}/billing.py", PROGRAMS / "billing.py")
    sandbox = oci_image.Tree()
    sandbox.add("pause", pause, program=True)
    billing = {**kle, "Entrypoint": ["python", "-m", "billing"]}
    described = [
        oci_image.Image(name=KLE, layers=(base, package), config=kle),
        oci_image.Image(
            name=BILLING, layers=(base, package, program.tar()), config=billing
        ),
        oci_image.Image(
            name=PAUSE,
            layers=(sandbox.tar(),),
            config={"Entrypoint": ["/pause"], "User": "65535:65535"},
        ),
    ]
    archive = folder / "images.tar"
    oci_image.archive(described, to=archive)
    return archive
