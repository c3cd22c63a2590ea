"""One task of the matrix: boto3_client.py OPERATION ENDPOINT BUCKET KEY FILE [DETAIL]. Prints a JSON object.

DETAIL is the source key of a copy and the range of a ranged get. Keys and checksum modes: the environment.
"""

import json
import sys
from pathlib import Path
from urllib.request import Request, urlopen

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config

PARTS = TransferConfig(multipart_threshold=5 * 2**20, multipart_chunksize=5 * 2**20)


class Unseekable:
    """A file of which nothing is known but the bytes that come."""

    def __init__(self, file):
        self._file = file

    def read(self, size=-1):
        return self._file.read(size)


def put(client, bucket, key, file, detail):
    return {"ETag": client.put_object(Bucket=bucket, Key=key, Body=file.read_bytes())["ETag"]}


def stream(client, bucket, key, file, detail):
    with open(file, "rb") as body:
        client.upload_fileobj(Unseekable(body), bucket, key, Config=PARTS)
    return {}


def multipart(client, bucket, key, file, detail):
    client.upload_file(str(file), bucket, key, Config=PARTS)
    return {}


def copy(client, bucket, key, file, detail):
    source = {"Bucket": bucket, "Key": detail}
    return {"ETag": client.copy_object(Bucket=bucket, Key=key, CopySource=source)["CopyObjectResult"]["ETag"]}


def ranged_get(client, bucket, key, file, detail):
    found = client.get_object(Bucket=bucket, Key=key, Range=detail)
    file.write_bytes(found["Body"].read())
    return {"ETag": found["ETag"]}


def presigned_put(client, bucket, key, file, detail):
    url = client.generate_presigned_url("put_object", {"Bucket": bucket, "Key": key})
    with urlopen(Request(url, file.read_bytes(), method="PUT")):
        return {"url": url}


def presigned_get(client, bucket, key, file, detail):
    url = client.generate_presigned_url("get_object", {"Bucket": bucket, "Key": key})
    with urlopen(url) as answer:
        file.write_bytes(answer.read())
    return {"url": url}


TASKS = {
    task.__name__: task for task in (put, stream, multipart, copy, ranged_get, presigned_put, presigned_get)
}


def main():
    operation, endpoint, bucket, key, file, *detail = sys.argv[1:]
    config = Config(
        signature_version="s3v4", retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}
    )
    client = boto3.client("s3", endpoint_url=endpoint, config=config)
    print(json.dumps(TASKS[operation](client, bucket, key, Path(file), *(detail or [""]))))


if __name__ == "__main__":
    main()
