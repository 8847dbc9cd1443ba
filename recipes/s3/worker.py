import contextlib
import json
import logging
import os
from typing import Any

import boto3
from botocore.exceptions import ClientError

from kubernetes_leader_election.sync import Elector, Term

logging.basicConfig(level=logging.INFO, format="%(message)s")
logging.getLogger("botocore").setLevel(logging.WARNING)
OBJECT = {"Bucket": "shop", "Key": "price.json"}
CHANGED = {404, 409, 412}  # not as it was when it was read


class StaleTokenError(RuntimeError):
    """A later leader has written already."""


def write(s3: Any, token: int, value: str) -> None:
    # The token is in the body, so that it is in the ETag, which S3 compares.
    body = json.dumps({"token": token, "value": value})
    while True:
        try:
            found = s3.get_object(**OBJECT)
        except s3.exceptions.NoSuchKey:
            condition = {"IfNoneMatch": "*"}
        else:
            if token < json.load(found["Body"])["token"]:
                raise StaleTokenError(f"token {token} is older than the last write's")
            condition = {"IfMatch": found["ETag"]}
        try:
            s3.put_object(**OBJECT, Body=body, **condition)
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] not in CHANGED:
                raise
        else:
            return


def work(term: Term) -> None:
    s3 = boto3.client("s3", endpoint_url=os.getenv("S3"))
    while not term.is_lost:
        write(s3, term.fencing_token or 0, "42")
        print("written with token", term.fencing_token, flush=True)
        term.lost.wait(timeout=1)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C ends it quietly
        Elector(lease_name="shop").run(work)
