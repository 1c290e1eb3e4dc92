# SPDX-License-Identifier: Apache-2.0
"""Errors a device reports, resets of every kind, and functions that are not like others."""

import contextlib
import fcntl
import os
import struct

from cases.hotplug import OURS, SOCKET, device, refused
from cases.nvme import SIZE, wait_for_drive
from l1.case import case, check, check_equal
from l1.host import PciDevice, write_random
from l1.qmp import Qmp

PORTS = [f"pcie-root-port,id=rp{n},bus=pcie.0,addr={n:#x}.0x0" for n in (1, 2)]

# Capability and register offsets (linux/pci_regs.h).
PM, VPD, EXPRESS, SERIAL_NUMBER = 0x01, 0x03, 0x10, 0x03
PM_CONTROL, DEVICE_CONTROL, COMMAND, BRIDGE_CONTROL, SECONDARY = 4, 8, 4, 0x3E, 0x19


class Config:
    """A function's config space through sysfs, in the guest or (guest None) on the host."""

    def __init__(self, bdf, guest=None):
        self.path = f"/sys/bus/pci/devices/{bdf}/config"
        self.guest = guest
        if guest:
            # Not all of it: the guest's console is slow.
            rows = guest.check(f"head -c 512 {self.path} | hexdump -v -e '1/1 \"%02x\"'")
            self.bytes = bytes.fromhex(rows)
        else:
            with open(self.path, "rb") as file:
                self.bytes = file.read()

    def read(self, offset, size):
        return int.from_bytes(self.bytes[offset:offset + size], "little")

    def write(self, offset, data):
        text = "".join(f"\\x{byte:02x}" for byte in data)
        self.guest.check(f"printf '{text}' | dd of={self.path} bs=1 seek={offset} conv=notrunc 2>&1")

    def set_bits(self, offset, bits):
        with open(self.path, "r+b", buffering=0) as file:
            file.seek(offset)
            file.write(bytes([self.read(offset, 1) | bits]))

    def capability(self, number):
        at = self.read(0x34, 1)
        while at and self.read(at, 1) != number:
            at = self.read(at + 1, 1)
        check(at, f"no capability {number:#x} in {self.path}")
        return at

    def extended(self, number):
        at = 0x100
        while at and self.read(at, 2) != number:
            at = self.read(at + 2, 2) >> 4
        check(at, f"no extended capability {number:#x} in {self.path}")
        return at


def guest_address(guest, path):
    """Address of the function behind a link in the guest's sysfs."""
    return guest.check(f"basename $(readlink -f {path})")


def reset_methods(qmp):
    return {row["id"]: row["reset"] for row in qmp.cmd("query-vfio")}


@case(host="errors", vmms=OURS, deadline=400)
def resets(lab):
    """Function resets and D3 of the guest's own, a machine reset, bus resets of two functions that need one."""
    drive = lab.host.pci("nvme0")
    written = write_random(drive.block_device(), SIZE)
    net, twins = lab.host.pci("net0"), [lab.host.pci("twin0"), lab.host.pci("twin1")]
    true = Config(net.bdf)
    for card in (drive, net, *twins):
        card.bind_vfio()
    devices = [*PORTS, f"vfio-pci,host={drive.bdf},id=drive,bus=rp1,addr=0x0",
               f"vfio-pci,host={net.bdf},id=net,bus=pcie.0,addr=0x5.0x0",
               f"vfio-pci,host={twins[0].bdf},id=twin0,bus=rp2,addr=0x0,multifunction=on",
               f"vfio-pci,host={twins[1].bdf},id=twin1,bus=rp2,addr=0x0.0x1"]
    with lab.vmm("-qmp", f"unix:{SOCKET},server,nowait", devices=devices) as vmm:
        qmp, guest = Qmp(SOCKET), vmm.guest
        # A bus reset is better than D3hot; but QEMU's port does not bring an Express card's link back up in time.
        methods = reset_methods(qmp)
        check(methods.pop("net") in ("bus", "pm"), "the network card was not reset")
        check_equal(methods, {"drive": "flr", "twin0": "bus", "twin1": "bus"}, "how the devices were reset")
        wait_for_drive(guest)
        function_reset(guest)
        power_states(guest)
        check_equal(guest.checksum("/dev/nvme0n1", SIZE), written, "what the guest read after FLR and D3")
        true_registers(guest, true)
        denied_writes(guest, qmp)
        qmp.cmd("system_reset")
        guest.wait_ready()
        wait_for_drive(guest)
        check_equal(guest.checksum("/dev/nvme0n1", SIZE), written, "what the guest read after the machine's reset")
        check_equal(reset_methods(qmp)["twin1"], "bus", "how twin1 was reset with the machine")
        check(not any(row["quarantined"] for row in qmp.cmd("query-vfio")), "a device did not come back")
        qmp.close()
        vmm.poweroff()


def function_reset(guest):
    """FLR by the guest's kernel, with the driver bound: it saves and restores what the reset takes away."""
    bdf = guest_address(guest, "/sys/class/nvme/nvme0/device")
    path = f"/sys/bus/pci/devices/{bdf}"
    check("flr" in guest.check(f"cat {path}/reset_method"), "the guest's kernel sees no FLR")
    guest.check(f"echo flr >{path}/reset_method; echo 1 >{path}/reset")
    wait_for_drive(guest)
    guest.check("dd if=/dev/nvme0n1 of=/dev/null bs=64k count=16 iflag=direct 2>&1")
    # By the bus: a write to the root port's bridge control.
    guest.check(f"echo bus >{path}/reset_method; echo 1 >{path}/reset")
    guest.check("dd if=/dev/nvme0n1 of=/dev/null bs=64k count=16 iflag=direct 2>&1")
    guest.check(f"echo flr >{path}/reset_method")
    # Without a driver nobody restores anything but the kernel's PCI core; BARs must be where they were.
    guest.check(f"echo {bdf} >{path}/driver/unbind; grep -v 0x0000000000000000 {path}/resource >/tmp/before")
    guest.check(f"echo 1 >{path}/reset; echo {bdf} >/sys/bus/pci/drivers/nvme/bind")
    wait_for_drive(guest)


def power_states(guest):
    """D3hot and back, by hand: the state reads back, and the drive works afterwards."""
    bdf = guest_address(guest, "/sys/class/nvme/nvme0/device")
    path = f"/sys/bus/pci/devices/{bdf}"
    guest.check(f"echo {bdf} >{path}/driver/unbind")
    config = Config(bdf, guest)
    at = config.capability(PM) + PM_CONTROL
    for state in (3, 0):
        config.write(at, bytes([config.read(at, 1) & ~3 | state]))
        check_equal(Config(bdf, guest).read(at, 1) & 3, state, "the power state")
    guest.check(f"echo {bdf} >/sys/bus/pci/drivers/nvme/bind")
    wait_for_drive(guest)


def true_registers(guest, true):
    """On the root bus, an integrated endpoint; with the card's own serial number."""
    bdf = next(bdf for bdf, ids in guest.pci_devices().items() if ids == "8086:10d3")
    seen = Config(bdf, guest)
    at = true.extended(SERIAL_NUMBER) + 4
    check_equal(seen.bytes[at:at + 8], true.bytes[at:at + 8], "the card's serial number")
    check_equal(seen.read(seen.capability(EXPRESS) + 2, 1) >> 4, 9, "the port type on the root bus")


def denied_writes(guest, qmp):
    """What is not the guest's to change does not change, and is counted."""
    bdf = next(bdf for bdf, ids in guest.pci_devices().items() if ids == "8086:10d3")
    before, seen = device(qmp, "net")["denied-writes"], Config(bdf, guest)
    at = seen.extended(SERIAL_NUMBER) + 4
    seen.write(at, b"\x01\x02\x03\x04")
    check_equal(Config(bdf, guest).bytes[at:at + 4], seen.bytes[at:at + 4], "the serial number after a write")
    check(device(qmp, "net")["denied-writes"] > before, "the denied write was not counted")


@contextlib.contextmanager
def unreachable(card):
    """A card that answers nothing: its port leads to a bus nobody is on."""
    path = card.path.resolve().parent / "config"
    with open(path, "r+b", buffering=0) as config:
        config.seek(SECONDARY)
        true = config.read(2)
        try:
            config.seek(SECONDARY)
            config.write(b"\xfe\xfe")
            yield
        finally:
            config.seek(SECONDARY)
            config.write(true)


@case(host="errors", vmms=OURS, deadline=400)
def quarantine(lab):
    """A card that does not come back from a reset is kept from the guest and reported, until a reset finds it again."""
    twins = [lab.host.pci("twin0"), lab.host.pci("twin1")]
    for card in twins:
        card.bind_vfio()
    devices = [*PORTS, f"vfio-pci,host={twins[0].bdf},id=twin0,bus=rp2,addr=0x0,multifunction=on,on-error=report",
               f"vfio-pci,host={twins[1].bdf},id=twin1,bus=rp2,addr=0x0.0x1,on-error=report"]

    def ids(guest):
        return guest.check("cat /sys/bus/pci/devices/*/device").split().count("0x100e")

    with lab.vmm("-qmp", f"unix:{SOCKET},server,nowait", devices=devices) as vmm:
        qmp, guest = Qmp(SOCKET), vmm.guest
        check_equal(ids(guest), 2, "the cards in the guest")
        with unreachable(twins[0]):
            qmp.cmd("system_reset")
            lost = {qmp.wait_event("VFIO_DEVICE_ERROR", timeout=90)["data"]["device"] for _ in twins}
            check_equal(lost, {"twin0", "twin1"}, "the cards that were reported")
            for card in ("twin0", "twin1"):
                state = device(qmp, card)
                check_equal((state["quarantined"], state["error"]), (True, "lost"), f"query-vfio's {card}")
            guest.wait_ready()
            check_equal(ids(guest), 0, "cards the guest sees that do not answer")
        qmp.cmd("system_reset")
        guest.wait_ready()
        check(not any(row["quarantined"] for row in qmp.cmd("query-vfio")), "a card that is back is still kept away")
        check_equal(ids(guest), 2, "the cards in the guest, again")
        qmp.close()
        vmm.poweroff()


@case(host="iommufd", vmms=OURS, deadline=300)
def iommufd_bus_reset(lab):
    """Through IOMMUFD, too, functions are reset by their bus: two of ours, or one whose group is all ours."""
    twins = [lab.host.pci("twin0"), lab.host.pci("twin1")]
    for card in twins:
        card.bind_vfio()
    words = [f"vfio-pci,host={card.bdf},id=twin{n},bus=rp2,addr=0x0.{n:#x},iommufd=iommufd0" for n, card in enumerate(twins)]
    arguments = ("-qmp", f"unix:{SOCKET},server,nowait", "-object", "iommufd,id=iommufd0")
    for devices in ([words[0] + ",multifunction=on", words[1]], [words[0]]):
        with lab.vmm(*arguments, devices=[*PORTS, *devices]) as vmm:
            qmp = Qmp(SOCKET)
            check_equal(set(reset_methods(qmp).values()), {"bus"}, "how the functions were reset")
            qmp.cmd("system_reset")
            vmm.guest.wait_ready()
            check_equal(set(reset_methods(qmp).values()), {"bus"}, "how they were reset with the machine")
            qmp.close()
            vmm.poweroff()


def report_errors(card):
    """Error reporting on, from the card to the root port, which is the firmware's and the kernel's doing.

    Linux before 6.4 leaves the card's part to its driver, and QEMU wants every bit there is for it.
    """
    config = Config(card.bdf)
    config.set_bits(config.capability(EXPRESS) + DEVICE_CONTROL, 0x07)
    config.set_bits(COMMAND + 1, 0x01)
    Config(card.path.resolve().parent.name).set_bits(BRIDGE_CONTROL, 0x02)


@case(host="errors", vmms=OURS, deadline=400, allow=r"AER|pcieport|vfio-pci|device recovery")
def error_policies(lab):
    """The card reports errors: the guest is stopped, only told about, the card unplugged, the guest reset."""
    card = lab.host.pci("rng0")
    card.bind_vfio()
    where = {"host": card.bdf, "bus": "rp1", "addr": "0x0", "driver": "vfio-pci", "id": "rng"}
    devices = [*PORTS, f"vfio-pci,host={card.bdf},id=rng,bus=rp1,addr=0x0"]
    with lab.vmm("-qmp", f"unix:{SOCKET},server,nowait", devices=devices) as vmm:
        qmp, guest = Qmp(SOCKET), vmm.guest

        def fail(error, severity, action):
            """An error of the card, as its bus reports it, and what is told of it."""
            report_errors(card)
            answer = lab.l0.monitor(f"pcie_aer_inject_error rng0 {error}")
            check(answer.startswith("OK"), f"L0 does not inject {error}: {answer}")
            data = qmp.wait_event("VFIO_DEVICE_ERROR", timeout=30)["data"]
            # L1 has one processor: its kernel may have cleared the registers before the VMM gets to read them.
            check(data.pop("severity") in (severity, "unknown"), f"the severity of {error}")
            check_equal(data, {"device": "rng", "path": "rng", "action": action}, "VFIO_DEVICE_ERROR's data")

        def again(policy):
            qmp.cmd("device_add", {**where, "on-error": policy})

        def seen():
            guest.wait_true("grep -q 0x1044 /sys/bus/pci/devices/*/device", what="the card")

        seen()
        fail("POISON_TLP", "nonfatal", "stop")
        qmp.wait_event("STOP")
        check_equal(qmp.cmd("query-status")["status"], "paused", "the machine")
        check(device(qmp, "rng")["error"] in ("nonfatal", "unknown"), "query-vfio's error")
        qmp.cmd("cont")
        guest.check("echo alive")
        qmp.cmd("device_del", {"id": "rng", "force": True})
        again("report")
        fail("POISON_TLP", "nonfatal", "report")
        guest.check("echo alive")
        check_equal(qmp.cmd("query-status")["status"], "running", "the machine after an error that is only reported")
        qmp.cmd("device_del", {"id": "rng", "force": True})
        again("unplug")
        qmp.events.clear()
        fail("POISON_TLP", "nonfatal", "unplug")
        qmp.wait_event("DEVICE_DELETED", timeout=30)
        guest.check("echo alive")
        again("reset")
        fail("DLP", "fatal", "reset")
        check_equal(qmp.wait_event("RESET")["data"], {"guest": False, "reason": "host-error"}, "RESET's data")
        guest.wait_ready()
        seen()
        refused(qmp, "device_add", {**where, "id": "x", "on-error": "explode"}, "on-error")
        qmp.close()
        vmm.poweroff()


NVME_IOCTL_ADMIN, NVME_IOCTL_RESET = 0xC0484E41, 0x4E44
ASSIGN, ONLINE, PRIMARY = 8, 9, 1
QUEUES, INTERRUPTS = 0, 1


def virtualization(node, action, controller, resource, count):
    """NVMe's Virtualization Management command: resources of the physical function and its virtual ones."""
    command = bytearray(struct.pack("<BBHIIIQQII6III", 0x1C, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                                    action | resource << 8 | controller << 16, count, 0, 0, 0, 0, 0, 0))
    status = fcntl.ioctl(node, NVME_IOCTL_ADMIN, command)
    check(status == 0, f"Virtualization Management {action} of controller {controller}: NVMe status {status:#x}")


def make_virtual_function(physical):
    """One virtual function of an NVMe drive, online and without a driver."""
    name = os.path.basename(next(physical.path.glob("nvme/nvme*")))
    with open(f"/dev/{name}", "rb", buffering=0) as node:
        for resource in (INTERRUPTS, QUEUES):
            virtualization(node, PRIMARY, 0, resource, 0)
        fcntl.ioctl(node, NVME_IOCTL_RESET)
        (physical.path / "sriov_drivers_autoprobe").write_text("0")
        (physical.path / "sriov_numvfs").write_text("1")
        for resource, count in ((INTERRUPTS, 1), (QUEUES, 2)):
            virtualization(node, ASSIGN, 1, resource, count)
        virtualization(node, ONLINE, 1, 0, 0)
    return PciDevice(os.path.basename(os.readlink(physical.path / "virtfn0")))


@case(host="errors", vmms=OURS, deadline=300, allow="Hardware bug: VF reports bogus INTx pin")
def virtual_function(lab):
    """A virtual function of an NVMe drive: the guest reads what the host wrote by the physical one. And vf-token."""
    physical = lab.host.pci("physical0")
    written = write_random(physical.block_device(), SIZE)
    try:
        virtual = make_virtual_function(physical)
        virtual.bind_vfio()
        devices = [*PORTS, f"vfio-pci,host={virtual.bdf},id=vf,bus=rp1,addr=0x0"]
        with lab.vmm("-qmp", f"unix:{SOCKET},server,nowait", devices=devices) as vmm:
            qmp, guest = Qmp(SOCKET), vmm.guest
            check_equal(reset_methods(qmp), {"vf": "flr"}, "how it was reset")
            wait_for_drive(guest)
            check_equal(guest.checksum("/dev/nvme0n1", SIZE), written, "what the guest read")
            check("1b36:0010" in guest.pci_devices().values(), f"no drive's ids in {guest.pci_devices()}")
            bdf = guest_address(guest, "/sys/class/nvme/nvme0/device")
            config = Config(bdf, guest)
            # The hardware has no memory enable and no BARs in a virtual function: both are emulated.
            check(config.read(4, 2) & 2 and config.read(0x10, 4) & ~0xF, "decode or BAR 0 are not set in the guest")
            qmp.close()
            vmm.poweroff()
        (physical.path / "sriov_numvfs").write_text("0")
        both_by_token(lab, physical)
    finally:
        (physical.path / "sriov_numvfs").write_text("0")
        (physical.path / "sriov_drivers_autoprobe").write_text("1")


def both_by_token(lab, physical, token="01234567-89ab-cdef-0123-456789abcdef"):
    """vfio-pci has the physical function, too: its virtual one is had with the same token only, and refusals say so."""
    physical.bind_vfio()
    with open("/sys/module/vfio_pci/parameters/enable_sriov", "w") as parameter:
        parameter.write("Y")
    (physical.path / "sriov_numvfs").write_text("1")
    virtual = PciDevice(os.path.basename(os.readlink(physical.path / "virtfn0")))
    virtual.bind_vfio()
    of = lambda name, device, more="": f"vfio-pci,host={device.bdf},id={name},bus=rp{1 + (name == 'vf')},addr=0x0{more}"
    lab.refused(devices=[*PORTS, of("vf", virtual)], mentions=[virtual.bdf, physical.bdf, "vf-token=UUID"])
    wrong = [of("pf", physical, f",vf-token={token}"), of("vf", virtual, f",vf-token={token[:-1]}0")]
    lab.refused(devices=[*PORTS, *wrong], mentions=[virtual.bdf, "another vf-token"])
    lab.refused(devices=[*PORTS, of("vf", virtual, ",vf-token=0123")], mentions=["vf-token", "0123", "uuidgen"])
    # QEMU's nvme takes its virtual function away when the physical one is reset: both at once are not to be had.
    words = of("pf", physical, f",vf-token={token}")
    with lab.vmm("-S", "-qmp", f"unix:{SOCKET},server,nowait", devices=[*PORTS, words], ready=False) as vmm:
        qmp = Qmp(SOCKET)
        check_equal([row["host"] for row in qmp.cmd("query-vfio")], [physical.bdf], "the physical function")
        qmp.cmd("quit")
        check_equal(vmm.wait_exit(), 0, "exit status")
