"""The demo on a terminal: who leads, over time, drawn with rich (the extra `tui`)."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Final

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from kubernetes_leader_election.cli.demo import story
from kubernetes_leader_election.cli.demo.story import NAMES, Crew, Result
from kubernetes_leader_election.cli.observe.watch_table import newest
from kubernetes_leader_election.cli.output import short_time

REDRAW: Final = 0.1
"""Seconds between two drawings."""
CELL: Final = 0.5
"""Seconds that one character of a lane stands for."""
LANE: Final = 56
"""Characters of a lane: half a minute, the length of the story."""
BESIDE_LANE: Final = 32
"""Characters beside a lane: names, conditions, the frame."""
PANEL_LINES: Final = 8
"""Lines of the picture above the story, with one for the cursor."""
STORY_LINES: Final = 14
"""How many of the latest lines of the story are shown."""
LEGEND: Final = "█ leads  · waits  * frozen  x gone  ! hangs"
COLOURS: Final = {"ada": "green", "bob": "cyan", "cyd": "magenta"}
CONDITION_COLOURS: Final = {"frozen": "blue", "killed": "red", "ended": "yellow"}


class Lane:
    """What one worker believed, over time; read from its log as it grows."""

    def __init__(self, path: Path, begin: float) -> None:
        self._path = path
        self._begin = begin
        self._offset = 0
        self.cells: set[int] = set()
        self.last = 0.0
        """When it believed last."""

    def read(self) -> None:
        """Take in what was written since."""
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._offset)
            data = file.read()
        whole = data.rfind(b"\n") + 1
        self._offset += whole
        for line in data[:whole].splitlines():
            parts = line.split(b" ", 2)
            if parts[1:] == [b"belief", b"yes"]:
                self.last = float(parts[0])
                self.cells.add(int((self.last - self._begin) / CELL))


class Stage:
    """Play the story on a thread of its own, and draw it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._begin = time.monotonic()
        self._lines: list[tuple[float, str]] = []
        self._crew: Crew | None = None
        self._lanes: dict[str, Lane] = {}
        self._past: dict[str, dict[int, str]] = {name: {} for name in NAMES}
        self._outages: set[int] = set()
        self._thread = threading.Thread(target=self._play, daemon=True)
        self._console = Console()
        self.results: list[Result] = []
        self.error: str | None = None

    def show(self, console: Console) -> None:
        """Play to the end."""
        self._console = console
        self._thread.start()
        try:
            with Live(console=console, auto_refresh=False) as live:
                while self._thread.is_alive():
                    live.update(self._draw(), refresh=True)
                    self._thread.join(REDRAW)
                live.update(self._draw(), refresh=True)
        finally:
            if self._thread.is_alive() and self._crew is not None:
                # Interrupted: the story ends when its people are gone.
                self._crew.close()

    def _play(self) -> None:
        try:
            for result in story.play(self._folder, self._tell, self._introduce):
                self.results.append(result)
        except story.BrokenPromiseError as error:
            self.error = str(error)
        except Exception as error:  # noqa: BLE001 - shown by the thread that draws
            self.error = f"the story broke off: {error!r}"

    def _introduce(self, crew: Crew) -> None:
        self._lanes = {name: Lane(crew.log_of(name), self._begin) for name in NAMES}
        self._crew = crew

    def _tell(self, line: str) -> None:
        self._lines.append((time.monotonic() - self._begin, line))

    @property
    def _length(self) -> int:
        """Characters of a lane that there is room for: what is older is left out."""
        return max(10, min(LANE, self._console.width - BESIDE_LANE))

    def _draw(self) -> Group:
        now = time.monotonic()
        grid = Table.grid(padding=(0, 2))
        for name in NAMES:
            lane = self._lanes.get(name)
            if lane is not None:
                lane.read()
            grid.add_row(*self._row(name, lane, now))
        api = "answers" if self._crew is None else self._crew.api
        hangs = api != "answers"
        grid.add_row(
            Text("API", style="bold"),
            Text(api, style="bold red" if hangs else "green"),
            self._api_lane(int((now - self._begin) / CELL), hangs=hangs),
        )
        lines = [
            Text.assemble((f"{moment:6.2f} s  ", "dim"), line)
            for moment, line in self._lines[-STORY_LINES:]
        ]
        story = newest(self._console, lines, self._console.height - PANEL_LINES)
        panel = Panel(
            grid,
            title="three processes, one Lease",
            subtitle=f"{LEGEND}   {now - self._begin:.0f} s",
            border_style="red" if hangs else "dim",
            width=self._length + BESIDE_LANE,
        )
        return Group(panel, *story)

    def _row(self, name: str, lane: Lane | None, now: float) -> list[Text]:
        condition = "starts"
        if self._crew is not None:
            condition = self._crew.conditions[name]
        leads = lane is not None and now - lane.last < CELL
        role = ("LEADS", f"bold {COLOURS[name]}") if leads else ("waits", "dim")
        if condition in {"killed", "ended", "frozen", "not started"}:
            role = (condition, CONDITION_COLOURS.get(condition, "dim"))
        cell = int((now - self._begin) / CELL)
        self._past[name][cell] = condition
        return [
            Text(name, style=f"bold {COLOURS[name]}"),
            Text(f"{role[0]:11}", style=role[1]),
            self._lane(name, lane, cell),
        ]

    def _api_lane(self, cell: int, *, hangs: bool) -> Text:
        """Draw when the API hung."""
        if hangs:
            self._outages.add(cell)
        return Text.assemble(
            *(
                ("!", "bold red") if target in self._outages else ("─", "dim")
                for target in range(max(0, cell - self._length + 1), cell + 1)
            )
        )

    def _lane(self, name: str, lane: Lane | None, cell: int) -> Text:
        """Draw when it led, when it was frozen and when it was gone."""
        text = Text()
        first = max(0, cell - self._length + 1)
        for target in range(first, first + self._length):
            condition = self._past[name].get(target, "runs")
            if target > cell:
                text.append(" ")
            elif lane is not None and target in lane.cells:
                text.append("█", style=COLOURS[name])
            elif condition == "frozen":
                text.append("*", style="blue")
            elif condition in {"killed", "ended"}:
                text.append("x", style="red" if condition == "killed" else "yellow")
            else:
                text.append("·", style="dim")
        return text


def play(folder: Path) -> tuple[list[Result], str | None]:
    """Play the story on the terminal; give its results, and what broke it off."""
    console = Console()
    stage = Stage(folder)
    stage.show(console)
    if stage.results:
        console.print()
        console.print(_table(stage.results))
    if stage.error is None and all(result.kept for result in stage.results):
        console.print("Every promise was kept.", style="bold green")
    return stage.results, stage.error


def _table(results: list[Result]) -> Table:
    table = Table(header_style="bold", box=None, pad_edge=False)
    table.add_column("what happened")
    table.add_column("took", justify="right")
    table.add_column("promised")
    table.add_column("kept", justify="center")
    for result in results:
        kept = Text("yes", style="green") if result.kept else Text("NO", "bold red")
        took = "" if result.took is None else short_time(result.took)
        table.add_row(result.what, took, result.promise, kept)
    return table
