"""Vectors in PostgreSQL with pgvector, such as those of immich. Nothing is written there."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import quote

import numpy as np

from sketch_prompt.hints import suggestion

from . import ROWS_AT_ONCE, Batch
from .columns import Columns

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg.sql import Composable

_CONNECT_SECONDS = 10
_TABLES_OF_VECTORS = """
SELECT DISTINCT attrelid::regclass::text FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
WHERE format_type(atttypid, NULL) ~ '(^|[.])(vector|halfvec)$' AND relkind IN ('r', 'v', 'm', 'p', 'f') ORDER BY 1
"""
_COLUMNS_OF_A_TABLE = """
SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum
"""
# In immich a photo in the trash, the moving part of a live photo and the locked folder are not searched either.
_UNSEEN = {
    "deletedAt": 'photo."deletedAt" IS NULL',
    "visibility": "photo.visibility::text NOT IN ('hidden', 'locked')",
    "isVisible": 'photo."isVisible"',
}


class PostgresTable:
    """A table or view of vectors and paths, or the tables of immich; see `read_embeddings`.

    It is read in a read-only transaction with a cursor on the server, so memory does not grow with the table.

    Args:
        address: `postgresql://user@host:port/database`, as for libpq.
        table: Name of the table, with or without a schema. None for the tables of immich.
        columns: The columns that the user named.

    Raises:
        ConnectionError, ValueError: As in `read_embeddings`. No message contains a password.
    """

    def __init__(self, address: str, table: str | None, columns: Columns):
        self._secrets: list[str] = []
        self._address = self._parse(address)
        with self._reading() as connection:
            self._query = self._find(connection, table, columns)

    def batches(self) -> Iterator[Batch]:
        """See `VectorSource`."""
        with self._reading() as connection, connection.cursor("sketch_prompt", binary=True) as cursor:
            cursor.execute(self._query)
            while rows := cursor.fetchmany(ROWS_AT_ONCE):
                names, vectors = zip(*rows)
                yield [str(name) for name in names], self._stack(vectors)

    def _parse(self, address: str) -> dict[str, str]:
        """Parse the address as libpq does. Its error message may contain the password, so it is not shown."""
        try:
            from psycopg import ProgrammingError
            from psycopg.conninfo import conninfo_to_dict
        except ImportError as error:
            raise ValueError(
                "a database is read by psycopg: pip install 'sketch-prompt[postgres]'"
            ) from error
        # With a bare @ or / in the password, libpq would take a part of it for the host, and name it in an error.
        authority, _, rest = address.partition("://")[2].partition("/")
        try:
            if authority.count("@") > 1 or "@" in rest.partition("?")[0]:
                raise ProgrammingError
            found = conninfo_to_dict(address)
        except ProgrammingError:
            raise ValueError(
                "this is not the address of a database: give postgresql://user@host:port/database, with special "
                "characters in the user name and password as %40 (@), %3A (:), %2F (/)"
            ) from None
        password = found.get("password")
        if password:
            self._secrets = [address, password, quote(password, safe="")]
        return {"connect_timeout": str(_CONNECT_SECONDS), "application_name": "sketch-prompt"} | found

    @contextmanager
    def _reading(self) -> "Iterator[Connection]":
        """A connection with a read-only transaction, which is rolled back at the end."""
        import psycopg

        try:
            connection = psycopg.connect(**self._address)
        except psycopg.Error as error:
            raise ConnectionError(f"the database cannot be reached: {self._message(error)}") from None
        try:
            connection.read_only = True
            yield connection
        except psycopg.errors.InsufficientPrivilege as error:
            raise ValueError(f"the database does not let this user read: {self._message(error)}") from None
        except psycopg.OperationalError as error:
            raise ConnectionError(f"the database went away: {self._message(error)}") from None
        except psycopg.Error as error:
            raise ValueError(f"the database refused: {self._message(error)}") from None
        finally:
            connection.close()

    def _message(self, error: Exception) -> str:
        text = " ".join(str(error).split())
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text

    def _find(self, connection: "Connection", table: str | None, columns: Columns) -> "Composable":
        """The query for paths and vectors."""
        from psycopg import sql

        if table is None:
            return self._find_immich(connection)
        relation = self._relation(connection, table)
        if relation is None:
            raise ValueError(
                f"the database has no table {table!r}; {suggestion(table, self._tables(connection))}"
            )
        names = self._columns(connection, relation)
        place = f"the table {relation}"
        return sql.SQL("SELECT {path}::text, {vector}::real[] FROM {table} WHERE {path} IS NOT NULL").format(
            path=sql.Identifier(columns.path_in(names, place)),
            vector=sql.Identifier(columns.vector_in(names, place)),
            table=sql.SQL(relation),
        )

    def _find_immich(self, connection: "Connection") -> "Composable":
        """immich: `smart_search` has the vectors, `asset` (`assets` until 2025) the paths."""
        from psycopg import sql

        vectors = self._relation(connection, "smart_search")
        photos = self._relation(connection, "asset") or self._relation(connection, "assets")
        if vectors is None or photos is None:
            tables = self._tables(connection)
            hint = f"tables with vectors: {', '.join(tables)}" if tables else "no table of it has vectors"
            raise ValueError(
                f"the database is none of immich; {hint}. Say which table it is (table, --table)"
            )
        names = self._columns(connection, photos)
        conditions = [condition for name, condition in _UNSEEN.items() if name in names] or ["true"]
        return sql.SQL(
            'SELECT photo."originalPath", found.embedding::real[] FROM {vectors} AS found '
            'JOIN {photos} AS photo ON photo.id = found."assetId" WHERE {conditions}'
        ).format(
            vectors=sql.SQL(vectors),
            photos=sql.SQL(photos),
            conditions=sql.SQL(" AND ").join(map(sql.SQL, conditions)),
        )

    def _relation(self, connection: "Connection", name: str) -> str | None:
        """A table's name as SQL spells it, quoted where it must be; None if there is no such table."""
        import psycopg

        for query in ("SELECT to_regclass(%s)::text", "SELECT to_regclass(quote_ident(%s))::text"):
            try:
                with connection.transaction():
                    (found,) = connection.execute(query, [name]).fetchone()
            except psycopg.errors.SyntaxError:  # not a valid name
                continue
            if found is not None:
                return found
        return None

    def _columns(self, connection: "Connection", relation: str) -> list[str]:
        return [name for (name,) in connection.execute(_COLUMNS_OF_A_TABLE, [relation])]

    def _tables(self, connection: "Connection") -> list[str]:
        return [name for (name,) in connection.execute(_TABLES_OF_VECTORS)]

    def _stack(self, vectors: tuple[list[float] | None, ...]) -> np.ndarray:
        """float32 (n, D), NaN where there is no vector."""
        widths = {len(vector) for vector in vectors if vector is not None}
        if len(widths) > 1:
            raise ValueError(
                f"the vectors in the database have no common width: {min(widths)} and {max(widths)} numbers"
            )
        missing = [np.nan] * (widths.pop() if widths else 0)
        return np.array([missing if vector is None else vector for vector in vectors], np.float32)
