# SPDX-License-Identifier: Apache-2.0
"""portcullis and QEMU side by side on the instruction clock: `make bench`."""

import os
import statistics
import time

from cases.hotplug import PORT, SOCKET, add_words
from cases.nvme import SIZE
from l1.case import case, check, check_equal
from l1.host import write_random
from l1.qmp import Qmp

ROUNDS = 2          # that count; figures differ by a thousandth between them
TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid):
    """User and system time of a process, the guest's included."""
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def one_life(lab, kind, drive):
    """Boot with an empty port, plug the drive, read it, unplug it: what each of these took."""
    took = {}
    start = time.monotonic()
    with lab.vmm("-qmp", f"unix:{SOCKET},server,nowait", kind=kind, memory="512M", devices=[PORT]) as vmm:
        took["start to user space"] = time.monotonic() - start
        took["the same, processor time"] = cpu_seconds(vmm.pid)
        qmp = Qmp(SOCKET)
        for turn in ("first", "second"):
            start = time.monotonic()
            qmp.cmd("device_add", add_words(drive))
            took[f"{turn} device_add"] = time.monotonic() - start
            # The guest looks every 2 ms, without a process of its own for each look.
            vmm.guest.check("until read -r x </sys/class/block/nvme0n1/size; do usleep 2000; done 2>/dev/null")
            took[f"{turn} device_add to the guest's drive"] = time.monotonic() - start
            start = time.monotonic()
            check_equal(vmm.guest.checksum("/dev/nvme0n1", SIZE), drive.written, "what the guest read")
            took[f"{turn} read and checksum"] = time.monotonic() - start
            start = time.monotonic()
            qmp.cmd("device_del", {"id": "vfio-0"})
            event = qmp.wait_event("DEVICE_DELETED", device="vfio-0")
            took[f"{turn} device_del to DEVICE_DELETED"] = event["at"] - start
            vmm.guest.check("while [ -e /sys/class/block/nvme0n1 ]; do usleep 2000; done")
        start = time.monotonic()
        vmm.guest.send_only("sync; poweroff -f")
        os.waitid(os.P_PID, vmm.pid, os.WEXITED | os.WNOWAIT)   # wait_exit() looks every 50 ms
        took["poweroff to the end of the process"] = time.monotonic() - start
    return took


@case(host="clock", deadline=3600, vmms=("portcullis",), by_name_only=True)
def bench(lab):
    """What a boot, a plug and an unplug cost, in instructions, beside QEMU."""
    drive = lab.host.pci("nvme0")
    drive.written = write_random(drive.block_device(), SIZE)
    drive.bind_vfio()
    figures = {"portcullis": [], "qemu": []}
    for turn in range(ROUNDS + 1):
        for kind, lives in figures.items():
            life = one_life(lab, kind, drive)
            lab.l0.say(f"    round {turn} of {ROUNDS}, {kind}: {life['start to user space']:.3f} s to user space")
            if turn:        # the first of each warms every file
                lives.append(life)
    lab.l0.say(f"    {'seconds of 500 million instructions':40} {'portcullis':>10} {'qemu':>10} {'ratio':>6}")
    worse = []
    for what in figures["qemu"][0]:
        ours, theirs = (statistics.median(life[what] for life in figures[kind]) for kind in ("portcullis", "qemu"))
        lab.l0.say(f"    {what:40} {ours:10.3f} {theirs:10.3f} {ours / theirs:6.2f}")
        if ours > theirs * 1.02:
            worse.append(what)
    check(not worse, f"slower than QEMU: {worse}")
