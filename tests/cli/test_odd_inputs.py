"""What nobody should type, and what some do: one line that says so, quickly, in words."""

from __future__ import annotations

import errno
import itertools
import os
import tempfile
from pathlib import Path

import pytest

from kubernetes_leader_election.cli import exit_codes, kustomize
from kubernetes_leader_election.cli.os_errors import in_words
from kubernetes_leader_election.testing import LeaseServer
from tests.cli.conftest import Call

NAMES = ("", " ", "Billing", "a" * 300, "日本", "a\nb", "../x", "-", "%00", "\x1b[31m")
NUMBERS = ("", "nan", "inf", "-inf", "-1", "1e400", "9" * 400, "0x10", "5s", "1e308")
FILES = ("folder", "empty", "noise", "list", "deep", "nowhere", "nowhere/x")

# NAME, NUMBER and FILE stand for what is odd. None of these waits for anything.
WITH_A_NAME = (
    "status -- NAME",
    "watch --for-sec 0.01 -- NAME",
    "step-down --wait-sec 0 -- NAME",
    "transfer --to x --wait-sec 0 -- NAME",
    "transfer --to NAME --wait-sec 0 shop",
    "release --force --yes --observe-sec 0 -- NAME",
    "doctor -- NAME",
    "status -n NAME",
    "status -A -l NAME",
    "status --context NAME",
    "status --as NAME",
    "status --server NAME",
    "dev fault NAME",
    "dev fault hang NAME",
    "dev fault hang seconds=NAME",
    "manifests -- NAME",
    "manifests --lease-name NAME shop",
    "manifests -n NAME shop",
    "manifests --image NAME shop",
    "timings --preset NAME",
    "completion NAME",
    "run --http NAME shop -- true",
    "run --health-url NAME shop -- true",
    "run --namespace NAME shop -- true",
)
WITH_A_NUMBER = (
    *(
        f"{command} --{option} NUMBER"
        for command, option in itertools.product(
            ("timings", "manifests shop"),
            (
                "lease-duration-sec",
                "renew-interval-ms",
                "renew-deadline-sec",
                "stop-budget-sec",
                "request-timeout-sec",
                "clock-rate-error",
                "grace-sec",
            ),
        )
    ),
    "manifests --port NUMBER shop",
    "manifests --pre-stop-sec NUMBER shop",
    "status --observe-sec NUMBER shop",
    "step-down --wait-sec NUMBER shop",
    "check -s NUMBER",
    "dev fault delay seconds=1 times=NUMBER",
    "dev fault delay seconds=1 share=NUMBER",
    "dev fault delay seconds=1 skip=NUMBER",
)
WITH_A_FILE = (
    "status --kubeconfig FILE",
    "run --kubeconfig FILE shop -- true",
    "dev fault --kubeconfig FILE",
    "status --server https://127.0.0.1:1 --ca-file FILE",
    "status --server http://127.0.0.1:1 --token-file FILE",
    "dev --state FILE --host nowhere.invalid -- true",
)
DOCUMENTED = {
    value for value in vars(exit_codes).values() if isinstance(value, int)
} - {exit_codes.DEFECT}


def check_line(result, command):
    """See that a call ended with a documented code, and said why in words."""
    assert result.exit_code in DOCUMENTED, (command, result.output, result.exception)
    for word in ("Traceback", "defect", "[Errno", "None for ever", "Error(", "0x7f"):
        assert word not in result.output, command
    if result.exit_code in {exit_codes.USAGE, exit_codes.NO_CLUSTER}:
        assert result.stderr.strip(), command


@pytest.mark.parametrize("command", WITH_A_NAME)
def test_odd_names_are_refused_or_taken_in_words(
    call: Call, kubeconfig: Path, command: str
) -> None:
    """Whatever stands where a name should: an answer, or a line that says what is wrong."""
    for name in NAMES:
        words = [name if word == "NAME" else word for word in command.split()]
        words = [word.replace("=NAME", f"={name}") for word in words]
        check_line(call(*words, KUBECONFIG=str(kubeconfig)), (words, name))


@pytest.mark.parametrize("command", WITH_A_NUMBER)
def test_odd_numbers_are_refused_or_taken_in_words(
    call: Call, kubeconfig: Path, command: str
) -> None:
    """No number is too large, too small or none at all for a clear line."""
    for number in NUMBERS:
        words = [
            word.replace("NUMBER", number) if word.endswith("NUMBER") else word
            for word in command.split()
        ]
        check_line(call(*words, KUBECONFIG=str(kubeconfig)), (words, number))


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Give a folder with what is no file of ours."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty").write_text("")
    (tmp_path / "noise").write_bytes(bytes(range(256)))
    (tmp_path / "list").write_text("[1,2]")
    (tmp_path / "deep").write_text("[" * 5000)
    return tmp_path


@pytest.mark.parametrize("command", WITH_A_FILE)
@pytest.mark.parametrize("name", FILES)
def test_odd_files_are_refused_in_words(
    call: Call, files: Path, name: str, command: str
) -> None:
    """A folder, an empty file, noise: what it is not is said, and no file is changed."""
    before = {path: path.read_bytes() for path in files.iterdir() if path.is_file()}
    words = command.replace("FILE", str(files / name)).split()
    result = call(*words, KUBECONFIG="")
    check_line(result, words)
    assert result.exit_code != exit_codes.OK
    assert before == {
        path: path.read_bytes() for path in files.iterdir() if path.is_file()
    }


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        ("dev --host= -- true", exit_codes.USAGE, "--host is empty: give 127.0.0.1"),
        (
            "dev fault drop-before times=-1",
            exit_codes.USAGE,
            "give 1 or more, or every",
        ),
        (
            "status --server https://127.0.0.1:1 --ca-file {empty}",
            exit_codes.NO_CLUSTER,
            "empty cannot be used as the server's CA: it has no certificates.",
        ),
        ("dev --state {list} -- true", exit_codes.USAGE, "is not the state of a Lease"),
    ],
)
def test_line_says_what_to_do(
    call: Call, kubeconfig: Path, files: Path, command: str, code: int, said: str
) -> None:
    """The words of the command line, not those of Python or of the system."""
    places = {name: files / name for name in FILES}
    result = call(*command.format(**places).split(), KUBECONFIG=str(kubeconfig))
    assert result.exit_code == code
    assert said in result.stderr


def test_server_of_dev_that_is_gone_is_said_so_in_words(
    call: Call, server: LeaseServer, kubeconfig: Path
) -> None:
    """No number of an error, and what starts one."""
    text = kubeconfig.read_text(encoding="utf-8")
    kubeconfig.write_text(text.replace(f":{server.port}", ":1"), encoding="utf-8")
    result = call("dev", "fault", KUBECONFIG=str(kubeconfig))
    assert result.exit_code == exit_codes.NO_CLUSTER
    assert "Connection refused. Start one with `dev`." in result.stderr


# Disks that are full, read-only, or not there ----------------------------------------


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device"),
            "No space left on device. Free some space, or write to another place.",
        ),
        (
            OSError(errno.EROFS, "Read-only file system", "/x"),
            "/x: Read-only file system. Name a folder that can be written to.",
        ),
        (
            OSError(errno.EIO, "Input/output error", b"/\xff"),
            "/\udcff: Input/output error.",
        ),
        (OSError("odd"), "odd."),
    ],
    ids=["full", "read-only", "a disk that fails", "another one"],
)
def test_what_the_system_refuses_is_said_in_words(error: OSError, said: str) -> None:
    """Fault 81: which file, why, and what to do."""
    assert in_words(error) == said


@pytest.mark.parametrize("command", ["demo --plain", "dev -- true"])
def test_machine_without_a_folder_for_temporary_files_is_told_of(
    call: Call, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """Fault 81: as in a pod with a read-only root: the way out is named, not the error."""

    def none() -> str:
        raise FileNotFoundError(
            errno.ENOENT, "No usable temporary directory found in ['/tmp', '/']"
        )

    monkeypatch.setattr(tempfile, "gettempdir", none)
    monkeypatch.setattr(tempfile, "_gettempdir", none)
    result = call(*command.split())
    assert result.exit_code == exit_codes.NOT_WRITTEN
    assert "Mount a writable /tmp" in result.stderr
    assert "kubeconfig" not in result.stderr


def test_disk_that_fills_up_leaves_no_half_of_a_manifest(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Half a file would be taken for somebody's changes by the next call."""
    written = Path.write_text

    def fills_up(path: Path, text: str, **how: str) -> int:
        if path.name == "b.yaml":
            written(path, text[:3], **how)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return written(path, text, **how)

    texts = {"a.yaml": "first: 1\n", "b.yaml": "second: 2\n"}
    monkeypatch.setattr(Path, "write_text", fills_up)
    with pytest.raises(OSError, match=r"No space left.*b\.yaml"):
        kustomize.write(tmp_path / "out", texts)
    monkeypatch.undo()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.yaml"]
    assert len(kustomize.write(tmp_path / "out", texts)) == 2


def test_manifest_that_is_there_is_not_written_again(tmp_path: Path) -> None:
    """Nor taken away, where it may not be written."""
    kustomize.write(tmp_path, {"a.yaml": "a: 1\n"})
    before = (tmp_path / "a.yaml").stat().st_mtime_ns
    kustomize.write(tmp_path, {"a.yaml": "a: 1\n"})
    assert (tmp_path / "a.yaml").stat().st_mtime_ns == before
