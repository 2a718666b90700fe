"""psql, as an administrator types in it: its commands, its variables, Ctrl-C."""

import os
import signal
import subprocess
import tempfile

from deeds import COLUMNS, ENDLESS, ROWS, TABLES, VITALS, Patience, equal, run, strange_authority, wait_until_running

PSQL = os.environ.get("LAKEWARD_TEST_PSQL", "psql")
PLAIN = [PSQL, "-X", "-q", "-A", "-t", "-v", "VERBOSITY=verbose"]
# Every letter after \d and its like; those of one object need a name.
COMMANDS = "d dA dAc dAf dAo dAp da db dc dC dconfig dd dD ddp dE des det deu dew df dF dFd dFp dFt dg di dl dL dm dn do dO dp dP drds dRp dRs ds dt dT du dv dx dX dy l z"


def psql(script, *arguments, plain=True):
    """What psql says to a script, on both streams."""
    command = PLAIN if plain else [PSQL, "-X", "-q"]
    ended = subprocess.run([*command, *arguments], input=script, capture_output=True, text=True)
    equal(ended.returncode, 0)
    return ended.stdout, ended.stderr


def rows(script):
    out, err = psql(script)
    equal(err, "")
    return [line.split("|") for line in out.splitlines()]


def connect():
    """TLS, verified against the server's own authority, and against no other."""
    out, _ = psql("\\conninfo\n")
    assert "SSL connection (protocol: TLSv1.3" in out, out
    equal(rows("SELECT current_setting('server_version_num')::int / 10000"), [["15"]])
    with tempfile.TemporaryDirectory() as directory:
        strangers = dict(os.environ, PGSSLROOTCERT=strange_authority(directory))
        ended = subprocess.run([*PLAIN, "-c", "SELECT 1"], capture_output=True, text=True, env=strangers)
    assert ended.returncode == 2 and "certificate verify failed" in ended.stderr, ended.stderr


def tables():
    found = {row[1] for row in rows("\\dt\n")}
    equal(TABLES - found, set())


def describe():
    found = rows("\\d vitals\n")
    equal([row[0] for row in found[: len(VITALS)]], VITALS)
    types = [["patient_id", "bigint"], ["hospital_id", "integer"], ["ts", "timestamp without time zone"]]
    equal([row[:2] for row in (found[0], found[1], found[5])], types)
    equal(rows("\\d peer_types\n")[7][:2], ["n", "numeric(12,3)"])


def commands():
    """Every command, plain, wide, with the system's objects, and with a pattern."""
    script = []
    for command in COMMANDS.split():
        for suffix in ("", "+", " public.v*"):
            script.append(f"\\echo {command}{suffix}\n\\{command}{suffix}\n")
    out, err = psql("".join(script), plain=False)
    errors = [line for line in err.splitlines() if "ERROR" in line]
    equal(errors, [])
    functions, _ = psql("\\df mask_*\n")
    assert "system|mask_show_last|text|text, integer|func" in functions, functions


def types():
    """As PostgreSQL prints them."""
    equal(rows(f"SELECT {', '.join(COLUMNS)} FROM peer_types ORDER BY id"), [
        ["1", "t", "2", "4", "8", "1.5", "0.1", "12345.678", "Zürich '\"\\", "\\x00ff10", "2024-02-29",
         "2024-02-29 12:34:56.789012", "2024-02-29 10:34:56.789012+00"],
        ["2", "f", "-32768", "-2147483648", "-9223372036854775808", "-0.25", "1e+300", "-999999999.999", "", "\\x",
         "1900-01-01", "1969-12-31 23:59:59.999999", "1969-12-31 23:59:59.999999+00"],
        ["3"] + [""] * 12,
    ])  # fmt: skip
    described = [row[1] for row in rows(f"SELECT {', '.join(COLUMNS)}, 5::oid, ARRAY['a'] FROM peer_types \\gdesc\n")]
    equal(described, ["integer", "boolean", "smallint", "integer", "bigint", "real", "double precision", "numeric(12,3)",
                      "text", "bytea", "date", "timestamp without time zone", "timestamp with time zone", "oid", "text[]"])  # fmt: skip


def parameters():
    """psql's variables, quoted as a value and as a name."""
    script = "\\set who 'Zürich ''\"\\\\'\n\\set what t\nSELECT id FROM peer_types WHERE :\"what\" = :'who';\n"
    equal(rows(script), [["1"]])
    equal(rows("SELECT 42 AS answer \\gset\nSELECT :answer + 1;\n"), [["43"]])
    equal(rows("SELECT 'SELECT ' || n FROM generate_series(1, 3) AS n \\gexec\n"), [["1"], ["2"], ["3"]])


def a_million_rows():
    counting = subprocess.Popen(["wc", "-l"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    subprocess.run([*PLAIN, "-c", "SELECT heart_rate, ts FROM vitals"], stdout=counting.stdin, check=True)
    equal(int(counting.communicate()[0]), ROWS)


def cancel():
    """Ctrl-C."""
    with Patience(60):
        typed = subprocess.Popen([*PLAIN, "-c", ENDLESS], stderr=subprocess.PIPE, text=True)
        wait_until_running()
        typed.send_signal(signal.SIGINT)
        _, err = typed.communicate()
    assert "Cancel request sent" in err and "57014: canceling statement due to user request" in err, err


def error_and_go_on():
    out, err = psql("SELECT nothing FROM vitals;\nSELECT 2;\n")
    equal(out, "2\n")
    assert 'ERROR:  42703: column "nothing" does not exist\nLINE 1: SELECT nothing FROM vitals' in err, err
    out, err = psql("\\set ON_ERROR_ROLLBACK off\nBEGIN;\nSELECT 1 / (id - 1) FROM peer_types;\nSELECT 1;\nROLLBACK;\nSELECT 3;\n")
    equal(out, "3\n")
    assert "22012: division by zero" in err and "25P02" in err, err


def notice():
    _, err = psql("DROP TABLE IF EXISTS nothing_here;\n")
    assert 'NOTICE:  00000: table "nothing_here" does not exist, skipping' in err, err


run([
    connect, tables, describe, commands, types, parameters, a_million_rows, cancel, error_and_go_on, notice,
])  # fmt: skip
