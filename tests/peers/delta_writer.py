"""Appends rows to a Delta table beside a running server: `delta_writer.py <path> <first> <commits>`.

To this writer an append conflicts with a concurrent delete: it tries again, as its users have to.
"""

import sys

import pyarrow as pa
from deltalake import write_deltalake
from deltalake.exceptions import CommitFailedError

ATTEMPTS = 50


def main() -> None:
    path, first, commits = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    for number in range(first, first + commits):
        rows = pa.table({"id": pa.array([number], pa.int64()), "who": pa.array(["python"], pa.string())})
        append(path, rows)
    print(commits)


def append(path: str, rows: pa.Table) -> None:
    for attempt in range(ATTEMPTS):
        try:
            return write_deltalake(path, rows, mode="append")
        except CommitFailedError:
            if attempt + 1 == ATTEMPTS:
                raise


main()
