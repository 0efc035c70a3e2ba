from __future__ import annotations

import errno
import os

import pytest

from omnivec2.errors import ModelNotReadyError, UndecodableError
from omnivec2.preprocess.formats.guards.decoding_guard import undecodable


@pytest.mark.parametrize("fault", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE])
def test_a_file_that_the_service_cannot_write_is_no_fault_of_the_input(fault: int) -> None:
    with pytest.raises(ModelNotReadyError, match=os.strerror(fault)), undecodable("PNG"):
        raise OSError(fault, os.strerror(fault))


@pytest.mark.parametrize(
    "error", [OSError("cannot identify"), OSError(errno.EIO, "from FFmpeg"), ValueError()]
)
def test_what_a_codec_cannot_read_is_undecodable(error: Exception) -> None:
    with pytest.raises(UndecodableError, match="PNG"), undecodable("PNG"):
        raise error
