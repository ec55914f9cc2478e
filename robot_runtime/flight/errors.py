"""What can be wrong with a recording before it begins."""

from __future__ import annotations

import errno
import resource
from pathlib import Path

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""Error numbers of a disk that takes no more."""


class CannotRecordError(OSError):
    """A recording cannot begin.

    Example scenarios:
        - Its folder is a file, or this user may not write there.
    """

    @classmethod
    def into(cls, error: OSError, folder: Path) -> CannotRecordError:
        """From what the system said about recording into this folder."""
        return cls(f"{why_not_into(error, folder)}; the recording cannot begin: name another folder with --record")


def why_not_into(error: OSError, folder: Path) -> str:
    """What keeps recordings out of a folder, for messages."""
    if isinstance(error, FileExistsError | NotADirectoryError):
        file = next((path for path in (folder, *folder.parents) if path.is_file()), folder)
        return f"{file} is a file, not a folder"
    return f"{folder}: {error.strerror}"


class NoRoomError(CannotRecordError):
    """There is no room for it.

    Example scenarios:
        - The disk is full, or its user's share of it is used up.
        - Files may only be so large (`ulimit -f`), less than a recording needs to begin.
    """

    @classmethod
    def of(cls, error: OSError, path: Path) -> NoRoomError:
        """From what the system said about a recording at `path`."""
        if error.errno == errno.EFBIG:
            most = resource.getrlimit(resource.RLIMIT_FSIZE)[0] / 1e6
            why = f"files may be no larger than {most:.3g} MB here; lift that limit with 'ulimit -f unlimited'"
        else:
            why = f"{error.strerror}; make room on that disk, or record on another"
        return cls(f"{path}: the recording cannot begin: {why}")
