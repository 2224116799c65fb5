"""Migrated databases, each made once per test process and copied for every further project: migrating takes seconds.

PostgreSQL copies a database itself, SQLite's is a file, MariaDB's is copied table by table.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pymysql
from psycopg import sql

#: The copies to make others from, by the kind of database and the settings that they were migrated with.
_originals: dict[tuple[str, str], str] = {}


def fill(url: str, settings: str) -> bool:
    """Make an empty database a migrated one, if there is one to copy; returns whether there was."""
    original = _originals.get((urlsplit(url).scheme, settings))
    if original is None:
        return False
    if _is_sqlite(url):
        shutil.copyfile(original, _name(url))
    elif _is_postgresql(url):
        _copy(original, _name(url), server=_server(url), replace=True)
    else:
        _copy_tables(original, url)
    return True


def keep(url: str, settings: str) -> None:
    """Remember a database that has just been migrated, as it is. Nobody may be connected to it."""
    if _is_sqlite(url):
        folder = tempfile.mkdtemp(prefix="sms-migrated-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        original = str(Path(folder) / "migrated.sqlite3")
        shutil.copyfile(_name(url), original)
    elif _is_postgresql(url):
        original, server = f"test_sms_migrated_{uuid.uuid4().hex[:12]}", _server(url)
        _copy(_name(url), original, server=server)
        atexit.register(_drop, original, server)
    else:
        original = f"test_sms_migrated_{uuid.uuid4().hex[:12]}"
        with _mariadb(url) as cursor:
            cursor.execute(f"CREATE DATABASE {original} CHARACTER SET utf8mb4")
        atexit.register(_drop_mariadb, original, url)
        _copy_tables(_name(url), urlunsplit(urlsplit(url)._replace(path=f"/{original}")))
    _originals[urlsplit(url).scheme, settings] = original


def _is_sqlite(url: str) -> bool:
    return urlsplit(url).scheme == "sqlite"


def _is_postgresql(url: str) -> bool:
    return urlsplit(url).scheme.startswith("postgres")


def _name(url: str) -> str:
    """A database's name; of SQLite, its file."""
    return urlsplit(url).path.removeprefix("/")


def _server(url: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path="/postgres"))


def _copy(original: str, name: str, *, server: str, replace: bool = False) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        if replace:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(name)))
        # By file: writing all of it to the log would wait for the disk once more.
        copy = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY")
        connection.execute(copy.format(sql.Identifier(name), sql.Identifier(original)))


def _drop(name: str, server: str) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


@contextmanager
def _mariadb(url: str) -> Iterator[pymysql.cursors.Cursor]:
    parts = urlsplit(url)
    host, port, password = parts.hostname, parts.port or 3306, parts.password or ""
    login = pymysql.connect(host=host, port=port, user=parts.username, password=password, autocommit=True)
    with login as connection, connection.cursor() as cursor:
        yield cursor


def _copy_tables(original: str, url: str) -> None:
    with _mariadb(url) as cursor:
        cursor.execute(f"USE {_name(url)}")
        cursor.execute("SET FOREIGN_KEY_CHECKS = 0")  # a table may refer to one that comes later
        cursor.execute(f"SHOW TABLES FROM {original}")
        for (table,) in cursor.fetchall():
            cursor.execute(f"SHOW CREATE TABLE {original}.{table}")
            created = cursor.fetchone()
            assert created
            cursor.execute(created[1])
            cursor.execute(f"INSERT INTO {table} SELECT * FROM {original}.{table}")


def _drop_mariadb(name: str, url: str) -> None:
    with _mariadb(url) as cursor:
        cursor.execute(f"DROP DATABASE IF EXISTS {name}")
