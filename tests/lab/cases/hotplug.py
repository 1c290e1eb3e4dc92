# SPDX-License-Identifier: Apache-2.0
"""Hot plug and hot unplug over QMP: a drive comes and goes under a running guest."""

import os
import time

from cases.nvme import SIZE, wait_for_drive
from l1.case import case, check, check_equal
from l1.host import checksum, write_random
from l1.qmp import Qmp

PORT = "pcie-root-port,port=0x0,addr=0x1.0x0,bus=pcie.0,id=pcie.1"
SOCKET = "/tmp/qmp.sock"
NATIVE = ("-global", "pcie-root-port.native-hotplug=on")


def add_words(drive, **more):
    """device_add as the manual writes it."""
    return {"id": "vfio-0", "driver": "vfio-pci", "bus": "pcie.1", "addr": "0x0", "host": drive.bdf, **more}


def resources(vmm):
    """What a plug takes and an unplug must give back."""
    maps = sum("vfio" in line or "anon_inode" in line for line in open(f"/proc/{vmm.pid}/maps"))
    return {"fds": vmm.fd_count(), "threads": len(vmm.threads()), "device maps": maps}


def add(qmp, drive, **more):
    check_equal(qmp.cmd("device_add", add_words(drive, **more), timeout=120), {}, "device_add's return")


def delete(qmp, **more):
    """device_del: the event comes first, then the return, as the manual's transcript shows."""
    check_equal(qmp.cmd("device_del", {"id": "vfio-0", **more}, timeout=60), {}, "device_del's return")
    event = qmp.wait_event("DEVICE_DELETED", timeout=1)
    check_equal(event["data"], {"device": "vfio-0", "path": "vfio-0"}, "DEVICE_DELETED's data")


def cycle(lab, rounds, arguments):
    """Plug, read, unplug, again and again; each round ends with what the first one began with."""
    drive = lab.host.pci("nvme0")
    written = write_random(drive.block_device(), SIZE)
    drive.bind_vfio()
    with lab.vmm(*arguments, "-qmp", f"unix:{SOCKET},server,nowait", devices=[PORT]) as vmm:
        guest, qmp = vmm.guest, Qmp(SOCKET)
        before = None
        for turn in range(rounds):
            start = time.monotonic()
            add(qmp, drive)
            wait_for_drive(guest)
            there = time.monotonic()
            check_equal(guest.checksum("/dev/nvme0n1", SIZE), written, f"what the guest read in round {turn}")
            asked = time.monotonic()
            delete(qmp)
            lab.note(f"round {turn}: plug {there - start:.2f} s, unplug {time.monotonic() - asked:.2f} s")
            guest.wait_true("[ ! -b /dev/nvme0n1 ]", what="the drive to be gone")
            now = resources(vmm)
            before = before or now
            check_equal(now, before, f"what is in use after round {turn}")
        drive.bind_native()
        check_equal(checksum(drive.block_device(), SIZE), written, "what the host reads after the last unplug")
        vmm.poweroff()


@case(vmms=("portcullis",), deadline=400)
def hotplug_acpi(lab):
    """Plug a drive, read it, unplug it, five times, by ACPI."""
    cycle(lab, 5, ())


@case(vmms=("portcullis",), deadline=400)
def hotplug_native(lab):
    """The same by the port's own slot registers (pciehp)."""
    cycle(lab, 2, NATIVE)
