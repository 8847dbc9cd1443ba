"""
Build etcd, Kubernetes' own programs and the client-go rival into the cache.

Run by ``make controlplane``. Nothing is built that is there already, or that the
environment names (see `binaries`). A first build takes minutes and a few GiB of
Go's own cache; every later one of the same versions takes no time.

Exit codes: 0 all there, 1 the build failed, 3 something is missing and there is no
Go to build it.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from controlplane import binaries

FAILED = 1
IMPOSSIBLE = 3

REPORT_EVERY = 15.0
"""Seconds between two lines of progress: few enough for the log of a CI run."""


def say(text: str) -> None:
    """Print one line of progress at once."""
    print(text, flush=True)


@contextmanager
def only_builder(folder: Path) -> Iterator[None]:
    """Hold the cache folder's lock: two builds at once would take twice as long."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Another build is under way; waiting for it ...")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class Progress:
    """Count the packages `go build -v` names and report now and then."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0
        self._began = time.monotonic()
        self._other: list[str] = []

    def read(self, lines: Iterator[str]) -> None:
        """Take in every line the compiler prints, until it ends."""
        for text in lines:
            if text.startswith(("#", "go: ")) or " " in text.strip():
                self._other.append(text)
            else:
                self._done += 1

    def line(self) -> str:
        """Return where the build is."""
        spent = time.monotonic() - self._began
        return f"  {spent:4.0f} s: {self._done} of at most {self._total} packages"

    def complaints(self) -> str:
        """Return what the compiler said beside the packages' names."""
        return "".join(self._other)


def compile_into(folder: Path, programs: list[str], *, jobs: int) -> bool:
    """Compile programs into a folder, and report; return whether it went well."""
    commands = [f"./cmd/{program}" for program in programs]
    environment = {**os.environ, "CGO_ENABLED": "0"}
    say(f"Fetching the sources of {', '.join(programs)} ...")
    listed = subprocess.run(
        ["go", "list", "-deps", *commands],
        cwd=binaries.MODULE,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if listed.returncode != 0:
        return False
    progress = Progress(len(listed.stdout.split()))
    say(f"Compiling, on {jobs} cores (10 minutes on 2 cores the first time) ...")
    flags = ["-trimpath", "-buildvcs=false", f"-ldflags={binaries.linker_flags()}"]
    with subprocess.Popen(
        ["go", "build", "-v", f"-p={jobs}", *flags, "-o", f"{folder}/", *commands],
        cwd=binaries.MODULE,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    ) as compiler:
        assert compiler.stderr is not None
        reader = threading.Thread(target=progress.read, args=(compiler.stderr,))
        reader.start()
        while True:
            reader.join(REPORT_EVERY)
            if not reader.is_alive():
                break
            say(progress.line())
        failed = compiler.wait() != 0
    if failed:
        print(progress.complaints(), file=sys.stderr, flush=True)
    return not failed


def build(programs: list[str], *, go: str, jobs: int) -> bool:
    """Build what is not in the cache yet; each program appears there whole."""
    folder = binaries.cache_folder()
    with only_builder(folder):
        sources = [binaries.source(program, go=go) for program in programs]
        missing = [source for source in sources if not source.path.exists()]
        if not missing:
            return True
        with tempfile.TemporaryDirectory(dir=folder, prefix=".building-") as scratch:
            names = [source.program for source in missing]
            if not compile_into(Path(scratch), names, jobs=jobs):
                return False
            for source in missing:
                source.path.parent.mkdir(exist_ok=True)
                (Path(scratch) / source.program).rename(source.path)
    return True


def clean(*, go: str | None) -> None:
    """Remove built programs of other versions than the present ones."""
    keep = {binaries.source(p, go=go).key for p in binaries.PROGRAMS} if go else set()
    folder = binaries.cache_folder()
    for entry in folder.iterdir() if folder.exists() else ():
        if entry.is_dir() and entry.name not in keep:
            say(f"Removing {entry}")
            shutil.rmtree(entry)


def why_impossible(go: str | None) -> str | None:
    """Return why this machine cannot build, or None."""
    if go is None:
        return "there is no Go 1.26 or newer"
    if not binaries.is_new_enough(go):
        return f"{go} is too old; Go 1.26 is needed"
    return None


def main(arguments: list[str]) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(description="Build the real control plane.")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 2)
    parser.add_argument(
        "--clean", action="store_true", help="remove other versions from the cache"
    )
    options = parser.parse_args(arguments)
    go = binaries.go_version()
    if options.clean:
        clean(go=go)
        return 0
    try:
        wanted = [p for p in binaries.PROGRAMS if not binaries.given(p, os.environ)]
    except binaries.MissingProgramError as error:
        print(error, file=sys.stderr)
        return IMPOSSIBLE
    if wanted:
        if reason := why_impossible(go):
            print(f"Not built: {', '.join(wanted)}: {reason}.", file=sys.stderr)
            return IMPOSSIBLE
        assert go is not None
        began = time.monotonic()
        ready = all(binaries.source(p, go=go).path.exists() for p in wanted)
        if not build(wanted, go=go, jobs=options.jobs):
            print("The control plane was not built.", file=sys.stderr)
            return FAILED
        if not ready:
            say(f"Built in {time.monotonic() - began:.0f} s.")
    for program, path in binaries.find().items():
        say(f"{program}: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
