"""The checksums by published values."""

import pytest

from s3shim import checksums

# Of "123456789": the check values of the CRC catalogue, FIPS 180 and RFC 1321 by hashlib's documentation,
# xxHash by its specification's reference implementation.
CHECK = {
    "crc32": "cbf43926",
    "crc32c": "e3069283",
    "crc64nvme": "ae8b14860a799888",
    "md5": "25f9e794323b453885f5181f1b624d0b",
    "sha1": "f7c3bc1d808e04732adf679965ccc34ca7ae3441",
    "sha256": "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225",
    "xxhash64": "8cb841db40e6ae83",
}

# Of no bytes at all.
EMPTY = {
    "xxhash64": "ef46db3751d8e999",
    "xxhash3": "2d06800538d394c2",
    "xxhash128": "99aa06d3014798d86001c324468d497f",
}


def digest(algorithm, *pieces):
    hasher = checksums.new(algorithm)
    for piece in pieces:
        hasher.update(piece)
    return hasher.digest()


@pytest.mark.parametrize("algorithm", CHECK)
def test_check_value(algorithm):
    assert digest(algorithm, b"123456789").hex() == CHECK[algorithm]
    assert digest(algorithm, b"1234", b"", b"56789").hex() == CHECK[algorithm]


@pytest.mark.parametrize("algorithm", EMPTY)
def test_of_nothing(algorithm):
    assert digest(algorithm).hex() == EMPTY[algorithm]


@pytest.mark.parametrize("algorithm", checksums.SIZES)
def test_size(algorithm):
    assert len(digest(algorithm, b"abc")) == checksums.SIZES[algorithm]
    assert checksums.decode(algorithm, checksums.encode(digest(algorithm, b"abc"))) == digest(
        algorithm, b"abc"
    )
