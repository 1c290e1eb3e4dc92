# SPDX-License-Identifier: Apache-2.0
"""Where things are. Downloads and built images live outside the tree, so `make clean` costs nothing."""

import contextlib
import fcntl
import os
import pathlib
import shutil
import tempfile

LAB = pathlib.Path(__file__).resolve().parent.parent
REPO = LAB.parent.parent
OUTPUT = REPO / "build" / "lab"
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "portcullis"


def make_once(target, build):
    """Make `target` in the cache by calling build(path), unless it exists.

    Atomic (the target appears whole or not at all) and safe against another run doing the same: the
    second one waits for the first and finds the work done. build() may make a file or a directory.
    """
    target = pathlib.Path(target)
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with lock(target.with_name(target.name + ".lock")):
        if not target.exists():
            scratch = pathlib.Path(tempfile.mkdtemp(prefix=".new-", dir=target.parent))
            try:
                build(scratch / "x")
                os.rename(scratch / "x", target)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
    return target


@contextlib.contextmanager
def lock(path):
    with open(path, "w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
