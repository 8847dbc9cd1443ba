"""Every code block of the README is executed, and its tables are held to the code."""

from __future__ import annotations

import inspect
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import get_args

import click
import pytest
import yaml

from kubernetes_leader_election import EVENTS, Elector
from kubernetes_leader_election.cli.main import COMMANDS, LazyGroup, cli
from kubernetes_leader_election.credentials import explicit
from kubernetes_leader_election.events import ElectorEvent, LossReason, Origin
from kubernetes_leader_election.settings import PRESETS, resolve_settings, timings
from kubernetes_leader_election.sync import Elector as SyncElector
from tests.node_page import PATIENCE
from tests.programs import ROOT, end, holder, program, wait_until_held

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, flags=re.DOTALL | re.MULTILINE)
PYTHON = [text for language, text in BLOCKS if language == "python"]
YAML = [text for language, text in BLOCKS if language == "yaml"]


def console_lines(page):
    """Give the command lines of a page."""
    blocks = re.findall(r"^```console\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    lines = [
        line.split("#")[0].strip() for text in blocks for line in text.splitlines()
    ]
    return [line for line in lines if line]


PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
OWN = ("make ", "kubernetes-leader-election ", "kle ")
LINES = sorted(
    {
        line
        for page in PAGES
        for line in console_lines(page.read_text())
        if line.startswith(OWN)
    }
)
ACCOUNT = "system:serviceaccount:default:billing"


def title(program_text):
    """Name a block by what is particular to it."""
    marks = {
        "to_thread": "work in threads",
        "asyncio.run(Elector": "asyncio",
        "sqlite3": "fencing",
        "LEADERSHIP_LOST": "events",
        "leadership()": "scope",
        "from kubernetes_leader_election.sync": "threads",
    }
    return next(name for mark, name in marks.items() if mark in program_text)


def test_readme_has_only_blocks_that_are_executed():
    """A block in another language would be believed, not tested."""
    assert {"console", "python", "yaml"} == {language for language, _ in BLOCKS}
    assert len(BLOCKS) == README.count("\n```") / 2


@pytest.mark.slow
@pytest.mark.parametrize("text", PYTHON, ids=title)
def test_python_block_leads_until_it_is_stopped(text, lease_server, tmp_path):
    """Run as it stands, in a pod: it leads, and SIGTERM releases the Lease."""
    script = tmp_path / "block.py"
    script.write_text(text)
    with program(lease_server, tmp_path / "kubeconfig", script) as process:
        wait_until_held(lease_server, "billing", process)
        _, errors, code = end(process, signal.SIGTERM)
    assert (code, errors) == (128 + signal.SIGTERM, "")
    assert holder(lease_server, "billing") == ""


@pytest.mark.slow
def test_fencing_block_works_outside_a_cluster_too(tmp_path):
    """There is no token, and the first thing that a newcomer runs must not raise."""
    (text,) = [text for text in PYTHON if "sqlite3" in text]
    outside = {
        name: value
        for name, value in os.environ.items()
        if name not in {"KUBERNETES_SERVICE_HOST", "KUBECONFIG"}
    }
    script = tmp_path / "block.py"
    script.write_text(text)
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
    assert (code, errors) == (128 + signal.SIGTERM, "")


def documents(*texts):
    """Give the YAML documents, by kind."""
    found = [one for text in texts for one in yaml.safe_load_all(text)]
    return {one["kind"]: one for one in found}


def test_yaml_blocks_are_what_deploy_has():
    """One truth: the README shows what stands in deploy/."""
    files = [
        (ROOT / "deploy" / f"{name}.yaml").read_text()
        for name in ("role", "deployment")
    ]
    assert documents(*YAML) == documents(*files)
    deployment = documents(*YAML)["Deployment"]
    account = deployment["spec"]["template"]["spec"]["serviceAccountName"]
    assert documents(*YAML)["RoleBinding"]["subjects"][0]["name"] == account
    assert deployment["spec"]["template"]["metadata"]["labels"].items() >= (
        deployment["spec"]["selector"]["matchLabels"].items()
    )


@pytest.mark.slow
def test_role_gives_all_that_an_election_needs_and_no_more(lease_server_factory):
    """Security rules: one rule, four verbs, one name, enforced by the server."""
    server = lease_server_factory(manifests="\n---\n".join(YAML))
    token = server.add_user(ACCOUNT).token
    rules = documents(*YAML)["Role"]["rules"]
    assert len(rules) == 1
    assert {"get", "create", "update", "watch"} == set(rules[0]["verbs"])

    def elector(**options):
        credentials = explicit(server=server.url, token=token)
        return SyncElector(credentials=credentials, auto_close=False, **options)

    with elector(lease_name="billing", identity="a") as leader:
        leader.wait_until_leading(PATIENCE)
        with elector(lease_name="billing", identity="b") as waiting:
            waiting.wait_for_leader(PATIENCE)
            leader.stop()
            waiting.wait_until_leading(PATIENCE)
    assert 403 not in {one.status for one in server.requests}
    with elector(lease_name="another") as stranger:
        server.requests.wait_for(lambda one: one.status == 403, timeout=PATIENCE)
        assert not stranger.current_leader
    assert server.lease("another") is None


def test_flow_schema_covers_what_an_election_sends():
    """Fault 32: the requests of the account, with its four verbs, and no others."""
    schema = documents((ROOT / "deploy" / "flow-schema.yaml").read_text())["FlowSchema"]
    assert schema["spec"]["priorityLevelConfiguration"]["name"] == "leader-election"
    (rule,) = schema["spec"]["rules"]
    assert rule["subjects"] == [
        {
            "kind": "ServiceAccount",
            "serviceAccount": {"name": "billing", "namespace": "default"},
        }
    ]
    (resources,) = rule["resourceRules"]
    role = documents(*YAML)["Role"]["rules"][0]
    assert {key: resources[key] for key in ("apiGroups", "resources", "verbs")} == {
        key: role[key] for key in ("apiGroups", "resources", "verbs")
    }


@pytest.mark.parametrize("line", LINES)
def test_console_line_can_be_typed(line):
    """A make target that is there, or a command whose options are known."""
    words = shlex.split(line.split(" > ")[0])  # where the output goes is the shell's
    if words[0] == "make":
        makefile = (ROOT / "Makefile").read_text()
        assert re.search(rf"^{re.escape(words[1])}:", makefile, flags=re.MULTILINE)
        return
    assert words[1] in COMMANDS
    assert isinstance(cli, LazyGroup)
    command = cli.get_command(None, words[1])
    assert command is not None
    # Below the group, as it is called: what a command is first asked, it remembers.
    group = click.Context(cli, **cli.context_settings)
    command.make_context(words[1], words[2:], parent=group)


def rows(heading, column=0):
    """Give the words in backquotes of a column of the first table after a heading."""
    table = README.split(heading, 1)[1].split("\n|", 1)[1].split("\n\n")[0]
    cells = [line.strip("| ").split(" | ")[column] for line in table.splitlines()[2:]]
    return [word for cell in cells for word in re.findall(r"`([^`]*)`", cell)]


def test_options_table_has_every_option():
    """Nothing is missing, and nothing is there that the elector does not take."""
    options = set(inspect.signature(Elector).parameters) - {"unknown"}
    assert options == set(rows("## Options"))


def test_options_table_has_the_defaults():
    """What the table says of a flag or a number is what the elector does."""
    defaults = dict(
        re.findall(r"^\| `(\w+)` \| `([^`]*)` \|", README, flags=re.MULTILINE)
    )
    settings = resolve_settings()
    for name in ("wait_for_leadership", "auto_close", "observe", "liveness", "preset"):
        assert defaults[name] == str(getattr(settings, name))
    assert defaults["renew_interval_ms"] == str(settings.renew_interval_ms)
    assert defaults["clock_rate_error"] == str(settings.clock_rate_error)
    for name in ("lease_name", "namespace"):
        assert defaults[name] == f'"{getattr(settings, name)}"'


def test_events_table_has_every_event():
    """All of EVENTS, and all reasons of a loss."""
    assert [event.name for event in EVENTS] == rows("## Events, properties, methods")
    line = README.split("Reasons of a loss: ")[1].split("\n")[0]
    assert list(LossReason.__args__) == re.findall(r"`(\w+)`", line)


@pytest.mark.parametrize("event", get_args(ElectorEvent), ids=lambda kind: kind.name)
def test_events_table_has_what_each_event_carries(event):
    """Every field that a handler can read, and no other."""
    cells = dict(
        re.findall(r"^\| `([A-Z_]+)` \| .+ \| (.+) \|$", README, flags=re.MULTILINE)
    )
    carried = re.findall(r"`(\w+)`", cells[event.name.name])
    common = re.findall(r"`(\w+)`", README.split("| carries, beside ")[1].split("|")[0])
    fields = inspect.get_annotations(event).keys() - {"name"}
    # Whether there is a token at all is for metrics; a handler asks for the token.
    shown = {field.removesuffix("_if_any") for field in fields}
    assert sorted(carried) == sorted(shown)
    assert common == list(Origin.__annotations__)
    assert all(hasattr(event, name) for name in carried)


def test_methods_table_has_every_public_name():
    """What the class offers is in the table, and the other way round."""
    table = README.split("| name | gives |")[1].split("\n\n")[0]
    cells = [line.strip("| ").split(" | ")[0] for line in table.splitlines()[2:]]
    named = {
        re.match(r"\w+", word).group()
        for cell in cells
        for word in re.findall(r"`([^`]*)`", cell)
    }
    public = {name for name in dir(Elector) if not name.startswith("_")}
    assert public == named


def test_presets_table_says_what_follows_from_them():
    """Each number is derived from the settings, not remembered."""
    table = README.split("| preset |")[1].split("\n\n")[0]
    shown = [line.strip("| ").split(" | ") for line in table.splitlines()[2:]]
    assert [None, *PRESETS] == [
        None if row[0] == "none" else row[0].strip('`"') for row in shown
    ]
    for name, *cells in shown:
        preset = None if name == "none" else name.strip('`"')
        means = timings(resolve_settings(preset=preset))
        numbers = [float(cell.removesuffix(" s")) for cell in cells]
        exact = [
            means.renew_interval,
            means.lease_duration,
            means.outage_survived,
            means.crash_fail_over,
            means.writes_per_minute,
        ]
        # Rounded for the reader, never to the better side by more than a tenth.
        assert numbers == pytest.approx(exact, abs=0.1), name


def test_console_blocks_of_the_readme_are_ours():
    """Nothing in them is passed over."""
    assert console_lines(README)
    assert all(line.startswith(OWN) for line in console_lines(README))


TYPED = {
    "kubernetes-leader-election run billing -- celery -A shop beat": "-A shop beat",
    "kle run beat --grace-sec 30 -- celery -A shop beat": "-A shop beat",
    "kubernetes-leader-election timings --preset steady": "6.5 s",
}
"""What is not `make`, and a part of what it prints."""


@pytest.mark.slow
@pytest.mark.parametrize("line", TYPED)
def test_console_line_of_the_readme_is_executed(line, tmp_path):
    """Typed as it stands, outside a cluster, beside a program of that name."""
    celery = tmp_path / "celery"
    celery.write_text('#!/bin/sh\necho "$@"\n')
    celery.chmod(0o700)
    scripts = Path(sys.executable).parent
    done = subprocess.run(  # noqa: S603 - our own command
        shlex.split(line),
        env={"PATH": f"{tmp_path}:{scripts}:/usr/bin:/bin", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert TYPED[line] in done.stdout


def test_each_console_line_of_the_readme_is_executed():
    """Here, or it is a target of make, which the demo and the tests themselves are."""
    lines = [x for x in console_lines(README) if not x.startswith("make ")]
    assert lines == list(TYPED)


def test_make_does_all_that_ci_does():
    """The last sentence of the README: what CI calls, `make` alone calls as well."""
    ci = re.findall(r"^make (.+)$", (ROOT / ".ci" / "run").read_text(), re.MULTILINE)
    makefile = (ROOT / "Makefile").read_text()
    (rule,) = re.findall(r"^ci: (.+\n(?:\t.+\n)+)", makefile, re.MULTILINE)
    assert rule.replace("@$(MAKE)", "").split() == " ".join(ci).split()


def test_links_lead_somewhere():
    """Files that the README names are there; headings, too."""
    for target in re.findall(r"\]\(([^)]+)\)", README):
        if target.startswith("#"):
            headings = {
                "#" + line.lstrip("# ").lower().replace(" ", "-")
                for line in README.splitlines()
                if line.startswith("#")
            }
            assert target in headings
        else:
            assert (ROOT / target).exists(), target


@pytest.mark.parametrize("page", ["README.md", "docs/index.md"])
def test_first_sentence_promises_no_more_than_holds(page):
    """While nobody can lead, nobody does: at most one, not exactly one (G1)."""
    text = (ROOT / page).read_text()
    assert "at most one leads at any time" in text.split("\n\n")[1]
    assert not re.search(r"exactly one (leads|leader|replica|process)", text)
