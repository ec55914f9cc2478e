"""What can be wrong with a recording before it begins."""

from __future__ import annotations

import errno
import resource
from pathlib import Path

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""Error numbers of a disk that takes no more."""


class NoRoomError(OSError):
    """A recording cannot begin: there is no room for it.

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
