# SPDX-License-Identifier: Apache-2.0
"""Guests that mean harm (l2/bare/hostile.c), on real KVM and VFIO: the VMM stays responsive, small and mortal."""

import pathlib
import random
import signal
import time

from cases.faults import unreachable
from l1 import clock, process
from l1.case import Failure, case, check, log
from l1.qmp import Qmp, QmpError

SOURCE = pathlib.Path(__file__).parent.parent / "l2" / "bare" / "hostile.c"
PORTS = ["pcie-root-port,id=rp1,bus=pcie.0,addr=0x1", "pcie-root-port,id=rp2,bus=pcie.0,addr=0x2"]
EXIT = "isa-debug-exit,iobase=0xf4,iosize=4"
# A card that writes where it may not, or is pulled in the middle, is the IOMMU's and the driver's to complain of.
NOISE = r"(?i)DMAR|vfio-pci|nvme|pcieport|AER"
AWAY_US = 5_000_000         # main from its loop by the clock on the wall; the host has one processor for all
AWAY_CPU_US = 1_000_000     # and of its own processor time
GROWTH_KIB = 16 << 10


CARD = "/sys/bus/pci/devices/0000:00:03.0"
# What the Linux guest does all the time, each beside the others.
LINUX = [
    "while :; do dd if=/dev/nvme0n1 of=/dev/null bs=64k count=16 iflag=direct; usleep 1000; done",
    f"while :; do echo 1 >{CARD}/reset; usleep 30000; done",
    f"while :; do printf '\\x%02x' $((RANDOM % 256)) | dd of={CARD}/config bs=1 seek=$((RANDOM % 256)) conv=notrunc; "
    "usleep 2000; done",
    f"while :; do cat {CARD}/config {CARD}/resource; cat /proc/bus/pci/devices; usleep 2000; done",
    "while :; do echo 0000:00:03.0 >/sys/bus/pci/drivers/nvme/unbind; usleep 90000; "
    "echo 0000:00:03.0 >/sys/bus/pci/drivers/nvme/bind; usleep 400000; done",
    f"while :; do echo 1 >{CARD}/remove; echo 1 >/sys/bus/pci/rescan; usleep 700000; done",
    "while :; do hwclock; usleep 10000; done",
]


def build(lab):
    kernel = lab.directory / "hostile"
    lab.shell(f"gcc -m32 -march=i686 -O1 -Wall -Wextra -Werror -ffreestanding -fno-pic -fno-stack-protector -mno-sse "
              f"-c -o {kernel}.o {SOURCE} && ld -m elf_i386 -N -Ttext=0x100000 -e start --no-warn-rwx-segments "
              f"-o {kernel} {kernel}.o")
    return kernel


def refused(qmp, command, **arguments):
    """Any answer is one."""
    try:
        qmp.cmd(command, arguments, timeout=120)
    except QmpError as error:
        log(f"{command} {arguments}: {error}")


def client(qmp, dice, card):
    """One thing that a client does."""
    match dice.randrange(12):
        case 0:
            refused(qmp, "device_add", driver="vfio-pci", id="hot", bus="rp1", host=card)
        case 1:
            refused(qmp, "device_del", id="hot", force=True)
        case 2:
            qmp.start("device_del", {"id": "hot"})
            qmp.start("query-status")
            for _ in range(2):
                try:
                    qmp.answer(120)
                except QmpError:
                    pass
        case 3:
            refused(qmp, "stop")
            refused(qmp, "cont")
        case 4:
            refused(qmp, "system_reset")
        case 5:
            qmp.cmd("query-vfio")
        case _:
            qmp.cmd("query-status")
            time.sleep(0.05)


def main_loop(qmp):
    return qmp.cmd("query-vfio-main-loop", reset=True)


def torment(lab, what, seconds, end="quit", **guest):
    """A guest that does what; clients that come and go; then the end."""
    seed = random.randrange(1 << 30)
    cold, hot = lab.host.pci("nvme0"), lab.host.pci("nvme1")
    cold.bind_vfio()
    hot.bind_vfio()
    path = lab.directory / f"qmp-{seed}"
    dice = random.Random(seed)
    log(f"seed={seed} what={what}")
    options = {"kernel": None, "initrd": None, "append": None, "memory": "128M", "smp": "3", "ready": False, **guest}
    if options["kernel"] is None:
        options["kernel"] = build(lab)
        arguments = ["-append", f"seed={seed} what={what}"]
    else:
        arguments = []
    with lab.vmm(*arguments, "-qmp", f"unix:{path},server=on,wait=off", **options,
                 devices=[*PORTS, f"vfio-pci,host={cold.bdf},id=cold,bus=pcie.0,addr=0x3,on-error=report"]) as vmm:
        qmp = Qmp(path)
        if options["ready"]:
            for line in LINUX:
                vmm.guest.send_only(f"({line}) >/dev/null 2>&1 &")
        time.sleep(3)
        first, fds = vmm.memory_kib(), vmm.fd_count()
        main_loop(qmp)
        until, commands, resets = clock.now() + seconds, 0, 0
        while clock.now() < until and vmm.status() is None:
            try:
                client(qmp, dice, hot.bdf)
            except Failure as error:
                log(process.describe(vmm.pid))
                raise Failure(f"seed={seed}: {error}; {vmm.stderr()[-500:]}") from None
            commands += 1
            resets += sum(e["event"] == "RESET" for e in qmp.events)
            qmp.events.clear()
        away = main_loop(qmp)
        refused(qmp, "device_del", id="hot", force=True)
        grown, left = vmm.memory_kib() - first, vmm.fd_count() - fds
        said = len(vmm.stderr())
        ending(vmm, qmp, end)
    lab.note(f"{what}: {commands} commands, {resets} resets, main away {away['longest-step-us'] // 1000} ms "
             f"({away['longest-step-cpu-us'] // 1000} of its own), {grown:+} KiB, {left:+} fds, {said} bytes of log")
    check(away["longest-step-us"] < AWAY_US and away["longest-step-cpu-us"] < AWAY_CPU_US,
          f"seed={seed}: main was away: {away}")
    check(grown < GROWTH_KIB, f"seed={seed}: {grown} KiB more memory")
    check(left <= 0, f"seed={seed}: {left} more fds")
    check(said < 32 << 10, f"seed={seed}: {said} bytes of log")


def ending(vmm, qmp, how, timeout=60):
    if how == "quit":
        qmp.start("quit")
    else:
        vmm.signal(signal.SIGTERM)
        time.sleep(1)
        if vmm.status() is None:
            vmm.signal(signal.SIGTERM)
    vmm.wait_exit(timeout)
    check("not waiting any longer" not in vmm.stderr(), f"the end was not orderly: {vmm.stderr()[-400:]}")


@case(host="standard", vmms=("portcullis",), deadline=300, allow=NOISE)
def hostile_guest(lab):
    """Config space, BARs, vector tables, slots, platform; functions are reset, BARs move; cards come and go."""
    torment(lab, "fbs", 30)


@case(host="standard", vmms=("portcullis",), deadline=300, allow=NOISE)
def hostile_guest_that_resets(lab):
    """The same, and the machine is reset and triple faults at the same time; SIGTERM, SIGTERM again ends it."""
    torment(lab, "fbsr", 25, end="signals")


@case(host="standard", vmms=("portcullis",), deadline=1500, stress=True, allow=NOISE)
def hostile_guest_for_minutes(lab):
    """Five minutes of everything but power-off."""
    torment(lab, "fbs", 150)
    torment(lab, "fbsr", 150)


@case(host="standard", vmms=("portcullis",), deadline=400, allow=NOISE)
def hostile_linux(lab):
    """A Linux guest whose root resets, removes, unbinds its drive and writes its config space, all under load."""
    torment(lab, "linux", 25, kernel=lab.vmlinux, initrd=lab.initrd, append="console=ttyS0 panic=-1 quiet", smp="2",
            memory="256M", ready=True)


@case(host="standard", vmms=("portcullis",), deadline=600, allow=NOISE)
def hostile_guest_that_ends(lab):
    """A guest that powers off and writes isa-debug-exit on three processors at once: the end always comes."""
    kernel, notes = build(lab), []
    for seed in range(6):
        with lab.vmm("-append", f"seed={seed} what=bso", kernel=kernel, initrd=None, append=None, memory="128M", smp="3",
                     ready=False, devices=[*PORTS, EXIT]) as vmm:
            notes.append(str(vmm.wait_exit(90)))
            check("not waiting any longer" not in vmm.stderr(), vmm.stderr()[-400:])
    lab.note("exit statuses " + " ".join(notes))


@case(host="standard", vmms=("portcullis",), deadline=500, allow=NOISE)
def stop_beside_a_dead_card(lab):
    """A guest resets a card that has stopped answering, and reads it: the kernel holds whom it holds, but not main."""
    drive = lab.host.pci("nvme0")
    drive.bind_vfio()
    path = lab.directory / "qmp"
    with lab.vmm("-append", "seed=1 what=f", "-qmp", f"unix:{path},server=on,wait=off", kernel=build(lab), initrd=None,
                 append=None, memory="128M", smp="3", ready=False,
                 devices=[f"vfio-pci,host={drive.bdf},id=d,bus=pcie.0,addr=0x3,on-error=report"]) as vmm:
        qmp = Qmp(path)
        time.sleep(3)
        with unreachable(drive):
            time.sleep(2)
            main_loop(qmp)
            for _ in range(10):
                for command in ("stop", "query-status", "cont"):
                    qmp.cmd(command, timeout=20)
                time.sleep(0.2)
            away = main_loop(qmp)
        ending(vmm, qmp, "quit", 200)
    lab.note(f"main away {away['longest-step-us'] // 1000} ms")
    check(away["longest-step-us"] < AWAY_US, f"main was away: {away}")
