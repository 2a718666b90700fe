"""What the Python peers share: how deeds are run and named, and what the table of all types holds.

The server is told in libpq's variables (PGHOST, PGPORT, PGUSER, PGPASSWORD, PGDATABASE, PGSSLMODE=verify-full,
PGSSLROOTCERT), so that each client finds it the way its users configure it. tests/it/peers.rs makes the tables.
"""

import datetime
import sys
import threading
import time
import traceback
from decimal import Decimal

UTC = datetime.timezone.utc
ROWS = 1_000_000
TABLES = {"care_team", "encounters", "hospitals", "patients", "peer_types", "vitals"}
VITALS = ["patient_id", "hospital_id", "heart_rate", "blood_pressure", "oxygen_saturation", "ts"]
# Far more work than anybody waits for.
ENDLESS = "SELECT count(*) FROM vitals a, vitals b, vitals c WHERE a.heart_rate + b.heart_rate + c.heart_rate < 0"

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


def later(seconds, action):
    """Does something in another thread after that time."""
    timer = threading.Timer(seconds, action)
    timer.daemon = True
    timer.start()


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
