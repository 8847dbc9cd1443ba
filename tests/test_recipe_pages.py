"""The pages of docs/recipes/ show what the end-to-end tests run, and say the same things."""

from __future__ import annotations

import re

import pytest

from tests.programs import ROOT

FOLDER = ROOT / "recipes"
PAGES = {
    path.stem: path.read_text(encoding="utf-8")
    for path in sorted((ROOT / "docs" / "recipes").glob("*.md"))
    if path.stem != "index"
}
TESTS = "".join(
    path.read_text(encoding="utf-8")
    for path in (ROOT / "tests" / "e2e").glob("test_recipe*.py")
)
OURS = re.compile(r"leader_election|\b[Ee]lector\b|\bTerm\b|\bterm\b")


def test_each_recipe_has_a_page_and_a_test():
    """A folder without a page is not found, one without a test is not believed."""
    folders = {path.name for path in FOLDER.iterdir() if path.is_dir()}
    assert folders == set(PAGES)
    for name in folders:
        assert f'"{name}"' in TESTS, name
    index = (ROOT / "docs" / "recipes" / "index.md").read_text(encoding="utf-8")
    for name in folders:
        assert re.search(rf"^{name}$", index, re.MULTILINE), name
        assert f"({name}.md)" in index, name  # the sidebar is not all that people see


@pytest.mark.parametrize("name", PAGES)
def test_page_shows_the_files_that_are_run(name):
    """Nothing of a recipe is left out, and no code stands on the page alone."""
    included = re.findall(r"literalinclude\} \.\./\.\./recipes/(\S+)", PAGES[name])
    files = {
        path.relative_to(FOLDER).as_posix()
        for path in (FOLDER / name).rglob("*")
        if path.suffix in {".py", ".sh", ".sql", ".yaml", ".txt", ".ini"}
        and path.name not in {"__init__.py", "urls.py"}
    }
    assert set(included) == files
    assert "```python" not in PAGES[name]


@pytest.mark.parametrize("name", PAGES)
def test_page_says_what_every_page_says(name):
    """Install, code, rights, output, and what happens in the three ways to end."""
    headings = re.findall(r"^## (.+)$", PAGES[name], re.MULTILINE)
    assert headings[:3] == ["Install", "Code", "Run it"]
    if name == "testing":  # no program that ends
        return
    assert headings[3:5] == ["Rights", "What happens"]
    rows = re.findall(
        r"^\| ([^|]+) \|", PAGES[name].partition("## What happens")[2], re.MULTILINE
    )
    assert rows[1:4] == ["at a rollout", "at a crash", "at Ctrl-C"]


@pytest.mark.parametrize("name", PAGES)
def test_commands_of_the_page_are_those_that_are_run(name):
    """What is typed is what is tested."""
    (block,) = re.findall(r"## Run it\n.*?```console\n(.*?)```", PAGES[name], re.DOTALL)
    for line in block.splitlines():
        assert f'"{line}"' in re.sub(r'"\n +"', "", TESTS), line


@pytest.mark.parametrize("name", PAGES)
def test_recipe_needs_few_lines_of_ours(name):
    """At most 15 that name the library; none where `kle run` starts the framework."""
    ours = [
        line
        for path in (FOLDER / name).rglob("*.py")
        for line in path.read_text(encoding="utf-8").splitlines()
        if OURS.search(line)
    ]
    least = 0 if "\nkle run " in PAGES[name] else 1
    assert least <= len(ours) <= 15, ours
