"""
What a build adds to what `pyproject.toml` says; hatchling calls it.

- The addresses of the project and the readme for the index, from the one address in
  `pyproject.toml` (`tool.hatch.metadata.hooks.custom.repository`): the index knows no
  files of the repository, so every link and picture of README.md is made absolute.
- The bill of materials (CycloneDX) in the wheel, where PEP 770 wants it.

The standard library alone, as everybody who builds from source runs this.
"""

from __future__ import annotations

import json
import re
import tempfile
import uuid
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.plugin.interface import MetadataHookInterface

_LINK = re.compile(r"""(\]\(|\b(?:src|srcset|href)=")([^)"\s]+)""")
"""The address of a link or a picture, in Markdown or in HTML, and what stands before it."""

_PICTURES = (".svg", ".png", ".jpg", ".gif", ".webp")
_FENCE = re.compile(r"^(```.*?^```$)", re.DOTALL | re.MULTILINE)
_SCHEME = re.compile(r"[a-z]+:", re.IGNORECASE)


def readme_for_index(text: str, repository: str, version: str) -> str:
    """
    Return the readme with each link and picture as an address in the repository.

    Args:
        text: README.md. What stands in its code blocks is left alone.
        repository: the address of the repository, without a slash at its end.
        version: whose tag the links lead to.

    """

    def absolute(link: re.Match[str]) -> str:
        before, target = link.groups()
        if _SCHEME.match(target):
            return link[0]
        # The index makes no anchors of headings: these lead to the repository, too.
        path = f"README.md{target}" if target.startswith("#") else target
        view = "raw" if target.endswith(_PICTURES) else "blob"
        return f"{before}{repository}/{view}/v{version}/{path}"

    parts = _FENCE.split(text)
    parts[::2] = [_LINK.sub(absolute, part) for part in parts[::2]]
    return "".join(parts)


def bill_of_materials(metadata: Any, repository: str) -> dict[str, Any]:
    """
    Return what the wheel is and what it needs, in CycloneDX 1.6.

    Nothing of others is in the wheel. What it needs has no version here: the one that is
    installed is chosen then, within the bounds that are given as a property.

    Args:
        metadata: hatchling's, of the project.
        repository: the address of the repository.

    """
    core = metadata.core
    purl = f"pkg:pypi/{core.name}@{metadata.version}"
    wanted = [
        *(("required", name, needed) for name, needed in _requirements(core)),
        *(("optional", name, needed) for name, needed in _optional(core)),
    ]
    needs = [
        {
            "type": "library",
            "bom-ref": f"pkg:pypi/{name}",
            "name": name,
            "purl": f"pkg:pypi/{name}",
            "scope": scope,
            "properties": [{"name": "python:requirement", "value": needed}],
        }
        for scope, name, needed in wanted
    ]
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        # The same for the same version: a build is to give the same bytes each time.
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, purl)}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "library",
                "bom-ref": purl,
                "name": core.name,
                "version": metadata.version,
                "description": core.description,
                "licenses": [{"license": {"id": core.license_expression}}],
                "purl": purl,
                "externalReferences": [{"type": "vcs", "url": repository}],
            }
        },
        "components": needs,
        "dependencies": [
            {"ref": purl, "dependsOn": sorted(need["bom-ref"] for need in needs)},
            *({"ref": need["bom-ref"]} for need in needs),
        ],
    }


def _requirements(core: Any) -> list[tuple[str, str]]:
    """Return name and requirement of what is always installed."""
    return sorted(_named(core.dependencies))


def _optional(core: Any) -> list[tuple[str, str]]:
    """Return name and requirement of what the extras install, each once."""
    every = {
        need
        for extra in core.optional_dependencies.values()
        for need in _named(extra)
        if need[0] != core.name
    }
    return sorted(every)


def _named(requirements: list[str]) -> list[tuple[str, str]]:
    """Return each requirement with the normalized name of what it asks for."""
    found = []
    for needed in requirements:
        name = re.match(r"[\w.-]+", needed)
        assert name is not None, needed  # noqa: S101 - hatchling has parsed it already
        found.append((re.sub(r"[-_.]+", "-", name[0]).lower(), needed))
    return found


class Addresses(MetadataHookInterface):
    """Adds the readme and the addresses, which follow from that of the repository."""

    PLUGIN_NAME = "custom"

    def update(self, metadata: dict[str, Any]) -> None:
        """Set the fields that `project.dynamic` names, except the version."""
        repository, version = self.config["repository"], metadata["version"]
        readme = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        metadata["readme"] = {
            "content-type": "text/markdown",
            "text": readme_for_index(readme, repository, version),
        }
        metadata["urls"] = {
            "Source": repository,
            "Documentation": f"{repository}/blob/v{version}/docs/index.md",
            "Changelog": f"{repository}/blob/v{version}/CHANGELOG.md",
            "Issues": f"{repository}/issues",
            "Security": f"{repository}/blob/v{version}/SECURITY.md",
        }


class Sbom(BuildHookInterface):  # type: ignore[type-arg]  # of a configuration we need not
    """Adds the bill of materials to the wheel, not to an editable installation."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Write the bill into a folder outside the source, and name it to hatchling."""
        if version != "standard":
            return
        self._folder = tempfile.TemporaryDirectory()
        repository = self.metadata.hatch.metadata.hook_config["custom"]["repository"]
        bill = bill_of_materials(self.metadata, repository)
        file = Path(self._folder.name) / f"{self.metadata.core.name}.cdx.json"
        file.write_text(json.dumps(bill, indent=2) + "\n", encoding="utf-8")
        build_data["sbom_files"].append(str(file))

    def finalize(self, version: str, build_data: dict[str, Any], path: str) -> None:  # noqa: ARG002 - hatchling's
        """Take the folder away."""
        if version == "standard":
            self._folder.cleanup()
