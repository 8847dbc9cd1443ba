"""``kle watch`` beside a test: what it has told so far."""

from __future__ import annotations

import json
import subprocess
import threading
from typing import Self

from tests.cli.terminals import KLE


class Watching:
    """A `kle watch -o json` that runs, and the changes it told so far."""

    def __init__(self, *words: object) -> None:
        self._process = subprocess.Popen(
            [KLE, "watch", "-o", "json", *map(str, words)], stdout=subprocess.PIPE
        )
        self.changes: list[dict] = []
        self._more = threading.Condition()
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        for line in self._process.stdout:
            with self._more:
                self.changes.append(json.loads(line))
                self._more.notify_all()

    def wait_for(self, kind: str, count: int = 1) -> dict:
        """Wait until so many changes of this kind were told; give the newest."""

        def told() -> list[dict]:
            return [one for one in self.changes if one["change"] == kind]

        with self._more:
            assert self._more.wait_for(lambda: len(told()) >= count, timeout=30), (
                self.changes
            )
            return told()[-1]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._thread.join()
        self._process.stdout.close()
        self._process.wait()
