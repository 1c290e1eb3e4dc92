# SPDX-License-Identifier: Apache-2.0
"""Two ways to a device, groups and IOMMUFD: the same behaviour over both, under a kernel that has both."""

import contextlib
import os
import re

from cases.hotplug import OURS, PORT, SOCKET, add, add_words, delete, device, drive_gone, read_drive, refused
from cases.nvme import SIZE, check_port, wait_for_drive
from l1.case import case, check, check_equal
from l1.host import checksum, write_random
from l1.lspci import lspci, lspci_here
from l1.qmp import Qmp

MIB = 1 << 20
RAM = 256 * MIB         # of the guest
OBJECT = ("-object", "iommufd,id=iommufd0")
NOBODY = ("setpriv", "--reuid=1000", "--regid=1000", "--clear-groups")


def pinned(vmm):
    """Bytes the VMM has locked (groups) and pinned (IOMMUFD), as the kernel counts them."""
    with open(f"/proc/{vmm.pid}/status") as status:
        rows = dict(re.findall(r"^(Vm(?:Lck|Pin)):\s+(\d+) kB", status.read(), re.M))
    return {name: int(size) << 10 for name, size in rows.items()}


def bound_drive(lab, name="nvme0"):
    drive = lab.host.pci(name)
    drive.written = write_random(drive.block_device(), SIZE)
    drive.bind_vfio()
    return drive


def write_in_guest(vmm, name="/dev/nvme0n1"):
    """Random data from the guest to the drive; its checksum."""
    vmm.guest.check(f"head -c {SIZE} /dev/urandom >/tmp/new && dd if=/tmp/new of={name} bs=1M conv=fsync 2>/dev/null")
    return vmm.guest.checksum("/tmp/new", SIZE)


@contextlib.contextmanager
def machine(lab, *arguments, devices, **options):
    with lab.vmm("-qmp", f"unix:{SOCKET},server,nowait", *arguments, devices=devices, **options) as vmm:
        qmp = Qmp(SOCKET)
        try:
            yield vmm, qmp
        finally:
            qmp.close()


def check_atomics(guest, drive):
    """The guest's port completes what the host's above the drive does, as far as the host's kernel tells."""
    register = lspci_here(drive.path.resolve().parent.name)
    check("32bit+ 64bit+ 128bitCAS-" in register, f"L1's own root port completes no AtomicOps:\n{register}")
    check_port(guest, atomics="32bit+ 64bit+ 128bitCAS-")
    card = lspci(guest, "01:00.0")
    check("AtomicOpsCap: 32bit+ 64bit+ 128bitCAS-" in card, f"the drive's AtomicOps are not shown:\n{card}")


def life_of_a_drive(lab, arguments, words, locked):
    """Cold plug, data both ways, unplug, plug, reboot; pinned is what the guest has, as long as the device is there."""
    drive = bound_drive(lab)
    more = "".join(f",{name}={value}" for name, value in words.items())
    devices = [PORT, f"vfio-pci,host={drive.bdf},id=vfio-0,bus=pcie.1,addr=0x0{more}"]
    with machine(lab, *arguments, devices=devices) as (vmm, qmp):
        check_equal(device(qmp)["backend"], "iommufd" if arguments else "group", "the backend")
        check_equal(device(qmp)["mapped-bytes"], RAM, "what query-vfio calls mapped")
        check_equal(pinned(vmm), locked, "pinned with the device")
        read_drive(vmm, drive)
        check_atomics(vmm.guest, drive)
        if arguments:
            refused(qmp, "object-del", {"id": "iommufd0"}, "is in use, can not be deleted")
        delete(qmp)
        drive_gone(vmm)
        check_port(vmm.guest)
        check_equal(pinned(vmm), {"VmLck": 0, "VmPin": 0}, "pinned without the device")
        drive.bind_native()
        check_equal(drive.driver, "nvme", "the driver after the unplug")
        drive.bind_vfio()
        add(qmp, drive, **words)
        read_drive(vmm, drive)
        check_atomics(vmm.guest, drive)
        check_equal(pinned(vmm), locked, "pinned with the device, again")
        vmm.guest.send_only("reboot -f")
        vmm.guest.wait_ready()
        wait_for_drive(vmm.guest)
        new = write_in_guest(vmm)
        check(any(vmm.guest.interrupts("nvme").values()), "no interrupt of the drive in the guest's /proc/interrupts")
        vmm.poweroff()
    drive.bind_native()
    check_equal(checksum(drive.block_device(), SIZE), new, "what the host read after the guest wrote")


@case(host="iommufd", vmms=OURS, deadline=300)
def iommufd_drive(lab):
    """A drive through IOMMUFD: read and written, unplugged, plugged, through a reboot, and back to the host."""
    life_of_a_drive(lab, OBJECT, {"iommufd": "iommufd0"}, {"VmLck": 0, "VmPin": RAM})


@case(host="iommufd", vmms=OURS, deadline=300)
def iommufd_kernel_group_drive(lab):
    """The same drive through its group, under the same kernel: the same, and the same bytes are locked."""
    life_of_a_drive(lab, (), {}, {"VmLck": RAM, "VmPin": 0})


@case(host="iommufd", vmms=OURS)
def iommufd_peers(lab):
    """Devices' memory cannot be mapped for DMA through this kernel's IOMMUFD: one warning each, and all works."""
    shm, edu = lab.host.pci("shm0"), lab.host.pci("edu0")
    words = []
    for slot, card in enumerate((shm, edu), 3):
        card.bind_vfio()
        words.append(f"vfio-pci,host={card.bdf},id={card.name},bus=pcie.0,addr={slot:#x},iommufd=iommufd0")
    with machine(lab, *OBJECT, devices=words) as (vmm, qmp):
        guest = vmm.guest
        for _ in range(3):      # turned on and off again, it is not said again
            guest.check("bar 0000:00:03.0 on; bar 0000:00:04.0 on; bar 0000:00:03.0 2 fill 0 4096 3")
        guest.check("bar 0000:00:03.0 2 check 0 4096 3")
        check_equal([row for row in qmp.cmd("query-vfio-mappings") if not row["ram"]], [], "mappings of devices' memory")
        said = [row for row in vmm.stderr().splitlines() if "DMA will not reach BAR" in row]
        check_equal(len(said), 2, f"warnings: {said}")
        lab.note(guest.check("edu 0000:00:04.0 dma"))
        vmm.poweroff()


def cdev(drive):
    """Path of the device's own VFIO node."""
    nodes = [path.name for path in (drive.path / "vfio-dev").glob("vfio*")]
    return f"/dev/vfio/devices/{nodes[0]}"


@case(host="iommufd", vmms=OURS, deadline=300)
def iommufd_given(lab):
    """File descriptors instead of names: inherited ones, then ones sent along QMP; two devices, memory pinned once."""
    first, second = bound_drive(lab, "nvme0"), bound_drive(lab, "nvme1")
    iommu, node = os.open("/dev/iommu", os.O_RDWR), os.open(cdev(first), os.O_RDWR)
    devices = [PORT, f"vfio-pci,id=fixed,bus=pcie.0,addr=0x3,iommufd=iommufd0,fd={node}"]
    with lab.vmm("-qmp", f"unix:{SOCKET},server,nowait", "-object", f"iommufd,id=iommufd0,fd={iommu}",
                 devices=devices, fds=(iommu, node)) as vmm:
        os.close(iommu)
        os.close(node)
        qmp = Qmp(SOCKET)
        check_equal(device(qmp, "fixed")["host"], first.bdf, "what query-vfio calls the device behind the fd")
        read_drive(vmm, first)
        before = vmm.fd_count()
        for turn in ("getfd", "add-fd"):
            fd = os.open(cdev(second), os.O_RDWR)
            if turn == "getfd":
                qmp.cmd("getfd", fdname="node", fds=[fd])
                words = {"fd": "node"}
            else:
                words = {"fd": qmp.cmd("add-fd", fds=[fd])["fd"]}
            os.close(fd)
            qmp.cmd("device_add", driver="vfio-pci", id="vfio-0", bus="pcie.1", iommufd="iommufd0", timeout=60, **words)
            vmm.guest.wait_true("[ -b /dev/nvme1n1 ]", what="the second drive")
            check_equal(vmm.guest.checksum("/dev/nvme1n1", SIZE), second.written, "what the guest read")
            check_equal(pinned(vmm)["VmPin"], RAM, "pinned with two devices of one iommufd")
            delete(qmp)
            check_equal(vmm.fd_count(), before, "file descriptors after the unplug")
        object_commands(qmp, second)
        qmp.close()
        vmm.poweroff()


def object_commands(qmp, drive):
    """object-add and object-del: with an fd and without, refused where they must be."""
    words = {"qom-type": "iommufd", "id": "two"}
    refused(qmp, "object-add", {**words, "id": "iommufd0"}, "already")
    refused(qmp, "object-add", {**words, "qom-type": "iommu"}, "does not accept value 'iommu'")
    refused(qmp, "object-add", {**words, "fd": "9"}, "handed over")
    refused(qmp, "object-del", {"id": "nobody"}, "'nobody' not found")
    refused(qmp, "object-del", {"id": "iommufd0"}, "is in use")
    refused(qmp, "device_add", add_words(drive, iommufd="nobody"), "no iommufd object with id 'nobody'")
    qmp.cmd("object-add", words)
    add(qmp, drive, iommufd="two")
    refused(qmp, "object-del", {"id": "two"}, "is in use")
    delete(qmp)
    qmp.cmd("object-del", id="two")
    refused(qmp, "device_add", add_words(drive, iommufd="two"), "no iommufd object with id 'two'")
    fd = os.open("/dev/iommu", os.O_RDWR)
    qmp.cmd("getfd", fdname="iommu", fds=[fd])
    os.close(fd)
    qmp.cmd("object-add", {**words, "fd": "iommu"})
    add(qmp, drive, iommufd="two")
    delete(qmp)
    qmp.cmd("object-del", id="two")


@case(host="iommufd", vmms=OURS)
def iommufd_refusals(lab):
    """Bad words and bad descriptors: each named, with what would be right; nothing changes on the host."""
    drive, other = lab.host.pci("nvme0"), lab.host.pci("nvme1")
    words = f"vfio-pci,host={drive.bdf},id=d,bus=pcie.0,addr=0x3,iommufd=iommufd0"
    lab.refused(*OBJECT, devices=[words], mentions=[drive.bdf, "nvme", "driver_override"])
    drive.bind_vfio()
    other.bind_vfio()
    lab.refused(devices=[words], mentions=["no iommufd object with id 'iommufd0'", "-object iommufd,id=iommufd0"])
    lab.refused(*OBJECT, *OBJECT, devices=[words], mentions=["iommufd0", "already"])
    lab.refused("-object", "iommufd,id=iommufd0,fd=77", devices=[words], mentions=["fd 77 is not open"])
    lab.refused(*OBJECT, devices=[f"{words},fd=77"], mentions=["fd 77 is not open"])
    zero, node = os.open("/dev/zero", os.O_RDWR), os.open(cdev(other), os.O_RDWR)
    lab.refused("-object", f"iommufd,id=iommufd0,fd={zero}", devices=[words], fds=(zero,),
                mentions=[f"fd {zero}", "not open on /dev/iommu"])
    lab.refused(*OBJECT, devices=[f"{words},fd={zero}"], fds=(zero,), mentions=["no VFIO device"])
    lab.refused(*OBJECT, devices=[f"{words},fd={node}"], fds=(node,), mentions=[other.bdf, drive.bdf])
    os.close(zero)
    os.close(node)
    os.chmod("/dev/kvm", 0o666)
    os.chmod("/dev/iommu", 0o600)
    lab.refused(*OBJECT, devices=[words], prefix=NOBODY, mentions=["/dev/iommu", ("0600", "rw-------")])
    os.chmod("/dev/iommu", 0o666)
    lab.refused(*OBJECT, devices=[words], prefix=NOBODY, mentions=[cdev(drive), ("0600", "rw-------")])


@case(vmms=OURS)
def iommufd_absent(lab):
    """A kernel without IOMMUFD: the message says so, and what works instead."""
    drive = lab.host.pci("nvme0")
    drive.bind_vfio()
    check(not os.path.exists("/dev/iommu"), "Debian's kernel has IOMMUFD by now: this case needs another one")
    lab.refused(*OBJECT, devices=[f"vfio-pci,host={drive.bdf},id=d,bus=pcie.0,addr=0x3,iommufd=iommufd0"],
                mentions=["/dev/iommu", "CONFIG_IOMMUFD", "without iommufd="])
