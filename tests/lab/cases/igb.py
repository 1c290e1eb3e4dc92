# SPDX-License-Identifier: Apache-2.0
"""A network card with SR-IOV, which wants a QEMU that has one (LAB_QEMU): its functions in guests."""

import os

from cases.interrupts import network, ping
from l1.case import case, check, check_equal
from l1.host import PciDevice


def functions(guest, *ids):
    """Addresses of the guest's functions with these ids."""
    found = {identity: address for address, identity in guest.pci_devices().items()}
    check(set(ids) <= set(found), f"{ids} are not all in {found}")
    return [found[identity] for identity in ids]


@case(host="igb", vmms=("portcullis",), deadline=300)
def igb(lab):
    """An igb card in a guest, then one of its virtual functions in another: each has its network."""
    physical = lab.host.pci("igb0")
    (physical.path / "sriov_drivers_autoprobe").write_text("0")
    (physical.path / "sriov_numvfs").write_text("1")
    try:
        virtual = PciDevice(os.path.basename(os.readlink(physical.path / "virtfn0")))
        virtual.bind_vfio()
        with lab.vmm(devices=[f"vfio-pci,host={virtual.bdf},id=vf,bus=pcie.0,addr=0x3"]) as vmm:
            vmm.guest.check("load igbvf")
            address, = functions(vmm.guest, "8086:10ca")
            name = vmm.guest.wait_true(f"ls /sys/bus/pci/devices/{address}/net", what="its interface")
            check_equal(vmm.guest.run(f"ip link set {name.strip()} up")[0], 0, "turning it on")
            vmm.poweroff()
    finally:
        (physical.path / "sriov_numvfs").write_text("0")
    physical.bind_vfio()
    with lab.vmm(devices=[f"vfio-pci,host={physical.bdf},id=pf,bus=pcie.0,addr=0x3"]) as vmm:
        vmm.guest.check("load igb")
        address, = functions(vmm.guest, "8086:10c9")
        ping(vmm.guest, network(vmm.guest, address))
        vmm.poweroff()
