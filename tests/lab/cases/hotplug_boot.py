# SPDX-License-Identifier: Apache-2.0
"""Drives are plugged at every moment of the guest's boot: none may be lost."""

import time

from cases.hotplug import NATIVE, OURS, SOCKET
from l1.case import case
from l1.qmp import Qmp

STEP = 0.1      # seconds between plugs of the full sweep


def sweep(lab, boots, *arguments):
    """Every boot gets a drive in each of its ports, in turn; plugs of all boots are at even distances.

    Without a number of boots there are as many as make the distance STEP. The drives are taken by force: Linux
    (6.1) that was shown one while it made its sysfs files crashes when it lets go of that.
    """
    drives = [lab.host.pci(f"nvme{i}") for i in range(12)]
    for drive in drives:
        drive.bind_vfio()
    ports = [f"pcie-root-port,port={i},addr={i + 1:#x},bus=pcie.0,id=port{i}" for i in range(len(drives))]
    with lab.vmm("-qmp", f"unix:{SOCKET},server,nowait", *arguments, devices=ports) as vmm:
        clients = [Qmp(SOCKET) for _ in drives]
        boot_time = reboot(vmm, clients[0])
        boots = boots or round(boot_time / STEP / len(drives)) + 1
        distance = boot_time / boots / len(drives)
        lab.note(f"a boot takes {boot_time:.1f} s; {boots} boots, {boots * len(drives)} plugs, one every "
                 f"{distance * 1000:.0f} ms")
        for boot in range(boots):
            clients[0].cmd("system_reset")
            start = time.monotonic()
            for i, (client, drive) in enumerate(zip(clients, drives)):
                time.sleep(max(0, start + (i * boots + boot) * distance - time.monotonic()))
                client.start("device_add", {"driver": "vfio-pci", "id": f"d{i}", "bus": f"port{i}", "addr": "0x0",
                                            "host": drive.bdf})
            for client in clients:
                client.answer(timeout=120)
            vmm.guest.wait_ready()
            vmm.guest.wait_true(f"[ $(ls /dev/nvme*n1 | wc -l) = {len(drives)} ]", timeout=60,
                                what="every drive that was plugged")
            for i, client in enumerate(clients):
                client.start("device_del", {"id": f"d{i}", "force": True})
            for client in clients:
                client.answer(timeout=60)
        vmm.poweroff()


def reboot(vmm, qmp):
    """Seconds from system_reset to the guest's user space."""
    start = time.monotonic()
    qmp.cmd("system_reset")
    vmm.guest.wait_ready()
    return time.monotonic() - start


@case(host="drives", vmms=OURS, deadline=400)
def plug_during_boot(lab):
    """Drives that are plugged at 36 moments of the guest's boot are there when it has booted."""
    sweep(lab, 3)


@case(host="drives", vmms=OURS, deadline=300)
def plug_during_boot_native(lab):
    """The same at 12 moments, by the ports' own slot registers."""
    sweep(lab, 1, *NATIVE)


@case(host="drives", vmms=OURS, deadline=1800, stress=True)
def plug_every_100_ms_of_boot(lab):
    """Drives that are plugged at every 100 ms of the guest's boot are there when it has booted."""
    sweep(lab, None)


@case(host="drives", vmms=OURS, deadline=1800, stress=True)
def plug_every_100_ms_of_boot_native(lab):
    """The same by the ports' own slot registers."""
    sweep(lab, None, *NATIVE)
