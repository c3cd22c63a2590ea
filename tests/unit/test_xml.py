"""The XML edge: what is written parses, what is read is guarded."""

import time
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3shim.errors import Code, S3Error
from s3shim.times import timestamp
from s3shim.wire import xml

characters = st.text(alphabet=st.characters(exclude_categories=["Cs"]))


@given(characters)
def test_text_is_well_formed_and_keeps_what_xml_can_hold(value):
    parsed = ET.fromstring(xml.DECLARATION + f"<a>{xml.text(value)}</a>").text or ""
    assert parsed == xml.ILLEGAL.sub("\ufffd", value)


@given(characters)
def test_url_encoding_is_plain_ascii_and_comes_back(value):
    from urllib.parse import unquote, unquote_plus

    encoded = xml.url_encoded(value)
    assert encoded.isascii()
    assert unquote(encoded) == unquote_plus(encoded) == value


names = st.lists(
    st.text(
        alphabet=st.sampled_from("ab/*-._~ +%&<>\"'\r\n\t\x00\x1f\x7f\x85é\uffe5\ufffd\ufffe\uffff\U0001f600")
    )
)


@given(names, st.booleans())
def test_names_of_a_page_are_written_as_each_by_itself(values, encode):
    assert xml.listed_names(values, encode) == [
        xml.text(xml.url_encoded(v)) if encode else xml.text(v) for v in values
    ]


@given(names)
def test_a_page_is_unfit_where_a_name_is(values):
    assert xml.unfit(values) == any(xml.ILLEGAL.search(value) is not None for value in values)


def test_timestamp_has_milliseconds():
    assert timestamp(0) == "1970-01-01T00:00:00.000Z"
    assert timestamp(1_700_000_000_007) == "2023-11-14T22:13:20.007Z"
    assert timestamp(4_102_444_800_000) == "2100-01-01T00:00:00.000Z"


@pytest.mark.parametrize("namespace", ["", f' xmlns="{xml.NAMESPACE}"'])
def test_parse_keeps_blanks_and_drops_the_namespace(namespace):
    document = f"<Delete{namespace}><Key> lead </Key><Empty></Empty></Delete>".encode()
    assert xml.parse(document, "Delete")["Key"] == " lead "
    assert xml.parse(document, "Delete")["Empty"] is None


BOMB = b"""<!DOCTYPE lolz [<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]><Root>&b;</Root>"""
EXTERNAL = b"""<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]><Root>&x;</Root>"""


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"x",
        b"<Root>",
        b"<Root></Other>",
        b"<Other/>",
        b"<Root/><Root/>",
        b"<Root>\xff</Root>",
        b"<Root>&#1;</Root>",
        BOMB,
        EXTERNAL,
        b"<Root>" + b"<a>" * 10_000 + b"</a>" * 10_000 + b"</Root>",
        b"<Root>" + b"<a/>" * 110_000 + b"</Root>",
    ],
)
def test_parse_refuses(document):
    began = time.process_time()
    with pytest.raises(S3Error) as raised:
        xml.parse(document, "Root")
    assert raised.value.code is Code.MalformedXML
    # A bound against runaway work, not a measure of speed.
    assert time.process_time() - began < 2


@pytest.mark.parametrize(
    "encoding", ["fnord", "utf-7", "shift_jis", "big5", "rot13", "undefined", "idna", "hex"]
)
def test_parse_refuses_encodings_that_it_cannot_read(encoding):
    document = f'<?xml version="1.0" encoding="{encoding}"?><Root><a/></Root>'.encode()
    with pytest.raises(S3Error) as raised:
        xml.parse(document, "Root")
    assert raised.value.code is Code.MalformedXML


@pytest.mark.parametrize("encoding", ["UTF-8", "utf-16", "ISO-8859-1", "cp1252"])
def test_parse_reads_the_encoding_that_is_declared(encoding):
    document = f'<?xml version="1.0" encoding="{encoding}"?><Root><Key>é</Key></Root>'.encode(encoding)
    assert xml.parse(document, "Root") == {"Key": "é"}
