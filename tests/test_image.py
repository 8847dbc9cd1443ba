"""The Containerfile, and the image that `make image` builds of it."""

from __future__ import annotations

import io
import re
import sys
import tarfile
import tomllib
from pathlib import Path

import pytest

# It is a program of its own, which no package needs.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "deploy"))

import oci_image

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "Containerfile").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))[
    "project"
]


def test_image_runs_kle_as_a_user_by_number():
    """The kubelet can tell from a number alone that it is not root."""
    config = oci_image.configuration(TEXT)
    assert config["Entrypoint"] == ["kle"]
    user, _, group = config["User"].partition(":")
    assert int(user) > 0
    assert int(group) > 0


def test_image_has_the_labels_of_the_project():
    """Title, licence and version are those of the package."""
    labels = oci_image.configuration(TEXT)["Labels"]
    prefix = "org.opencontainers.image."
    assert labels[f"{prefix}title"] == PROJECT["name"]
    assert labels[f"{prefix}licenses"] == PROJECT["license"]
    assert labels[f"{prefix}version"] == PROJECT["version"]
    assert f":{PROJECT['version']}" in oci_image.NAME


def test_containerfile_builds_of_a_slim_python_by_hashes():
    """Not built here, for want of its base; what can be seen in it is looked at."""
    assert (
        re.findall(r"^FROM (\S+)", TEXT, re.MULTILINE)
        == ["docker.io/library/python:${PYTHON}-slim"] * 2
    )
    assert "--require-hashes" in TEXT
    for source in re.findall(r"^COPY (?!--)(.+) \S+$", TEXT, re.MULTILINE):
        for name in source.split():
            assert (ROOT / name).exists(), name


def test_lock_of_the_image_has_what_the_package_needs_and_no_more():
    """`make lock` writes it; a new dependency has to be in the image, too."""
    lock = (ROOT / "requirements" / "image.txt").read_text(encoding="utf-8")
    locked = {x.lower() for x in re.findall(r"^([\w-]+)==", lock, re.MULTILINE)}
    needed = {re.split(r"[>=]", x)[0].lower() for x in PROJECT["dependencies"]}
    assert locked - {"colorama"} == needed  # click wants it on Windows
    assert {x.lower() for x in oci_image.DEPENDENCIES} == needed


def test_instruction_that_nobody_follows_is_refused():
    """An image that differs from its Containerfile would be a surprise."""
    with pytest.raises(ValueError, match="Containerfile: RUN in the last stage"):
        oci_image.configuration("FROM scratch\nRUN true\n")


def test_same_files_make_the_same_image(tmp_path):
    """Neither time nor order is in the digest."""
    digests = []
    for order in (1, -1):
        tree = oci_image.Tree()
        for name in ["b/two", "a/one"][::order]:
            tree.add(name, name.encode(), program=name == "a/one")
        tree.links["c"] = "a/one"
        image = oci_image.Image(name="x:1", layers=[tree.tar()], config={"User": "1"})
        digests.append(oci_image.archive([image], to=tmp_path / f"{order}.tar"))
    assert digests[0] == digests[1]
    assert (tmp_path / "1.tar").read_bytes() == (tmp_path / "-1.tar").read_bytes()
    with tarfile.open(fileobj=io.BytesIO(tree.tar())) as layer:
        entries = layer.getmembers()
    assert {(x.mtime, x.uid, x.gid) for x in entries} == {(0, 0, 0)}
    assert {x.name: oct(x.mode) for x in entries}["a/one"] == "0o755"
