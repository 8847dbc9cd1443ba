"""What a release is made of; the rest is `make release-check`, which builds one."""

from __future__ import annotations

import re
import sys
import tomllib
import zipfile

import pytest
import yaml

from tests.programs import ROOT

# A program of the build, which no package needs.
sys.path.insert(0, str(ROOT / "release"))

import check
from hatch_build import bill_of_materials, readme_for_index
from hatchling.metadata.core import ProjectMetadata
from hatchling.plugin.manager import PluginManager

from kubernetes_leader_election import __version__

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
REPOSITORY = PROJECT["tool"]["hatch"]["metadata"]["hooks"]["custom"]["repository"]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


@pytest.fixture(scope="module")
def metadata():
    """Give what hatchling makes of pyproject.toml and of what is added to it."""
    return ProjectMetadata(str(ROOT), PluginManager())


@pytest.mark.parametrize(
    ("given", "becomes"),
    [
        ("[a](docs/b.md#c)", "[a](https://at/blob/v1/docs/b.md#c)"),
        ("![a](docs/b.svg)", "![a](https://at/raw/v1/docs/b.svg)"),
        (
            "[![a](b.svg)](d.md)",
            "[![a](https://at/raw/v1/b.svg)](https://at/blob/v1/d.md)",
        ),
        ('<img src="b.svg" alt="">', '<img src="https://at/raw/v1/b.svg" alt="">'),
        ("[a](#b)", "[a](https://at/blob/v1/README.md#b)"),
        ("[a](https://b/c)", "[a](https://b/c)"),
        ("[a](mailto:b@c)", "[a](mailto:b@c)"),
        ("```python\na[b](c)\n```", "```python\na[b](c)\n```"),
    ],
)
def test_links_of_the_readme_are_addresses_on_the_index(given, becomes):
    """The index has no files; code is left alone."""
    assert readme_for_index(given, "https://at", "1") == becomes


def test_metadata_has_what_the_index_shows(metadata):
    """Authors, licence, addresses of one repository, the readme, the package's version."""
    core = metadata.core
    assert metadata.version == __version__
    assert core.authors
    assert core.license_expression == "MIT"
    assert set(core.urls) == {
        "Source",
        "Documentation",
        "Changelog",
        "Issues",
        "Security",
    }
    assert all(url.startswith(REPOSITORY) for url in core.urls.values())
    assert core.readme_content_type == "text/markdown"
    assert core.readme.startswith("# kubernetes-leader-election\n")
    assert "](docs/" not in core.readme


def test_address_of_the_repository_stands_in_one_place():
    """It is not known yet: whoever knows it changes one line."""
    where = [
        path.relative_to(ROOT).as_posix()
        for path in ROOT.rglob("*")
        if path.suffix in {".md", ".toml", ".cff", ".yml", ".yaml", ".py"}
        and not {"dist", "node_modules", "_build"} & set(path.parts)
        and not any(part.startswith(".venv") for part in path.parts)
        and path.name != "test_release.py"
        and REPOSITORY in path.read_text(encoding="utf-8")
    ]
    assert where == ["pyproject.toml"]


def test_version_stands_in_the_package_alone():
    """The citation says none, and pyproject.toml takes it from there."""
    assert "version" in PROJECT["project"]["dynamic"]
    assert "version" not in yaml.safe_load((ROOT / "CITATION.cff").read_text())
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## [{__version__}] - " in changes


def test_bill_of_materials_names_all_that_is_installed(metadata):
    """What is always installed is required, what extras add is optional."""
    bill = bill_of_materials(metadata, REPOSITORY)
    found = {need["name"]: need["scope"] for need in bill["components"]}
    always = {name.lower() for name in names(PROJECT["project"]["dependencies"])}
    extras = PROJECT["project"]["optional-dependencies"].values()
    every = {name for extra in extras for name in names(extra)}
    every -= {PROJECT["project"]["name"]}
    assert found == dict.fromkeys(always, "required") | dict.fromkeys(every, "optional")
    assert bill["metadata"]["component"]["version"] == __version__
    assert bill == bill_of_materials(metadata, REPOSITORY)


def names(requirements):
    """Give the names that requirements begin with."""
    return [re.match(r"[\w-]+", one).group() for one in requirements]


def test_workflows_run_nothing_that_is_not_pinned():
    """A tag can be moved to other code, a commit cannot."""
    used = [
        line
        for path in WORKFLOWS
        for line in re.findall(r"uses: (.+)$", path.read_text(), re.MULTILINE)
    ]
    assert used
    for one in used:
        assert re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # v[\d.]+", one), one


def test_nothing_but_the_publishing_job_may_sign():
    """What builds and tests runs code of others, and has no rights to abuse."""
    (release,) = WORKFLOWS
    jobs = yaml.safe_load(release.read_text())["jobs"]
    assert jobs["build"]["permissions"] == {"contents": "read"}
    assert jobs["publish"]["permissions"] == {
        "id-token": "write",
        "attestations": "write",
    }
    assert not any("run" in step for step in jobs["publish"]["steps"])


def test_classifiers_name_the_pythons_that_releases_are_tested_on():
    """The workflow and the check have the same ones, and no more."""
    promised = [
        one.rpartition(" ")[2]
        for one in PROJECT["project"]["classifiers"]
        if re.search(r"Python :: 3\.\d+$", one)
    ]
    check = (ROOT / "release" / "check.py").read_text(encoding="utf-8")
    (tested,) = re.findall(r"^PYTHONS = \((.+)\)$", check, re.MULTILINE)
    assert re.findall(r"[\d.]+", tested) == promised
    steps = yaml.safe_load(WORKFLOWS[0].read_text())["jobs"]["build"]["steps"]
    (pythons,) = (s["with"] for s in steps if "setup-python" in s.get("uses", ""))
    assert pythons["python-version"].split() == promised


@pytest.mark.parametrize(
    "page", ["SECURITY.md", "CONTRIBUTING.md", ".github/pull_request_template.md"]
)
def test_links_of_the_policies_lead_somewhere(page):
    """Files that they name are there."""
    text = (ROOT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", text):
        assert (ROOT / target).exists(), target


@pytest.fixture
def dist(tmp_path):
    """Give a function that makes a wheel of a version, with addresses and a readme."""

    def make(version="9.9", source="https://at/it", readme="[a](https://at/it)"):
        wheel = tmp_path / f"it-{version}-py3-none-any.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr(
                f"it-{version}.dist-info/METADATA",
                f"Name: it\nVersion: {version}\nProject-URL: Source, {source}\n\n{readme}\n",
            )
        return [wheel]

    return make


@pytest.mark.parametrize(
    ("readme", "because"),
    [
        ("[a](docs/run.md)", "relative link: docs/run.md"),
        ('<img src="a.svg">', "relative link: a.svg"),
        ("[a](https://at/it/blob/v9.9/docs/gone.md)", "no file: .*/docs/gone.md"),
        ("![a](https://at/it/raw/v9.9/docs/states.svg)", None),
        ("[a](https://at/it/blob/v9.9/docs/run.md#health)", None),
        ("no links", "no links"),
    ],
)
def test_links_that_lead_nowhere_are_found(dist, readme, because):
    """They would be seen by those who look the package up, when it is too late."""
    if because is None:
        check.check_readme(dist(readme=readme))
        return
    with pytest.raises(check.CheckError, match=because):
        check.check_readme(dist(readme=readme))


@pytest.mark.parametrize(
    ("tag", "source", "because"),
    [
        ("v9.8", "https://at/it", "the tag is v9.8, the version 9.9"),
        ("v9.9", "https://other/it", "lead to https://other/it, and it is made at"),
        ("v9.9", "https://at.example/it", "lead to https://at.example/it"),
        ("v9.9", "https://at/it", None),
    ],
)
def test_publication_is_refused_where_it_would_mislead(
    dist, monkeypatch, tmp_path, tag, source, because
):
    """A wrong tag, or links to where the project is not."""
    monkeypatch.setattr(check, "ROOT", tmp_path)
    (tmp_path / "CHANGELOG.md").write_text("## [9.9] - 2026-01-01\n")
    wheel = dist(source=source)
    if because is None:
        check.check_publication(wheel, tag, "https://at/it")
        return
    address = source if ".example" in source else "https://at/it"
    with pytest.raises(check.CheckError, match=because):
        check.check_publication(wheel, tag, address)


def test_publication_of_unreleased_changes_is_refused(dist):
    """The changelog of now has more than the version says, or has not the version."""
    with pytest.raises(check.CheckError, match=r"needs '## \[9\.9\] - DATE'"):
        check.check_publication(dist(), "v9.9", "https://at/it")


@pytest.mark.parametrize("second", ["other bytes", "other names"])
def test_builds_that_differ_are_found(monkeypatch, tmp_path, second):
    """And what they gave is kept, so that one can look."""
    made = []

    def build(home, place, around, epoch):
        folder = tmp_path / str(len(made))
        folder.mkdir()
        names = ["a.whl", "b.tar.gz"]
        if made and second == "other names":
            names[0] = "c.whl"
        for name in names:
            text = "x" if made and second == "other bytes" else ""
            (folder / name).write_text(text)
        made.append(folder)
        return sorted(folder.iterdir())

    monkeypatch.setattr(check, "build", build)
    monkeypatch.setattr(check, "ROOT", tmp_path)
    monkeypatch.setattr(check, "call", lambda *_: "0")
    with pytest.raises(check.CheckError, match=r"two builds"):
        check.build_twice(tmp_path)
    if second == "other bytes":
        assert (tmp_path / "dist" / "2" / "a.whl").read_text() == "x"
