"""What was never set: the answers that clients take for "not set" and not for a fault."""

import pytest

ABSENT = {
    "policy": "NoSuchBucketPolicy",
    "policyStatus": "NoSuchBucketPolicy",
    "lifecycle": "NoSuchLifecycleConfiguration",
    "tagging": "NoSuchTagSet",
    "encryption": "ServerSideEncryptionConfigurationNotFoundError",
    "object-lock": "ObjectLockConfigurationNotFoundError",
    "website": "NoSuchWebsiteConfiguration",
    "replication": "ReplicationConfigurationNotFoundError",
    "publicAccessBlock": "NoSuchPublicAccessBlockConfiguration",
}

DEFAULTS = {
    "versioning": ("VersioningConfiguration", {}),
    "logging": ("BucketLoggingStatus", {}),
    "notification": ("NotificationConfiguration", {}),
    "accelerate": ("AccelerateConfiguration", {}),
    "requestPayment": ("RequestPaymentConfiguration", {"Payer": "BucketOwner"}),
    "ownershipControls": ("OwnershipControls", {"Rule/ObjectOwnership": "BucketOwnerEnforced"}),
}

NAMESPACE = "{http://s3.amazonaws.com/doc/2006-03-01/}"


def path(names):
    return "/".join(NAMESPACE + name for name in names.split("/"))


@pytest.mark.parametrize("name", ABSENT)
def test_never_set(client, stranger, bucket, name):
    answer = client.request("GET", f"/{bucket}?{name}")
    assert (answer.status, answer.code) == (404, ABSENT[name])
    assert answer.detail("BucketName") == bucket
    assert stranger.request("GET", f"/{bucket}?{name}").code == "AccessDenied"
    assert client.request("GET", f"/no-such-bucket?{name}").code == "NoSuchBucket"


@pytest.mark.parametrize("name", DEFAULTS)
def test_default(client, stranger, bucket, name):
    root, elements = DEFAULTS[name]
    answer = client.request("GET", f"/{bucket}?{name}")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/xml")
    document = answer.xml()
    assert document.tag == NAMESPACE + root
    assert {names: document.findtext(path(names)) for names in elements} == elements
    assert len(list(document)) == len(elements)
    assert stranger.request("GET", f"/{bucket}?{name}").code == "AccessDenied"
    assert client.request("GET", f"/no-such-bucket?{name}").code == "NoSuchBucket"


@pytest.mark.parametrize("name", [*ABSENT, *DEFAULTS])
@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_setting_it_is_refused(client, bucket, name, method):
    answer = client.request(method, f"/{bucket}?{name}", body=b"<A/>" if method == "PUT" else b"")
    assert (answer.status, answer.code) in ((501, "NotImplemented"), (405, "MethodNotAllowed"))
    assert client.request("HEAD", f"/{bucket}").status == 200


@pytest.mark.parametrize("name", ["legal-hold", "retention"])
def test_locks_of_an_object(client, bucket, name):
    assert client.request("PUT", f"/{bucket}/k", body=b"1").status == 200
    answer = client.request("GET", f"/{bucket}/k?{name}")
    assert (answer.status, answer.code) == (400, "InvalidRequest")
    assert answer.detail("Message") == "Bucket is missing Object Lock Configuration"
    assert client.request("GET", f"/{bucket}/absent?{name}").code == "NoSuchKey"
