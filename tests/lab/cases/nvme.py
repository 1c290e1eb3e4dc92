# SPDX-License-Identifier: Apache-2.0
"""An NVMe drive: 64-bit BAR, MSI-X, DMA both ways."""

import re

from l1.case import case, check, check_equal
from l1.host import checksum, write_random
from l1.lspci import lspci

SIZE = 4 << 20      # bytes of the drive that are written and read back
ROOT_PORT = "pcie-root-port,port=0x0,addr=0x1.0x0,bus=pcie.0,id=pcie.1"


def read_and_write(lab, devices, **options):
    """The guest reads what the host wrote; the host then reads, with its own driver, what the guest wrote."""
    drive = lab.host.pci("nvme0")
    written = write_random(drive.block_device(), SIZE)
    drive.bind_vfio()
    with lab.vmm(devices=[device.format(bdf=drive.bdf) for device in devices], **options) as vmm:
        guest = vmm.guest
        wait_for_drive(guest)
        check_equal(guest.checksum("/dev/nvme0n1", SIZE), written, "what the guest read")
        guest.check(f"head -c {SIZE} /dev/urandom >/tmp/new && dd if=/tmp/new of=/dev/nvme0n1 bs=1M conv=fsync")
        new = guest.checksum("/tmp/new", SIZE)
        if devices[0] == ROOT_PORT and lab.vmm_kind == "portcullis":
            check_link(guest, check_port(guest), "01:00.0")
        check(any(guest.interrupts("nvme").values()), "no interrupt of the drive in the guest's /proc/interrupts")
        vmm.poweroff()
    drive.bind_native()
    check_equal(checksum(drive.block_device(), SIZE), new, "what the host read after the guest wrote")
    check_equal(lab.l0.image_checksum("nvme0", SIZE), new, "what is in the drive's image")


def check_port(guest, atomics="32bit- 64bit- 128bitCAS-"):
    """The guest's root port at 00:01.0, in lspci's words: as fast as it gets, LTR on, and AtomicOps as the host's."""
    port = lspci(guest, "00:01.0")
    for words in (f"AtomicOpsCap: Routing- {atomics}", "Speed 32GT/s, Width x32", "Supported Link Speeds: 2.5-32GT/s",
                  "Target Link Speed: 32GT/s", "NROPrPrP- LTR+", "ExtTag+ RBE+", "TimeoutDis- LTR+"):
        check(words in port, f"lspci -vvv of the root port does not say {words!r}:\n{port}")
    return port


def check_link(guest, port, card):
    """Both ends of a link say the same of it, and Linux has nothing to say."""
    ends = [re.search(r"LnkSta:\s+Speed ([\d.]+GT/s).*?Width (x\d+)", text) for text in (port, lspci(guest, card))]
    check(all(ends), "a link without a status")
    check_equal(ends[0].groups(), ends[1].groups(), "the link's status at its two ends")
    check_equal(guest.run("dmesg | grep -iE 'available PCIe bandwidth|retrain|link is|00:01.0: .*(fail|error)'")[1], "",
                "what the guest's kernel says of the link")


def wait_for_drive(guest):
    guest.wait_true("[ -b /dev/nvme0n1 ]", what="a drive")


@case
def nvme_pcie0(lab):
    """NVMe on pcie.0: both sides read what the other wrote, and the host's driver has it back at once."""
    read_and_write(lab, ["vfio-pci,host={bdf},id=drive,bus=pcie.0,addr=0x03.0x0"])


@case
def nvme_root_port(lab):
    """NVMe behind a root port: both sides read what the other wrote."""
    read_and_write(lab, [ROOT_PORT, "vfio-pci,host={bdf},id=drive,bus=pcie.1,addr=0x0"])


@case
def nvme_bzimage(lab):
    """The same with Debian's kernel as it is shipped, and two vCPUs."""
    read_and_write(lab, ["vfio-pci,host={bdf},id=drive,bus=pcie.0,addr=0x03.0x0"], kernel=lab.kernel, smp="2")
