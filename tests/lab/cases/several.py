# SPDX-License-Identifier: Apache-2.0
"""Several devices in one guest."""

from cases.e1000e import reach_gateway
from cases.nvme import SIZE, wait_for_drive
from l1.case import case, check, check_equal
from l1.host import write_random


def drive_and_card(lab):
    """An NVMe drive with known contents and a network card, both bound to vfio-pci."""
    drive, card = lab.host.pci("nvme0"), lab.host.pci("net0")
    check(drive.group != card.group, "the lab's devices should be in groups of their own")
    written = write_random(drive.block_device(), SIZE)
    drive.bind_vfio()
    card.bind_vfio()
    return drive, card, written


@case
def two_devices(lab):
    """A drive and a network card from two IOMMU groups, both at work."""
    drive, card, written = drive_and_card(lab)
    devices = [f"vfio-pci,host={drive.bdf},id=drive,bus=pcie.0,addr=0x03.0x0",
               f"vfio-pci,host={card.bdf},id=net,bus=pcie.0,addr=0x04.0x0"]
    with lab.vmm(devices=devices, smp="2") as vmm:
        both_work(vmm.guest, written)
        vmm.poweroff()


@case
def multifunction(lab):
    """Two host functions in one slot of the guest."""
    drive, card, written = drive_and_card(lab)
    devices = [f"vfio-pci,host={drive.bdf},id=drive,bus=pcie.0,addr=0x03.0x0,multifunction=on",
               f"vfio-pci,host={card.bdf},id=net,bus=pcie.0,addr=0x03.0x1"]
    with lab.vmm(devices=devices) as vmm:
        seen = vmm.guest.pci_devices()
        check_equal(seen.get("0000:00:03.0"), drive.vendor_device, "function 0 of the guest's slot 3")
        check_equal(seen.get("0000:00:03.1"), card.vendor_device, "function 1 of the guest's slot 3")
        both_work(vmm.guest, written)
        vmm.poweroff()


@case
def whole_group(lab):
    """Both functions of one IOMMU group go to one guest."""
    first, second = lab.host.pci("pair0"), lab.host.pci("pair1")
    check_equal(first.group, second.group, "the IOMMU group of the lab's pair")
    first.bind_vfio()
    second.bind_vfio()
    devices = [f"vfio-pci,host={first.bdf},id=a,bus=pcie.0,addr=0x03.0x0",
               f"vfio-pci,host={second.bdf},id=b,bus=pcie.0,addr=0x04.0x0"]
    with lab.vmm(devices=devices) as vmm:
        vmm.guest.wait_true("[ -b /dev/nvme0n1 -a -b /dev/nvme1n1 ]", what="two drives")
        serials = vmm.guest.check("cat /sys/class/nvme/*/serial").split()
        check_equal(sorted(serials), ["pair0", "pair1"], "the serial numbers of the guest's drives")
        vmm.poweroff()


def both_work(guest, written):
    wait_for_drive(guest)
    check_equal(guest.checksum("/dev/nvme0n1", SIZE), written, "what the guest read")
    reach_gateway(guest)
