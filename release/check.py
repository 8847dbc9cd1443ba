"""
Build a release twice and check it, all of it offline: what `make release-check` calls.

Leaves sdist and wheel in ``dist/``, and prints their SHA-256. Packages of the checks'
own environments come from the registry, by the hashes in ``requirements/``.

    python release/check.py                     # every check
    python release/check.py --no-pythons        # without the tests of the built wheel
    python release/check.py --publish v0.1.0 https://...   # what only a publisher must keep

Exit code 0: all of it passed. 1: each failure was told, with what to do.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from email.message import Message
from email.parser import BytesParser
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
NAME = "kubernetes_leader_election"

PYTHONS = ("3.11", "3.12", "3.13")
"""Those that the classifiers promise. A machine that has one of them not leaves it out."""

PLACEHOLDER = ".example/"
"""In the address of a repository that nobody has named yet (RFC 2606)."""

QUICK_TESTS = (
    "tests/credentials",
    "tests/kube_api",
    "tests/lifecycle/test_both_fronts.py",
    "tests/observability",
    "tests/process",
    "tests/settings",
    "tests/test_parity.py",
    "tests/test_public.py",
)
"""Of the built wheel, on each Python: every layer above the core, in seconds."""

NEEDS_A_CLIENT = "tests/credentials/test_from_client.py"
"""Needs five clients of Kubernetes, which have nothing to do with the wheel."""

SURROUNDINGS: tuple[tuple[str, dict[str, str]], ...] = (
    ("one", {"umask": "022", "TZ": "UTC", "LC_ALL": "C", "PYTHONHASHSEED": "1"}),
    (
        "a longer/way down",
        {
            "umask": "077",
            "TZ": "Pacific/Kiritimati",
            "LC_ALL": "C.UTF-8",
            "PYTHONHASHSEED": "2",
        },
    ),
)
"""Folders and what else differs between two builds that are to give the same bytes."""


class CheckError(Exception):
    """A check failed; the text says what is wrong, and what to do if that is not plain."""


def call(*words: object, cwd: Path = ROOT, **variables: str) -> str:
    """Run a program and return what it printed, or raise CheckError with all of it."""
    done = subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = (done.stdout + done.stderr).strip()
        raise CheckError(f"{words[0]} failed ({done.returncode}):\n{said}")
    return done.stdout


def sources() -> Iterator[str]:
    """Yield the name of each file that is, or would be, in the repository."""
    listed = call("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    yield from (name for name in listed.split("\0") if name and (ROOT / name).is_file())


def build(home: Path, place: str, around: dict[str, str], epoch: str) -> list[Path]:
    """
    Build sdist and wheel from a copy of the tree, and return both.

    Args:
        home: where the copy goes.
        place: the folder of the copy, below it.
        around: the umask, and variables.
        epoch: the instant of the files in the archives, in seconds of the epoch.

    """
    tree, variables = home / place, dict(around)
    umask = variables.pop("umask")
    for name in sources():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, tree / name)
    # The wheel from the sdist, as whoever has only that builds it.
    # (`=rwX` for nobody in particular leaves out what the umask does.)
    command = f'umask {umask} && chmod -R =rwX . && exec "$@"'
    words = [sys.executable, "-m", "build", "--no-isolation", "--outdir", "dist", "."]
    call(
        *("sh", "-c", command, "sh", *words),
        cwd=tree,
        SOURCE_DATE_EPOCH=epoch,
        **variables,
    )
    return sorted((tree / "dist").iterdir())


def build_twice(home: Path) -> list[Path]:
    """Build in two surroundings, and return what both gave: sdist and wheel."""
    epoch = call("git", "log", "-1", "--format=%ct").strip()
    one, two = (build(home, place, around, epoch) for place, around in SURROUNDINGS)
    if [file.name for file in one] != [file.name for file in two]:
        raise CheckError(f"two builds gave {one} and {two}")
    for first, second in zip(one, two, strict=True):
        if first.read_bytes() != second.read_bytes():
            kept = [
                keep(dist, ROOT / "dist" / where)
                for dist, where in ((one, "1"), (two, "2"))
            ]
            raise CheckError(
                f"{first.name} differs between two builds, which are in {kept[0]} and "
                f"{kept[1]}: compare them"
            )
    return one


def keep(dist: list[Path], to: Path) -> Path:
    """Put what was built into a folder, alone there, and return the folder."""
    shutil.rmtree(to, ignore_errors=True)
    to.mkdir(parents=True)
    for file in dist:
        shutil.copyfile(file, to / file.name)
    return to


def metadata(wheel: Path) -> Message:
    """Return the metadata of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        return BytesParser().parsebytes(archive.read(name))


def check_metadata(dist: list[Path]) -> None:
    """Ask the tools of the field: the project table, the metadata, the wheel's files."""
    call(BIN / "validate-pyproject", "pyproject.toml")
    call(BIN / "twine", "check", "--strict", *dist)
    wheels = [file for file in dist if file.suffix == ".whl"]
    call(BIN / "check-wheel-contents", "--toplevel", NAME, *wheels)


def check_files(dist: list[Path]) -> None:
    """Look for what must be in the wheel, and judge its bill of materials."""
    # Not in the environment of the unit tests, which try the other checks.
    from cyclonedx.schema import SchemaVersion  # noqa: PLC0415
    from cyclonedx.validation.json import JsonStrictValidator  # noqa: PLC0415

    (wheel,) = (file for file in dist if file.suffix == ".whl")
    said = metadata(wheel)
    info = f"{NAME}-{said['Version']}.dist-info"
    bill = f"{info}/sboms/{said['Name']}.cdx.json"
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
        wanted = {f"{NAME}/py.typed", f"{info}/licenses/LICENSE", bill}
        if missing := wanted - held:
            raise CheckError(f"not in the wheel: {', '.join(sorted(missing))}")
        text = archive.read(bill).decode()
    if fault := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        raise CheckError(f"{bill} is no CycloneDX 1.6: {fault}")


def links(markdown: str) -> Iterator[tuple[str, bool]]:
    """Yield each address in a text, and whether it is that of a picture."""
    for block in MarkdownIt().parse(markdown):
        for token in [block, *(block.children or ())]:
            if token.type in {"html_block", "html_inline"}:
                for name, to in re.findall(
                    r'\b(src|srcset|href)="(.*?)"', token.content
                ):
                    yield to, name != "href"
            if token.type == "link_open":
                yield str(token.attrs["href"]), False
            elif token.type == "image":
                yield str(token.attrs["src"]), True


def check_readme(dist: list[Path]) -> None:
    """See that each link of the readme on the index leads to a file that is there."""
    (wheel,) = (file for file in dist if file.suffix == ".whl")
    said = metadata(wheel)
    addresses = dict(x.split(", ", 1) for x in said.get_all("Project-URL", ()))
    repository = addresses["Source"]
    found = list(links(str(said.get_payload())))
    if not found:
        raise CheckError("the readme on the index has no links; was it assembled?")
    for address, picture in [*found, *((a, False) for a in addresses.values())]:
        view = "raw" if picture else "blob"
        own = f"{repository}/{view}/v{said['Version']}/"
        if address.startswith(own):
            path = address.removeprefix(own).partition("#")[0]
            if not (ROOT / path).exists():
                raise CheckError(f"the readme on the index links to no file: {address}")
        elif not address.startswith("https://"):
            raise CheckError(f"the readme on the index has a relative link: {address}")


def check_documents(_: list[Path]) -> None:
    """Hold forms, citation and workflows against their schemas, and audit the latter."""
    github = ROOT / ".github"
    for schema, files in {
        "citation-file-format": [ROOT / "CITATION.cff"],
        "github-workflows": sorted(github.glob("workflows/*.yml")),
        "github-issue-forms": sorted(github.glob("ISSUE_TEMPLATE/[!c]*.yml")),
        "github-issue-config": [github / "ISSUE_TEMPLATE" / "config.yml"],
        "dependabot": [github / "dependabot.yml"],
    }.items():
        call(
            *(BIN / "check-jsonschema", "--builtin-schema", f"vendor.{schema}"),
            *("--default-filetype", "yaml", *files),
        )
    call(BIN / "zizmor", "--offline", "--no-progress", "--persona=pedantic", github)


def pythons() -> list[Path]:
    """Return an interpreter of each version that is here: on PATH, or in pyenv."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = []
    for version in PYTHONS:
        named = [shutil.which(f"python{version}")]
        named += sorted(map(str, pyenv.glob(f"{version}.*/bin/python{version}")))[-1:]
        for name in filter(None, named):
            # A shim of pyenv is there for versions that are not chosen as well.
            if not subprocess.run(
                [name, "-c", ""], check=False, capture_output=True
            ).returncode:
                found.append(Path(name))
                break
        else:
            print(f"    Python {version} is not here: the wheel is not tested on it")
    return found


def check_installed(python: Path, wheel: Path, home: Path) -> None:
    """Install the wheel where nothing is, use it, then run its quick tests."""
    venv = home / f"venv-{python.name}"
    call(python, "-m", "venv", venv)
    own = venv / "bin" / "python"
    pip = (own, "-m", "pip", "--quiet", "--disable-pip-version-check", "install")
    locked = ("--no-compile", "--require-hashes", "--requirement")
    call(*pip, *locked, ROOT / "requirements" / "image.txt")
    call(*pip, "--no-deps", "--no-index", wheel)
    call(own, "-m", "pip", "check")
    call(venv / "bin" / "kle", "--version", cwd=home)
    call(venv / "bin" / "kle", "timings", "--preset", "steady", cwd=home)
    call(*pip, *locked, ROOT / "requirements" / "wheel.txt")
    where = f"import {NAME} as it; print(it.__file__)"
    if not call(own, "-c", where).startswith(f"{venv}/"):
        raise CheckError(f"{python}: the tests would not run the built wheel")
    # Its plugin for pytest is loaded from the wheel, too.
    options = ("-q", "-m", "not slow", "-p", "no:cacheprovider")
    told = call(
        *(own, "-m", "pytest", *options, f"--ignore={NEEDS_A_CLIENT}", *QUICK_TESTS)
    )
    print(f"    {python.name}: {told.strip().splitlines()[-1]}")


def check_all_installed(dist: list[Path]) -> None:
    """Do that on each Python that is here, side by side."""
    (wheel,) = (file for file in dist if file.suffix == ".whl")
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor() as pool:
        running = [
            pool.submit(check_installed, python, wheel, Path(folder))
            for python in pythons()
        ]
        if not running:
            raise CheckError("none of the Pythons that the classifiers name is here")
        for one in running:
            one.result()


def check_publication(dist: list[Path], tag: str, address: str) -> None:
    """See that this is the release that the tag names, at the address of its links."""
    (wheel,) = (file for file in dist if file.suffix == ".whl")
    said = metadata(wheel)
    if tag != f"v{said['Version']}":
        raise CheckError(
            f"the tag is {tag}, the version {said['Version']}: change __version__ in "
            f"src/{NAME}/__init__.py, or the tag"
        )
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    top = re.findall(r"^## \[(.+?)\]( - \d{4}-\d\d-\d\d)?$", changes, re.MULTILINE)[0]
    if top[0] != said["Version"] or not top[1]:
        raise CheckError(
            f"CHANGELOG.md begins with [{top[0]}]; a release needs "
            f"'## [{said['Version']}] - DATE' there"
        )
    (source,) = (x for x in said.get_all("Project-URL", ()) if x.startswith("Source, "))
    if PLACEHOLDER in source or source.removeprefix("Source, ") != address:
        raise CheckError(
            f"links of the release lead to {source.removeprefix('Source, ')}, and it is "
            f"made at {address}: put that into pyproject.toml, "
            "tool.hatch.metadata.hooks.custom.repository"
        )


def main(arguments: list[str]) -> int:
    """Run the checks; return 0 if all passed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument(
        "--no-pythons", action="store_true", help="do not test the built wheel"
    )
    parser.add_argument(
        "--publish",
        nargs=2,
        metavar=("TAG", "ADDRESS"),
        help="also: the tag is that of the version, and ADDRESS the repository's",
    )
    options = parser.parse_args(arguments)
    checks = {
        "metadata": check_metadata,
        "files and bill of materials of the wheel": check_files,
        "links of the readme on the index": check_readme,
        "citation, forms and workflows": check_documents,
    }
    if not options.no_pythons:
        checks["the built wheel, installed and tested"] = check_all_installed
    if options.publish:
        checks["what a publisher must keep"] = lambda dist: check_publication(
            dist, *options.publish
        )
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        try:
            dist = build_twice(Path(folder))
        except CheckError as error:
            print(f"FAILED  two builds, the same bytes\n{error}")
            return 1
        print("ok      two builds, the same bytes")
        for what, check in checks.items():
            try:
                check(dist)
            except CheckError as error:
                failed += 1
                print(f"FAILED  {what}\n{error}")
            else:
                print(f"ok      {what}")
        keep(dist, ROOT / "dist")
    for file in dist:
        digest = hashlib.sha256((ROOT / "dist" / file.name).read_bytes()).hexdigest()
        print(f"{digest}  dist/{file.name}")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
