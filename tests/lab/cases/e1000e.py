# SPDX-License-Identifier: Apache-2.0
"""An e1000e network card: MSI-X, MSI, INTx, I/O and ROM BARs."""

from l1.case import case, check

# udhcpc leaves the work to a script.
LEASE = """cat >/tmp/lease <<'END'
#!/bin/sh
[ "$1" = bound ] && ip address add $ip/$mask dev $interface
exit 0
END
chmod +x /tmp/lease"""


def reach_gateway(guest, interface="eth0"):
    """Get an address by DHCP and ping the gateway."""
    guest.wait_true(f"[ -e /sys/class/net/{interface} ]", what=f"the network interface {interface}")
    guest.check(LEASE)
    guest.check(f"ip link set {interface} up")
    guest.wait_true(f"grep -q 1 /sys/class/net/{interface}/carrier", what="a carrier")
    guest.check(f"udhcpc -i {interface} -n -q -t 5 -s /tmp/lease 2>&1")
    guest.check("ping -c 3 -W 5 10.0.2.2")


@case
def e1000e_ping(lab):
    """The guest gets an address and pings the gateway; its MSI-X vectors count interrupts."""
    card = lab.host.pci("net0")
    card.bind_vfio()
    with lab.vmm(devices=[f"vfio-pci,host={card.bdf},id=net,bus=pcie.0,addr=0x04.0x0"]) as vmm:
        reach_gateway(vmm.guest)
        vectors = vmm.guest.interrupts("MSI.*eth0")
        check(len(vectors) >= 3, f"expected MSI-X vectors for receive, transmit and link, found {vectors}")
        check(sum(count > 0 for count in vectors.values()) >= 2, f"vectors that never fired: {vectors}")
        vmm.poweroff()
