# SPDX-License-Identifier: Apache-2.0
"""Regions of every kind, and DMA from one passed-through device to another. See l2/bar.c and l2/edu.c."""

import contextlib
import hashlib
import mmap
import os
import pathlib
import re
import resource
import struct
import subprocess

from l1.case import case, check, check_equal
from l1.host import wait_for
from l1.kernel_log import Mark
from l1.qmp import Qmp

SOCKET = "/tmp/qmp.sock"
OURS = ("portcullis",)
MIB = 1 << 20
CARD_REPORT = pathlib.Path(__file__).resolve().parents[3] / "src/host/card-report"


def pattern(offset, size, seed):
    """What l2/bar.c calls the pattern of these bytes."""
    return b"".join(struct.pack("<Q", (at + seed) * 0x9e3779b97f4a7c15 & (1 << 64) - 1)
                    for at in range(offset, offset + size, 8))


@contextlib.contextmanager
def host_memory(device, bar):
    """A memory BAR of a device that no driver has, mapped."""
    enable = device.path / "enable"
    enable.write_text("1")
    fd = os.open(device.path / f"resource{bar}", os.O_RDWR | os.O_SYNC | os.O_CLOEXEC)
    try:
        with mmap.mmap(fd, os.fstat(fd).st_size) as memory:
            yield memory
    finally:
        os.close(fd)
        enable.write_text("0")


def read_rom(device):
    """The expansion ROM of a device on the host."""
    rom = device.path / "rom"
    rom.write_text("1")
    content = rom.read_bytes()
    rom.write_text("0")
    return content


@contextlib.contextmanager
def machine(lab, devices, **options):
    """A guest with these devices, {id: (host device, its further properties)}, and its QMP."""
    words = []
    for number, (name, (device, more)) in enumerate(devices.items()):
        device.bind_vfio()
        words.append(f"vfio-pci,host={device.bdf},id={name},bus=pcie.0,addr={number + 3:#x}{more}")
    with lab.vmm("-qmp", f"unix:{SOCKET},server,nowait", devices=words, **options) as vmm:
        qmp = Qmp(SOCKET)
        try:
            yield vmm, qmp
        finally:
            qmp.close()


def slot(number):
    """The guest's address of the number-th device of machine()."""
    return f"0000:00:{number + 3:02x}.0"


def bars(qmp, name):
    """{BAR: query-vfio's row} of a device."""
    row = next(row for row in qmp.cmd("query-vfio") if row["id"] == name)
    return {bar["bar"]: bar for bar in row["bars"]}


def access(bar):
    return [area["access"] for area in bar["areas"]]


def sizes(guest, bdf):
    """Sizes of the BARs and the ROM, as the guest's kernel sees them."""
    rows = [row.split() for row in guest.check(f"head -n 7 /sys/bus/pci/devices/{bdf}/resource").splitlines()]
    return [int(end, 16) - int(start, 16) + 1 if int(end, 16) else 0 for start, end, _ in rows]


@case(host="regions", vmms=OURS)
def regions(lab):
    """Memory, 64 GiB, 2 KiB, I/O, ROM, a shared MSI-X page: the guest reaches them all, and query-vfio says how."""
    shm, big, net, usb, small, other = (lab.host.pci(name) for name in ("shm0", "big0", "net0", "usb0", "small0", "shm1"))
    rom = read_rom(net)
    config = (usb.path / "config").read_bytes()
    with host_memory(shm, 2) as memory:
        memory[:MIB] = pattern(0, MIB, 1)
    # Older kernels map a BAR for DMA page by page: 64 GiB would take the lab minutes.
    names = {"shm": (shm, ""), "big": (big, ",x-p2p=off"), "net": (net, ""), "usb": (usb, ""),
             "small": (small, ",x-p2p=off"), "other": (other, ",x-p2p=off")}
    with machine(lab, names) as (vmm, qmp):
        shared_memory(vmm.guest, qmp)
        huge(vmm.guest, qmp)
        ports(vmm.guest, qmp)
        expansion_rom(vmm.guest, qmp, rom)
        usb_controller(vmm.guest, qmp)
        unclaimed_register(vmm.guest, slot(3), config)
        smaller_than_a_page(vmm.guest, qmp)
        report_of_a_card(lab, vmm.guest, net)
        row = next(row for row in qmp.cmd("query-vfio") if row["id"] == "shm")
        check_equal((row["group"], row["mapped-bytes"]), (int(shm.group), 256 * MIB), "query-vfio's group and memory")
        vmm.poweroff()
        check("trapp" not in vmm.stderr(), f"something could not be mapped: {vmm.stderr()}")
    shm.unbind()
    with host_memory(shm, 2) as memory:
        check(memory[32 * MIB:33 * MIB] == pattern(32 * MIB, MIB, 2), "the guest's writes did not reach the device")


def shared_memory(guest, qmp):
    bdf = slot(0)
    guest.check(f"bar {bdf} on")
    check_equal(sizes(guest, bdf)[2], 64 * MIB, "the size of the guest's BAR 2")
    guest.check(f"bar {bdf} 2 check 0 {MIB} 1")
    guest.check(f"bar {bdf} 2 fill {32 * MIB} {MIB} 2; bar {bdf} 2 check {32 * MIB} {MIB} 2")
    rows = bars(qmp, "shm")
    check_equal((access(rows[2]), rows[2]["memslots"], rows[2]["trapped"]), (["mapped"], 1, 0), "shared memory")
    check(rows[2]["prefetchable"] and rows[2]["address"] % (64 * MIB) == 0, f"BAR 2 is {rows[2]}")
    # 256 bytes of registers. IntrMask holds what is written to it.
    check_equal(small_bar(qmp, "shm", 0), (256, ["mapped"], 1, 0), "a BAR smaller than a page")
    guest.check(f"bar {bdf} 0 put 0 0x5a")
    check_equal(guest.check(f"bar {bdf} 0 get 0"), "0x5a", "a register in it")
    check_equal(small_bar(qmp, "shm", 0), (256, ["mapped"], 1, 0), "afterwards")


def small_bar(qmp, name, bar):
    row = bars(qmp, name)[bar]
    return row["size"], access(row), row["memslots"], row["trapped"]


def smaller_than_a_page(guest, qmp):
    """2 KiB are mapped; another BAR in the same page, and both are trapped and answer for themselves; and back."""
    small, other = slot(4), slot(5)
    guest.check(f"bar {small} on; bar {other} on; bar {small} 2 get 0; bar {small} 2 get {2048 - 4}")
    check_equal(small_bar(qmp, "small", 2), (2048, ["mapped"], 1, 0), "2 KiB")
    home, page = address(guest, small, 2), address(guest, other, 0)
    lay(guest, small, 2, page + 2048)
    # To the guest's kernel the page is the other one's.
    guest.check(f"bar {other} 0 get 2048; bar {other} 0 put 0 0x33")
    check_equal(guest.check(f"bar {other} 0 get 0"), "0x33", "a register of the other one")
    check_equal(small_bar(qmp, "small", 2), (2048, ["mapped"], 0, 1), "2 KiB off the start of a page")
    check_equal(small_bar(qmp, "other", 0), (256, ["mapped"], 0, 2), "256 bytes with another BAR behind")
    lay(guest, small, 2, home)
    guest.check(f"bar {small} 2 get 0")
    check_equal(guest.check(f"bar {other} 0 get 0"), "0x33", "the register, mapped again")
    check_equal(small_bar(qmp, "small", 2), (2048, ["mapped"], 1, 1), "2 KiB at their old place")
    check_equal(small_bar(qmp, "other", 0), (256, ["mapped"], 1, 2), "256 bytes alone again")


def write_config(guest, bdf, offset, size, value):
    octal = "".join(f"\\{byte:03o}" for byte in value.to_bytes(size, "little"))
    guest.check(f"printf '{octal}' | dd of=/sys/bus/pci/devices/{bdf}/config bs=1 seek={offset} conv=notrunc 2>/dev/null")


def lay(guest, bdf, bar, where):
    """A BAR of 64 bits lies where the guest's kernel does not know, decode off and on."""
    write_config(guest, bdf, 4, 2, 4)
    write_config(guest, bdf, 0x10 + 4 * bar, 8, where)
    write_config(guest, bdf, 4, 2, 6)


def huge(guest, qmp):
    bdf = slot(1)
    guest.check(f"bar {bdf} on")
    row = next(row for row in bars(qmp, "big").values() if row["size"] == 64 << 30)
    check_equal((access(row), row["memslots"]), (["mapped"], 1), "64 GiB")
    check_equal(sizes(guest, bdf)[row["bar"]], 64 << 30, "its size in the guest")
    # There is nothing behind it; but it answers at both ends, without an exit.
    guest.check(f"bar {bdf} {row['bar']} get 0; bar {bdf} {row['bar']} get {(64 << 30) - 4096}")
    check_equal(bars(qmp, "big")[row["bar"]]["trapped"], 0, "trapped accesses to 64 GiB")


def ports(guest, qmp):
    """An e1000e's I/O BAR is a window to its registers: an address at 0, its content at 4."""
    bdf = slot(2)
    # Its driver would have the registers to itself.
    guest.check(f"echo {bdf} >/sys/bus/pci/drivers/e1000e/unbind; bar {bdf} on")
    before = bars(qmp, "net")[2]
    check_equal((before["kind"], access(before)), ("io", ["trapped"]), "BAR 2")
    guest.check(f"bar {bdf} 2 put 0 0x5400")        # RAL0: the card's address
    mapped = guest.check(f"bar {bdf} 0 get 0x5400")
    check_equal(guest.check(f"bar {bdf} 2 get 4"), mapped, "a register by I/O")
    check(mapped not in ("0", "0xffffffff"), f"no register: {mapped}")
    check(bars(qmp, "net")[2]["trapped"] >= before["trapped"] + 2, "I/O was not counted")


def expansion_rom(guest, qmp, rom):
    bdf = slot(2)
    row = bars(qmp, "net")[6]
    check_equal((access(row), row["memslots"]), (["read-only"], 0), "the ROM, not enabled")
    guest.check(f"cd /sys/bus/pci/devices/{bdf}; echo 1 >rom; cat rom >/tmp/rom; echo 0 >rom")
    check_equal(int(guest.check("wc -c </tmp/rom")), len(rom), "the ROM's size")
    check_equal(guest.checksum("/tmp/rom", len(rom)), hashlib.sha256(rom).hexdigest(), "the ROM")
    check_equal(bars(qmp, "net")[6]["trapped"], 0, "trapped reads of the ROM")


def usb_controller(guest, qmp):
    """MSI-X table and PBA in the same BAR as the registers; the driver works."""
    guest.check("load xhci_pci")
    guest.wait_true("[ -e /sys/bus/usb/devices/usb1 ]", what="the USB controller's root hub")
    guest.wait_true("[ -e /sys/bus/usb/devices/1-1 ]", what="the mouse on its bus")
    vectors = guest.interrupts("xhci")
    check(sum(vectors.values()) > 0, f"the controller never interrupted: {vectors}")
    row = bars(qmp, "usb")[0]
    check("mapped" in access(row) and "trapped" in access(row), f"BAR 0 is reached so: {row}")
    check(all(page["offset"] >= 0x3000 for page in row["traps"]), f"other pages than the table's trap: {row}")


def unclaimed_register(guest, bdf, host):
    """xHCI 5.2.3: the serial bus release number at 0x60 lies in no capability."""
    seen = bytes.fromhex(guest.check(f"hexdump -n 256 -v -e '1/1 \"%02x\"' /sys/bus/pci/devices/{bdf}/config").strip())
    check(host[0x60] in (0x30, 0x31), f"the host's own register: {host[0x60]:#x}")
    check_equal(seen[0x60], host[0x60], "the guest's view of it")


def report_of_a_card(lab, guest, card):
    """What docs/hardware.md asks users for has both sides of the card, and not what names this one."""
    serial = (card.path / "config").read_bytes()
    at = serial.index(b"\x03\x00\x01", 0x100) + 4         # e1000e's has the card's MAC address in it
    serial = serial[at:at + 8].hex(" ")
    seen = guest.check(f"hexdump -n 512 -v -e '\"%03_ax:\" 16/1 \" %02x\" \"\\n\"' /sys/bus/pci/devices/{slot(2)}/config")
    rows = [line.removeprefix("0") for line in seen.splitlines()]
    check(any(serial[:11] in row for row in rows), f"no serial number {serial} in the guest: {rows[16:24]}")
    (lab.directory / "guest.txt").write_text("\n".join(rows) + "\n")
    done = subprocess.run([CARD_REPORT, card.bdf.upper(), "--qmp", SOCKET,
                           "--guest", lab.directory / "guest.txt"], stdout=subprocess.PIPE, text=True, check=True)
    parts = dict(re.findall(r"^=== ([^=\n]+) ===\n(.*?)(?=^===|\Z)", done.stdout, re.M | re.S))
    for title, fact in {"host": "vfio_pci.", "iommu group": f"group: {card.group}", "card in sysfs": "driver: vfio-pci",
                        "card": "Capabilities: [e0] Express", "ports above": "PCI bridge", "kernel log": "DMAR",
                        "portcullis": f'"host": "{card.bdf}"', "card in the guest": "00: 86 80 d3 10"}.items():
        check(fact in parts[title], f"{title} lacks {fact!r}: {parts[title]}")
    check(done.stdout.count("xx xx xx xx xx xx xx xx") == 2, "no serial number in one of the dumps was taken out")
    for name in (serial[:11], serial[:11].replace(" ", "-"), "-".join(reversed(serial.split()))):
        check(name not in done.stdout, f"the serial number {name} is in the report")


@case(host="regions", vmms=OURS)
def unmappable_bar(lab):
    """A BAR there is no address space for is trapped: it works all the same, and the VMM says why it is slow."""
    with machine(lab, {"big": (lab.host.pci("big0"), "")}, limits=[(resource.RLIMIT_AS, (8 << 30, 8 << 30))]) as (vmm, qmp):
        guest, bdf = vmm.guest, slot(0)
        guest.check(f"bar {bdf} on")
        row = next(row for row in bars(qmp, "big").values() if row["size"] == 64 << 30)
        check_equal((access(row), row["memslots"]), (["trapped"], 0), "64 GiB")
        end = (64 << 30) - 4096
        guest.check(f"bar {bdf} {row['bar']} get 0; bar {bdf} {row['bar']} get {end}; bar {bdf} {row['bar']} get {end}")
        traps = bars(qmp, "big")[row["bar"]]["traps"]
        check_equal([page["count"] for page in traps], [1, 2], "trapped accesses at the two ends")
        check(traps[1]["offset"] <= end < traps[1]["offset"] + traps[1]["size"], f"no place: {traps}")
        check("'big': no address space for BAR" in vmm.stderr(), f"no word of it: {vmm.stderr()!r}")
        vmm.poweroff()


def address(guest, bdf, bar):
    return int(guest.check(f"sed -n {bar + 1}p /sys/bus/pci/devices/{bdf}/resource").split()[0], 16)


@case(host="regions", vmms=OURS, allow="DMAR")
def peer_to_peer(lab):
    """One device's DMA reads and writes another one's BAR, and not one with x-p2p=off; BARs that move are followed."""
    edu, shm, off = (lab.host.pci(name) for name in ("edu0", "shm0", "shm1"))
    names = {"edu": (edu, ""), "shm": (shm, ""), "off": (off, ",x-p2p=off")}
    with machine(lab, names) as (vmm, qmp):
        guest = vmm.guest
        for number in range(3):
            guest.check(f"bar {slot(number)} on")
        guest.check(f"bar {slot(1)} 2 fill 0 2048 7; bar {slot(2)} 2 fill 0 4096 9")
        here, barred = address(guest, slot(1), 2), address(guest, slot(2), 2)
        wait_peers(qmp, {(shm.bdf, here, 64 * MIB), (edu.bdf, address(guest, slot(0), 0), MIB)})
        guest.check(f"edu {slot(0)} copy {here:#x} {here + 32 * MIB:#x}")
        same_2048(guest, slot(1), 0, 32 * MIB)
        # Not to the other one: what was there stays, and the IOMMU says so.
        said = Mark()
        guest.check(f"edu {slot(0)} copy {here:#x} {barred + 2048:#x}; bar {slot(2)} 2 check 0 4096 9")
        wait_for(lambda: f"fault addr {barred + 2048 & ~4095:#x}" in said.text(), 10, "a DMA fault in the host's log")
        lab.note(move(guest, qmp, shm, here))
        vmm.poweroff()
        check("DMA will not reach" not in vmm.stderr(), vmm.stderr())


def peers(qmp):
    return {(row["host"], row["iova"], row["size"]) for row in qmp.cmd("query-vfio-mappings") if not row["ram"]}


def wait_peers(qmp, want):
    """BARs are mapped for DMA behind the guest's back, a moment after it has turned them on."""
    wait_for(lambda: peers(qmp) == want, 20, f"the mappings {want}")


def same_2048(guest, bdf, one, other):
    """Two pieces of BAR 2 hold the same."""
    words = [guest.check(f"bar {bdf} 2 get {one + at}; bar {bdf} 2 get {other + at}").split() for at in (0, 1024, 2044)]
    check(all(left == right != "0" for left, right in words), f"the copy differs: {words}")


def move(guest, qmp, device, here):
    """Decode off: the mapping goes; on elsewhere: it is there. And DMA reaches it."""
    there = here + (64 * MIB) * 4
    (edu_bdf, edu_bar, _), = (row for row in peers(qmp) if row[0] != device.bdf)

    for new in (there, here):
        lay(guest, slot(1), 2, new)
        wait_peers(qmp, {(edu_bdf, edu_bar, MIB), (device.bdf, new, 64 * MIB)})
        guest.check(f"edu {slot(0)} copy {new:#x} {new + 48 * MIB:#x}")
    same_2048(guest, slot(1), 0, 48 * MIB)
    return f"moved {here:#x} -> {there:#x} and back"


@case(host="regions", vmms=OURS)
def region_options(lab):
    """rombar=off and romfile= hide the ROM, romfile replaces it, virtio's capabilities work; bad options are refused."""
    net, blk = lab.host.pci("net0"), lab.host.pci("blk0")
    identity = net.vendor_device
    net.bind_vfio()
    blk.bind_vfio()
    refuse = lambda more, *facts: lab.refused(
        devices=[f"vfio-pci,host={net.bdf},id=net,bus=pcie.0,addr=0x3,{more}"], mentions=list(facts))
    refuse("x-expect=8086:1234", net.bdf, identity, "8086:1234")
    refuse("x-expect=8086", "x-expect", "VENDOR:DEVICE")
    refuse("romfile=/etc/passwd", "/etc/passwd", "expansion ROM")
    refuse("romfile=/no/such/rom", "/no/such/rom")
    refuse("x-nv-gpudirect-clique=16", "x-nv-gpudirect-clique", "between 0 and 15")
    refuse("x-nv-gpudirect-clique=1", "NVIDIA's GPUs", identity)
    image = rom_image()
    (lab.directory / "rom.bin").write_bytes(image)
    names = {"net": (net, f",rombar=off,x-no-intx=on,x-expect={identity}"), "blk": (blk, f",romfile={lab.directory / 'rom.bin'}")}
    with machine(lab, names) as (vmm, qmp):
        guest = vmm.guest
        check(6 not in bars(qmp, "net"), "rombar=off shows a ROM")
        check_equal(sizes(guest, slot(0))[6], 0, "the ROM's size with rombar=off")
        check_equal(guest.check(f"cat /sys/bus/pci/devices/{slot(0)}/irq").strip(), "0", "the line with x-no-intx=on")
        guest.check(f"cd /sys/bus/pci/devices/{slot(1)}; echo 1 >rom; cat rom >/tmp/rom")
        check_equal(guest.check(f"head -c {len(image)} /tmp/rom | sha256sum").split()[0],
                    hashlib.sha256(image).hexdigest(), "romfile in the guest")
        guest.check("load virtio_pci; load virtio_blk")
        guest.wait_true("[ -b /dev/vda ]", what="the virtio drive")
        check_equal(guest.checksum("/dev/vda", MIB), lab.l0.image_checksum("blk0", MIB), "what the guest read")
        vmm.poweroff()
    empty_romfile(lab, net)


def empty_romfile(lab, net):
    """romfile="" shows no ROM of a card that has one: in device_add, with -device, and by -global."""
    words = f"vfio-pci,host={net.bdf},id=net,bus=rp1"
    for more, shown in (([], True), (["-global", "vfio-pci.romfile="], False)):
        with lab.vmm("-S", "-qmp", f"unix:{SOCKET},server,nowait", *more, ready=False,
                     devices=["pcie-root-port,id=rp1,addr=0x1", words + (",romfile=" if shown else "")]) as vmm:
            qmp = Qmp(SOCKET)
            check(6 not in bars(qmp, "net"), "an empty romfile shows a ROM")
            qmp.cmd("device_del", id="net", force=True)
            add = {"driver": "vfio-pci", "host": net.bdf, "id": "net", "bus": "rp1"}
            qmp.cmd("device_add", add, timeout=60)
            check_equal(6 in bars(qmp, "net"), shown, "a ROM is shown, hot-plugged without romfile")
            qmp.cmd("device_del", id="net", force=True)
            qmp.cmd("device_add", {**add, "romfile": ""}, timeout=60)
            check(6 not in bars(qmp, "net"), "an empty romfile in device_add shows a ROM")
            qmp.cmd("quit")
            check_equal(vmm.wait_exit(), 0, "exit status")


def rom_image():
    """The smallest good expansion ROM: a header, a PCI data structure, 512 bytes in all, the last image."""
    image = bytearray(b"\x55\xaa\x01" + bytes(21) + b"\x1c\x00" + bytes(2) + b"PCIR" + bytes(480))
    image[0x1c + 10:0x1c + 12] = (24).to_bytes(2, "little")
    image[0x1c + 16:0x1c + 18] = (1).to_bytes(2, "little")
    image[0x1c + 21] = 0x80
    return bytes(image)
