"""The page about the command line says what ``--help`` says."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import click
import pytest
import yaml
from click.testing import CliRunner

from kubernetes_leader_election.cli import exit_codes, main
from kubernetes_leader_election.cli.commands import dev

PAGE = Path(__file__).parents[2] / "docs" / "command-line.md"
MARK = "<!-- generated: REWRITE_DOCS=1 pytest tests/cli/test_docs.py -->\n"


def help_of(*words: str) -> str:
    """Give the help of a command, at a width that is the same everywhere."""
    result = CliRunner().invoke(
        main.cli, [*words, "--help"], prog_name="kle", terminal_width=92
    )
    assert result.exit_code == 0
    return "\n".join(line.rstrip() for line in result.output.splitlines())


def generated() -> str:
    """Write the part of the page that is made of the help."""
    names = main.cli.list_commands(click.Context(main.cli))
    calls = [(), *((name,) for name in names), ("dev", "fault")]
    return "".join(
        f"\n### `{' '.join(('kle', *words))}`\n\n```text\n{help_of(*words)}\n```\n"
        for words in calls
    )


def test_docs_page_is_what_help_prints():
    """Each command with all its options is on the page; REWRITE_DOCS=1 writes it anew."""
    head, _, _ = PAGE.read_text(encoding="utf-8").partition(MARK)
    if os.environ.get("REWRITE_DOCS"):
        PAGE.write_text(head + MARK + generated(), encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == head + MARK + generated()


def test_docs_name_every_command_in_the_table():
    """The table at the top of the page leaves no command out."""
    head, _, _ = PAGE.read_text(encoding="utf-8").partition(MARK)
    for name in main.COMMANDS:
        assert re.search(rf"\b{name}\b", head), name


def test_help_describes_every_option_and_gives_each_a_variable():
    """No option without a sentence; all take KLE_ variables."""
    context = click.Context(main.cli)
    commands = {
        name: main.cli.get_command(context, name)
        for name in main.cli.list_commands(context)
    }
    commands["dev fault"] = dev.fault
    for name, command in commands.items():
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, (name, parameter.name)
                assert all(v.startswith("KLE_") for v in parameter.envvar), (
                    name,
                    parameter.name,
                )


def test_docs_name_every_exit_code_of_run():
    """The page about `run` has each code there is, but for the one that doctor keeps."""
    text = (PAGE.parent / "run.md").read_text(encoding="utf-8")
    table = text.partition("## Exit codes")[2].partition("##")[0]
    named = {
        int(word)
        for line in table.splitlines()
        if line.startswith("| ")
        for word in re.findall(r"\d+", line.split("|")[1])
    }
    codes = {x for x in vars(exit_codes).values() if isinstance(x, int)}
    assert codes - {exit_codes.WARNED} <= named


def examples() -> list[str]:
    """Return every call of ours in help, README and docs, less what follows it."""
    found = []
    for _, text in [*help_texts(), *pages()]:
        for line in text.splitlines():
            call = re.match(r"\s*(?:\$ )?(?:kle|kubernetes-leader-election) (.*)", line)
            if call:
                # A comment, a pipe, or what else a shell takes off.
                found.append(re.split(r" {3,}| \| | > | # | &$| && ", call[1])[0])
    return sorted(set(found))


def help_texts() -> list[tuple[str, str]]:
    """Return the help of each command, as it is written."""
    context = click.Context(main.cli)
    commands = {name: main.cli.get_command(context, name) for name in main.COMMANDS}
    commands["dev fault"] = dev.fault
    return [(name, command.help) for name, command in commands.items()]


def pages() -> list[tuple[str, str]]:
    """Return what stands in blocks of code of README and docs."""
    root = PAGE.parents[1]
    return [
        (path.name, "\n".join(re.findall(r"```console\n(.*?)```", text, re.DOTALL)))
        for path in [root / "README.md", *sorted(PAGE.parent.rglob("*.md"))]
        for text in [path.read_text(encoding="utf-8").replace("\\\n", " ")]
    ]


@pytest.mark.parametrize("example", examples())
def test_an_example_is_one_that_is_accepted(example, tmp_path, monkeypatch):
    """Each one has commands and options that there are; what needs no cluster is run."""
    monkeypatch.chdir(tmp_path)  # some write files
    name, *words = shlex.split(example)
    # Below the group, as it is called: what a command is first asked, it remembers.
    group = click.Context(main.cli, **main.cli.context_settings)
    command = main.cli.get_command(group, name)
    assert command is not None, name
    if name in {"timings", "manifests", "completion"}:
        assert CliRunner().invoke(main.cli, [name, *words]).exit_code == 0
    elif words[:1] == ["fault"]:
        dev.fault.make_context("fault", words[1:], parent=group)
    else:
        command.make_context(name, words, parent=group)


def test_docs_show_the_container_that_manifests_prints():
    """The page about `run` shows a part of what its own command prints."""
    text = (PAGE.parent / "run.md").read_text(encoding="utf-8")
    found = re.search(
        r"\$ kle (manifests .*)\n```\n.*?```yaml\n(.*?)```", text, re.DOTALL
    )
    assert found is not None
    result = CliRunner().invoke(main.cli, shlex.split(found[1]))
    assert result.exit_code == 0, result.stderr
    kinds = {one["kind"]: one for one in yaml.safe_load_all(result.stdout)}
    pod = kinds["Deployment"]["spec"]["template"]["spec"]
    assert yaml.safe_load(found[2]) == {"containers": pod["containers"]}
