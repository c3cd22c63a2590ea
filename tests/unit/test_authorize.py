"""Who may: the account that owns the bucket."""

import io

import pytest

from s3shim.auth.authorize import authorize
from s3shim.backends.memory import MemoryBackend
from s3shim.errors import Code, S3Error
from s3shim.model import ANONYMOUS, BucketInfo, Identity
from s3shim.wire.request import S3Request, Service

MAIN = Identity("main", "MAINKEY")
OTHER = Identity("other", "OTHERKEY")


class Asked(MemoryBackend):
    """A memory backend that notes which buckets were asked for."""

    def __init__(self):
        super().__init__()
        self.asked = []

    def head_bucket(self, bucket):
        self.asked.append(bucket)
        return super().head_bucket(bucket)


@pytest.fixture
def backend():
    made = Asked()
    made.start()
    made.create_bucket(BucketInfo("main-bucket", "main", 0))
    return made


def request_of(identity, bucket="main-bucket", key="", *, method="GET", query="", headers=()):
    request = S3Request(
        {
            "REQUEST_METHOD": method,
            "RAW_URI": f"/{bucket}/{key}?{query}".replace("//", "/"),
            "wsgi.input": io.BytesIO(),
            "s3shim.headers": [("Host", "s3.example"), *headers],
        },
        Service(),
    )
    request.parse()
    request.identity, request.bucket, request.key = identity, bucket, key
    return request


def refusal(request, backend, action="s3:GetObject"):
    with pytest.raises(S3Error) as refused:
        authorize(request, backend, action)
    return refused.value


def test_owner(backend):
    request = request_of(MAIN, key="k")
    assert authorize(request, backend, "s3:GetObject") is None
    assert backend.asked == ["main-bucket"]


def test_no_bucket_is_asked_for_the_service(backend):
    request = request_of(MAIN, bucket="")
    assert authorize(request, backend, "s3:ListAllMyBuckets") is None
    assert backend.asked == []


@pytest.mark.parametrize("identity", [MAIN, OTHER])
@pytest.mark.parametrize("bucket", ["main-bucket", "missing-bucket"])
def test_create_bucket_is_open_to_every_account(backend, identity, bucket):
    request = request_of(identity, bucket=bucket, method="PUT")
    assert authorize(request, backend, "s3:CreateBucket") is None
    assert backend.asked == []


def test_bucket_of_another_account(backend):
    assert refusal(request_of(OTHER, key="k"), backend).code is Code.AccessDenied


def test_missing_bucket(backend):
    assert refusal(request_of(MAIN, bucket="missing-bucket"), backend).code is Code.NoSuchBucket


def test_anonymous_learns_nothing(backend):
    answers = []
    for bucket, key in (("main-bucket", ""), ("main-bucket", "k"), ("missing-bucket", "k"), ("", "")):
        error = refusal(request_of(ANONYMOUS, bucket=bucket, key=key), backend)
        answers.append((error.code, error.message, error.details, error.headers))
    assert answers == [(Code.AccessDenied, "Access Denied", {}, {})] * 4
    assert backend.asked == []


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_anonymous_response_override(backend, method):
    request = request_of(ANONYMOUS, key="k", method=method, query="response-content-type=text/html")
    assert refusal(request, backend).code is Code.InvalidRequest


def test_anonymous_response_override_on_a_write(backend):
    request = request_of(ANONYMOUS, key="k", method="PUT", query="response-content-type=text/html")
    assert refusal(request, backend, "s3:PutObject").code is Code.AccessDenied


def test_expected_bucket_owner(backend):
    request = request_of(MAIN, headers=[("x-amz-expected-bucket-owner", "main")])
    assert authorize(request, backend, "s3:ListBucket") is None


@pytest.mark.parametrize("expected", ["other", "", "Main"])
def test_unexpected_bucket_owner(backend, expected):
    request = request_of(MAIN, headers=[("x-amz-expected-bucket-owner", expected)])
    assert refusal(request, backend).code is Code.AccessDenied
