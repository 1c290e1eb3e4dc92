# SPDX-License-Identifier: Apache-2.0
"""What `make demo` shows: the whole job once, with an account of it."""

import os
import time

from cases.nvme import SIZE, wait_for_drive
from l1.case import case, check, check_equal
from l1.host import checksum, write_random


@case(by_name_only=True, deadline=300)
def demo(lab):
    """An NVMe drive of the host at work in a guest; tests/lab/demo runs it."""
    drive = lab.host.pci("nvme0")
    node = drive.block_device()

    host(lab, f"Linux {os.uname().release} with an IOMMU and KVM")
    host(lab, f"NVMe drive {drive.bdf}, driver {drive.driver}, {node}, alone in IOMMU group {drive.group}")
    written = write_random(node, SIZE)
    host(lab, f"wrote {SIZE >> 20} MiB of random data to it    sha256 {written[:32]}...")
    drive.bind_vfio()
    host(lab, f"gave {drive.bdf} to vfio-pci: {drive.group_node}")

    started = time.monotonic()
    device = f"vfio-pci,host={drive.bdf},id=drive,bus=pcie.0,addr=0x03.0x0"
    host(lab, f"$ portcullis -machine q35 -cpu host -smp 2 -m 512M -kernel vmlinux -initrd initrd \\\n"
              f"             -append console=ttyS0 -serial stdio \\\n             -device {device}")
    with lab.vmm(smp="2", memory="512M", devices=[device]) as vmm:
        inside = vmm.guest
        guest(lab, f"Linux {inside.check('uname -r')} on {inside.check('nproc')} vCPUs, "
                   f"in user space after {time.monotonic() - started:.0f} s")
        wait_for_drive(inside)
        guest(lab, f"the drive is {drive.vendor_device} at 0000:00:03.0, driver "
                   f"{inside.check('basename $(readlink /sys/bus/pci/devices/0000:00:03.0/driver)')}, /dev/nvme0n1")
        seen = inside.checksum("/dev/nvme0n1", SIZE)
        guest(lab, f"read {SIZE >> 20} MiB from it                        sha256 {seen[:32]}...")
        guest(lab, f"interrupts that went straight into the guest: {sum(inside.interrupts('nvme').values())}")
        check_equal(seen, written, "what the guest read")
        inside.check(f"head -c {SIZE} /dev/urandom >/tmp/new && dd if=/tmp/new of=/dev/nvme0n1 bs=1M conv=fsync")
        new = inside.checksum("/tmp/new", SIZE)
        guest(lab, f"wrote {SIZE >> 20} MiB of its own                    sha256 {new[:32]}...")
        vmm.poweroff()
    host(lab, "the guest turned itself off; exit status 0")
    drive.bind_native()
    back = checksum(drive.block_device(), SIZE)
    host(lab, f"the drive is back with driver {drive.driver}; it reads  sha256 {back[:32]}...")
    check(back == new, "the host reads something else than the guest wrote")
    lab.l0.say("\nHost and guest read what the other wrote: the guest drove the real device, through the IOMMU.")


def host(lab, text):
    lab.l0.say(f"  [host ] {text}")


def guest(lab, text):
    lab.l0.say(f"  [guest] {text}")
