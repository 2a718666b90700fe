"""Appends rows to a Delta table beside a running server: `delta_writer.py <path> <first> <commits>`."""

import sys

import pyarrow as pa
from deltalake import write_deltalake


def main() -> None:
    path, first, commits = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    for number in range(first, first + commits):
        rows = pa.table({"id": pa.array([number], pa.int64()), "who": pa.array(["python"], pa.string())})
        write_deltalake(path, rows, mode="append")
    print(commits)


main()
