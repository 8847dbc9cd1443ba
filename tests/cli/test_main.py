"""The command line as a whole: names, help, completion, and never a traceback."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import click
import pytest

from kubernetes_leader_election.cli import exit_codes, main, timings

SCRIPTS = Path(sys.executable).parent


def test_main_lists_every_command_with_the_help_it_has(call):
    """The list of commands is complete: each one there is can be asked for help."""
    group = main.cli
    context = click.Context(group, info_name="kle")
    for name in group.list_commands(context):
        result = call(name, "--help")
        assert result.exit_code == 0
        assert result.stdout.startswith(f"Usage: kle {name}")
        assert "\\b" not in result.stdout, "markup, for click and not for people"


def test_main_says_what_each_exit_code_means(call):
    """--help documents every exit code that this program has of its own."""
    result = call("--help")
    codes = [value for value in vars(exit_codes).values() if isinstance(value, int)]
    for code in codes:
        assert f"  {code}  " in result.stdout


@pytest.mark.parametrize(
    ("script", "name"),
    [
        ("kle", "kle"),
        ("kubernetes-leader-election", "kubernetes-leader-election"),
        ("kubectl-leader", "kubectl leader"),
    ],
)
@pytest.mark.slow
def test_main_answers_to_each_of_its_names(script, name):
    """Help and usage name the command as it was called, also as a kubectl plugin."""
    done = subprocess.run(
        [SCRIPTS / script, "--help"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(f"Usage: {name} ")


@pytest.mark.slow
def test_main_completes_commands_and_options_in_bash():
    """The script that `completion` prints asks for words, and gets them."""
    done = subprocess.run(
        [SCRIPTS / "kle"],
        env={
            **os.environ,
            "_KLE_COMPLETE": "bash_complete",
            "COMP_WORDS": "kle timings --lease",
            "COMP_CWORD": "2",
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert "plain,--lease-duration-sec" in done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
@pytest.mark.slow
def test_main_prints_a_completion_for_both_names(call, shell):
    """`completion` covers kle and the long name."""
    result = call("completion", shell)
    assert "_KLE_COMPLETE" in result.stdout
    assert "_KUBERNETES_LEADER_ELECTION_COMPLETE" in result.stdout


def test_main_turns_a_defect_into_one_line(call, monkeypatch):
    """An exception nobody foresaw is a line on stderr and exit code 70."""

    def fail(*_arguments: object) -> None:
        raise RuntimeError("the unforeseen")

    monkeypatch.setattr(timings, "describe", fail)
    result = call("timings")
    assert result.exit_code == exit_codes.DEFECT
    assert "the unforeseen" in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.slow
def test_main_answers_help_without_loading_the_heavy_parts():
    """--help of a command imports neither ssl, asyncio, http, yaml, aiohttp nor rich."""
    group = main.cli
    names = group.list_commands(click.Context(group))
    heavy = {"ssl", "asyncio", "http.client", "yaml", "aiohttp", "rich"}
    program = (
        "import sys\n"
        "from kubernetes_leader_election.cli.main import cli\n"
        f"for name in {names!r}:\n"
        "    try: cli([name, '--help'], prog_name='kle')\n"
        "    except SystemExit: pass\n"
        f"    print('LOADED', name, sorted({heavy!r} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    loaded = [line for line in done.stdout.splitlines() if line.startswith("LOADED")]
    assert [f"LOADED {name} []" for name in names] == loaded


@pytest.mark.slow
def test_main_answers_help_with_little_work():
    """--help takes a fraction of a second of processor time, however busy others are."""
    least = 9.0
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([SCRIPTS / "kle", "--help"], capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        least = min(least, used)
    assert least < 0.6  # an idle machine takes 0.1 s, a loaded one twice or thrice that
