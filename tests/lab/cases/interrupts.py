# SPDX-License-Identifier: Apache-2.0
"""Interrupts: by pin, alone and shared; MSI; MSI-X; drivers that change their mind."""

import time

from cases.nvme import SIZE, wait_for_drive
from l1.case import case, check, check_equal
from l1.host import write_random
from l1.qmp import Qmp

SOCKET = "/tmp/qmp.sock"
# e1000e's IntMode, and what comes of it. With 1 the driver arms MSI and tries it out, which QEMU's card does not pass
# (with QEMU as the VMM neither): it goes on with INTx. MSI that works is edu's, in the cases intx and edu-dma-msi.
KIND = {"0": "intx", "1": "intx", "2": "msix"}


def addresses(guest, *devices):
    """Where the guest has them, by their ids; there must be one of each."""
    seen = guest.pci_devices()
    found = [[bdf for bdf, ids in seen.items() if ids == device.vendor_device] for device in devices]
    check(all(len(places) == 1 for places in found), f"{devices} are at {found} in the guest, which has {seen}")
    return [places[0] for places in found]


def network(guest, bdf):
    """Its interface, up, with an address in the lab's network."""
    name = guest.wait_true(f"ls /sys/bus/pci/devices/{bdf}/net", what=f"a network interface of {bdf}").strip()
    guest.check(f"ip link set {name} up")
    guest.wait_true(f"grep -q 1 /sys/class/net/{name}/carrier", what="a carrier")
    guest.check(f"ip address add 10.0.2.15/24 dev {name}")
    return name


def ping(guest, name, count=3):
    guest.check(f"ping -I {name} -c {count} -W 10 10.0.2.2 || {{ ip address; cat /proc/interrupts; false; }}")


def serial_lines(guest, bdf):
    """Names of the ttys of a serial card of the guest."""
    guest.check("load 8250_pci")
    rows = guest.wait_true(f"find /sys/bus/pci/devices/{bdf}/ -name 'ttyS*' | grep .", what=f"serial lines of {bdf}")
    return sorted({row.rpartition("/")[2] for row in rows.split()})


def serial_ports(guest, bdf):
    names = serial_lines(guest, bdf)
    for name in names:
        guest.check(f"stty -F /dev/{name} 115200 raw -echo")
    return names


def cross(guest, ports, size, meanwhile="true"):
    """Random bytes through both serial lines at once, in both directions, while something else goes on."""
    one, two = ports
    guest.check(f"""head -c {size} /dev/urandom >/tmp/a; head -c {size} /dev/urandom >/tmp/b
head -c {size} /dev/{two} >/tmp/a.got & a=$!
head -c {size} /dev/{one} >/tmp/b.got & b=$!
cat /tmp/a >/dev/{one} & cat /tmp/b >/dev/{two} &
{{ {meanwhile}; }} || exit 1
wait $a $b
cmp /tmp/a /tmp/a.got && cmp /tmp/b /tmp/b.got""", timeout=180)


@case(host="legacy", deadline=400)
def intx(lab):
    """Three cards on one interrupt line, one behind a port on another, one without any: all at work."""
    names = ("rtl0", "serial0", "edu0", "e1000", "testdev0", "xhci0")   # in the order of addresses() below
    host = {name: lab.host.pci(name) for name in names}
    for device in host.values():
        device.bind_vfio()
    # Slots 4, 8 and 12: the same line for pin A.
    devices = [f"vfio-pci,host={host['rtl0'].bdf},id=rtl,bus=pcie.0,addr=0x4",
               f"vfio-pci,host={host['serial0'].bdf},id=serial,bus=pcie.0,addr=0x8",
               f"vfio-pci,host={host['edu0'].bdf},id=edu,bus=pcie.0,addr=0xc",
               "pcie-root-port,port=0x0,addr=0x5,bus=pcie.0,id=rp",
               f"vfio-pci,host={host['e1000'].bdf},id=e1000,bus=rp,addr=0x0",
               f"vfio-pci,host={host['testdev0'].bdf},id=quiet,bus=pcie.0,addr=0x6",
               f"vfio-pci,host={host['xhci0'].bdf},id=xhci,bus=pcie.0,addr=0x7"]
    with lab.vmm("-qmp", f"unix:{SOCKET},server,nowait", devices=devices) as vmm:
        guest = vmm.guest
        qmp = Qmp(SOCKET) if vmm.kind == "portcullis" else None
        rtl, serial, edu, e1000, quiet, xhci = addresses(guest, *host.values())
        for module in ("8139cp", "e1000", "uio_pci_generic"):
            guest.check(f"load {module}")
        guest.check("echo 1234 11e8 >/sys/bus/pci/drivers/uio_pci_generic/new_id")
        check_equal(config_space(guest, quiet)[0x3d], 0, "the interrupt pin of a card without one")

        name, ports = network(guest, rtl), serial_ports(guest, serial)
        lines = guest.check(f"cd /sys/bus/pci/devices; cat {rtl}/irq {serial}/irq {edu}/irq {e1000}/irq").split()
        check(len(set(lines[:3])) == 1 and lines[3] != lines[0], f"three cards on one line and one on another: {lines}")
        ping(guest, name)
        cross(guest, ports, 1024)
        # Each is waited for. A neighbour's that comes while the card's is pending counts once more for this handler.
        counted = int(guest.check(f"edu {edu} uio 20"))
        check(20 <= counted <= 40, f"interrupts of the third card: {counted}, not 20")
        # All at once.
        cross(guest, ports, 4096, f"ping -I {name} -c 20 -i 0.1 -W 10 10.0.2.2 >/tmp/ping && edu {edu} uio 20")
        check_equal(sorted(rows_of_host(host["rtl0"])), ["vfio-intx"], "the host's interrupts of the network card")
        check(command_register(host["testdev0"]) & 0x400 == 0, "a card without a pin has nothing to disable")
        # Behind the port, by its slot.
        guest.check(f"ip link set {name} down")
        other = network(guest, e1000)
        ping(guest, other)
        several_messages(guest, xhci, host["xhci0"], qmp)
        vmm.poweroff()


@case(host="legacy", vmms=("portcullis",))
def intx_storm(lab):
    """A card holds a line whose handler is another's: no thread of ours is busy, and all goes on afterwards."""
    card, other = lab.host.pci("edu0"), lab.host.pci("serial0")
    for device in (card, other):
        device.bind_vfio()
    # Slots 8 and 12: the same line for pin A.
    with lab.vmm("-qmp", f"unix:{SOCKET},server,nowait",
                 devices=[f"vfio-pci,host={other.bdf},id=serial,bus=pcie.0,addr=0x8",
                          f"vfio-pci,host={card.bdf},id=edu,bus=pcie.0,addr=0xc"], smp="2") as vmm:
        guest = vmm.guest
        qmp = Qmp(SOCKET)
        edu, serial = addresses(guest, card, other)
        guest.check("load uio_pci_generic; echo 1234 11e8 >/sys/bus/pci/drivers/uio_pci_generic/new_id")
        check_equal(guest.check(f"edu {edu} uio 20"), "20", "interrupts of the card")
        ports = serial_ports(guest, serial)
        guest.check(f"sleep 1000 </dev/{ports[0]} & true")      # an open port has its handler on the line
        line = guest.check(f"cat /sys/bus/pci/devices/{edu}/irq")
        # The processor that takes the line has time for nothing else.
        guest.check(f"echo 2 >/proc/irq/{line}/smp_affinity")
        storm(lab, vmm, edu, line, qmp)
        check_equal(guest.check("echo alive"), "alive", "the guest's answer")
        vmm.poweroff()


def config_space(guest, bdf):
    return bytes.fromhex(guest.check(f"od -An -v -tx1 /sys/bus/pci/devices/{bdf}/config").replace("\n", ""))


def write_config(guest, bdf, offset, data):
    octal = "".join(f"\\{byte:03o}" for byte in data)
    path = f"/sys/bus/pci/devices/{bdf}/config"
    guest.check(f"printf '{octal}' | dd of={path} bs=1 seek={offset} conv=notrunc 2>/dev/null")


def several_messages(guest, bdf, device, qmp):
    """MSI with as many vectors as the card has. Linux never asks for more than one here; others do."""
    config = config_space(guest, bdf)
    at = config[0x34]
    while config[at] != 5:
        at = config[at + 1]
        check(at, f"no MSI capability in {bdf}: {config[:64].hex()}")
    check_equal(config[at + 2] >> 1 & 7, 4, "vectors the card offers, as a power of two")
    write_config(guest, bdf, at + 4, bytes([0x00, 0x00, 0xe0, 0xfe, 0, 0, 0, 0, 0xb0, 0]))
    for wanted in (4, 2):
        write_config(guest, bdf, at + 2, bytes([config[at + 2] & 0x8e | wanted << 4 | 1]))
        check_equal(sorted(rows_of_host(device)), sorted(f"vfio-msi[{i}]" for i in range(1 << wanted)),
                    "the host's vectors")
        if qmp:
            check_equal(interrupts_of(qmp, "xhci")["armed"], 1 << wanted, "vectors armed")
        write_config(guest, bdf, at + 2, bytes([config[at + 2] & 0x8e]))
        check(not any("msi" in row for row in rows_of_host(device)), "the host's vectors stay when MSI is off")


def storm(lab, vmm, edu, line, qmp):
    """The card raises the line, and lowers it after three seconds."""
    guest = vmm.guest
    count = f"awk '$1 == \"{line}:\" {{ print $2 + $3 }}' /proc/interrupts"
    guest.check("rmmod uio_pci_generic")
    before, started, said = usage(vmm), time.monotonic(), vmm.stderr()
    number = guest.send_only(f"taskset -p 1 $$ >/dev/null; a=$({count}); edu {edu} raise 1; sleep 3; edu {edu} ack 1; b=$({count}); echo $((b-a))")
    for _ in range(10):
        check_equal(qmp.cmd("query-status")["status"], "running", "the VMM in the storm")
        time.sleep(0.2)
    found = guest.wait_for(rf"@@BEGIN {number}\r?\n(\d+)\r?\n", 120, "the end of the storm")
    seconds, busy = time.monotonic() - started, (usage(vmm) - before) / 100
    lab.note(f"{int(found[1])} unhandled interrupts in {seconds:.0f} s, {busy:.1f} s of other threads")
    check(int(found[1]) > 100, f"that was no storm: {int(found[1])} interrupts")
    check(busy < seconds / 2, f"threads that are not vCPUs took {busy} of {seconds} s")
    check_equal(vmm.stderr(), said, "what the VMM said before and after")


def usage(vmm):
    """Clock ticks of the threads that are not vCPUs."""
    ticks = 0
    for thread in vmm.threads():
        if not thread.comm.startswith("vcpu"):
            with open(f"/proc/{vmm.pid}/task/{thread.tid}/stat") as stat:
                fields = stat.read().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks


def rows_of_host(device):
    """{name: count} of the device's interrupts in L1."""
    found = {}
    for row in open("/proc/interrupts"):
        if device.bdf in row:
            fields = row.split()
            found[fields[-1].partition("(")[0]] = sum(int(field) for field in fields[1:] if field.isdigit())
    return found


def interrupts_of(qmp, name):
    """query-vfio's view of a device's interrupts; nothing for QEMU, which has no such command."""
    return next(row for row in qmp.cmd("query-vfio") if row["id"] == name)["interrupts"] if qmp else None


TOGGLES = 10    # of a vector's mask; each is a process of its own in the guest, which takes its time


class Table:
    """The MSI-X table and PBA of the e1000e in the guest, behind its driver's back (iomem=relaxed)."""

    PBA = 0x2000
    RECEIVE = 0     # the vector of received packets

    def __init__(self, guest, bdf):
        self.guest = guest
        bars = guest.check(f"cat /sys/bus/pci/devices/{bdf}/resource").splitlines()
        self.base = int(bars[3].split()[0], 16)

    def mask(self, on):
        return f"devmem {self.base + 16 * self.RECEIVE + 12:#x} 32 {int(on)}"

    def pending(self):
        return int(self.guest.check(f"devmem {self.base + self.PBA:#x} 32"), 16)


def masked_vectors(guest, table, name, qmp):
    """What a masked vector gets is kept, shown in the PBA and delivered; masking is cheap for the host."""
    def count():
        return guest.interrupts(rf"\b{name}-rx-0$")

    guest.check(table.mask(True))
    before = count()
    check_equal(len(before), 1, f"rows of the vector of received packets, {before}")
    # The answer to the ping cannot be seen before the vector is unmasked.
    status, _ = guest.run(f"ping -I {name} -c 1 -W 1 10.0.2.2")
    check(status != 0, "a packet was received through a masked vector")
    check_equal(table.pending(), 1 << table.RECEIVE, "pending bits with one masked vector")
    check_equal(count(), before, "a masked vector's count")
    guest.check(f"{table.mask(False)}; sleep 0.3")
    check_equal(table.pending(), 0, "pending bits after unmasking")
    (row, old), = before.items()
    check(count()[row] > old, "what came while masked was lost")
    if not qmp:
        return
    start = interrupts_of(qmp, "net")
    guest.check(f"i=0; while [ $i -lt {TOGGLES} ]; do {table.mask(True)}; {table.mask(False)}; i=$((i+1)); done")
    end = interrupts_of(qmp, "net")
    check_equal(end["masked"] - start["masked"], TOGGLES, "maskings of a vector, counted")
    check_equal(end["set-irqs"], start["set-irqs"], f"calls of VFIO_DEVICE_SET_IRQS after {TOGGLES} maskings")


# What the guest's rows say is what the host has: by mode, how many.
MODES = {"intx": ("fasteoi", 1), "msix": ("PCI-MSI", 3)}


def in_mode(guest, device, bdf, mode, qmp):
    name = network(guest, bdf)
    ping(guest, name, 2)
    chip, vectors = MODES[mode]
    seen = guest.interrupts(rf"{chip}.*\b{name}\b")
    check_equal(len(seen), vectors, f"the guest's interrupts in mode {mode}, {seen}")
    host = rows_of_host(device)
    check(all(row.startswith(f"vfio-{mode}") for row in host), f"the host's interrupts in mode {mode}: {host}")
    check_equal(len(host), vectors, f"the host's interrupts in mode {mode}, {host}")
    check(sum(host.values()) > 0, f"the host counted nothing: {host}")
    if qmp:
        state = interrupts_of(qmp, "net")
        check_equal((state["mode"], state["armed"], state["failures"]), (mode, vectors, 0), "query-vfio's interrupts")
    return name


@case(deadline=400)
def interrupt_modes(lab):
    """A driver moves from MSI-X to INTx, MSI and back, MSI-X and INTx; host vectors are what the guest enabled."""
    device, drive = lab.host.pci("net0"), lab.host.pci("nvme0")
    device.bind_vfio()
    drive.bind_vfio()
    devices = [f"vfio-pci,host={device.bdf},id=net,bus=pcie.0,addr=0x4",
               f"vfio-pci,host={drive.bdf},id=drive,bus=pcie.0,addr=0x6"]
    with lab.vmm("-qmp", f"unix:{SOCKET},server,nowait", devices=devices, smp="2", append="iomem=relaxed") as vmm:
        guest = vmm.guest
        qmp = Qmp(SOCKET) if vmm.kind == "portcullis" else None
        bdf, = addresses(guest, device)
        guest.wait_true("[ -b /dev/nvme0n1 ]", what="a drive")
        # One for commands and one for each processor, of the 65 the drive has.
        check_equal(len(guest.interrupts("nvme0q")), 3, "the guest's vectors of the drive")
        check_equal(len(rows_of_host(drive)), 3, "the host's vectors of the drive")
        name = in_mode(guest, device, bdf, "msix", qmp)
        masked_vectors(guest, Table(guest, bdf), name, qmp)
        ping(guest, name, 1)
        for mode in ("0", "1", "2", "0"):
            guest.check(f"rmmod e1000e && load e1000e IntMode={mode}")
            in_mode(guest, device, bdf, KIND[mode], qmp)
        guest.check("rmmod e1000e")
        check_equal(command_register(device) & 0x400, 0, "INTx disable in the card, which the guest left on")
        # Off: nobody listens, and the line is shut in the card, as the host's other devices may share it.
        write_config(guest, bdf, 4, bytes(2))
        check(command_register(device) & 0x400, "INTx is not disabled in the card, and nobody handles it")
        check_equal(rows_of_host(device), {}, "the host's interrupts of a card that is off")
        vmm.poweroff()


def numbers_of_host(device):
    """{name: interrupt number} of the device's interrupts in L1."""
    rows = [row.split() for row in open("/proc/interrupts") if device.bdf in row]
    return {row[-1].partition("(")[0]: int(row[0].rstrip(":")) for row in rows}


def many_vectors(lab, arguments=(), more=""):
    """Unmasks 40 vectors, then all 2048; returns whether the kernel added to those it had."""
    card = lab.host.pci("many0")
    written = write_random(card.block_device(), SIZE)
    card.bind_vfio()
    with lab.vmm("-qmp", f"unix:{SOCKET},server,nowait", *arguments,
                 devices=[f"vfio-pci,host={card.bdf},id=many,bus=pcie.0,addr=0x4{more}"]) as vmm:
        guest, qmp = vmm.guest, Qmp(SOCKET)
        bdf, = addresses(guest, card)
        wait_for_drive(guest)
        guest.check(f"echo {bdf} >/sys/bus/pci/drivers/nvme/unbind; msix {bdf} on 40")
        check_equal(interrupts_of(qmp, "many")["armed"], 40, "vectors armed")
        first = numbers_of_host(card)
        check_equal(sorted(first), sorted(f"vfio-msix[{i}]" for i in range(40)), "the host's vectors")
        started = time.monotonic()
        guest.check(f"msix {bdf} more 40 2008", timeout=300)
        seconds = time.monotonic() - started
        state, host = interrupts_of(qmp, "many"), numbers_of_host(card)
        check(40 < state["armed"] < 2048 and state["failures"] > 0, f"the host has 2048 vectors, or no more: {state}")
        check_equal(len(host), state["armed"], "the host's vectors, and those armed")
        check(len(vmm.stderr().splitlines()) < 40, f"the VMM said too much: {vmm.stderr()}")
        lab.note(f"{state['armed']} of 2048 vectors armed in {seconds:.1f} s, {state['set-irqs']} calls")
        guest.check(f"msix {bdf} off")
        check_equal(list(numbers_of_host(card)), ["vfio-intx"], "the host's vectors after MSI-X is off")
        guest.check(f"echo {bdf} >/sys/bus/pci/drivers/nvme/bind")
        wait_for_drive(guest)
        check_equal(guest.checksum("/dev/nvme0n1", SIZE), written, "what the guest read afterwards")
        vmm.poweroff()
    return first.items() <= host.items()


@case(host="regions", vmms=("portcullis",))
def msix_2048(lab):
    """A guest that unmasks 2048 vectors gets what the host has, and its card works as before afterwards."""
    many_vectors(lab)


@case(host="iommufd", vmms=("portcullis",))
def msix_2048_dynamic(lab):
    """The same under a kernel that adds vectors to live ones: those stay what they are."""
    check(many_vectors(lab, ("-object", "iommufd,id=iommufd0"), ",iommufd=iommufd0"),
          "vectors that were in use were taken away to add others")


def command_register(device):
    return int.from_bytes((device.path / "config").read_bytes()[4:6], "little")
