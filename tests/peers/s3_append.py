"""Appends rows to a table in a bucket, one commit each; says how often another writer was first."""

import sys

import pyarrow
from deltalake import write_deltalake
from deltalake.exceptions import CommitFailedError

endpoint, table, key, secret, count = sys.argv[1:]
options = {
    "aws_endpoint_url": endpoint,
    "aws_allow_http": "true",
    "aws_region": "us-east-1",
    "aws_access_key_id": key,
    "aws_secret_access_key": secret,
    "aws_conditional_put": "etag",
}
retried = 0
for number in range(int(count)):
    rows = pyarrow.table({"id": pyarrow.array([number], pyarrow.int64()), "who": pyarrow.array(["foreign"])})
    while True:
        try:
            write_deltalake(table, rows, mode="append", storage_options=options)
            break
        except CommitFailedError:
            retried += 1
print(f"{retried} commits tried again")
