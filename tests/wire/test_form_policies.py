"""PostObject: what a policy allows and what it refuses; nothing is stored then."""

import io
import re
import time

import pytest

from tests.wire.forms import (
    ANY_KEY,
    BOUNDARY,
    BUCKET,
    KEY,
    encoded,
    expiration,
    form_body,
    post,
    signature_fields,
    signed_fields,
    upload,
)
from tests.wire.signing import stamp


def test_a_policy_for_another_bucket(refused):
    client = refused.client
    fields = signed_fields(client, "empty-bucket", KEY)
    message = 'Invalid according to Policy: Policy Condition failed: ["eq", "$bucket", "empty-bucket"]'
    refused(post(client, "/full-bucket", form_body(fields)), 403, "AccessDenied", message)
    # A field cannot say that the bucket is another one.
    lying = form_body({**fields, "bucket": "empty-bucket"})
    refused(post(client, "/full-bucket", lying), 403, "AccessDenied", message)
    fields = signed_fields(client, "missing-bucket", KEY)
    refused(post(client, "/missing-bucket", form_body(fields)), 404, "NoSuchBucket")


def own_conditions(client, date):
    fields = signature_fields(client, "", date=date)
    return [{name: fields[name]} for name in ("x-amz-algorithm", "x-amz-credential", "x-amz-date")]


@pytest.mark.parametrize("missing", ["bucket", "key", "x-amz-date", "x-amz-algorithm", "x-amz-credential"])
def test_every_field_needs_a_condition(refused, missing):
    date = stamp(None)
    conditions = [BUCKET, {"key": "k"}, *own_conditions(refused.client, date)]
    conditions = [condition for condition in conditions if missing not in condition]
    policy = {"expiration": expiration(), "conditions": conditions}
    answer = upload(refused.client, "full-bucket", KEY, policy=policy, date=date)
    refused(answer, 403, "AccessDenied", f"Invalid according to Policy: Extra input fields: {missing}")


@pytest.mark.parametrize(
    "name", ["acl", "Content-Type", "x-amz-meta-a", "success_action_status", "tagging", "Filename", "submit"]
)
def test_a_field_that_no_condition_covers(refused, name):
    answer = upload(refused.client, "full-bucket", {**KEY, name: "private"})
    refused(answer, 403, "AccessDenied", f"Invalid according to Policy: Extra input fields: {name.lower()}")


@pytest.mark.parametrize(
    ("condition", "fields"),
    [
        (["starts-with", "$key", "user/"], {"key": "usr/k"}),
        (["starts-with", "$key", "user/"], {"key": "../user/k"}),
        (["starts-with", "$key", "user/"], {"key": "User/k"}),
        (["starts-with", "$key", "${filename}"], {"key": "${filename}"}),
        (["eq", "$key", "user/k"], {"key": "user/k2"}),
        ({"key": "user/k"}, {"key": "user/K"}),
        (["eq", "key", "k"], KEY),
        (["eq", "$x-amz-meta-a", ""], {**KEY, "x-amz-meta-a": "b"}),
        (["starts-with", "$x-amz-meta-a", "bar"], KEY),
        (["starts-with", "$x-amz-meta-a", ""], KEY),
        (["eq", "$success_action_redirect", "HTTP://h/"], {**KEY, "success_action_redirect": "http://h/"}),
        (["starts-with", "$Content-Type", "image/"], {**KEY, "Content-Type": "text/x"}),
        (["starts-with", "$Content-Type", "image/"], {**KEY, "Content-Type": "image/x,text/x"}),
        (["starts-with", "$x-amz-meta-a", "image/"], {**KEY, "x-amz-meta-a": "x,image/"}),
    ],
)
def test_a_condition_that_does_not_hold(refused, condition, fields):
    answer = upload(refused.client, "full-bucket", fields, [ANY_KEY, condition], filename="n")
    refused(answer, 403, "AccessDenied")
    assert answer.detail("Message").startswith("Invalid according to Policy: Policy Condition failed: [")


@pytest.mark.parametrize(
    ("bounds", "status", "code", "details"),
    [
        ([0, 3], 400, "EntityTooLarge", {"MaxSizeAllowed": "3"}),
        ([0, 0], 400, "EntityTooLarge", {"MaxSizeAllowed": "0"}),
        ([5, 9], 400, "EntityTooSmall", {"ProposedSize": "4", "MinSizeAllowed": "5"}),
        (["5", "4"], 400, "EntityTooSmall", {"ProposedSize": "4", "MinSizeAllowed": "5"}),
    ],
)
def test_the_size_of_the_file(refused, bounds, status, code, details):
    answer = upload(refused.client, "full-bucket", KEY, [ANY_KEY, ["content-length-range", *bounds]])
    refused(answer, status, code)
    assert {name: answer.detail(name) for name in details} == details


def test_a_large_file_is_refused_while_it_comes(refused):
    """Nothing beyond the bound is waited for."""
    client = refused.client
    fields = signed_fields(client, "full-bucket", KEY, [ANY_KEY, ["content-length-range", 0, 1000]])
    head = form_body(fields, b"")[: -len(f"\r\n--{BOUNDARY}--\r\n")]

    class Endless(io.RawIOBase):
        given = 0

        def read(self, size=-1):
            data = head if not self.given else b"x" * size
            self.given += len(data)
            return data

    body = Endless()
    answer = post(client, "/full-bucket", body, Content_Length=str(10**9))
    refused(answer, 400, "EntityTooLarge")
    assert body.given < 3_000_000


def test_a_policy_that_has_ended(refused):
    message = "Invalid according to Policy: Policy expired."
    refused(upload(refused.client, "full-bucket", KEY, expires=-2), 403, "AccessDenied", message)
    # A signature holds for seven days at most.
    old = stamp(time.time() - 8 * 86400)
    refused(upload(refused.client, "full-bucket", KEY, date=old), 403, "AccessDenied", message)


def stable(policy):
    """Return an id that is the same in every run."""
    return re.sub(r"20\d\d-\d\d-\d\dT[\d:]+Z", "TIME", repr(policy))[:90]


def policy_of(**changes):
    whole = {"expiration": expiration(), "conditions": [BUCKET, ANY_KEY], **changes}
    return {name: value for name, value in whole.items() if value is not ...}


@pytest.mark.parametrize(
    "policy",
    [
        "",
        "null",
        "true",
        "[]",
        "{}",
        "{",
        "invalid json",
        b"\xff\xfe",
        policy_of(expiration="invalid"),
        policy_of(expiration=True),
        policy_of(expiration=1),
        policy_of(expiration=None),
        policy_of(expiration=...),
        policy_of(expiration="2100-01-01"),
        policy_of(expiration="2100-13-01T00:00:00Z"),
        policy_of(expiration="2100-01-01T00:00:00+01:00"),
        policy_of(expiration="2100-01-01 00:00:00.1+00:00"),
        policy_of(expiration="\u0662100-01-01T00:00:00Z"),
        policy_of(expiration=..., Expiration=expiration()),
        policy_of(conditions=..., CONDITIONS=[BUCKET]),
        policy_of(conditions=...),
        policy_of(conditions=None),
        policy_of(conditions=[]),
        policy_of(conditions=True),
        policy_of(conditions={}),
        policy_of(conditions=[True]),
        policy_of(conditions=[None]),
        policy_of(conditions=[{}]),
        policy_of(conditions=[[]]),
        policy_of(conditions=[{"a": "1", "b": "2"}]),
        policy_of(conditions=[{"a": True}]),
        policy_of(conditions=[{"Content-Length": 6199034}]),
        policy_of(conditions=[["invalid", "$key", "a"]]),
        policy_of(conditions=[[1, "$key", "a"]]),
        policy_of(conditions=[["eq", "$key"]]),
        policy_of(conditions=[["eq", "$key", "a", "b"]]),
        policy_of(conditions=[["eq", False, "a"]]),
        policy_of(conditions=[["eq", "$key", True]]),
        policy_of(conditions=[["starts-with", "$key", None]]),
        policy_of(conditions=[["content-length-range", 0]]),
        policy_of(conditions=[["content-length-range", 0, 1, 2]]),
        policy_of(conditions=[["content-length-range", -1, 0]]),
        policy_of(conditions=[["content-length-range", 12, False]]),
        policy_of(conditions=[["content-length-range", 0.5, 1]]),
        policy_of(conditions=[["content-length-range", "x", "1"]]),
        policy_of(conditions=[["content-length-range", "\u0661", "1"]]),
        policy_of(extra="field"),
        '{"expiration": "2100-01-01T00:00:00Z", "conditions": [{"a": ""}], "conditions": [{"a": ""}]}',
        '{"expiration": NaN, "conditions": [{"a": ""}]}',
        "[" * 5000,
    ],
    ids=stable,
)
def test_a_policy_that_is_none(refused, policy):
    fields = {**KEY, **signature_fields(refused.client, encoded(policy))}
    refused(post(refused.client, "/full-bucket", form_body(fields)), 400, "InvalidPolicyDocument")


@pytest.mark.parametrize("policy", ["*", "invalid_base64", "e30", "e30=\r\n"])
def test_a_policy_that_is_no_base64(refused, policy):
    fields = {**KEY, **signature_fields(refused.client, policy)}
    refused(post(refused.client, "/full-bucket", form_body(fields)), 400, "InvalidPolicyDocument")
