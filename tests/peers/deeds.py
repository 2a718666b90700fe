"""What the Python peers share: how deeds are run and named, and what the table of all types holds.

The server is told in libpq's variables (PGHOST, PGPORT, PGUSER, PGPASSWORD, PGDATABASE, PGSSLMODE=verify-full,
PGSSLROOTCERT), so that each client finds it the way its users configure it. tests/it/peers.rs makes the tables.
"""

import datetime
import os
import sys
import threading
import time
import traceback
from decimal import Decimal

import psycopg
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

UTC = datetime.timezone.utc
ROWS = 1_000_000
TABLES = {"care_team", "encounters", "hospitals", "patients", "peer_types", "vitals"}
VITALS = ["patient_id", "hospital_id", "heart_rate", "blood_pressure", "oxygen_saturation", "ts"]
# A name that only this process' statement has.
ENDLESS_NAME = f"endless_{os.getpid()}"
# Far more work than anybody waits for.
ENDLESS = f"SELECT count(*) AS {ENDLESS_NAME} FROM vitals a, vitals b, vitals c WHERE a.heart_rate + b.heart_rate + c.heart_rate < 0"

COLUMNS = ["id", "b", "i2", "i4", "i8", "f4", "f8", "n", "t", "y", "d", "ts", "tz"]
TYPES = [
    (1, True, 2, 4, 8, 1.5, 0.1, Decimal("12345.678"), "Zürich '\"\\", b"\x00\xff\x10", datetime.date(2024, 2, 29),
     datetime.datetime(2024, 2, 29, 12, 34, 56, 789012), datetime.datetime(2024, 2, 29, 10, 34, 56, 789012, UTC)),
    (2, False, -32768, -2147483648, -9223372036854775808, -0.25, 1e300, Decimal("-999999999.999"), "", b"",
     datetime.date(1900, 1, 1), datetime.datetime(1969, 12, 31, 23, 59, 59, 999999),
     datetime.datetime(1969, 12, 31, 23, 59, 59, 999999, UTC)),
    (3,) + (None,) * 12,
]  # fmt: skip


def equal(seen, expected):
    """Fails unless the two are equal, values and types of values."""
    assert seen == expected, f"expected {expected!r}, seen {seen!r}"


def wait_until_running():
    """Waits until the server runs ENDLESS: a request to cancel that comes before would change nothing."""
    running = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND strpos(query, %s) > 0"
    deadline = time.monotonic() + 60
    with psycopg.connect(autocommit=True) as watching:
        while watching.execute(running, (ENDLESS_NAME,)).fetchone() == (0,):
            assert time.monotonic() < deadline, "the statement does not begin"
            time.sleep(0.05)


def when_running(action):
    """Does something in another thread as soon as the server runs ENDLESS."""

    def waiting():
        wait_until_running()
        action()

    threading.Thread(target=waiting, daemon=True).start()


def strange_authority(directory):
    """The file of an authority that has signed nobody's certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Strangers")])
    now = datetime.datetime.now(UTC)
    authority = x509.CertificateBuilder(
        name, name, key.public_key(), x509.random_serial_number(), now - datetime.timedelta(1), now + datetime.timedelta(1)
    ).add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    file = os.path.join(directory, "strangers.pem")
    with open(file, "wb") as opened:
        opened.write(authority.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    return file


class Patience:
    """Fails where what is in its block takes longer."""

    def __init__(self, seconds):
        self.seconds = seconds

    def __enter__(self):
        self.begun = time.monotonic()

    def __exit__(self, *_):
        took = time.monotonic() - self.begun
        assert took < self.seconds, f"took {took:.1f} s, more than {self.seconds} s"


def run(deeds):
    """Runs every deed, says which failed and why, and ends the process accordingly."""
    failed = []
    for deed in deeds:
        begun = time.monotonic()
        try:
            deed()
            print(f"ok {deed.__name__} {time.monotonic() - begun:.1f} s")
        except Exception:
            failed.append(deed.__name__)
            print(f"FAILED {deed.__name__}: {deed.__doc__ or ''}\n{traceback.format_exc()}", file=sys.stderr)
    if failed:
        print(f"failed deeds: {', '.join(failed)}", file=sys.stderr)
    sys.exit(1 if failed else 0)
