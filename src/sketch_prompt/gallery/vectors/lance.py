"""Vectors in a Lance table, such as those of LanceDB."""

from collections.abc import Iterator
from pathlib import Path

from sketch_prompt.hints import suggestion

from . import ROWS_AT_ONCE, Batch
from .columns import Columns, names_of, vectors_of


class LanceTable:
    """A Lance table, a LanceDB folder, or the address of one; see `read_embeddings`.

    Raises:
        FileNotFoundError, ValueError: As in `read_embeddings`.
    """

    def __init__(self, address: str, table: str | None, columns: Columns):
        try:
            import lance
        except ImportError as error:
            raise ValueError(
                "a Lance table is read by pylance: pip install 'sketch-prompt[lance]'"
            ) from error
        self.address = _one_table(address, table)
        try:
            self._table = lance.dataset(self.address)
        except (ValueError, OSError) as error:
            # A message of Lance's ends with places in its source.
            reason = str(error).splitlines()[0].partition(", /")[0]
            raise ValueError(f"{self.address} cannot be read as a Lance table: {reason}") from None
        names = self._table.schema.names
        self._path, self._vector = (
            columns.path_in(names, self.address),
            columns.vector_in(names, self.address),
        )

    def batches(self) -> Iterator[Batch]:
        """See `VectorSource`."""
        for batch in self._table.to_batches(columns=[self._path, self._vector], batch_size=ROWS_AT_ONCE):
            yield names_of(batch[self._path]), vectors_of(batch[self._vector], self.address)


def _one_table(address: str, table: str | None) -> str:
    """The table in a LanceDB folder, which contains `<table>.lance`. Other addresses are returned as they are."""
    root = Path(address)
    if "://" in address:
        return address if table is None else f"{address.rstrip('/')}/{table}.lance"
    if not root.exists():
        raise FileNotFoundError(f"there is no Lance table in {root}: no such folder")
    tables = sorted(path.stem for path in root.glob("*.lance"))
    if table is None and not tables:
        return address
    if table is None and len(tables) > 1:
        raise ValueError(
            f"{root} holds {len(tables)} tables, {', '.join(tables)}: say which (table, --table)"
        )
    if table is not None and table not in tables:
        raise ValueError(f"{root} has no table {table!r}; {suggestion(table, tables)}")
    return str(root / f"{table or tables[0]}.lance")
