# SPDX-License-Identifier: Apache-2.0
"""What a VMM has taken of its host, from the kernel's accounts: its own might leave out what it has forgotten."""

import pathlib
import re


def _vmstat(name):
    pathlib.Path("/proc/sys/vm/stat_refresh").read_text()   # or each processor's share comes a second later
    return int(re.search(rf"^{name} (\d+)", pathlib.Path("/proc/vmstat").read_text(), re.M)[1])


def taken(vmm):
    """Fds, threads, device memory mapped; memory pinned for DMA, by the VMM's account and by the host's."""
    maps = pathlib.Path(f"/proc/{vmm.pid}/maps").read_text()
    return {"fds": vmm.fd_count(), "threads": len(vmm.threads()), "maps of the device": maps.count("vfio"),
            "KiB locked": vmm.memory_kib("VmLck"), "KiB pinned": vmm.memory_kib("VmPin"),
            "pages the host holds pinned": _vmstat("nr_foll_pin_acquired") - _vmstat("nr_foll_pin_released")}


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
