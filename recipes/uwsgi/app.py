from collections.abc import Callable, Iterable

from beside import elector, leading
from uwsgidecorators import postfork

postfork(leading.start)  # in each worker, and not in the master


def application(
    environ: dict[str, object], start_response: Callable
) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{elector.leader_identity}\n".encode()]
