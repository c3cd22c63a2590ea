"""The reader of forms: bounded memory, and a list of fields that is the table's."""

import tracemalloc

from s3shim.routes.model import load
from s3shim.routes.table import TABLE
from s3shim.wire.form import FormInput
from s3shim.wire.form_fields import HONOURED

SIGNATURE = {"x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-signature"}
HEAD = (
    b'--b\r\nContent-Disposition: form-data; name="key"\r\n\r\nk\r\n'
    b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\n'
)


class Source:
    """A form whose file is ``size`` bytes of the same pattern, made as it is read."""

    def __init__(self, size, pattern):
        self.left = size
        self.pattern = pattern
        self.pending = HEAD

    def read(self, size):
        if self.pending:
            data, self.pending = self.pending[:size], self.pending[size:]
            return data
        if self.left > 0:
            data = (self.pattern * (size // len(self.pattern) + 1))[: min(size, self.left)]
            self.left -= len(data)
            if self.left == 0:
                self.pending = b"\r\n--b--\r\n"
            return data
        return b""


def test_a_large_file_passes_through_little_memory():
    size = 64 << 20
    for pattern in (b"x", b"\r\n--"):
        form = FormInput(b"b")
        assert form.read_fields(Source(size, pattern)).fields == {"key": "k"}
        tracemalloc.start()
        read = 0
        while data := form.read(1 << 20):
            read += len(data)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert read == size
        assert peak < 6 << 20


def test_the_table_names_the_fields():
    """docs/operations.md is made of the table; what is honoured is in the code."""
    row = next(row for row in TABLE if row.name == "PostObject")
    members = load().operations["PostObject"].members.values()
    told = {member.wire for member in members if member.name in row.honours and member.place == "form"}
    # A bucket field and the older name of the redirection are taken without being told.
    assert told == (HONOURED - SIGNATURE - {"bucket", "redirect"}) | {"x-amz-meta-"}
