"""A folder for ``kubectl apply -k``: a file for each document, and the list of them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import click

LIST = "kustomization.yaml"


def file_names(documents: list[dict[str, Any]]) -> list[str]:
    """Return a name for the file of each document: its kind, and its name if needed."""
    often = Counter(document["kind"] for document in documents)
    names = []
    for document in documents:
        kind, name = document["kind"].lower(), document["metadata"]["name"]
        several = often[document["kind"]] > 1
        names.append(f"{kind}-{name}.yaml" if several else f"{kind}.yaml")
    return names


def kustomization(names: list[str], namespace: str) -> dict[str, Any]:
    """Return the list of the files, for kustomize."""
    return {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": namespace,
        "resources": names,
    }


def write(folder: Path, texts: dict[str, str]) -> list[Path]:
    """
    Write the files; return those that were written, in order.

    Raises:
        click.UsageError: one of them is there with another content, which somebody may
            have edited; then nothing is written.
        OSError: it cannot be written.

    """
    others = [
        name
        for name, text in texts.items()
        if (folder / name).exists() and (folder / name).read_text("utf-8") != text
    ]
    if others:
        raise click.UsageError(
            f"{folder} has {', '.join(others)} with another content, which is kept. Name "
            "another folder, keep your changes in an overlay, or delete the files."
        )
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        if (folder / name).exists():
            continue  # with this very text
        try:
            (folder / name).write_text(text, encoding="utf-8")
        except OSError as error:
            # Half a file would be taken for what somebody has edited.
            (folder / name).unlink(missing_ok=True)
            # A full disk names no file.
            raise OSError(error.errno, error.strerror, str(folder / name)) from error
    return [folder / name for name in texts]
