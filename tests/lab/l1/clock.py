# SPDX-License-Identifier: Apache-2.0
"""Time for deadlines: the wall's, less what L0 says was taken from L1 by others on the machine.

See labkit/steal.py. The agent keeps the figure in a file that every process here has mapped.
"""

import mmap
import pathlib
import struct
import time

_PATH = pathlib.Path("/run/lab/stolen")
_map = None


def _shared():
    global _map
    if _map is None:
        _PATH.parent.mkdir(parents=True, exist_ok=True)
        with open(_PATH, "a+b") as file:
            file.truncate(mmap.PAGESIZE)
            _map = mmap.mmap(file.fileno(), mmap.PAGESIZE)
    return _map


def set_stolen(seconds):
    # A slice is copied by one store; pack_into would let a reader see the zeroes it starts with.
    _shared()[0:8] = struct.pack("<d", seconds)


def now():
    return time.monotonic() - struct.unpack("<d", _shared()[0:8])[0]
