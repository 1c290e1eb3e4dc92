# SPDX-License-Identifier: Apache-2.0
"""QEMU's edu device: DMA addresses and MSI vectors of the test's own choosing. See l2/edu.c."""

from l1.case import case, check, check_equal

FREE_VECTORS = (0xB1, 0xB7)     # CPU vectors Linux hands out last, so nobody handles them here


def address_of(guest):
    found = [bdf for bdf, ids in guest.pci_devices().items() if ids == "1234:11e8"]
    check(found, f"no edu device in the guest, only {guest.pci_devices()}")
    return found[0]


@case
def edu_dma_msi(lab):
    """DMA through the IOMMU both ways; MSI interrupts arrive at the vectors the guest programmed."""
    device = lab.host.pci("edu0")
    device.bind_vfio()
    with lab.vmm(devices=[f"vfio-pci,host={device.bdf},id=edu,bus=pcie.0,addr=0x05.0x0"]) as vmm:
        guest = vmm.guest
        bdf = address_of(guest)
        check(guest.check(f"edu {bdf} fact 10") == "3628800", "the device's registers do not answer right")
        lab.note(guest.check(f"edu {bdf} dma"))
        move_bar(guest, bdf)
        for vector in FREE_VECTORS:
            expect_msi(guest, bdf, vector)
        vmm.poweroff()


def move_bar(guest, bdf):
    """The guest moves BAR 0 and back: the registers follow, and nothing answers where they were."""
    path = f"/sys/bus/pci/devices/{bdf}"
    here = int(guest.check(f"head -n 1 {path}/resource").split()[0], 16)
    there = here + (16 << 20)

    def write(offset, size, value):
        octal = "".join(f"\\{byte:03o}" for byte in value.to_bytes(size, "little"))
        guest.check(f"printf '{octal}' | dd of={path}/config bs=1 seek={offset} conv=notrunc 2>/dev/null")

    for old, new in ((here, there), (there, here)):
        write(4, 2, 0)
        write(16, 4, new)
        write(4, 2, 6)
        check_equal(guest.check(f"devmem {new:#x} 32").lower(), "0x010000ed", "the device's identity where its BAR is")
        check_equal(guest.check(f"devmem {old:#x} 32").lower(), "0xffffffff", "what is read where its BAR was")


def expect_msi(guest, bdf, vector):
    """The kernel names the vector of an interrupt it has no handler for: proof of which one arrived."""
    # The kernel limits how often it says so; and once it has, the line stays.
    guest.check("dmesg -c >/dev/null; sleep 5")
    guest.check(f"edu {bdf} msi {vector}")
    guest.wait_true(f"dmesg | grep 'No irq handler' | grep -E '\\b0?\\.?{vector}\\b'", what=f"an interrupt at vector {vector}")
