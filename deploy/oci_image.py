"""
Build the image of the Containerfile from the running interpreter, pulling nothing.

Run by ``make image``. Three layers: what the interpreter needs of this machine (the
files of the base image, as far as Python uses them), the libraries that the package
needs with the package itself, and what is added to it, if anything. User, entry point,
environment and labels are read from the last stage of the Containerfile. Nothing depends
on when or where it is built: the same interpreter and the same sources give the same
digest.

The result is an OCI archive: ``ctr images import``, ``skopeo copy oci-archive:...``,
``podman load`` take it.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import json
import platform
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
CONTAINERFILE = ROOT / "Containerfile"
DEPENDENCIES = ("click", "PyYAML")
"""All that the package needs; `requirements/image.txt` pins them."""

NAME = "registry.example/kle:0.1.0"
SITE = f"usr/local/lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
LIBRARIES = f"usr/lib/{platform.machine()}-linux-gnu"
"""Where the loader looks without being told, on Debian."""

TOOLS = ("sh", "cat", "cp", "sleep", "ls", "env", "true", "chmod")
"""What is copied of the machine beside Python; the base image has more."""

MAIN = "kubernetes_leader_election.__main__:main"

UNNAMED = (
    *("libgcc_s.so.1", "libstdc++.so.6"),
    *("librt.so.1", "libpthread.so.0", "libdl.so.2", "libutil.so.1"),
)
"""
Libraries that every base image has and the interpreter does not name. The C library
loads the first when a thread ends early, and aborts without it; modules built of C++ or
for an older C library name the others.
"""

LEFT_OUT = {
    "__pycache__", "site-packages", "test", "tests", "idlelib", "tkinter", "turtledemo",
    "lib2to3", "ensurepip", "pydoc_data",
}  # fmt: skip
"""Folders of the standard library that no program in a container needs."""

EPOCH = "1970-01-01T00:00:00Z"
MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(slots=True)
class Tree:
    """Files by their path in the image, from which a layer is made."""

    files: dict[str, bytes | Path] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    programs: set[str] = field(default_factory=set)

    def add(self, path: str, content: bytes | Path, *, program: bool = False) -> None:
        """Put a file into the image."""
        self.files[path] = content
        if program:
            self.programs.add(path)

    def tar(self) -> bytes:
        """Return the layer: sorted, owned by root, all times 0."""
        out = io.BytesIO()
        names = sorted({*self.files, *self.links})
        folders = sorted({str(p) for name in names for p in _above(name)})
        with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for name in folders:
                entry = tarfile.TarInfo(name)
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
                if name == "tmp":
                    entry.mode = 0o1777
                tar.addfile(entry)
            for name in names:
                entry = tarfile.TarInfo(name)
                if name in self.links:
                    entry.type, entry.linkname = tarfile.SYMTYPE, self.links[name]
                    tar.addfile(entry)
                    continue
                content = self.files[name]
                data = content if isinstance(content, bytes) else content.read_bytes()
                entry.mode = 0o755 if name in self.programs else 0o644
                entry.size = len(data)
                tar.addfile(entry, io.BytesIO(data))
        return out.getvalue()


def _above(name: str) -> Iterator[PurePosixPath]:
    """Give the folders that lead to a path, but the root."""
    return (p for p in PurePosixPath(name).parents if str(p) != ".")


def shared_libraries(programs: Iterable[Path]) -> dict[str, Path]:
    """Return the shared libraries that some programs load, by the name of the file."""
    found: dict[str, Path] = {}
    for program in programs:
        told = subprocess.run(
            ["ldd", str(program)], capture_output=True, text=True, check=False
        ).stdout
        for path in re.findall(r"(?:=> |^\s+)(/\S+) \(0x", told, re.MULTILINE):
            found[Path(path).name] = Path(path)
    return found


def interpreter() -> Tree:
    """Return what stands for the base image: Python as it is on this machine."""
    tree = Tree()
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    binary = Path(sys.base_prefix) / "bin" / f"python{version}"
    standard = Path(sysconfig.get_path("stdlib", vars={"base": sys.base_prefix}))
    loaded = [binary]
    tree.add(f"usr/local/bin/python{version}", binary, program=True)
    tree.links["usr/local/bin/python3"] = f"python{version}"
    tree.links["usr/local/bin/python"] = "python3"
    tree.links["usr/bin/python3"] = "../local/bin/python3"
    for file in sorted(standard.rglob("*")):
        inner = file.relative_to(standard)
        if LEFT_OUT & set(inner.parts) or inner.parts[0].startswith("config-"):
            continue
        if file.is_file() and file.suffix in {".py", ".so", ".txt", ".cfg"}:
            tree.add(f"usr/local/lib/python{version}/{inner}", file)
            if file.suffix == ".so":
                loaded.append(file)
    for tool in TOOLS:
        if found := shutil.which(tool, path="/usr/bin:/bin"):
            tree.add(f"usr/bin/{tool}", Path(found).resolve(), program=True)
            loaded.append(Path(found))
    libraries = shared_libraries(loaded)
    for name in UNNAMED:
        path = libraries["libc.so.6"].with_name(name)
        if path.exists():
            libraries[name] = path
    for name, path in libraries.items():
        if name.startswith("ld-"):
            tree.add(f"usr/lib64/{name}", path, program=True)
        else:
            tree.add(f"{LIBRARIES}/{name}", path)
    tree.links |= {"lib": "usr/lib", "lib64": "usr/lib64", "bin": "usr/bin"}
    tree.add("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n")
    tree.add("etc/group", b"root:x:0:\n")
    tree.add("tmp/.keep", b"")
    add_byte_code(tree, f"usr/local/lib/python{version}/")
    return tree


def add_byte_code(tree: Tree, below: str) -> None:
    """
    Add the byte code of the modules of a tree.

    A read-only file system cannot take it later, and each start would compile anew. It
    names its source by nothing that changes: no time, no place of the build. What is
    marshalled depends on what the process has met before, and on its hashes of strings:
    so it is done by a fresh one each time.
    """
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        for name, content in tree.files.items():
            if name.startswith(below) and name.endswith(".py"):
                data = content if isinstance(content, bytes) else content.read_bytes()
                (home / name).parent.mkdir(parents=True, exist_ok=True)
                (home / name).write_bytes(data)
        named = ["-s", folder, "-p", "/", "--invalidation-mode", "unchecked-hash"]
        # Templates of the standard library, which nobody imports, are no Python.
        subprocess.run(
            [sys.executable, "-m", "compileall", "-qq", *named, folder],
            check=False,
            env={"PYTHONHASHSEED": "0"},
        )
        for code in sorted(home.rglob("*.pyc")):
            tree.add(str(code.relative_to(home)), code.read_bytes())


def build_wheel(folder: Path) -> Path:
    """Build the wheel of the working tree into a folder, and return it."""
    command = [
        sys.executable,
        "-m",
        "hatchling",
        "build",
        "-t",
        "wheel",
        "-d",
        str(folder),
    ]
    subprocess.run(command, check=True, cwd=ROOT, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def package(wheel: Path) -> Tree:
    """Return the layer of the package: the wheel, what it needs, and its programs."""
    tree = Tree()
    for name in DEPENDENCIES:
        for file in metadata.distribution(name).files or ():
            kept = file.suffix in {".py", ".so"} or file.name in {"METADATA", "LICENSE"}
            if ".." not in file.parts and kept:
                tree.add(f"{SITE}/{file}", Path(str(file.locate())))
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            tree.add(f"{SITE}/{name}", archive.read(name))
        (entries,) = (n for n in archive.namelist() if n.endswith("entry_points.txt"))
        declared = archive.read(entries).decode()
    for program, place in re.findall(
        r"^([\w-]+) = ([\w.]+:main)$", declared, re.MULTILINE
    ):
        module, _, function = place.partition(":")
        text = f"import sys\nfrom {module} import {function}\nsys.exit({function}())\n"
        script = f"#!/usr/local/bin/python3\n{text}"
        tree.add(f"usr/local/bin/{program}", script.encode(), program=True)
    tree.add("opt/kle/kle.pyz", _one_file(tree), program=True)
    add_byte_code(tree, SITE)
    return tree


def _one_file(tree: Tree) -> bytes:
    """Return the package with what it needs as one file that Python runs."""
    module, function = MAIN.split(":")
    start = f"import sys\nfrom {module} import {function}\nsys.exit({function}())\n"
    files: dict[str, bytes | Path] = {"__main__.py": start.encode()}
    for name, content in tree.files.items():
        inner = PurePosixPath(name)
        if inner.is_relative_to(SITE) and inner.suffix == ".py":
            files[str(inner.relative_to(SITE))] = content
    out = io.BytesIO(b"#!/usr/bin/env python3\n")
    out.seek(0, io.SEEK_END)
    with zipfile.ZipFile(out, "a", zipfile.ZIP_DEFLATED) as packed:
        for name, content in sorted(files.items()):
            data = content if isinstance(content, bytes) else content.read_bytes()
            # Its time is the first that the format knows, whatever the clock says.
            packed.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def configuration(containerfile: str) -> dict[str, Any]:
    """
    Return the image's configuration that the last stage of a Containerfile gives.

    Raises:
        ValueError: an instruction is there that a layer made by hand cannot follow.

    """
    stage = re.split(r"^FROM .*$", containerfile, flags=re.MULTILINE)[-1]
    lines = "\n".join(x for x in stage.splitlines() if not x.lstrip().startswith("#"))
    found: dict[str, Any] = {"Env": ["PATH=/usr/local/bin:/usr/bin:/bin"], "Labels": {}}
    for line in lines.replace("\\\n", " ").splitlines():
        word, _, rest = line.strip().partition(" ")
        match word:
            case "ENV":
                found["Env"] += shlex.split(rest)
            case "LABEL":
                found["Labels"] |= dict(x.split("=", 1) for x in shlex.split(rest))
            case "USER":
                found["User"] = rest.strip()
            case "WORKDIR":
                found["WorkingDir"] = rest.strip()
            case "ENTRYPOINT":
                found["Entrypoint"] = json.loads(rest)
            case "" | "COPY":
                pass
            case _:
                raise ValueError(f"{CONTAINERFILE.name}: {word} in the last stage")
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image by its layers, each a tar archive that is not compressed."""

    name: str
    layers: Sequence[bytes]
    config: Mapping[str, Any]


def archive(images: Iterable[Image], *, to: Path) -> list[str]:
    """
    Write an OCI archive of some images; return the digests of their manifests.

    The layers are not compressed: what this makes is imported on the spot.
    """
    blobs: dict[str, bytes] = {}

    def put(kind: str, data: bytes) -> dict[str, Any]:
        described = {
            "mediaType": f"application/vnd.oci.image.{kind}",
            "digest": f"sha256:{hashlib.sha256(data).hexdigest()}",
            "size": len(data),
        }
        blobs[str(described["digest"]).removeprefix("sha256:")] = data
        return described

    def as_json(kind: str, document: Mapping[str, Any]) -> dict[str, Any]:
        return put(f"{kind}.v1+json", json.dumps(document, sort_keys=True).encode())

    architecture = MACHINES.get(platform.machine(), platform.machine())
    system = {"architecture": architecture, "os": "linux"}
    entries = []
    for image in images:
        layers = [put("layer.v1.tar", layer) for layer in image.layers]
        files = {"type": "layers", "diff_ids": [x["digest"] for x in layers]}
        config = {**system, "created": EPOCH, "config": image.config, "rootfs": files}
        manifest = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": as_json("config", config),
            "layers": layers,
        }
        names = ("io.containerd.image.name", "org.opencontainers.image.ref.name")
        entry = as_json("manifest", manifest)
        entries.append(
            entry
            | {"annotations": dict.fromkeys(names, image.name), "platform": system}
        )
    tree = Tree()
    tree.add("oci-layout", b'{"imageLayoutVersion": "1.0.0"}')
    index = {"schemaVersion": 2, "manifests": entries}
    tree.add("index.json", json.dumps(index, sort_keys=True).encode())
    for digest, data in blobs.items():
        tree.add(f"blobs/sha256/{digest}", data)
    to.parent.mkdir(parents=True, exist_ok=True)
    to.write_bytes(tree.tar())
    return [str(entry["digest"]) for entry in entries]


def main(arguments: list[str]) -> int:
    """Build the image, and say how large it is; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "kle-image.tar")
    parser.add_argument("--name", default=NAME, help="the image's name and tag")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        layers = [interpreter().tar(), package(build_wheel(Path(folder))).tar()]
    config = configuration(CONTAINERFILE.read_text(encoding="utf-8"))
    image = Image(name=options.name, layers=layers, config=config)
    (digest,) = archive([image], to=options.output)
    sizes = [f"{len(x) / 2**20:.1f}" for x in layers]
    packed = len(gzip.compress(layers[1], mtime=0)) / 2**20
    print(f"{options.output}: {options.name}")
    print(f"  {digest}")
    print(
        f"  {sizes[1]} MiB over the interpreter ({packed:.1f} MiB compressed),"
        f" which has {sizes[0]} MiB"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
