# SPDX-License-Identifier: Apache-2.0
"""Mediated devices: mtty, a serial card with two lines that the host's kernel emulates (labkit/iommufd.config)."""

import contextlib
import os
import uuid

from cases.backends import OBJECT, machine
from cases.hotplug import OURS, PORT, delete, device
from cases.interrupts import serial_lines
from l1.case import case, check, check_equal

SERIAL = "4348:3253"    # the card that mtty is


@contextlib.contextmanager
def mediated_devices(count):
    """Folders of that many of mtty's emulated serial cards; gone at the end."""
    kind = "/sys/class/mtty/mtty/mdev_supported_types/mtty-2/create"
    names = [str(uuid.uuid4()) for _ in range(count)]
    folders = [f"/sys/bus/mdev/devices/{name}" for name in names]
    for name in names:
        with open(kind, "w") as create:
            create.write(name)
    try:
        yield folders
    finally:
        for folder in folders:
            with open(f"{folder}/remove", "w") as remove:
                remove.write("1")


def echo(vmm, tty, text):
    """mtty sends back what it is sent. It reports a change of modem lines for ever to a tty that asks: clocal."""
    vmm.guest.check(f"stty -F /dev/{tty} raw -echo clocal 115200")
    return vmm.guest.check(f"exec 3<>/dev/{tty}; printf %s {text} >&3; timeout 20 head -c {len(text)} <&3")


@case(host="iommufd", vmms=OURS, deadline=300)
def mediated_serial(lab):
    """Mediated serial cards by sysfsdev=, through their group and through IOMMUFD: INTx, I/O BARs, unplug and plug."""
    with mediated_devices(2) as (first, second):
        devices = [PORT, f"vfio-pci,sysfsdev={first},id=one,bus=pcie.0,addr=0x3",
                   f"vfio-pci,sysfsdev={second},id=vfio-0,bus=pcie.1,addr=0x0,iommufd=iommufd0"]
        with machine(lab, *OBJECT, devices=devices, append="8250.nr_uarts=8") as (vmm, qmp):
            check_equal([device(qmp, name)["backend"] for name in ("one", "vfio-0")], ["group", "iommufd"], "backends")
            check_equal(device(qmp, "one")["host"], first, "what query-vfio calls it")
            cards = [bdf for bdf, card in vmm.guest.pci_devices().items() if card == SERIAL]
            check_equal(len(cards), 2, "serial cards in the guest")
            for card in cards:
                lines = serial_lines(vmm.guest, card)
                check_equal(len(lines), 2, f"serial lines of {card}")
                check_equal(echo(vmm, lines[0], "mediated"), "mediated", f"what {card} sent back")
                check(any(vmm.guest.interrupts("ttyS").values()), "no interrupt of the serial cards in the guest")
            delete(qmp)
            qmp.cmd("device_add", driver="vfio-pci", id="vfio-0", bus="pcie.1", sysfsdev=second)
            check_equal(device(qmp)["backend"], "group", "the backend after it was plugged again")
            card = next(bdf for bdf in cards if not bdf.startswith("0000:00"))
            check_equal(echo(vmm, serial_lines(vmm.guest, card)[1], "again"), "again", f"what {card} sent back")
            # Not by the guest's poweroff, which may wait for mtty's lines to drain.
            qmp.cmd("quit")
            check_equal(vmm.wait_exit(30), 0, "exit status")


@case(host="iommufd", vmms=OURS)
def mediated_refusals(lab):
    """Bad sysfsdev=: no such device, one twice, a folder and an address at once."""
    absent = "/sys/bus/mdev/devices/83b8f4f2-509f-382f-3c1e-e6bfe0fa1001"
    lab.refused(devices=[f"vfio-pci,sysfsdev={absent},id=a"], mentions=[absent, "/sys/bus/mdev/devices"])
    with mediated_devices(1) as (folder,):
        lab.refused(devices=[f"vfio-pci,sysfsdev={folder},id=a", f"vfio-pci,sysfsdev={folder},id=b"],
                    mentions=[os.path.basename(folder), "already"])
        lab.refused(devices=[f"vfio-pci,sysfsdev={folder},host=01:00.0,id=a"], mentions=["exclude each other"])
