"""One task of the matrix: minio_client.py OPERATION ENDPOINT BUCKET KEY FILE [DETAIL]. Prints a JSON object.

DETAIL is the source key of a copy and the range of a ranged get. Keys: the environment.
"""

import io
import json
import os
import re
import ssl
import sys
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import urllib3
from minio import Minio
from minio.commonconfig import CopySource

PART = 5 * 2**20


def put(client, bucket, key, file, detail):
    body = file.read_bytes()
    done = client.put_object(bucket_name=bucket, object_name=key, data=io.BytesIO(body), length=len(body))
    return {"ETag": done.etag}


def stream(client, bucket, key, file, detail):
    with open(file, "rb") as body:
        client.put_object(bucket_name=bucket, object_name=key, data=body, length=-1, part_size=PART)
    return {}


def multipart(client, bucket, key, file, detail):
    client.fput_object(bucket_name=bucket, object_name=key, file_path=str(file), part_size=PART)
    return {}


def copy(client, bucket, key, file, detail):
    source = CopySource(bucket_name=bucket, object_name=detail)
    return {"ETag": client.copy_object(bucket_name=bucket, object_name=key, source=source).etag}


def ranged_get(client, bucket, key, file, detail):
    first, last = map(int, re.findall("[0-9]+", detail))
    found = client.get_object(bucket_name=bucket, object_name=key, offset=first, length=last - first + 1)
    file.write_bytes(found.read())
    found.release_conn()
    return {}


def presigned_put(client, bucket, key, file, detail):
    url = client.presigned_put_object(bucket_name=bucket, object_name=key)
    with urlopen(Request(url, file.read_bytes(), method="PUT")):
        return {"url": url}


def presigned_get(client, bucket, key, file, detail):
    url = client.presigned_get_object(bucket_name=bucket, object_name=key)
    with urlopen(url) as answer:
        file.write_bytes(answer.read())
    return {"url": url}


TASKS = {
    task.__name__: task for task in (put, stream, multipart, copy, ranged_get, presigned_put, presigned_get)
}


def main():
    operation, endpoint, bucket, key, file, *detail = sys.argv[1:]
    place = urlsplit(endpoint)
    client = Minio(
        place.netloc,
        access_key=os.environ["AWS_ACCESS_KEY_ID"],
        secret_key=os.environ["AWS_SECRET_ACCESS_KEY"],
        region="us-east-1",
        secure=place.scheme == "https",
        http_client=urllib3.PoolManager(
            timeout=urllib3.Timeout(60), retries=False, ssl_context=ssl.create_default_context()
        ),
    )
    print(json.dumps(TASKS[operation](client, bucket, key, Path(file), *(detail or [""]))))


if __name__ == "__main__":
    main()
