"""What a person sees once the server listens: the address, the keys, lines to paste."""

from __future__ import annotations

import ipaddress
from shlex import quote

from s3shim import __version__
from s3shim.config import Address
from s3shim.wire.hosts import ExternalUrl

_TEMPLATE = """\
s3shim {version} is listening.

  endpoint    {endpoint}
{outside}  region      {region}
  access key  {access_key}
  secret key  {secret_key}

# aws
export AWS_ACCESS_KEY_ID={sh_access_key} AWS_SECRET_ACCESS_KEY={sh_secret_key}
export AWS_DEFAULT_REGION={region}
aws --endpoint-url {endpoint} s3 ls

# boto3
import boto3
s3 = boto3.client("s3", endpoint_url={py_endpoint}, region_name={py_region},
                  aws_access_key_id={py_access_key}, aws_secret_access_key={py_secret_key})
print(s3.list_buckets()["Buckets"])

# minio-py
from minio import Minio
client = Minio({py_host}, access_key={py_access_key}, secret_key={py_secret_key},
               region={py_region}, secure={secure})
print(client.list_buckets())

# rclone
export RCLONE_CONFIG_S3SHIM_TYPE=s3 RCLONE_CONFIG_S3SHIM_PROVIDER=Other
export RCLONE_CONFIG_S3SHIM_ENDPOINT={endpoint} RCLONE_CONFIG_S3SHIM_REGION={region}
export RCLONE_CONFIG_S3SHIM_ACCESS_KEY_ID={sh_access_key}
export RCLONE_CONFIG_S3SHIM_SECRET_ACCESS_KEY={sh_secret_key}
rclone lsd s3shim:
"""


def banner(
    bound: Address,
    region: str,
    access_key: str,
    secret_key: str,
    *,
    secure: bool,
    outside: ExternalUrl | None = None,
) -> str:
    """Return the text for the numeric address ``bound``; the region ``any`` is shown as us-east-1.

    ``secure``: the address speaks TLS. ``outside``: where others than this machine reach it.
    """
    host = str(_reachable(bound))
    region = "us-east-1" if region == "any" else region
    endpoint = f"{'https' if secure else 'http'}://{host}"
    return _TEMPLATE.format(
        version=__version__,
        secure=secure,
        outside="" if outside is None else f"  outside     {outside.scheme}://{outside.host}{outside.path}\n",
        endpoint=endpoint,
        region=region,
        access_key=access_key,
        secret_key=secret_key,
        sh_access_key=quote(access_key),
        sh_secret_key=quote(secret_key),
        py_endpoint=repr(endpoint),
        py_host=repr(host),
        py_region=repr(region),
        py_access_key=repr(access_key),
        py_secret_key=repr(secret_key),
    )


def _reachable(bound: Address) -> Address:
    """Return an address that a client on this machine can use: nobody can connect to 0.0.0.0."""
    address = ipaddress.ip_address(bound.host)
    if not address.is_unspecified:
        return bound
    return bound._replace(host="127.0.0.1" if address.version == 4 else "::1")
