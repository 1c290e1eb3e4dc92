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
    struct.pack_into("<d", _shared(), 0, seconds)


def now():
    return time.monotonic() - struct.unpack_from("<d", _shared(), 0)[0]
