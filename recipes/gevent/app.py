from collections.abc import Callable, Iterable

from beside import elector


def app(environ: dict[str, object], start_response: Callable) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{elector.leader_identity}\n".encode()]
