# SPDX-License-Identifier: Apache-2.0
"""Hot plug of more than a drive: several functions, huge BARs, and devices that cannot be had at first."""

import os
import resource

from cases.bad_devices import MIB, NOBODY
from cases.hotplug import OURS, PORT, SOCKET, add_words, device, read_drive, refused
from cases.nvme import SIZE
from l1.case import case, check, check_equal
from l1.host import write_random
from l1.qmp import Qmp
from l1.resources import taken

SECOND_PORT = "pcie-root-port,port=0x1,addr=0x2.0x0,bus=pcie.0,id=pcie.2"


def read_by_serial(vmm, drive):
    """The guest's drive with this serial number has what was written in the host."""
    node = vmm.guest.wait_true(f"n=; for c in /sys/class/nvme/*; do [ $(cat $c/serial) = {drive.name} ] && "
                               "n=/dev/${c##*/}n1; done; [ -b \"$n\" ] && echo $n", what=f"the drive {drive.name}")
    node = node.strip()
    check_equal(vmm.guest.checksum(node, SIZE), drive.written, f"what the guest read of {drive.name}")


def functions(lab, *arguments):
    pair = [lab.host.pci("pair0"), lab.host.pci("pair1")]
    for drive in pair:
        drive.written = write_random(drive.block_device(), SIZE)
    for drive in pair:
        drive.bind_vfio()
    words = [add_words(drive, id=f"f{i}", addr=f"0x0.{i}") for i, drive in enumerate(pair)]
    words[0]["multifunction"] = True
    with lab.vmm("-qmp", f"unix:{SOCKET},server,nowait", *arguments, devices=[PORT]) as vmm:
        qmp, other = Qmp(SOCKET), Qmp(SOCKET)
        before, first = vmm.guest.pci_devices(), taken(vmm)
        for asked in (["f1"], ["f0", "f1"]):
            qmp.cmd("device_add", words[1])
            check_equal(vmm.guest.pci_devices(), before, "what the guest sees of function 1 alone")
            qmp.cmd("device_add", words[0])
            for drive in pair:
                read_by_serial(vmm, drive)
            # Whichever is asked for, both go: each with its event, each command with its answer.
            for client, name in zip((qmp, other), asked):
                client.start("device_del", {"id": name})
            for client, _ in zip((qmp, other), asked):
                check_equal(client.answer()["return"], {}, "device_del's return")
            for name in ("f0", "f1"):
                qmp.wait_event("DEVICE_DELETED", timeout=10, device=name)
            check(not qmp.cmd("query-vfio"), "query-vfio still shows a device")
            vmm.guest.wait_true("[ -z \"$(ls /sys/class/nvme)\" ]", what="the drives to be gone")
            check_equal(taken(vmm), first, "what is in use afterwards")
        # A function that comes after function 0 would not be found.
        qmp.cmd("device_add", words[0])
        refused(qmp, "device_add", words[1], "function 0")
        vmm.poweroff()


@case(vmms=OURS, deadline=300)
def hotplug_functions(lab):
    """Two functions of one IOMMU group in one slot: seen when function 0 comes, gone together."""
    functions(lab)


@case(vmms=OURS, deadline=300)
def hotplug_functions_native(lab):
    """The same by the port's own slot registers."""
    functions(lab, "-global", "pcie-root-port.native-hotplug=on")


def bars(guest, bdf):
    """(start, size) of each BAR that has an address in the guest."""
    rows = guest.check(f"cat /sys/bus/pci/devices/{bdf}/resource").splitlines()[:6]
    ends = [[int(word, 16) for word in row.split()] for row in rows]
    return [(start, end - start + 1) for start, end, _ in ends if start]


@case(host="big-bar", vmms=OURS, deadline=300)
def hotplug_big_bar(lab):
    """Devices with BARs of 16 GiB are plugged: the guest gives them addresses, and reads what it writes there."""
    big, shared = lab.host.pci("big0"), lab.host.pci("shared0")
    big.bind_vfio()
    shared.bind_vfio()
    with lab.vmm("-qmp", f"unix:{SOCKET},server,nowait", devices=[PORT, SECOND_PORT]) as vmm:
        qmp, guest = Qmp(SOCKET), vmm.guest
        for drive, bus, bdf in ((big, "pcie.1", "0000:01:00.0"), (shared, "pcie.2", "0000:02:00.0")):
            qmp.cmd("device_add", add_words(drive, id=drive.name, bus=bus), timeout=120)
            guest.wait_true(f"[ -e /sys/bus/pci/devices/{bdf} ]", what=f"{drive} in the guest")
            largest = max(bars(guest, bdf), key=lambda bar: bar[1])
            check_equal(largest[1], 16 << 30, "the size of its largest BAR in the guest")
            check_equal(largest[0] % largest[1], 0, "its address's remainder")
        guest.check("echo 1 >/sys/bus/pci/devices/0000:02:00.0/enable")
        for place in (0, 8 << 30, (16 << 30) - 8):
            guest.check(f"devmem {largest[0] + place:#x} 32 {0x600d0000 + (place >> 30):#x}")
        for place in (0, 8 << 30, (16 << 30) - 8):
            check_equal(int(guest.check(f"devmem {largest[0] + place:#x} 32"), 16), 0x600d0000 + (place >> 30),
                        f"what the guest reads {place >> 30} GiB into the BAR")
        areas = [area for bar in device(qmp, "shared0")["bars"] for area in bar["areas"] if area["size"] > MIB]
        check_equal([area["access"] for area in areas], ["mapped"], "how the guest reaches the BAR")
        for drive in (big, shared):
            qmp.cmd("device_del", {"id": drive.name})
        check_equal([bdf for bdf in guest.pci_devices() if not bdf.startswith("0000:00:")], [], "devices left")
        vmm.poweroff()


@case(vmms=OURS, deadline=300)
def hotplug_once_the_cause_is_gone(lab):
    """A device_add that fails takes nothing; the same words work once the cause is gone."""
    drive, first, second = lab.host.pci("nvme0"), lab.host.pci("pair0"), lab.host.pci("pair1")
    drive.written = write_random(drive.block_device(), SIZE)
    drive.bind_vfio()
    first.bind_vfio()
    os.chmod("/dev/kvm", 0o666)
    for node in (drive.group_node, first.group_node):
        os.chown(node, 1000, 1000)
    little, enough = 64 * MIB, 400 * MIB
    with lab.vmm("-qmp", f"unix:{SOCKET},server,nowait", devices=[PORT, SECOND_PORT], prefix=NOBODY,
                 limits=[(resource.RLIMIT_MEMLOCK, (little, enough))]) as vmm:
        qmp = Qmp(SOCKET)
        before = taken(vmm)
        words = add_words(drive)

        def fails(words, mentions):
            refused(qmp, "device_add", words, mentions)
            check_equal(taken(vmm), before, f"what is in use after a failure ({mentions})")
            check(not qmp.cmd("query-vfio"), "query-vfio shows a device that could not be added")

        fails(words, "MEMLOCK")
        resource.prlimit(vmm.pid, resource.RLIMIT_MEMLOCK, (enough, enough))
        drive.bind_native()
        fails(words, "vfio-pci")
        drive.block_device()
        drive.bind_vfio()
        os.chmod(drive.group_node, 0o600)
        os.chown(drive.group_node, 0, 0)
        fails(words, str(drive.group_node))
        os.chown(drive.group_node, 1000, 1000)
        qmp.cmd("device_add", words)
        read_drive(vmm, drive)
        qmp.cmd("device_del", {"id": "vfio-0"})
        pair = add_words(first, id="pair", bus="pcie.2")
        fails(pair, second.bdf)
        second.bind_vfio()
        os.chown(first.group_node, 1000, 1000)
        qmp.cmd("device_add", pair)
        vmm.guest.wait_true("grep -q pair0 /sys/class/nvme/*/serial", what="the drive of the pair")
        vmm.poweroff()
