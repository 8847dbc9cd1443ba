"""The recipes for fencing, on real servers: what an earlier leader writes late is refused."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from controlplane.processes import free_port, wait_until
from lacking import leave_out
from server_programs import PATIENCE, Running
from test_recipes import (
    FOLDER,
    Recipe,
    first_and_second,
    hand_over,
    programs,
    replica,
    server,
)

from kubernetes_leader_election.testing import LeaseServer

__all__ = ["programs", "replica", "server"]

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(300)]

POSTGRESQL = Recipe(
    "postgresql",
    "python worker.py",
    "paid with token",
    terminated=143,
    interrupted=0,
)
REDIS = POSTGRESQL._replace(page="redis", works="written with token")
S3 = POSTGRESQL._replace(page="s3", works="written with token")
NOBODY = 65534
"""The user of the server, which does not run as root."""


def program(name: str) -> str:
    """Return the path of a program of PostgreSQL's server, which Debian has off PATH."""
    places = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    found = str(places[-1]) if places else shutil.which(name)
    if found is None:
        reason = "PostgreSQL's server is not there: apt-get install postgresql"
        leave_out(reason)
    return found


@pytest.fixture
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the address of a database of its own server, which listens on a socket alone."""
    # The path of a socket has room for 107 characters.
    home = Path(
        subprocess.check_output(["mktemp", "-d", "/tmp/pg-XXXXXX"], text=True).strip()
    )
    as_nobody: dict[str, int] = {}
    if os.geteuid() == 0:
        os.chown(home, NOBODY, NOBODY)
        as_nobody = {"user": NOBODY, "group": NOBODY}
    data, options = str(home / "data"), f"-k {home} -c listen_addresses='' -c fsync=off"
    pg_ctl = [program("pg_ctl"), "-D", data, "-w"]
    try:
        subprocess.run(
            [program("initdb"), "-D", data, "-U", "shop", "-A", "trust", "--no-sync"],
            check=True,
            cwd=home,
            stdout=subprocess.DEVNULL,
            **as_nobody,
        )
        subprocess.run(
            [*pg_ctl, "-o", options, "-l", str(home / "log"), "start"],
            check=True,
            cwd=home,
            stdout=subprocess.DEVNULL,
            **as_nobody,
        )
        try:
            yield f"host={home} user=shop dbname=postgres"
        finally:
            subprocess.run(
                [*pg_ctl, "-m", "immediate", "stop"],
                check=True,
                cwd=home,
                stdout=subprocess.DEVNULL,
                **as_nobody,
            )
    finally:
        shutil.rmtree(home)


def run_python(
    programs: Path, page: str, code: str, variables: Mapping[str, str] | None = None
) -> list[str]:
    """Run Python of the recipes' environment beside a recipe; return what it prints."""
    done = subprocess.run(
        [str(programs / "python"), "-c", code],
        check=True,
        capture_output=True,
        text=True,
        cwd=FOLDER / page,
        env={
            "PYTHONPATH": str(FOLDER.parent / "src"),
            "PYTHONDONTWRITEBYTECODE": "1",
            **(variables or {}),
        },
    )
    return done.stdout.split()


def ask(programs: Path, database: str, text: str) -> list[str]:
    """Do that with a connection to the database."""
    code = (
        "import psycopg, worker\n"
        f"connection = psycopg.connect({database!r}, autocommit=True)\n{text}"
    )
    return run_python(programs, "postgresql", code)


@pytest.fixture
def tables(programs: Path, database: str) -> str:
    """Give the database with the tables of the page."""
    ask(programs, database, "connection.execute(open('schema.sql').read())")
    return database


def test_recipe_with_a_database_hands_over_and_releases(
    replica: Callable[..., Running],
    server: LeaseServer,
    programs: Path,
    tables: str,
) -> None:
    """As the other recipes; and the tokens of what was written never go back."""
    both = first_and_second(POSTGRESQL, lambda: replica(POSTGRESQL, DATABASE=tables))
    hand_over(POSTGRESQL, server, *both)
    text = (
        "print(*[row[0] for row in connection.execute('SELECT token FROM payments')])"
    )
    tokens = [int(word) for word in ask(programs, tables, text)]
    assert tokens == sorted(tokens)
    assert len(set(tokens)) == 2


LATE = """
import threading
other = psycopg.connect(connection.info.dsn, autocommit=True)
with other.transaction():  # the new leader's, which is not committed yet
    other.execute("UPDATE fence SET token = 8 WHERE token <= 8")
    told = []
    def late():
        try:
            worker.pay(connection, 7, "late")
        except worker.StaleTokenError:
            told.append("refused")
    thread = threading.Thread(target=late)
    thread.start()
    thread.join(0.5)  # it waits for the row, however long it is given
    print("waits" if thread.is_alive() else "went-on")
thread.join()
print(*told, other.execute("SELECT count(*) FROM payments").fetchone()[0])
"""


def test_write_of_an_earlier_leader_is_refused_even_while_the_later_one_writes(
    programs: Path, tables: str
) -> None:
    """G3: the late one waits for the row, sees the larger token, and stores nothing."""
    assert ask(programs, tables, LATE) == ["waits", "refused", "0"]


def test_write_of_the_same_leader_goes_on(programs: Path, tables: str) -> None:
    """Its token is as large as that of its last write."""
    text = (
        "worker.pay(connection, 7, 'one')\nworker.pay(connection, 7, 'two')\n"
        "print(connection.execute('SELECT count(*) FROM payments').fetchone()[0])"
    )
    assert ask(programs, tables, text) == ["2"]


@pytest.fixture
def redis_address() -> Iterator[str]:
    """Give the address of a Redis of the test's own, which listens on a socket alone."""
    server = shutil.which("redis-server")
    if server is None:
        reason = "Redis is not there: apt-get install redis-server"
        leave_out(reason)
    # The path of a socket has room for 107 characters.
    with tempfile.TemporaryDirectory(prefix="redis-", dir="/tmp") as home:
        options = [
            "--port",
            "0",
            "--unixsocket",
            f"{home}/s",
            "--dir",
            home,
            "--save",
            "",
        ]
        with subprocess.Popen([server, *options], stdout=subprocess.DEVNULL) as process:
            try:
                wait_until(
                    Path(home, "s").exists, within=PATIENCE, what="Redis listens"
                )
                yield f"unix://{home}/s"
            finally:
                process.terminate()


def test_recipe_with_redis_hands_over_and_releases(
    replica: Callable[..., Running],
    server: LeaseServer,
    redis_address: str,
) -> None:
    """As the other recipes."""
    both = first_and_second(REDIS, lambda: replica(REDIS, REDIS=redis_address))
    hand_over(REDIS, server, *both)


def test_write_of_an_earlier_leader_to_redis_is_refused(
    programs: Path, redis_address: str
) -> None:
    """G3: a larger token goes on, the same one does, a smaller one changes nothing."""
    code = f"""
import redis, worker
connection = redis.Redis.from_url({redis_address!r})
for token, value in [(7, "old"), (7, "again"), (10, "new"), (9, "late")]:
    try:
        worker.write(connection, token, value)
    except worker.StaleTokenError:
        print("refused", value)
print(connection.get("{{shop}}:price").decode())
"""
    assert run_python(programs, "redis", code) == ["refused", "late", "new"]


@pytest.fixture
def s3_variables(programs: Path) -> Iterator[dict[str, str]]:
    """Give what finds an S3 server of the test's own, which has an empty bucket."""
    server = programs / "versitygw"
    if not server.exists():
        reason = f"{server} is not there: install Go, make recipes"
        leave_out(reason)
    address = f"127.0.0.1:{free_port()}"
    variables = {
        "S3": f"http://{address}",
        "AWS_ACCESS_KEY_ID": "of-a-test",
        "AWS_SECRET_ACCESS_KEY": "of-a-test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    with tempfile.TemporaryDirectory(prefix="s3-") as home:
        root, beside = Path(home, "root"), Path(home, "beside")
        Path(root, "shop").mkdir(parents=True)
        beside.mkdir()
        # A sidecar: not every file system has room for attributes.
        options = ["--quiet", "--port", address, "posix", "--sidecar", str(beside)]
        keys = {
            "ROOT_ACCESS_KEY": variables["AWS_ACCESS_KEY_ID"],
            "ROOT_SECRET_KEY": variables["AWS_SECRET_ACCESS_KEY"],
        }
        with subprocess.Popen(
            [str(server), *options, str(root)],
            stdout=subprocess.DEVNULL,
            env={**os.environ, **keys},
        ) as process:
            try:
                wait_until(lambda: listens(address), within=PATIENCE, what="S3 listens")
                yield variables
            finally:
                process.terminate()


def listens(address: str) -> bool:
    """Say whether somebody listens there."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=1.0).close()
    except (ConnectionRefusedError, TimeoutError):
        return False
    return True


def test_recipe_with_s3_hands_over_and_releases(
    replica: Callable[..., Running], server: LeaseServer, s3_variables: dict[str, str]
) -> None:
    """As the other recipes."""
    both = first_and_second(S3, lambda: replica(S3, **s3_variables))
    hand_over(S3, server, *both)


def ask_s3(programs: Path, variables: dict[str, str], text: str) -> list[str]:
    """Do that with the recipe and a client of S3."""
    code = (
        "import boto3, json, worker\n"
        f"s3 = boto3.client('s3', endpoint_url={variables['S3']!r})\n"
        "def stored(): return json.load(s3.get_object(**worker.OBJECT)['Body'])\n"
    )
    return run_python(programs, "s3", code + text, variables)


def test_write_of_an_earlier_leader_to_s3_is_refused(
    programs: Path, s3_variables: dict[str, str]
) -> None:
    """G3: a larger token goes on, the same one does, a smaller one changes nothing."""
    text = """
for token, value in [(7, "old"), (7, "again"), (10, "new"), (9, "late")]:
    try:
        worker.write(s3, token, value)
    except worker.StaleTokenError:
        print("refused", value)
print(stored()["token"], stored()["value"])
"""
    assert ask_s3(programs, s3_variables, text) == ["refused", "late", "10", "new"]


FROZEN = """
class Frozen:
    \"\"\"A client whose leader is frozen between what it reads and what it writes.\"\"\"

    exceptions = s3.exceptions

    def get_object(self, **what):
        try:
            return s3.get_object(**what)
        finally:
            if not getattr(self, "thawed", False):
                self.thawed = True
                worker.write(s3, 9, {value!r})  # by the leader of the meantime

    def put_object(self, **what):
        try:
            return s3.put_object(**what)
        except worker.ClientError as error:
            print(error.response["ResponseMetadata"]["HTTPStatusCode"])
            raise

for token, value in {before!r}:
    worker.write(s3, token, value)
try:
    worker.write(Frozen(), 7, "late")
except worker.StaleTokenError:
    print("refused")
print(stored()["token"], stored()["value"])
"""


@pytest.mark.parametrize(
    ("before", "value"),
    [([(7, "42")], "43"), ([(7, "42")], "42"), ([], "42")],
    ids=["other", "same", "absent"],
)
def test_write_of_a_leader_that_was_frozen_after_it_read_is_refused_by_s3(
    programs: Path,
    s3_variables: dict[str, str],
    before: list[tuple[int, str]],
    value: str,
) -> None:
    """The server compares; also where the later leader wrote the same value again."""
    text = FROZEN.format(before=before, value=value)
    expected = ["412", "refused", "9", value]
    assert ask_s3(programs, s3_variables, text) == expected
