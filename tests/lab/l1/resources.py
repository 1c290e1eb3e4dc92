# SPDX-License-Identifier: Apache-2.0
"""What a VMM has taken of its host, from the kernel's accounts: its own might leave out what it has forgotten."""

import pathlib
import re
import subprocess

from l1.case import Failure

TRACING = pathlib.Path("/sys/kernel/tracing")
EVENT = "lab/memslot"


def _vmstat(name):
    pathlib.Path("/proc/sys/vm/stat_refresh").read_text()   # or each processor's share comes a second later
    return int(re.search(rf"^{name} (\d+)", pathlib.Path("/proc/vmstat").read_text(), re.M)[1])


class Memslots:
    """Counts KVM's memslots from now on: each call that sets one is seen, size 0 takes it away.

    `missing` says why where the kernel cannot tell.
    """

    missing = ""

    def __enter__(self):
        self._sizes = {}
        try:
            self._start()
        except (Failure, OSError, subprocess.CalledProcessError) as error:
            self.missing = str(error)
        return self

    def _start(self):
        if not (TRACING / "kprobe_events").exists():
            subprocess.run(["/bin/mount", "-t", "tracefs", "tracefs", str(TRACING)], check=True)
        if (TRACING / "events" / EVENT).exists():   # of a case that was killed
            self._stop()
        (TRACING / "trace").write_text("")
        self._write("kprobe_events", f"p:{EVENT} __kvm_set_memory_region slot=+0(%si):u32 size=+16(%si):u64")
        (TRACING / "events" / EVENT / "enable").write_text("1")
        (TRACING / "tracing_on").write_text("1")

    @staticmethod
    def _write(name, text):
        try:
            with open(TRACING / name, "ab", buffering=0) as file:
                file.write(text.encode() + b"\n")
        except OSError as error:
            raise Failure(f"{text!r} into {name}: {error}: {(TRACING / 'error_log').read_text()}") from None

    def __exit__(self, *_):
        if not self.missing:
            self._stop()

    def _stop(self):
        (TRACING / "events" / EVENT / "enable").write_text("0")
        self._write("kprobe_events", f"-:{EVENT}")

    def count(self):
        """Slots that were added since and are still there (those of before are not known)."""
        if self.missing:
            return 0
        text = (TRACING / "trace").read_text()
        (TRACING / "trace").write_text("")
        for slot, size in re.findall(r"memslot:.* slot=(\d+) size=(\d+)", text):
            self._sizes[int(slot)] = int(size)
        return sum(size > 0 for size in self._sizes.values())


def taken(vmm, memslots=None):
    """Fds, threads, device memory mapped; memory pinned for DMA, by the VMM's account and by the host's."""
    maps = pathlib.Path(f"/proc/{vmm.pid}/maps").read_text()
    return {"fds": vmm.fd_count(), "threads": len(vmm.threads()), "maps of the device": maps.count("vfio"),
            "KiB locked": vmm.memory_kib("VmLck"), "KiB pinned": vmm.memory_kib("VmPin"),
            "pages the host holds pinned": _vmstat("nr_foll_pin_acquired") - _vmstat("nr_foll_pin_released"),
            "memslots more": memslots.count() if memslots else 0}


class Scheduling:
    """How long a process's main thread was kept from running since this was made."""

    def __init__(self, pid):
        self._path = pathlib.Path(f"/proc/{pid}/task/{pid}/sched")
        pathlib.Path("/proc/sys/kernel/sched_schedstats").write_text("1")
        self._path.write_text("0")

    def longest(self):
        """Milliseconds: wait_max for a processor, block_max asleep in the kernel other than of its own accord."""
        text = self._path.read_text()
        return {name: float(re.search(rf"{name}\s*:\s*([\d.]+)", text)[1]) for name in ("wait_max", "block_max")}
