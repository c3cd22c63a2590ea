"""Uploads that are cut short commit nothing, whatever they are and wherever they are cut."""

import re
import time
from itertools import chain

import pytest

from crash.truncation import (
    FIN,
    RST,
    Cut,
    Request,
    cuts_of_body,
    cuts_of_head,
    descriptors,
    head_of,
    request_of,
    shoot,
    statuses,
)
from s3shim.backends.local.fsck import check
from tests.contract.bodies import checksum, pattern
from tests.server.process import Server
from tests.wire.client import LiveClient

SMALL = pattern(1000, 1)
LARGE = pattern((2 << 20) + 77, 2)
OLD = b"what was there before"


class Site:
    """A server with old objects and uploads, and the requests that are to be cut."""

    def __init__(self, tmp_path, module="s3shim"):
        self.data = tmp_path / "data"
        arguments = [
            "serve",
            "--allow-root",
            "--listen",
            "127.0.0.1:0",
            "--data",
            str(self.data),
            "--workers",
            "1",
        ]
        self.server = Server(["-m", module, *arguments], tmp_path / "stderr")
        access, secret = self.server.shown("access key"), self.server.shown("secret key")
        self.client = LiveClient(self.server.host, self.server.port, access, secret)
        assert self.ask("PUT", "/cut").status == 200
        for key in ("old-small", "old-large", "doomed-a", "doomed-b"):
            assert self.ask("PUT", f"/cut/{key}", OLD).status == 200
        self.upload = self.begin("parts")
        self.part(self.upload, 1)
        self.ready = self.begin("joined")
        self.etag = self.part(self.ready, 1)
        (self.pid,) = set(map(int, re.findall(r"msg=request .* pid=([0-9]+)", self.server.stderr)))

    def ask(self, method, target, body=b""):
        return self.client.request(method, target, body=body)

    def begin(self, key):
        answer = self.ask("POST", f"/cut/{key}?uploads")
        return f"/cut/{key}?uploadId=" + re.search("<UploadId>(.*)</UploadId>", answer.body.decode())[1]

    def part(self, upload, number):
        answer = self.ask("PUT", f"{upload.replace('?', f'?partNumber={number}&')}", OLD)
        assert answer.status == 200
        return answer.headers["etag"]

    def requests(self):
        """Return requests of all kinds, each of which would change something."""
        part = self.upload.replace("?", "?partNumber={}&").format
        completion = (
            "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber>"
            f"<ETag>{self.etag}</ETag></Part></CompleteMultipartUpload>"
        )
        doomed = "".join(f"<Object><Key>doomed-{name}</Key></Object>" for name in "ab")
        return [
            self.request("PUT", "/cut/new-small", SMALL),
            self.request("PUT", "/cut/old-small", SMALL),
            self.request("PUT", "/cut/new-large", LARGE),
            self.request("PUT", "/cut/old-large", LARGE),
            self.request("PUT", part(1), SMALL),
            self.request("PUT", part(2), LARGE),
            self.request("POST", self.ready, completion.encode()),
            self.request("POST", "/cut?delete", f"<Delete>{doomed}</Delete>".encode()),
        ]

    def request(self, method, target, body, **headers):
        if target.endswith("?delete"):
            headers["x_amz_checksum_crc32"] = checksum("crc32", body)
        return request_of(self.client, f"{method} {target[:16]}", method, target, body, **headers)

    def state(self):
        """Return all that a cut request could have changed."""
        keys = re.findall("<Key>(.*?)</Key>", self.ask("GET", "/cut?list-type=2").body.decode())
        objects = {key: self.ask("GET", f"/cut/{key}").body for key in keys}
        parts = {
            upload: re.findall("<PartNumber>.*?</Size>", self.ask("GET", upload).body.decode(), re.DOTALL)
            for upload in (self.upload, self.ready)
        }
        files = sorted(path.name for path in (self.data / "blobs").rglob("*") if path.is_file())
        return objects, parts, files

    def at_rest(self, level):
        """Wait until the worker has no more than ``level`` descriptors."""
        deadline = time.monotonic() + 30
        while descriptors(self.pid) > level and time.monotonic() < deadline:
            time.sleep(0.02)
        return descriptors(self.pid)


@pytest.fixture
def site(tmp_path):
    """A site whose store is sound at the end."""
    found = Site(tmp_path)
    yield found
    found.client.close()
    assert found.server.stop() == 0
    assert check(found.data, deep=True).problems == []


def test_a_request_that_is_cut_changes_nothing(site):
    before, level = site.state(), descriptors(site.pid)
    requests = site.requests()
    cuts = [*cuts_of_head(requests[0]), *chain.from_iterable(map(cuts_of_body, requests))]
    assert len(cuts) >= 600
    answers = shoot(site.server, cuts)
    accepted = [
        (cut.label, answer) for cut, answer in zip(cuts, answers, strict=True) if 200 in statuses(answer)
    ]
    assert accepted == []
    assert site.at_rest(level) <= level
    assert site.state() == before
    assert site.ask("PUT", "/cut/after", SMALL).status == 200
    assert site.ask("GET", "/cut/after").body == SMALL
    assert "Traceback" not in site.server.stderr


def test_a_server_that_does_not_count_is_caught(tmp_path):
    site = Site(tmp_path, "crash.careless")
    before = site.state()
    small, _, large, *_ = site.requests()
    cuts = [Cut(request.name, request.head + request.body[:-1], FIN) for request in (small, large)]
    assert [statuses(answer) for answer in shoot(site.server, cuts)] == [[200], [200]]
    assert site.state()[0].keys() - before[0].keys() == {"new-small", "new-large"}
    site.client.close()
    assert site.server.stop() == 0


def test_a_whole_request_is_done_even_if_the_client_has_gone(site):
    requests = site.requests()
    wholes = [Cut(request.name, request.whole, FIN) for request in requests]
    assert [statuses(answer)[0] for answer in shoot(site.server, wholes)] == [200] * len(requests)
    objects, parts, _ = site.state()
    assert objects == {
        **dict.fromkeys(("new-small", "old-small"), SMALL),
        **dict.fromkeys(("new-large", "old-large"), LARGE),
        "joined": OLD,
    }
    assert [len(found) for found in parts.values()] == [2, 0]


def test_a_client_that_resets_after_the_last_byte_leaves_all_or_nothing(site):
    level = descriptors(site.pid)
    large = [(f"reset-{number}", pattern(300_000, number)) for number in range(20)]
    small = [(f"reset-small-{number}", pattern(500, number)) for number in range(20)]
    requests = [site.request("PUT", f"/cut/{key}", data) for key, data in large + small]
    shoot(site.server, [Cut(request.name, request.whole, RST) for request in requests])
    assert site.at_rest(level) <= level
    objects, _, files = site.state()
    for key, data in large + small:
        assert objects.get(key, data) == data
    assert len(files) == sum(key in objects for key, _ in large)


def test_what_follows_a_body_is_no_part_of_it(site):
    before = site.state()[0]
    second = site.request("PUT", "/cut/second", LARGE)
    tails = [
        b"garbage",
        b"\r\n\r\n",
        b"\0" * 100_000,
        second.head,
        second.whole[:-1],
        b"GET / HTTP/1.1\r\n\r\n",
    ]
    cuts = [
        Cut(f"{number}", site.request("PUT", f"/cut/tail-{size}-{number}", data).whole + tail, FIN)
        for number, tail in enumerate(tails)
        for size, data in (("small", SMALL), ("large", LARGE))
    ]
    answers = [statuses(answer) for answer in shoot(site.server, cuts)]
    objects = site.state()[0]
    expected = {
        f"tail-{size}-{number}": data
        for number in range(len(tails))
        for size, data in (("small", SMALL), ("large", LARGE))
    }
    assert objects == {**before, **expected}
    assert [found.count(200) for found in answers] == [1] * len(cuts)


def test_a_chunked_upload_is_stored_at_its_last_chunk_and_not_before(site):
    before = site.state()
    chunked = {"Transfer-Encoding": "chunked"}
    for data in (SMALL, LARGE):
        draft = site.client.draft("PUT", "/cut/chunked", chunked, data, payload="unsigned")
        half = len(data) // 2
        chunks = [b"%x\r\n%s\r\n" % (len(part), part) for part in (data[:half], data[half:])]
        body = b"".join(chunks) + b"0\r\n\r\n"
        request = Request("PUT in chunks", head_of(draft), body)
        size = len(body)
        places = [0, 1, 3, half, len(chunks[0]), len(chunks[0]) + 2, *range(size - 9, size)]
        cuts = [
            Cut(f"{size}, cut at {place}", request.head + body[:place], end)
            for place in places
            for end in (FIN, RST)
        ]
        answers = zip(cuts, shoot(site.server, cuts), strict=True)
        accepted = [cut.label for cut, answer in answers if 200 in statuses(answer)]
        assert accepted == []
        assert site.state() == before
        (answer,) = shoot(site.server, [Cut("whole", request.whole, FIN)])
        assert statuses(answer) == [200]
        assert site.ask("GET", "/cut/chunked").body == data
        assert site.ask("DELETE", "/cut/chunked").status == 204
        before = site.state()
