"""Memory that processes share by a file descriptor, and that has no name."""

from __future__ import annotations

import os
import tempfile


def unnamed_memory(size: int) -> int:
    """The file descriptor of so many bytes, all zero, for a child process to inherit."""
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("flight")
    else:  # macOS
        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    os.ftruncate(fd, size)
    return fd
