import codecs

import pytest

from recolor_cli.system.texts import decode_text, to_utf8

MARKED = ["utf-8-sig", "utf-16", "utf-32"]


@pytest.mark.parametrize("encoding", [*MARKED, "utf-8", "utf-16-le", "utf-16-be", "utf-32-be"])
@pytest.mark.parametrize("text", ["[]", "aß€😀\r\n"])
def test_a_text_is_the_same_in_every_encoding(encoding, text):
    if text.startswith("[") or encoding in (*MARKED, "utf-8"):
        assert decode_text(text.encode(encoding)) == text


def test_a_text_with_a_mark_of_the_other_order():
    assert decode_text(codecs.BOM_UTF16_BE + "ß".encode("utf-16-be")) == "ß"
    assert decode_text(b"") == ""
    assert decode_text(b"a") == "a"


@pytest.mark.parametrize("data", [b"\xe9t\xe9", codecs.BOM_UTF16_LE + b"a", b"\xff\xff"])
def test_other_bytes_are_no_text(data):
    with pytest.raises(ValueError, match="no text in UTF-8 or UTF-16"):
        decode_text(data)
    assert decode_text(data, "replace")


@pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
@pytest.mark.parametrize("encoding", [*MARKED, "utf-8"])
def test_chunks_become_utf8(encoding, size):
    text = "scans/ß 1.jpg\n😀.png\n"
    data = text.encode(encoding)
    chunks = [data[start : start + size] for start in range(0, len(data), size)]
    assert b"".join(to_utf8(chunks)).decode() == text


def test_chunks_without_a_mark_need_not_be_text_and_come_at_once():
    chunks = iter([b"\xe9.jpg\n", b"b"])
    converted = to_utf8(chunks)
    assert next(converted) == b"\xe9.jpg\n"
    assert next(chunks) == b"b"  # it was not asked for yet
    assert b"".join(to_utf8([])) == b""


def test_a_list_that_is_cut_off_within_a_character():
    with pytest.raises(ValueError, match="byte order mark"):
        list(to_utf8(["ab".encode("utf-16")[:-1]]))
