"""psycopg's server-side (named) cursors: DECLARE and FETCH, a million rows a piece at a time."""

import sys

import psycopg

port, ca, user, password = sys.argv[1:]
conninfo = (
    f"host=localhost port={port} dbname=lakeward user={user} password={password} "
    f"sslmode=verify-full sslrootcert={ca}"
)

with psycopg.connect(conninfo) as connection:
    with connection.cursor(name="some") as cursor:
        cursor.execute("SELECT id, name FROM p WHERE id > %s ORDER BY id", (3,))
        assert [column.name for column in cursor.description] == ["id", "name"]
        assert cursor.fetchone() == (4, "name 4")
        assert cursor.fetchmany(2) == [(5, "name 5"), (6, "name 6")]
        assert len(cursor.fetchall()) == 4
        assert cursor.fetchone() is None
    with connection.cursor(name="binary", binary=True) as cursor:
        cursor.execute("SELECT id FROM p ORDER BY id")
        assert cursor.fetchmany(3) == [(1,), (2,), (3,)]
    with connection.cursor(name="many") as cursor:
        cursor.itersize = 20_000
        cursor.execute("SELECT id FROM many")
        total = rows = 0
        for (number,) in cursor:
            total += number
            rows += 1
        assert (rows, total) == (1_000_000, 500_000_500_000), (rows, total)
    connection.commit()
    assert connection.execute("SELECT count(*) FROM pg_cursors").fetchone() == (0,)
print("ok")
