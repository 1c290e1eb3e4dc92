# SPDX-License-Identifier: Apache-2.0
"""Bad `-device vfio-pci`: an error that names the thing and the remedy, status 1, and a host left as it was.

The VMM may word its messages as it likes: the cases look for the facts a user needs.
"""

import os
import resource

from l1.case import case, check, check_equal
from l1.host import PciDevice

ABSENT = "0000:7f:1f.7"
MIB = 1 << 20
NOBODY = ("setpriv", "--reuid=1000", "--regid=1000", "--clear-groups")


def bound(lab, name="nvme0"):
    device = lab.host.pci(name)
    device.bind_vfio()
    return device


def vfio(device, place="bus=pcie.0,addr=0x03.0x0", id="dev"):
    """A -device argument for a device or an address."""
    return f"vfio-pci,host={getattr(device, 'bdf', device)},id={id},{place}"


@case
def no_such_device(lab):
    """There is no device at this address."""
    lab.refused(devices=[vfio(ABSENT)], mentions=[ABSENT])


@case(vmms=("portcullis",))
def bound_to_another_driver(lab):
    """The device still belongs to its host driver: named, with the command that binds it to vfio-pci."""
    device = lab.host.pci("nvme0")
    lab.refused(devices=[vfio(device)], mentions=[device.bdf, "nvme", "vfio-pci", ("driver_override", "unbind")])


@case(vmms=("portcullis",))
def bound_to_no_driver(lab):
    """The device belongs to no driver at all: the command that binds it to vfio-pci."""
    device = lab.host.pci("nvme0")
    device.unbind()
    lab.refused(devices=[vfio(device)], mentions=[device.bdf, "vfio-pci"])


@case(vmms=("portcullis",))
def group_not_viable(lab):
    """Another device of the group belongs to a host driver: every device of the group, with its driver."""
    first, second = lab.host.pci("pair0"), lab.host.pci("pair1")
    first.bind_vfio()
    check_equal(second.driver, "nvme", "the driver of the other function")
    lab.refused(devices=[vfio(first)],
                mentions=[f"group {first.group}", "viable", first.bdf, second.bdf, "vfio-pci", "nvme"])


@case
def group_not_viable_qemu_too(lab):
    """The kernel refuses a group of which the host still uses a device, and whatever runs says which group."""
    first = bound(lab, "pair0")
    lab.refused(devices=[vfio(first)], mentions=["viable", first.group])


@case(vmms=("portcullis",))
def group_not_permitted(lab):
    """/dev/vfio/N belongs to somebody else: its path, owner and mode."""
    device = bound(lab)
    os.chmod("/dev/kvm", 0o666)
    os.chmod(device.group_node, 0o600)
    lab.refused(devices=[vfio(device)], prefix=NOBODY, mentions=[device.group_node, "root", ("0600", "rw-------")])


@case(host="no-iommu", vmms=("portcullis",))
def iommu_off(lab):
    """The host's IOMMU is off: the message says so, and how to turn it on."""
    device = lab.host.pci("nvme0")
    check(device.group is None, "this L1 should have no IOMMU groups")
    lab.refused(devices=[vfio(device)], mentions=[device.bdf, "IOMMU", ("intel_iommu=on", "amd_iommu", "firmware")])


@case(vmms=("portcullis",))
def memlock_too_small(lab):
    """RLIMIT_MEMLOCK does not allow pinning the guest's RAM: the bytes that are needed and allowed."""
    device = bound(lab)
    os.chmod("/dev/kvm", 0o666)
    os.chown(device.group_node, 1000, 1000)
    allowed = 64 * MIB
    lab.refused(devices=[vfio(device)], memory="256M", prefix=NOBODY,
                limits=[(resource.RLIMIT_MEMLOCK, (allowed, allowed))],
                mentions=["MEMLOCK", (str(256 * MIB), "256 MiB", "256M"), (str(allowed), "64 MiB", "64M")])


@case(deadline=300)
def memlock_enough(lab):
    """The same user with enough RLIMIT_MEMLOCK gets the device: no privileges are needed."""
    device = bound(lab)
    os.chmod("/dev/kvm", 0o666)
    os.chown(device.group_node, 1000, 1000)
    allowed = 400 * MIB
    with lab.vmm(devices=[vfio(device)], memory="256M", prefix=NOBODY,
                 limits=[(resource.RLIMIT_MEMLOCK, (allowed, allowed))]) as vmm:
        vmm.guest.wait_true("[ -b /dev/nvme0n1 ]", what="the drive")
        vmm.poweroff()


@case
def same_device_twice(lab):
    """One host device for two guest devices."""
    device = bound(lab)
    lab.refused(devices=[vfio(device, id="one"), vfio(device, "bus=pcie.0,addr=0x04.0x0", id="two")],
                mentions=[device.bdf])


@case
def same_id_twice(lab):
    """Two devices with one id."""
    first, second = bound(lab, "nvme0"), bound(lab, "nvme1")
    lab.refused(devices=[vfio(first, id="twin"), vfio(second, "bus=pcie.0,addr=0x04.0x0", id="twin")],
                mentions=["twin"])


@case
def unknown_bus(lab):
    """A bus that does not exist."""
    lab.refused(devices=[vfio(bound(lab), "bus=nosuchbus,addr=0x03.0x0")], mentions=["nosuchbus"])


@case
def slot_taken(lab):
    """Two devices in one slot and function."""
    first, second = bound(lab, "nvme0"), bound(lab, "nvme1")
    lab.refused(devices=[vfio(first, id="first"), vfio(second, id="second")],
                mentions=["first", ("3.0", "03.0", "slot 3", "0x3", "0x03")])


@case
def function_without_multifunction(lab):
    """A second function in a slot whose function 0 lacks multifunction=on."""
    first, second = bound(lab, "nvme0"), bound(lab, "nvme1")
    lab.refused(devices=[vfio(first, id="first"), vfio(second, "bus=pcie.0,addr=0x03.0x1", id="second")],
                mentions=[("multifunction", "single function")])


MALFORMED_DEVICES = [
    ("vfio-pci,host=zz:1,id=d,bus=pcie.0,addr=0x3", ["zz:1"]),
    ("vfio-pci,host=0000:01:20.0,id=d,bus=pcie.0,addr=0x3", ["0000:01:20.0"]),
    ("vfio-pci,host=0000:01:00.9,id=d,bus=pcie.0,addr=0x3", ["0000:01:00.9"]),
    ("vfio-pci,host=../../../etc,id=d,bus=pcie.0,addr=0x3", ["../../../etc"]),
    ("vfio-pci,id=d,bus=pcie.0,addr=0x3", ["host"]),
    ("vfio-pci,host={bdf},id=d,bus=pcie.0,addr=0x20", ["0x20"]),
    ("vfio-pci,host={bdf},id=d,bus=pcie.0,addr=0x3.0x8", ["0x3.0x8"]),
    ("vfio-pci,host={bdf},id=d,bus=pcie.0,addr=three", ["three"]),
    ("vfio-pci,host={bdf},id=d,bus=pcie.0,addr=-1.0", ["-1"]),
    ("vfio-pci,host={bdf},id=d,bus=pcie.0,addr=0x3,multifunction=maybe", ["maybe"]),
    ("vfio-pci,host={bdf},id=d,bus=pcie.0,addr=0x3,nosuchproperty=1", ["nosuchproperty"]),
    ("vfio-pci,host={bdf},id=1bad id,bus=pcie.0,addr=0x3", ["1bad id"]),
    ("no-such-device,id=d", ["no-such-device"]),
    (",", []),
    ("", []),
]


@case(vmms=("portcullis",))
def malformed_device(lab):
    """Malformed addresses and properties: the message repeats what is wrong."""
    device = bound(lab)
    for argument, mentions in MALFORMED_DEVICES:
        lab.refused(devices=[argument.format(bdf=device.bdf)], mentions=mentions)
    check_equal(PciDevice(device.bdf).driver, "vfio-pci", "the device's driver afterwards")
