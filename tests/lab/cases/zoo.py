# SPDX-License-Identifier: Apache-2.0
"""Cards of every trade: the guest sees each as the host does."""

import collections

from l1.case import case, check, check_equal
from l1.qmp import Qmp

SOCKET = "/tmp/qmp.sock"
FIRST_SLOT = 3      # of the guest's pcie.0
# Capabilities the guest gets (linux/pci_regs.h); the others are shown where they mean nothing by themselves.
SHOWN = {0x01: "power management", 0x05: "MSI", 0x09: "vendor", 0x10: "PCI Express", 0x11: "MSI-X"}


def identity(config):
    """Ids, revision and class, header type, subsystem, pin: what drivers bind and decide by."""
    return (config[0:4] + config[8:12] + config[14:15] + config[44:48] + config[61:62]).hex()


def capabilities(config):
    at, found = config[0x34] if config[6] & 0x10 else 0, []
    while at:
        found.append(config[at])
        at = config[at + 1]
    return sorted(SHOWN[number] for number in found if number in SHOWN)


def sizes_of(resources):
    """Sizes of six BARs and the ROM, from the first rows of sysfs' resource."""
    rows = [[int(word, 16) for word in row.split()[:2]] for row in resources[:7]]
    return [end - start + 1 if end else 0 for start, end in rows]


def seen_by(guest, count):
    """[(config space, resources)] of the guest's cards, which it turns on: it may do as it likes with them."""
    text = guest.check(f"""s={FIRST_SLOT}; while [ $s -lt {FIRST_SLOT + count} ]; do
bdf=$(printf 0000:00:%02x.0 $s); cd /sys/bus/pci/devices/$bdf; bar $bdf on
hexdump -n 256 -v -e '1/1 "%02x"' config; echo; head -n 7 resource; s=$((s+1)); done""")
    rows = text.splitlines()
    return [(bytes.fromhex(rows[at]), rows[at + 1:at + 8]) for at in range(0, len(rows), 8)]


def compare(lab):
    cards = {name: lab.host.pci(name) for name in lab.host.names()}
    true = {}
    for name, card in cards.items():
        true[name] = (card.path / "config").read_bytes()[:256], (card.path / "resource").read_text().splitlines()
        card.bind_vfio()
    words = [f"vfio-pci,host={card.bdf},id={name},bus=pcie.0,addr={slot:#x}"
             for slot, (name, card) in enumerate(cards.items(), FIRST_SLOT)]
    with lab.vmm("-qmp", f"unix:{SOCKET},server,nowait", devices=words) as vmm:
        qmp, guest = Qmp(SOCKET), vmm.guest
        for (name, (config, resources)), (seen, there) in zip(true.items(), seen_by(guest, len(cards))):
            check_equal(identity(seen), identity(config), f"{name} in the guest")
            check_equal(capabilities(seen), capabilities(config), f"capabilities of {name} in the guest")
            own, sizes = sizes_of(resources), sizes_of(there)
            # Without a ROM behind its BAR a card shows none.
            check(sizes[:6] == own[:6] and sizes[6] in (0, own[6]), f"BARs of {name}: {sizes}, on the host {own}")
        complaints = guest.check("dmesg -r | grep '^<[0-3]>' || true")
        check(not complaints, f"the guest's kernel complains: {complaints}")
        resets = collections.Counter(row["reset"] for row in qmp.cmd("query-vfio"))
        lab.note(f"{len(cards)} cards; resets: " + ", ".join(f"{count} {how}" for how, count in resets.items()))
        qmp.cmd("system_reset")
        guest.wait_ready()
        check_equal(len(guest.pci_devices()), len(cards) + 1, "functions in the guest after its reset")
        vmm.poweroff()


@case(host="zoo", vmms=("portcullis",))
def zoo(lab):
    """Graphics, sound, SCSI, IDE, network and USB cards: ids, capabilities and BARs are the host's."""
    compare(lab)


@case(host="zoo-two", vmms=("portcullis",))
def zoo_two(lab):
    """Cards that count, watch, switch and more: the same."""
    compare(lab)
