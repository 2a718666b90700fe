"""Makes a bucket in a store behind TLS."""

import sys

import boto3

endpoint, authority, bucket = sys.argv[1:]
keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x", "region_name": "us-east-1"}
boto3.client("s3", endpoint_url=endpoint, verify=authority, **keys).create_bucket(Bucket=bucket)
