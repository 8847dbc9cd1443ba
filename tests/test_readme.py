"""The README is short, its program prints what it says, its links lead somewhere."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from xml.etree import ElementTree as ET

import pytest

from tests.docs.blocks import blocks_of
from tests.programs import ROOT, end, holder, program, wait_until_held

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_readme_is_short():
    """Whoever finds it reads it to the end; the rest is on pages."""
    assert len(README.splitlines()) <= 100


def only(kind, language):
    """Return the one block of the README of that kind."""
    (block,) = [
        b for b in blocks_of("README.md") if (b.kind, b.language) == (kind, language)
    ]
    return block


def masked(text):
    """
    Return lines without the identity, the token and the order of threads.

    Who holds the Lease is news of a watch: at the end it may come too late to be logged.
    """
    text = re.sub(r"'?elector-[\w.-]+'?", "elector", text)
    lines = re.sub(r"token \d+", "token #", text).splitlines()
    return sorted(line for line in lines if ": held by " not in line)


@pytest.mark.slow
def test_program_of_the_readme_prints_what_it_shows(lease_server, tmp_path):
    """As it stands, in a pod: it leads, and SIGTERM releases the Lease."""
    script = tmp_path / "worker.py"
    script.write_text(only("", "python").text)
    with program(lease_server, tmp_path / "kubeconfig", "-u", script) as process:
        wait_until_held(lease_server, "billing", process)
        first = process.stdout.readline()
        output, errors, code = end(process, signal.SIGTERM)
    assert code == 128 + signal.SIGTERM, errors
    assert holder(lease_server, "billing") == ""
    shown = only("shows", "text").text
    assert (
        errors.count(": held by 'elector-") == shown.count(": held by 'elector-") == 1
    )
    assert masked(shown) == masked(first + errors), output


def test_program_is_ten_lines():
    """As the heading says: not counting those that are empty."""
    lines = [line for line in only("", "python").text.splitlines() if line]
    assert len(lines) <= 10
    assert any("logging.basicConfig" in line for line in lines)


@pytest.mark.slow
def test_program_of_fencing_works_outside_a_cluster_too(tmp_path):
    """There is no token, and the first thing that a newcomer runs must not raise."""
    (block,) = [b for b in blocks_of("docs/fencing.md") if b.language == "python"]
    outside = {
        name: value
        for name, value in os.environ.items()
        if name not in {"KUBERNETES_SERVICE_HOST", "KUBECONFIG"}
    }
    script = tmp_path / "block.py"
    script.write_text(block.text)
    with subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-u", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=outside,
    ) as process:
        try:
            first = process.stdout.readline()  # nothing but the end, where it raised
            assert first == "written with token 0\n", process.communicate()
            _, errors, code = end(process, signal.SIGTERM)
        finally:
            process.kill()
    assert code == 128 + signal.SIGTERM
    (warning,) = errors.splitlines()
    assert "leadership is assumed" in warning


def test_make_does_all_that_ci_does():
    """The last sentence of the README: what CI calls, `make` alone calls as well."""
    ci = re.findall(r"^make (.+)$", (ROOT / ".ci" / "run").read_text(), re.MULTILINE)
    makefile = (ROOT / "Makefile").read_text()
    (rule,) = re.findall(r"^ci: (.+\n(?:\t.+\n)+)", makefile, re.MULTILINE)
    assert rule.replace("@$(MAKE)", "").split() == " ".join(ci).split()


@pytest.mark.parametrize("page", ["README.md", "docs/index.md"])
def test_links_lead_somewhere(page):
    """Files that are named are there; headings, too."""
    text = (ROOT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)]+)\)", text):
        file, _, heading = target.partition("#")
        path = (ROOT / page).parent / file
        assert path.exists(), target
        if heading:
            names = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
            slugs = [re.sub(r"[^\w -]", "", x.lower()).replace(" ", "-") for x in names]
            assert heading in slugs, target


def test_picture_of_the_demo_is_of_a_demo_that_kept_all():
    """It is well-formed, has colours for the dark, and nothing was broken in it."""
    drawn = (ROOT / "docs" / "demo.svg").read_text(encoding="utf-8")
    root = ET.fromstring(drawn)  # noqa: S314 - our own file
    words = [node.text for node in root.iter() if node.tag.endswith("}text")]
    assert {"ada", "bob", "cyd", "clean hand-over"} <= set(words)
    assert words.count("kept") == 10
    assert "BROKEN" not in words
    assert "prefers-color-scheme: dark" in drawn


@pytest.mark.parametrize("page", ["README.md", "docs/index.md"])
def test_first_sentence_promises_no_more_than_holds(page):
    """While nobody can lead, nobody does: at most one, not exactly one (G1)."""
    text = (ROOT / page).read_text()
    assert "at most one leads at any time" in text.split("\n\n")[1]
    assert not re.search(r"exactly one (leads|leader|replica|process)", text)
