"""The signatures of chunks and trailers, held against the examples of the Amazon S3 API Reference.

"Signature Calculations for the Authorization Header: Transferring Payload in Multiple Chunks" and "...
Including Trailing Headers".
"""

import base64
from hashlib import sha256

import pytest

from s3shim.auth.sigv4 import ChunkChain, Claim
from s3shim.checksums import new
from s3shim.signing import signing_key
from s3shim.wire.chunked import ChunkedInput

KEY = signing_key(b"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "20130524", "us-east-1")
BODY = b"a" * 66560

EXAMPLES = {
    "chunks": (
        "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
        [
            "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
            "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
            "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
        ],
        None,
    ),
    "chunks and a trailer": (
        "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e",
        [
            "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
            "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
            "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
        ],
        "d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435",
    ),
}


def chain(seed):
    claim = Claim("AKIAIOSFODNN7EXAMPLE", "20130524", "us-east-1", "", seed, "20130524T000000Z")
    return ChunkChain(KEY, claim)


@pytest.mark.parametrize("name", EXAMPLES)
def test_example(name):
    seed, signatures, trailer_signature = EXAMPLES[name]
    found = chain(seed)
    chunks = [BODY[:65536], BODY[65536:], b""]
    assert [found.chunk(sha256(chunk).hexdigest()) for chunk in chunks] == signatures
    if trailer_signature:
        assert found.trailer(sha256(b"x-amz-checksum-crc32c:sOO8/Q==\n").hexdigest()) == trailer_signature


class Pieces:
    """Bytes that come ``size`` at a time."""

    def __init__(self, data, size):
        self.data, self.size = data, size

    def read(self, size):
        taken = min(size, self.size)
        data, self.data = self.data[:taken], self.data[taken:]
        return data


@pytest.mark.parametrize("piece", [1, 7, 1 << 20])
@pytest.mark.parametrize("name", EXAMPLES)
def test_example_as_it_is_sent(name, piece):
    seed, signatures, trailer_signature = EXAMPLES[name]
    heads = [
        f"{size}\r\n".encode()
        for size in (
            f"{n};chunk-signature={s}" for n, s in zip(("10000", "400", "0"), signatures, strict=True)
        )
    ]
    body = heads[0] + BODY[:65536] + b"\r\n" + heads[1] + BODY[65536:] + b"\r\n" + heads[2]
    if trailer_signature:
        body += f"x-amz-checksum-crc32c:sOO8/Q==\r\nx-amz-trailer-signature:{trailer_signature}\r\n".encode()
    body += b"\r\n"
    reader = ChunkedInput(Pieces(body, piece), len(BODY), chain(seed), trailing=trailer_signature is not None)
    found = b"".join(iter(lambda: reader.read(3000), b""))
    assert found == BODY
    hasher = new("crc32c")
    hasher.update(BODY)
    expected = {"x-amz-checksum-crc32c": base64.b64encode(hasher.digest()).decode()}
    assert reader.trailers == (expected if trailer_signature else {})
