from __future__ import annotations

import pytest

from omnivec2.errors import UndecodableError, UnsupportedMediaTypeError
from omnivec2.preprocess.imu import ImuParameters, ImuPreprocessor


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (b"PAR1xxxx", "application/vnd.apache.parquet"),
        (b'\xef\xbb\xbf {"a": [1]}', "application/json"),
        (b"[1, 2]", "application/json"),
        (b"a,b\n1,2\n", "text/csv"),
        (b"\x89PNG\r\n\x1a\n", None),
    ],
)
def test_content_types_are_detected_by_the_first_bytes(data, media_type):
    assert ImuPreprocessor(ImuParameters()).sniff(data) == media_type


@pytest.mark.parametrize("data", [b"", b" \n", b"\x89PNG\r\n\x1a\n"])
def test_bytes_that_are_no_table_are_undecodable(data):
    with pytest.raises(UndecodableError):
        ImuPreprocessor(ImuParameters()).decode(data)


def test_other_media_types_are_unsupported():
    with pytest.raises(UnsupportedMediaTypeError, match="CSV, Parquet, JSON"):
        ImuPreprocessor(ImuParameters()).decode(b"x", "image/png")
