"""Random values of every type in by every way, and back by every way: all must be equal.

usage: every_type.py SEED URL PASSWORD FLIGHT_URL CA
"""

import datetime
import math
import random
import struct
import sys
from decimal import Decimal

import psycopg

COLUMNS = [
    ("n", "bigint", "int8"),
    ("a", "boolean", "bool"),
    ("b", "smallint", "int2"),
    ("c", "integer", "int4"),
    ("d", "bigint", "int8"),
    ("e", "real", "float4"),
    ("f", "double precision", "float8"),
    ("g", "numeric(38,10)", "numeric"),
    ("h", "text", "text"),
    ("i", "bytea", "bytea"),
    ("j", "date", "date"),
    ("k", "timestamp", "timestamp"),
    ("l", "timestamptz", "timestamptz"),
]
SCALARS = COLUMNS[1:]
# An array of each.
COLUMNS += [(name * 2, f"{kind}[]", f"{oid}[]") for name, kind, oid in SCALARS]
ROWS = 60
INFINITE = [math.inf, -math.inf, math.nan, 0.0, -0.0]
LETTERS = ["a", "Z", " ", "\t", "\n", "\r", "\\", '"', "'", ",", ";", "{", "}", ".", "N", "\\N", "\\.", "é", "漢", "\U0001f3e5", "\x01", "\x7f"]


def single(value):
    return struct.unpack("f", struct.pack("f", value))[0]


def row(number, dice):
    """A value of each type, and an array of values of each."""
    sets = [scalars(dice) for _ in range(dice.randrange(4))]
    arrays = [None if dice.random() < 0.1 else list(values) for values in zip(*sets)] if sets else [[] for _ in SCALARS]
    return [number, *scalars(dice), *arrays]


def scalars(dice):
    micros = dice.randrange(-62_135_596_800_000_000, 253_402_300_800_000_000)
    moment = datetime.datetime(1970, 1, 1) + datetime.timedelta(microseconds=micros)
    whole = lambda bits: dice.choice([-(2 ** (bits - 1)), 2 ** (bits - 1) - 1, 0, dice.randrange(-(2 ** (bits - 1)), 2 ** (bits - 1))])
    digits = dice.choice([dice.randrange(-(10**38) + 1, 10**38), 10**38 - 1, 1, 0, dice.randrange(-(10**12), 10**12)])
    values = [
        dice.choice([True, False]),
        whole(16),
        whole(32),
        whole(64),
        dice.choice([*INFINITE, single(dice.uniform(-1e30, 1e30)), single(3.4028235e38), single(1e-45)]),
        dice.choice([*INFINITE, dice.uniform(-1e300, 1e300), dice.random(), 1.7976931348623157e308, 5e-324]),
        Decimal(digits).scaleb(-10, __import__("decimal").Context(prec=60)),
        "".join(dice.choice(LETTERS) for _ in range(dice.randrange(8))),
        bytes(dice.randrange(256) for _ in range(dice.randrange(6))),
        dice.choice([moment.date(), datetime.date.min, datetime.date.max]),
        dice.choice([moment, datetime.datetime.min, datetime.datetime.max]),
        # Python cannot show what is before its first year in another zone.
        dice.choice([moment, datetime.datetime(1900, 1, 1), datetime.datetime.max]).replace(tzinfo=datetime.timezone.utc),
    ]
    return [None if dice.random() < 0.1 else value for value in values]


def shown(value, column):
    """What can be compared."""
    if isinstance(value, list):
        return [shown(element, column) for element in value]
    if isinstance(value, float):
        return repr(single(value)) if column[0] == "e" else repr(value)
    if isinstance(value, datetime.datetime) and value.tzinfo:
        return value.astimezone(datetime.timezone.utc).isoformat()
    if isinstance(value, memoryview):
        return bytes(value)
    return value


def comparable(rows):
    return [[shown(value, name) for value, (name, _, _) in zip(row, COLUMNS)] for row in rows]


def csv_field(value):
    if value is None:
        return ""
    if isinstance(value, bool):
        return "t" if value else "f"
    if isinstance(value, float):
        return {"inf": "Infinity", "-inf": "-Infinity", "nan": "NaN"}.get(repr(value), repr(value))
    if isinstance(value, bytes):
        return "\\x" + value.hex()
    if isinstance(value, (datetime.date, datetime.datetime)):
        return value.isoformat()
    if isinstance(value, list):
        return '"' + array(value).replace('"', '""') + '"'
    if isinstance(value, str):
        return '"' + value.replace('"', '""') + '"'
    return str(value)


def array(values):
    """As PostgreSQL writes an array."""

    def element(value):
        if value is None:
            return "NULL"
        text = value if isinstance(value, str) else csv_field(value)
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

    return "{" + ",".join(map(element, values)) + "}"


def parameters(cursor, rows, mark):
    one = "(" + ", ".join(f"{mark}" for _ in COLUMNS) + ")"
    cursor.execute("INSERT INTO v VALUES " + ", ".join([one] * len(rows)), [value for row in rows for value in row])


def copy(cursor, rows, form):
    with cursor.copy(f"COPY v FROM STDIN (FORMAT {form})") as copy:
        if form == "csv":
            for row in rows:
                copy.write(",".join(csv_field(value) for value in row) + "\n")
            return
        copy.set_types([oid for _, _, oid in COLUMNS])
        for row in rows:
            copy.write_row(row)


def batch_of(rows):
    import pyarrow

    types = [
        pyarrow.int64(), pyarrow.bool_(), pyarrow.int16(), pyarrow.int32(), pyarrow.int64(), pyarrow.float32(), pyarrow.float64(),
        pyarrow.decimal128(38, 10), pyarrow.string(), pyarrow.binary(), pyarrow.date32(), pyarrow.timestamp("us"),
        pyarrow.timestamp("us", "UTC"),
    ]
    types += [pyarrow.list_(kind) for kind in types[1:]]
    columns = [pyarrow.array(list(values), kind) for values, kind in zip(zip(*rows), types)]
    return pyarrow.record_batch(columns, names=[name for name, _, _ in COLUMNS])


def flight_in(flight, rows):
    places = ", ".join(f"${index + 1}" for index in range(len(COLUMNS)))
    with flight.cursor() as cursor:
        cursor.executemany(f"INSERT INTO v VALUES ({places})", batch_of(rows))


def ingest(flight, rows):
    with flight.cursor() as cursor:
        cursor.adbc_ingest("v", batch_of(rows), mode="append")


def read(cursor, flight):
    query = "SELECT * FROM v ORDER BY n"
    yield "text", cursor.execute(query, binary=False).fetchall()
    yield "binary", cursor.execute(query, binary=True).fetchall()
    for form in ["text", "binary"]:
        with cursor.copy(f"COPY ({query}) TO STDOUT (FORMAT {form})") as copy:
            copy.set_types([oid for _, _, oid in COLUMNS])
            yield f"COPY {form}", list(copy.rows())
    with flight.cursor() as reader:
        reader.execute(query)
        table = reader.fetch_arrow_table()
        yield "Flight", [list(row) for row in zip(*(column.to_pylist() for column in table.columns))]


def main(seed, url, password, flight_url, ca):
    import adbc_driver_flightsql.dbapi as flight_sql
    from adbc_driver_flightsql import DatabaseOptions

    dice = random.Random(int(seed))
    rows = [row(number, dice) for number in range(ROWS)]
    wanted = comparable(rows)
    with open(ca) as file:
        options = {"username": "admin", "password": password, DatabaseOptions.TLS_ROOT_CERTS.value: file.read()}
    with psycopg.connect(url, password=password, autocommit=True) as connection, flight_sql.connect(
        flight_url, db_kwargs=options, autocommit=True
    ) as flight:
        cursor = connection.cursor()
        cursor.execute("CREATE TABLE v (" + ", ".join(f"{name} {kind}" for name, kind, _ in COLUMNS) + ")")
        ways = {
            "text parameters": lambda: parameters(cursor, rows, "%t"),
            "binary parameters": lambda: parameters(cursor, rows, "%b"),
            "COPY text": lambda: copy(cursor, rows, "text"),
            "COPY csv": lambda: copy(cursor, rows, "csv"),
            "COPY binary": lambda: copy(cursor, rows, "binary"),
            "Flight parameters": lambda: flight_in(flight, rows),
            "Flight ingest": lambda: ingest(flight, rows),
        }
        for way, write in ways.items():
            write()
            for back, got in read(cursor, flight):
                got = comparable(got)
                if got != wanted:
                    pairs = [(w, g) for left, right in zip(wanted, got) for w, g in zip(left, right) if w != g]
                    print(f"in by {way}, back by {back}: {len(got)} rows, {pairs[:5]}")
            cursor.execute("DELETE FROM v")
        numbers(cursor)
    print("done")


def numbers(cursor):
    """Arrays that are nobody's columns, as parameters."""
    lists = [("int[]", [1, None, -3]), ("bigint[]", []), ("text[]", ["a b", None, "", "NULL", '"\\{,}']), ("boolean[]", [True, False]),
             ("float8[]", [1.5, math.inf]), ("numeric(10,2)[]", [Decimal("1.50"), None]), ("date[]", [datetime.date(2026, 1, 27)]),
             ("bytea[]", [b"\x00\xff"]), ("int[][]", [[1, 2], [3, 4]])]
    for kind, value in lists:
        for mark in ["%t", "%b"]:
            for binary in [False, True]:
                got = cursor.execute(f"SELECT {mark}::{kind}", [value], binary=binary).fetchone()[0]
                if got != value:
                    print(f"{kind} by {mark}, {binary}: {got}")
    got = cursor.execute("SELECT count(*) FROM generate_series(1, 10) t(a) WHERE a = ANY(%s)", [[2, 3, 99]]).fetchone()[0]
    if got != 2:
        print(f"= ANY: {got}")
    cursor.execute("CREATE TABLE w (id int)")
    for mark in ["%t", "%b"]:
        # What is written is rounded, what is compared is not.
        cursor.execute(f"INSERT INTO w VALUES ({mark})", [Decimal("2.6")])
        cursor.execute(f"INSERT INTO w SELECT {mark}", [Decimal("4.4")])
        cursor.execute(f"UPDATE w SET id = {mark} WHERE id < {mark}", [Decimal("7.5"), Decimal("3.5")])
        alike = [cursor.execute(f"SELECT count(*) FROM w WHERE id = {mark}", [Decimal(text)]).fetchone()[0] for text in ["7.6", "8", "4.0"]]
        if alike != [0, 1, 1]:
            print(f"numeric by {mark}: {alike}, {cursor.execute('SELECT * FROM w').fetchall()}")
        cursor.execute("DELETE FROM w")


main(*sys.argv[1:])
