"""docs/tutorial.md is followed: what is typed is typed, what it shows is seen."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading

import pytest
from tests.docs.blocks import blocks_of
from tests.node_page import PATIENCE
from tests.programs import let_main_thread_wait

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(180)]

STEPS = blocks_of("docs/tutorial.md")


def masked(text):
    """Return a line without what differs: process ids, tokens, times, the host."""
    return re.sub(r"elector-[\w.-]+?-\d+|\d+(?:\.\d+)?", "#", text).strip()


class Terminal:
    """A shell in `kle dev`, and everything that came out of it."""

    def __init__(self, folder):
        scripts = folder / "bin"
        scripts.mkdir()
        for name, words in {
            "kle": "-m kubernetes_leader_election ",
            "python": "",
        }.items():
            script = scripts / name
            script.write_text(f'#!/bin/sh\nexec {sys.executable} {words}"$@"\n')
            script.chmod(0o700)
        self._lines = []
        self._seen = 0
        self._came = threading.Condition()
        self._process = subprocess.Popen(
            [scripts / "kle", "dev", "--", "bash", "--norc"],
            cwd=folder,
            env={**os.environ, "PATH": f"{scripts}:{os.environ['PATH']}"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        self.type(["set -m"])  # jobs have numbers, as in a shell that a person types in

    def _read(self):
        for line in self._process.stdout:
            with self._came:
                self._lines.append(line.rstrip("\n"))
                self._came.notify_all()

    def type(self, lines):
        """Type lines, and note what had come before the first of them."""
        if any("kill -STOP" in line for line in lines):
            # As a person, who is slower than the leader: it sleeps when it is frozen.
            charged = [said for said in self._lines if said.endswith(" charged")]
            let_main_thread_wait(int(charged[-1].split()[0]))
        with self._came:
            self._seen = len(self._lines)
        self._process.stdin.writelines(f"{line}\n" for line in lines)
        self._process.stdin.flush()

    def wait(self, line):
        """Wait until a line like this has come since something was typed."""

        def seen():
            return masked(line) in map(masked, self._lines[self._seen :])

        with self._came:
            came = self._came.wait_for(seen, PATIENCE)
            assert came, f"{line!r} did not come:\n" + "\n".join(self._lines)

    def close(self):
        """End the shell, and what it left behind."""
        with contextlib.suppress(BrokenPipeError):
            self.type(["kill -CONT $(jobs -p); kill -9 $(jobs -p); exit"])
        try:
            self._process.wait(timeout=PATIENCE)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._reader.join()
            self._process.stdin.close()
            self._process.stdout.close()


def test_tutorial_can_be_followed(tmp_path):
    """Two replicas, a hand-over, a crash, a frozen leader whose write is refused."""
    terminal = Terminal(tmp_path)
    try:
        for step in STEPS:
            if step.kind == "file":
                (tmp_path / step.about).write_text(step.text)
            elif step.kind == "shows":
                for line in step.text.splitlines():
                    terminal.wait(line)
            elif not step.kind:
                terminal.type(step.commands)
    finally:
        terminal.close()
    assert "kind: Deployment" in (tmp_path / "billing.yaml").read_text()


def test_tutorial_shows_what_it_types():
    """Nothing is passed over: what is not typed here has its reason."""
    kinds = [step.kind for step in STEPS]
    assert kinds.count("file") == 2
    assert kinds.count("shows") > 8
    assert kinds.count("not run here") == 4
