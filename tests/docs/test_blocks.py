"""
Every block of code of every page is run, or the page says why it is not.

What a comment above a block may say: ``leads: LEASE`` (a program that leads until it is
stopped), ``shows`` and ``file`` (the page's own test runs it), ``drawn`` and
``generated`` (what writes it, and a test compares it with), ``not run here`` with the
reason. Without one, Python is executed as a piece of a program, a command is run against
the embedded Lease API, and YAML is a part of a file that tests apply.
"""

from __future__ import annotations

import ast
import re
import shlex
import signal
import subprocess
import sys
from types import SimpleNamespace

import click
import pytest
import yaml
from click.testing import CliRunner

from kubernetes_leader_election.cli.main import COMMANDS, cli
from kubernetes_leader_election.sync import Elector
from kubernetes_leader_election.testing import LeaseServer
from tests.docs.blocks import BLOCKS, PAGES, Block, blocks_of
from tests.node_page import PATIENCE
from tests.programs import ROOT, end, holder, program, wait_until_held

OWN = {"kle", "kubernetes-leader-election"}
KINDS = {"", "drawn", "file", "generated", "leads", "not run here", "shows"}
RUN_BY = {
    "docs/tutorial.md": "tests/e2e/test_tutorial.py",
    "docs/beside-servers.md": "tests/e2e/test_frameworks.py",
    "docs/command-line.md": "tests/cli/test_docs.py",
    "docs/health.md": "tests/observability/test_health_page.py",
    "README.md": "tests/test_readme.py",
}
"""Pages whose blocks a test of their own runs, in the order of the page."""
ENDS = {"completion", "doctor", "manifests", "status", "timings"}
"""Commands that end by themselves and change nothing: they are run here, as they stand."""
NOT_RUN = {
    "check": "inside a command of `run`: tests/cli/commands/test_check.py",
    "demo": "half a minute: tests/cli/commands/test_demo.py",
    "dev": "serves until it is stopped: tests/cli/commands/test_dev.py",
    "release": "asks first: tests/cli/observe",
    "run": "ends with its command: tests/cli/supervise",
    "step-down": "waits for a holder: tests/cli/observe",
    "token": "inside a command of `run`: tests/cli/commands/test_check.py",
    "transfer": "waits for a holder: tests/cli/observe",
    "watch": "follows without an end: tests/cli/commands/test_watch.py",
}
"""Commands whose options are parsed here, and where they are run."""
ELSEWHERE = {
    "kubectl get lease billing": ("tests/e2e/test_control_plane.py", '"get", "leases"'),
    "kubectl apply -f -": ("tests/e2e/node/workloads.py", '"apply", "-f", "-"'),
    "apt-get install containerd runc containernetworking-plugins iproute2": (
        ".ci/run",
        "install -y containerd runc containernetworking-plugins",
    ),
    "python -m kubernetes_leader_election.testing.simulation 11 -o world.svg": (
        "tests/docs/test_blocks.py",
        "test_simulator_draws_the_world_of_the_page",
    ),
}
"""Commands of others: which file runs them, and by which words."""
PYTHON = [block for block in BLOCKS if block.language == "python"]
PROGRAMS = [block for block in PYTHON if block.kind == "leads"]
PIECES = [block for block in PYTHON if not block.kind and block.page not in RUN_BY]
SHELL = [block for block in BLOCKS if block.language in {"console", "sh"}]
TYPED = sorted(
    {
        (line, block.page.startswith("docs/recipes/"))
        for block in SHELL
        if block.kind != "not run here"
        for line in block.commands
        if block.page != "docs/tutorial.md"
    }
)
YAML = [block for block in BLOCKS if block.language == "yaml" and not block.kind]
INCLUDED = {
    "CHANGELOG.md": "text",
    "deploy/": "tests/e2e/node/test_deploy_files.py applies each",
    "examples/": "tests/test_examples.py runs each",
    "recipes/": "tests/e2e/test_recipes.py runs each",
    "tests/traces/": "tests/test_scenarios.py plays each",
}
"""Where files come from that pages include, and what runs them."""


def by_place(block: Block) -> str:
    """Name a test by the place of its block."""
    return str(block)


@pytest.mark.parametrize("page", PAGES)
def test_each_block_is_run_or_marked(page):
    """A block nobody runs is believed, not tested: it needs a reason."""
    for block in blocks_of(page):
        assert block.kind in KINDS, f"{block}: {block.kind}"
        assert block.kind != "not run here" or len(block.about) > 15, block
        assert block.language in {"python", "console", "sh", "yaml"} or (
            block.kind or page in RUN_BY
        ), f"{block}: nothing runs a block of {block.language or 'no language'}"


def test_tests_that_run_a_page_are_there():
    """What runs a page has not gone, and reads the page, or has its code."""
    for page, test in RUN_BY.items():
        assert (ROOT / page).exists()
        assert page.rpartition("/")[2] in (ROOT / test).read_text(encoding="utf-8")
    for reason in NOT_RUN.values():
        assert (ROOT / reason.partition(": ")[2]).exists()


@pytest.mark.parametrize("block", PYTHON, ids=by_place)
def test_python_compiles(block):
    """Also where it cannot be run; `await` may stand at its top."""
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    compile(block.text, str(block), "exec", flags=flags, dont_inherit=True)


@pytest.mark.slow
@pytest.mark.parametrize("block", PROGRAMS, ids=by_place)
def test_program_leads_until_it_is_stopped(block, lease_server, tmp_path):
    """Run as it stands, in a pod: it leads, and SIGTERM releases the Lease."""
    script = tmp_path / "block.py"
    script.write_text(block.text)
    server, lease = lease_server, block.about
    with program(server, tmp_path / "kubeconfig", script, cwd=tmp_path) as process:
        wait_until_held(server, lease, process)
        _, errors, code = end(process, signal.SIGTERM)
    assert code == 128 + signal.SIGTERM, errors
    assert "Traceback" not in errors
    assert holder(server, lease) == ""


@pytest.mark.parametrize("block", PIECES, ids=by_place)
def test_piece_of_a_program_runs(block, lease_server):
    """With the names that the page says to be there."""
    made = {"server": lease_server.url, "auto_close": False}
    elector = Elector(lease_name="billing", **made)
    done = []
    given = {
        "Elector": lambda **options: Elector(**options | {"auto_close": False}),
        "card": SimpleNamespace(),
        "charge": lambda *args, **more: done.append((args, more)),
        "elector": elector,
    }
    with elector:
        elector.wait_until_leading(PATIENCE)
        exec(compile(block.text, str(block), "exec"), given)  # noqa: S102 - our own page
    assert done or "charge" not in block.text


@pytest.fixture(scope="module")
def shown():
    """Return a server with a leader of `billing` that commands may look at."""
    with LeaseServer() as server:
        server.add_namespace("shop")
        leader = Elector(
            lease_name="billing", preset="fast", server=server.url, auto_close=False
        )
        with leader:
            leader.wait_until_leading(PATIENCE)
            yield server


@pytest.fixture
def here(shown, tmp_path, monkeypatch):
    """Let commands find that server, from a folder that they may write to."""
    shown.kubeconfig(path=tmp_path / "kubeconfig")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(("line", "recipe"), TYPED)
def test_command_can_be_typed(line, recipe, here):
    """A target of make that is there; a command of ours, run where it ends by itself."""
    line = re.sub(r'^eval "\$\((.*)\)"$', r"\1", line)
    for part in re.split(r" \|\|? | && ", line):
        words = shlex.split(re.split(r" [<>] ?| &$", part)[0])
        if words[0] == "make":
            makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
            assert re.search(rf"^{re.escape(words[1])}:", makefile, re.MULTILINE)
        elif words[0] in OWN or words[:2] == ["kubectl", "leader"]:
            _type(words[2 if words[0] == "kubectl" else 1 :])
        elif words[:2] == ["pip", "install"]:
            _installs(words[2:])
        elif part in ELSEWHERE:
            file, text = ELSEWHERE[part]
            assert text in (ROOT / file).read_text(encoding="utf-8")
        else:  # those are run by tests/e2e/test_recipes.py, word by word
            assert recipe, f"nothing runs {line!r}: mark it"


def _type(words):
    """Run a command of ours, or parse what does not end."""
    name = next(word for word in words if word in COMMANDS)
    assert name in ENDS | NOT_RUN.keys()
    if name in ENDS:
        done = CliRunner().invoke(cli, words)
        # 1: as for a Lease that is not there; 5: something to look at.
        assert done.exit_code in {0, 1, 5}, done.output
        assert done.exception is None or isinstance(done.exception, SystemExit)
        return
    command = cli.get_command(None, name)
    # Below the group, as it is called: what a command is first asked, it remembers.
    group = click.Context(cli, **cli.context_settings)
    after = words[words.index(name) + 1 :]
    command.make_context(name, after, parent=group)


def _installs(words):
    """Check that what is installed is ours, with extras that there are, or a recipe's."""
    declared = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    locks = sorted((ROOT / "requirements").glob("recipes*.txt"))
    known = "".join(path.read_text(encoding="utf-8") for path in locks)
    for word in words:
        name, _, extras = re.sub(r"[<>=].*|\]", "", word).partition("[")
        if name in {".", "kubernetes-leader-election"}:
            for extra in filter(None, extras.split(",")):
                assert re.search(rf"^{extra} = \[", declared, re.MULTILINE), word
        else:
            locked = re.sub(r"[-_.]+", "-", name).lower()  # as the index has it
            assert re.search(rf"^{locked}(\[.*\])?==", known, re.MULTILINE), word


def _parts(whole):
    """Yield a document and everything in it."""
    yield whole
    for part in (
        whole.values()
        if isinstance(whole, dict)
        else whole
        if isinstance(whole, list)
        else ()
    ):
        yield from _parts(part)


def _within(part, whole):
    """Return whether a document has what the part has, and perhaps more."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(
            key in whole and _within(value, whole[key]) for key, value in part.items()
        )
    if isinstance(part, list):
        return isinstance(whole, list) and all(
            any(_within(one, other) for other in whole) for one in part
        )
    return part == whole


@pytest.fixture(scope="module")
def applied():
    """Return all documents that tests apply: files of deploy/, and what `kle` prints."""
    texts = [p.read_text() for p in sorted((ROOT / "deploy").glob("*.yaml"))]
    texts += [
        CliRunner().invoke(cli, shlex.split(words)).stdout
        for words in (
            "manifests billing --port 8080",
            (
                "manifests billing --leader-endpoints billing-leader:9000 "
                "--kubernetes-events"
            ),
            (
                "manifests beat --image registry.example/shop:1.0 -- "
                "celery --app=shop beat --schedule=/tmp/celerybeat-schedule"
            ),
        )
    ]
    return [one for text in texts for one in yaml.safe_load_all(text)]


@pytest.mark.parametrize("block", YAML, ids=by_place)
def test_yaml_is_a_part_of_what_is_applied(block, applied):
    """A kubelet and an API server took it, as a part of a whole."""
    documents = list(yaml.safe_load_all(block.text))
    assert documents
    for document in documents:
        assert any(_within(document, part) for one in applied for part in _parts(one))


@pytest.mark.parametrize("page", PAGES)
def test_files_that_a_page_includes_are_run(page):
    """What is included is no block here: a test runs the file."""
    text = (ROOT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\{(?:literal)?include\} (\S+)", text):
        path = (ROOT / page).parent.joinpath(target).resolve()
        assert path.exists()
        name = path.relative_to(ROOT).as_posix()
        assert any(name.startswith(home) for home in INCLUDED), name


@pytest.mark.slow
def test_simulator_draws_the_world_of_the_page(tmp_path):
    """The command of the page about the proof writes the file that it says."""
    (block,) = [b for b in blocks_of("docs/proof.md") if b.language == "console"]
    (line,) = block.commands
    words = shlex.split(line)
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, *words[1:]],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE,
    )
    assert done.stdout == "world.svg\n"
    assert (tmp_path / "world.svg").read_text().startswith("<svg")
