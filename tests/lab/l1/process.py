# SPDX-License-Identifier: Apache-2.0
"""Processes of L1: finding what a case left behind, and telling what a stuck one is doing."""

import os
import pathlib
import shutil
import signal
import time

PROC = pathlib.Path("/proc")


def clear_folder(folder):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def user_processes():
    """Ids of every process but kernel threads, zombies and the agent itself."""
    pids = []
    for path in PROC.glob("[0-9]*"):
        fields = stat_fields(path)
        if fields and int(path.name) not in (1, os.getpid()) and fields["ppid"] != 2 and int(path.name) != 2:
            if fields["state"] not in "ZX":
                pids.append(int(path.name))
    return pids


def stat_fields(path):
    try:
        rest = (path / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return {"state": rest[0], "ppid": int(rest[1])}


def end_all():
    """Kill what is left, and wait until it is gone; returns what it was."""
    pids = user_processes()
    left = [f"{comm(pid)} ({pid})" for pid in pids]
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    end = time.monotonic() + 30
    while user_processes() and time.monotonic() < end:
        _collect()
        time.sleep(0.02)
    return left


def _collect():
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def comm(pid):
    return _read(PROC / str(pid) / "comm").strip()


def describe(pid):
    """Command line and, per thread, what it is called and where in the kernel it waits."""
    folder = PROC / str(pid)
    command = _read(folder / "cmdline").replace("\0", " ").strip()
    rows = [f"process {pid}: {command}"]
    for task in sorted(folder.glob("task/*")):
        rows.append(f"  thread {task.name} {_read(task / 'comm').strip()}: wchan {_read(task / 'wchan').strip()}, "
                    f"syscall {_read(task / 'syscall').strip()}")
        rows += [f"      {row}" for row in _read(task / "stack").splitlines()]
    return "\n".join(rows) + "\n"


def _read(path):
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
