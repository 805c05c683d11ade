"""Runs a test program of the server with PostgreSQL and an S3-compatible service, which its contract tests then cover.

Usage: with_services.py PROGRAM ARGUMENTS... A service that is missing fails.
"""

import os
import subprocess
import sys

from services import BUCKET, services

with services() as (postgres, s3):
    environment = {**os.environ, **s3.environment(), "PANGU_TEST_POSTGRES": postgres.url(),
                   "PANGU_TEST_S3": f"s3://{BUCKET}"}
    sys.exit(subprocess.run(sys.argv[1:], env=environment).returncode)
