"""``python -m kubernetes_leader_election``: the command line."""

from __future__ import annotations

# The part in C: what `signal` imports as well takes as long again as Python needs to
# start, and so long process 1 would be deaf.
import _signal  # type: ignore[import-not-found]
import contextlib
import os
import sys

# Type checkers know the name; importing it from typing would cost most of this import.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

_NAMES = {"kle": "kle", "kubectl-leader": "kubectl leader"}


def main() -> None:
    """Run the command line and exit with its code."""
    _hold_standard_descriptors()
    _escape_what_cannot_be_encoded()
    _end_at_sigterm_as_process_1()
    try:
        from kubernetes_leader_election.cli.main import cli  # noqa: PLC0415 - the package itself needs no click

        called = sys.argv[0].rpartition("/")[2].removesuffix(".pyz")  # of zipapp
        name = _NAMES.get(called, "kubernetes-leader-election")
        # kubectl starts its plugin by the file's name, which is what shells complete.
        variable = f"_{name.replace(' ', '-').replace('-', '_').upper()}_COMPLETE"
        cli(prog_name=name, complete_var=variable, auto_envvar_prefix="KLE")
    except SystemExit as leaving:
        error = _drop_unwritten()
        if error is not None and not leaving.code:
            _end_unwritten(error)
        raise
    except KeyboardInterrupt:
        # Before or after the part that would say more: no traceback in any case.
        sys.exit(128 + _signal.SIGINT)
    except OSError as error:
        # Help that cannot be written, for one: commands say their own.
        _drop_unwritten()
        _end_unwritten(error)


def _end_unwritten(error: OSError) -> NoReturn:
    """Say why the output cannot be written; the exit code tells where nobody reads it."""
    from kubernetes_leader_election.cli import exit_codes, os_errors  # noqa: PLC0415 - the package itself needs no click

    with contextlib.suppress(OSError):
        sys.stderr.write(f"Error: {os_errors.in_words(error)}\n")
        sys.stderr.flush()
    sys.exit(exit_codes.NOT_WRITTEN)


def _drop_unwritten() -> OSError | None:
    """
    Write what waits in the buffer, or give it up and tell why it cannot be written.

    At its end Python would try once more, and report that with a traceback.
    """
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return None if isinstance(error, BrokenPipeError) else error
    return None


def _hold_standard_descriptors() -> None:
    """
    Open what is closed of 0, 1 and 2, so that no socket or pipe gets their numbers.

    Closed when another program is executed: that gets them as they were.
    """
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def _escape_what_cannot_be_encoded() -> None:
    """Write letters that the encoding of stdout does not have as their numbers."""
    for stream in (sys.stdout, sys.stderr):
        # Who asked for another way to do so (PYTHONIOENCODING=latin-1:replace) gets it.
        if getattr(stream, "errors", "") in {"strict", "surrogateescape"}:
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def _end_at_sigterm_as_process_1() -> None:
    """Let SIGTERM end process 1, as it ends any other: the kernel alone would not."""
    if os.getpid() == 1 and _signal.getsignal(_signal.SIGTERM) == _signal.SIG_DFL:
        _signal.signal(_signal.SIGTERM, lambda number, _: os._exit(128 + number))


if __name__ == "__main__":
    main()
