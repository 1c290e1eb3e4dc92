# SPDX-License-Identifier: Apache-2.0
"""Situations of device_del, and hosts that want a device back: each has its answer (docs/hotplug.md)."""

import time

from cases.hotplug import NATIVE, OURS, SOCKET, add, add_words, delete, device, drive_gone, machine, read_drive, refused
from cases.nvme import SIZE
from l1.case import case, check, check_equal
from l1.host import checksum, wait_for
from l1.qmp import Qmp, QmpError
from l1.resources import taken


def force_and_replace(vmm, qmp, drive):
    """The card is pulled; the guest notices, and finds the next one."""
    delete(qmp, force=True)
    check_equal(vmm.guest.check("echo alive"), "alive", "the guest's answer")
    add(qmp, drive)
    drive_returns(vmm, drive)


def drive_returns(vmm, drive):
    """A drive that is not the one before: that may linger while the guest finds out."""
    vmm.guest.wait_true("head -c 4096 /dev/nvme0n1 >/dev/null || head -c 4096 /dev/nvme1n1 >/dev/null", timeout=60,
                        what="a drive that can be read")
    node = vmm.guest.check("ls /dev/nvme*n1 | tail -n 1").strip()
    check_equal(vmm.guest.checksum(node, SIZE), drive.written, "what the guest read")


@case(vmms=OURS, deadline=300)
def unplug_by_force(lab):
    """Forced, the card is pulled: the guest lives, lets go of it, and finds the next card in the slot."""
    with machine(lab) as (vmm, qmp, drive):
        add(qmp, drive)
        read_drive(vmm, drive)
        force_and_replace(vmm, qmp, drive)
        # And while it is in full use.
        vmm.guest.check("(dd if=$(ls /dev/nvme*n1 | tail -n 1) of=/dev/null bs=1M iflag=direct 2>/dev/null) >/dev/null &")
        force_and_replace(vmm, qmp, drive)
        delete(qmp)
        vmm.poweroff()


@case(vmms=OURS, deadline=300)
def slot_native(lab):
    """pciehp: the guest switches the slot off, which gives the device back, and on again; then a card is pulled."""
    with machine(lab, *NATIVE) as (vmm, qmp, drive):
        add(qmp, drive)
        read_drive(vmm, drive)
        vmm.guest.check("for p in /sys/bus/pci/slots/*/power; do echo 0 >$p; done")
        qmp.wait_event("DEVICE_DELETED", timeout=30, device="vfio-0")
        check(device(qmp) is None, "query-vfio still shows the device")
        status, _ = vmm.guest.run("for p in /sys/bus/pci/slots/*/power; do echo 1 >$p; done")
        check(status != 0, "the guest could switch an empty slot on")
        add(qmp, drive)
        read_drive(vmm, drive)
        delete(qmp, force=True)
        drive_gone(vmm)
        add(qmp, drive)
        read_drive(vmm, drive)
        vmm.poweroff()


@case(vmms=OURS, deadline=300)
def unplug_without_os(lab):
    """A guest whose kernel has panicked: error in time; a reset or force ends what it does not."""
    with machine(lab, append="panic=0") as (vmm, qmp, drive):
        add(qmp, drive, **{"unplug-timeout": 6})
        read_drive(vmm, drive)
        vmm.guest.send_only("echo c >/proc/sysrq-trigger")
        vmm.guest.wait_for("end Kernel panic", 60, "a panic")
        refused(qmp, "device_del", {"id": "vfio-0"}, "requested")
        qmp.wait_event("DEVICE_UNPLUG_GUEST_ERROR", timeout=1)
        other = Qmp(SOCKET)
        qmp.start("device_del", {"id": "vfio-0"})
        wait_for(lambda: device(other)["stage"] == "requested", 10, "the stage 'requested'")
        other.cmd("system_reset")
        qmp.answer(timeout=30)
        qmp.wait_event("DEVICE_DELETED", timeout=1)
        vmm.guest.wait_ready()
        # And while the machine is being reset.
        add(qmp, drive)
        read_drive(vmm, drive)
        other.start("system_reset")
        qmp.cmd("device_del", {"id": "vfio-0"}, timeout=30)
        other.answer()
        vmm.guest.wait_ready()
        check(device(qmp) is None, "query-vfio still shows the device")
        add(qmp, drive)
        read_drive(vmm, drive)
        vmm.poweroff()


@case(vmms=OURS, deadline=400)
def adding_ends_early(lab):
    """While a first device is added to a 2 GiB guest: device_del ends that, and so does quit; the host is as before."""
    with machine(lab, memory="2G") as (vmm, qmp, drive):
        other, first = Qmp(SOCKET), taken(vmm)
        qmp.start("device_add", add_words(drive))
        wait_for(lambda: device(other), 10, "the device in query-vfio")
        start = time.monotonic()
        other.cmd("device_del", {"id": "vfio-0"}, timeout=60)
        deleted = time.monotonic() - start
        try:
            qmp.answer(timeout=30)
            lab.note("device_add was quicker than device_del")
        except QmpError as error:
            check("taken away" in str(error) or "cancelled" in str(error), f"device_add says: {error}")
        check(device(other) is None, "query-vfio still shows the device")
        check_equal(taken(vmm), first, "what is in use afterwards")
        qmp.start("device_add", add_words(drive))
        wait_for(lambda: (device(other) or {}).get("stage") == "attached", 10, "the stage 'attached'")
        start = time.monotonic()
        other.cmd("quit")
        check_equal(vmm.wait_exit(30), 0, "exit status")
        lab.note(f"device_del answered after {deleted:.2f} s, gone {time.monotonic() - start:.2f} s after quit")
    drive.bind_native()
    check_equal(checksum(drive.block_device(), SIZE), drive.written, "what the host reads")


@case(vmms=OURS, deadline=300)
def host_pulls_the_device(lab):
    """The host's driver lets go of the device, then it is pulled out of the host: the guest is asked, and lets go."""
    with machine(lab) as (vmm, qmp, drive):
        add(qmp, drive)
        read_drive(vmm, drive)
        with open("/sys/bus/pci/drivers/vfio-pci/unbind", "w") as unbind:
            unbind.write(drive.bdf)     # returns when it is free
        qmp.wait_event("DEVICE_DELETED", timeout=5, device="vfio-0")
        drive_gone(vmm)
        drive.bind_vfio()
        add(qmp, drive)
        read_drive(vmm, drive)
        lab.l0.pull("nvme0")
        try:
            qmp.wait_event("DEVICE_DELETED", timeout=60, device="vfio-0")
            drive_gone(vmm)
            check_equal(vmm.guest.check("echo alive"), "alive", "the guest's answer")
            wait_for(lambda: not drive.path.exists(), 30, "the host to have lost the device")
        finally:
            lab.l0.push_back("nvme0")
            wait_for(drive.path.exists, 30, "the device to be back in the host")
        drive.block_device()
        drive.bind_vfio()
        add(qmp, drive)
        read_drive(vmm, drive)
        vmm.poweroff()
