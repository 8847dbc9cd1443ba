"""The node of the tests: that it leaves nothing, and says what it lacks."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from controlplane.processes import wait_until

from node import cgroups, up
from node.images import oci_image

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(600)]

MAIN = Path(__file__).resolve().parent
POD = "run held --image=registry.example/billing:1.0 --command -- sleep infinity"


@pytest.mark.parametrize(
    "number", [signal.SIGINT, signal.SIGKILL], ids=lambda n: n.name
)
def test_node_that_is_ended_leaves_nothing(tmp_path, number):
    """Ctrl-C, and the death of who holds it: no process, group, mount, wire or file."""
    ready = tmp_path / "ready"
    script = f"""
        import sys, time
        sys.path.insert(0, {str(MAIN.parent)!r})
        from pathlib import Path
        from node.handle import Node
        import os
        node = Node(Path(os.environ["NODE_FOLDER"]))
        node.must(*{POD.split()!r})
        path = "/api/v1/namespaces/default/pods/held"
        node.wait(lambda: node.get(path)["status"]["phase"] == "Running", "it runs")
        facts = [str(node.folder), node.facts.group, str(node.facts.pid)]
        fresh = Path({str(ready)!r} + ".new")
        fresh.write_text(chr(10).join(facts))
        fresh.rename({str(ready)!r})
        time.sleep(600)  # until the node is ended
    """
    program = tmp_path / "program.py"
    program.write_text("\n".join(x[8:] for x in script.splitlines()), encoding="utf-8")
    command = [sys.executable, str(MAIN), "--", sys.executable, str(program)]
    holder = subprocess.Popen(command, start_new_session=True)
    try:
        wait_until(ready.exists, within=180, what="a pod runs on a node of its own")
        folder, group, pid = ready.read_text(encoding="utf-8").splitlines()
        space = Path(f"/proc/{pid}/ns/pid").readlink()
        assert inside(space)
        # Ctrl-C goes to all that the terminal runs; a kill hits one.
        if number == signal.SIGINT:
            os.killpg(holder.pid, number)
        else:
            holder.kill()
        holder.wait(60)
        wait_until(lambda: not inside(space), within=60, what="all have ended")
        gone = [Path(folder), *cgroups.places(group)]
        wait_until(
            lambda: not any(one.exists() for one in gone), within=60, what="all is gone"
        )
        assert folder not in Path("/proc/self/mounts").read_text(encoding="utf-8")
        wires = {one.name for one in Path("/sys/class/net").iterdir()}
        assert not wires & {"host0", "pods0"}
    finally:
        with suppress(ProcessLookupError):  # as it should be
            os.killpg(holder.pid, signal.SIGKILL)


def inside(space):
    """Return the processes whose numbers are those of a namespace."""
    found = []
    for one in Path("/proc").glob("[0-9]*/ns/pid"):
        try:
            if one.readlink() == space:
                found.append(one)
        except FileNotFoundError:
            continue  # it ended meanwhile
    return found


@pytest.mark.parametrize("program", up.PROGRAMS)
def test_machine_that_lacks_a_program_is_told_what_brings_it(monkeypatch, program):
    """One line, with the packages to install."""
    which = shutil.which
    monkeypatch.setattr(
        shutil, "which", lambda name: None if name == program else which(name)
    )
    told = up.lacking()
    assert told is not None
    assert told.startswith(f"a node needs {program}: apt-get install ")


def test_machine_without_groups_or_root_is_told(monkeypatch):
    """What no package brings is said as plainly."""
    monkeypatch.setattr(cgroups, "hierarchies", list)
    assert "control groups" in (up.lacking() or "")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert up.lacking() == "a node needs root"


def test_image_is_small_and_the_same_each_time(tmp_path, capsys):
    """`make image`: two builds have one digest; 60 MiB over the interpreter at most."""
    told = []
    for number in (1, 2):
        output = tmp_path / f"{number}.tar"
        assert oci_image.main([f"--output={output}"]) == 0
        told.append(capsys.readouterr().out.splitlines()[1:])
    assert told[0] == told[1]
    digest, sizes = told[0]
    assert re.fullmatch(r"  sha256:[0-9a-f]{64}", digest)
    over = re.match(r"  ([\d.]+) MiB over the interpreter", sizes)
    assert over is not None
    assert 1 < float(over[1]) < 60
