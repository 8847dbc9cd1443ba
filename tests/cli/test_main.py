"""The command line as a whole: names, help, completion, and never a traceback."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import zipapp
from importlib.metadata import version
from pathlib import Path

import click
import pytest
import yaml
from click.shell_completion import BashComplete

import kubernetes_leader_election
from kubernetes_leader_election.cli import exit_codes, main, shell_completion
from kubernetes_leader_election.cli.commands import timings
from kubernetes_leader_election.cli.output import style
from kubernetes_leader_election.testing.faults import Answer, Fault, Hang
from tests.cli.observe.leases import write_lease

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
    ("words", "meant"),
    [
        (("statsu",), "status"),
        (("-n", "shop", "wacth"), "watch"),
        (("dev", "falt"), "fault"),
    ],
    ids=" ".join,
)
def test_main_says_which_command_was_meant(call, words, meant):
    """A wrong name ends with the right one, exit code 2."""
    result = call(*words)
    assert result.exit_code == exit_codes.USAGE
    assert f"No such command {words[-1]!r}. Did you mean {meant!r}?" in result.stderr


@pytest.mark.parametrize(
    "early",
    [("-n", "shop"), ("-nshop",), ("--namespace=shop",), ("--namespace", "shop")],
)
def test_main_takes_shared_options_before_the_command(call, kubeconfig, early):
    """As `kubectl -n shop get` does: `kubectl leader -n shop status` is the same."""
    words = ("--kubeconfig", kubeconfig, "status", "billing")
    result = call(*early, *words)
    assert "Lease shop/billing at http://" in result.stdout
    assert result.exit_code == exit_codes.NO
    help_ = call(*early, "--help")
    assert help_.stdout.startswith("Usage: kle ")
    alone = call(*early)
    assert alone.exit_code == exit_codes.USAGE
    assert f"Missing command, as in `kle status {' '.join(early)}`" in alone.stderr


@pytest.mark.parametrize(
    ("name", "advice"),
    [("shop/billing", "-n shop billing"), ("lease/billing", "billing")],
)
def test_main_says_how_a_namespace_is_given(call, kubeconfig, name, advice):
    """As answers and kubectl write a Lease: the namespace is an option of its own."""
    for words in (("status",), ("watch",), ("step-down",), ("doctor",)):
        result = call(*words, name, "--kubeconfig", kubeconfig)
        assert result.exit_code == exit_codes.USAGE
        assert f"a name alone, without a slash: {advice}\n" in result.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ("status", "--observe-sec", "0"),
        ("watch", "--for-sec", "0.1"),
        ("timings", "--presets"),
    ],
    ids=" ".join,
)
def test_main_works_with_stdout_closed(kubeconfig, words):
    """As some programs start others: nobody reads it, and that is no defect."""
    given = () if words[0] == "timings" else ("--kubeconfig", kubeconfig)
    script = 'exec "$@" >&-'
    command = ["sh", "-c", script, "sh", SCRIPTS / "kle", *words, *given]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "defect" not in done.stderr


def test_main_leaves_it_to_a_command_which_options_it_has(call):
    """An option that came early is no other one: who does not know it says so."""
    result = call("-n", "shop", "timings")
    assert result.exit_code == exit_codes.USAGE
    assert "Usage: kle timings" in result.stderr
    assert "No such option" in result.stderr


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


def test_main_ends_at_ctrl_c_as_shells_say_it(call, monkeypatch):
    """Ctrl-C in any command is exit code 130: no answer, and no traceback."""

    def interrupt(*_arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(timings, "describe", interrupt)
    result = call("timings")
    assert result.exit_code == exit_codes.INTERRUPTED
    assert result.output.strip() == ""


@pytest.mark.parametrize("value", ["nan", "inf", "-1", "1e300", "soon"])
@pytest.mark.parametrize(
    "words",
    [
        ("run", "x", "--grace={}", "--", "true"),
        ("run", "x", "--health-interval-sec={}", "--", "true"),
        ("status", "--observe-sec={}"),
        ("step-down", "x", "--wait-sec={}"),
        ("check", "--seconds={}"),
        ("timings", "--lease-duration-sec={}"),
    ],
    ids=lambda words: " ".join(words[:1]),
)
def test_main_refuses_times_that_are_none(call, words, value):
    """No clock and no timer can take them: one line, exit code 2."""
    result = call(*(word.format(value) for word in words))
    assert result.exit_code == exit_codes.USAGE, result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ("--health-url=http://[::1/", "is no URL"),
        ("--health-url=http://x:99999/", "is no URL"),
        ("--health-url=ftp://x/", "is no URL"),
        ("--health-url=http:///healthz", "is no URL"),
        ("--health-command=echo 'x", "cannot be split"),
        ("--health-command=  ", "is empty"),
    ],
)
def test_main_refuses_health_checks_that_cannot_be_made(call, option, says):
    """A check that can never succeed is refused before anything is started."""
    result = call("run", "x", option, "--", "true")
    assert result.exit_code == exit_codes.USAGE
    assert says in result.stderr


def complete(*words: str) -> list[str]:
    """Give what a shell offers for the last word."""
    extra = {"auto_envvar_prefix": "KLE"}
    shell = BashComplete(main.cli, extra, "kle", "_KLE_COMPLETE")
    *before, last = words
    return [item.value for item in shell.get_completions(list(before), last)]


@pytest.mark.parametrize(
    "command", ["status", "watch", "step-down", "transfer", "release", "doctor", "run"]
)
def test_main_completes_names_of_leases(server, kubeconfig, command):
    """A LEASE argument is completed by the Leases that there are."""
    for name in ("tab-one", "tab-two", "other"):
        write_lease(server, name)
    words = (command, "--kubeconfig", str(kubeconfig))
    assert complete(*words, "tab-") == ["tab-one", "tab-two"]
    if command == "watch":
        assert complete(*words, "tab-one", "tab-") == ["tab-two"]


def test_main_completes_namespaces_and_contexts(server, kubeconfig):
    """-n offers the namespaces of the server, --context those of the kubeconfig."""
    words = ("status", "--kubeconfig", str(kubeconfig))
    assert "kube-system" in complete(*words, "-n", "")
    assert complete(*words, "--context", "emb") == ["embedded-lease-api"]


@pytest.mark.parametrize("what", ["no kubeconfig", "no right", "no answer"])
def test_main_completes_nothing_where_leases_cannot_be_listed(
    server, kubeconfig, tmp_path, monkeypatch, capfd, what
):
    """Tab never complains and never waits for long."""
    monkeypatch.setattr(shell_completion, "PATIENCE", 0.2)
    if what == "no kubeconfig":
        kubeconfig = tmp_path / "none"
    elif what == "no right":
        server.faults.add(Fault(Answer(status=403), verb="list"))
    else:
        server.faults.add(Fault(Hang(seconds=1), verb="list"))
    assert complete("status", "--kubeconfig", str(kubeconfig), "") == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["", "Bad Name", "../../pods/x", "a\nb", "x" * 300])
@pytest.mark.parametrize(
    "words",
    [
        ("status",),
        ("watch",),
        ("step-down",),
        ("transfer", "--to", "ada"),
        ("release", "--force"),
        ("doctor",),
    ],
    ids=lambda words: words[0],
)
def test_main_refuses_names_that_no_lease_can_have(call, words, name):
    """No such name is ever sent to a server: one line, exit code 2."""
    result = call(*words, name)
    assert result.exit_code == exit_codes.USAGE, result.output
    assert "is not a valid name for a Lease" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_main_refuses_a_successor_that_nobody_can_be(call):
    """An empty identity is nobody's, and the message names the option."""
    result = call("transfer", "x", "--to", "")
    assert result.exit_code == exit_codes.USAGE
    assert "--to=''" in result.stderr


def test_main_says_what_to_do_where_no_cluster_is_named(call, tmp_path):
    """Without a kubeconfig: one line with the ways to name a server."""
    result = call("status", "x", HOME=str(tmp_path), KUBECONFIG="")
    assert result.exit_code == exit_codes.NO_CLUSTER
    (line,) = result.stderr.splitlines()
    assert "--kubeconfig" in line
    assert "kle dev" in line


@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize("words", [["--help"], ["timings"], ["manifests", "x"]])
@pytest.mark.slow
def test_main_says_in_a_line_that_its_output_cannot_be_written(words, unbuffered):
    """Fault 81: a full disk behind stdout is one line and an exit code of its own, no traceback."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [SCRIPTS / "kle", *words],
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == exit_codes.NOT_WRITTEN
    assert done.stderr == (
        "Error: No space left on device. Free some space, or write to another place.\n"
    )


@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
def test_main_ends_as_other_tools_where_nobody_reads_on(unbuffered):
    """`| head`: quietly, with the code of SIGPIPE; 1 would say that nobody leads."""
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [SCRIPTS / "kle", "timings"],
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writing)
    assert done.returncode == 128 + signal.SIGPIPE
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("variable", "value", "coloured"),
    [("NO_COLOR", "1", False), ("TERM", "dumb", False), ("TERM", "xterm", True)],
)
def test_main_colours_nothing_where_that_is_not_wanted(
    monkeypatch, variable, value, coloured
):
    """NO_COLOR, and a terminal that cannot, switch colours off."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv(variable, value)
    assert ("\x1b" in style("x", fg="red")) is coloured


@pytest.mark.slow
def test_main_packed_into_one_file_says_its_version(tmp_path):
    """A zipapp has no metadata of an installation; its name is that of the program."""
    packed = tmp_path / "packed"
    for package in (kubernetes_leader_election, click, yaml):
        folder = Path(package.__file__).parent
        shutil.copytree(folder, packed / folder.name)
    file = tmp_path / "kle.pyz"
    zipapp.create_archive(packed, file, main="kubernetes_leader_election.__main__:main")

    def kle(*words: str) -> str:
        # Isolated and without site-packages, where this is installed.
        return subprocess.run(
            [sys.executable, "-I", "-S", file, *words],
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    assert kle("--version") == f"{version('kubernetes-leader-election')}\n"
    assert kle("status", "--help").startswith("Usage: kle status")
