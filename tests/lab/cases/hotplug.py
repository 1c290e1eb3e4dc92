"""Hot plug and hot unplug over QMP: a drive comes and goes under a running guest."""

import contextlib
import hashlib
import os
import statistics
import threading
import time

from cases.nvme import SIZE, wait_for_drive
from l1.case import case, check, check_equal
from l1.host import checksum, wait_for, write_random
from l1.qmp import Qmp, QmpError
from l1.resources import Scheduling, taken

PORT = "pcie-root-port,port=0x0,addr=0x1.0x0,bus=pcie.0,id=pcie.1"
SOCKET = "/tmp/qmp.sock"
HEAD = 256 << 10    # bytes that are read where reading all takes too long
NATIVE = ("-global", "pcie-root-port.native-hotplug=on")
OURS = ("portcullis",)
PLUG_TAKES = ("fds", "maps of the device", "KiB locked", "pages the host holds pinned")


def add_words(drive, **more):
    """device_add as the manual writes it."""
    return {"id": "vfio-0", "driver": "vfio-pci", "bus": "pcie.1", "addr": "0x0", "host": drive.bdf, **more}


def add(qmp, drive, **more):
    check_equal(qmp.cmd("device_add", add_words(drive, **more), timeout=120), {}, "device_add's return")


def delete(qmp, **more):
    """device_del: the event comes first, then the return, as the manual's transcript shows."""
    check_equal(qmp.cmd("device_del", {"id": "vfio-0", **more}, timeout=60), {}, "device_del's return")
    event = qmp.wait_event("DEVICE_DELETED", timeout=1)
    check_equal(event["data"], {"device": "vfio-0", "path": "vfio-0"}, "DEVICE_DELETED's data")


def refused(qmp, command, arguments, mentions):
    """The command fails, and says why."""
    try:
        qmp.cmd(command, arguments, timeout=60)
    except QmpError as error:
        check(mentions in str(error), f"{command}: {error} does not mention {mentions!r}")
        return
    check(False, f"{command} {arguments} was accepted")


def device(qmp, name="vfio-0"):
    """query-vfio's row of the device, or None."""
    rows = qmp.cmd("query-vfio")
    rows = rows.get("devices", rows) if isinstance(rows, dict) else rows
    return next((row for row in rows if row["id"] == name), None)


@contextlib.contextmanager
def machine(lab, *arguments, **options):
    """A running guest with an empty root port, its QMP, and the lab's first drive with known content."""
    drive = lab.host.pci("nvme0")
    data = os.urandom(SIZE)
    drive.written = write_random(drive.block_device(), SIZE, data)
    drive.head = hashlib.sha256(data[:HEAD]).hexdigest()
    drive.bind_vfio()
    devices = options.pop("devices", [PORT])
    with lab.vmm("-qmp", f"unix:{SOCKET},server,nowait", *arguments, devices=devices, **options) as vmm:
        qmp = Qmp(SOCKET)
        try:
            yield vmm, qmp, drive
        finally:
            qmp.close()


def read_drive(vmm, drive):
    wait_for_drive(vmm.guest)
    check_equal(vmm.guest.checksum("/dev/nvme0n1", SIZE), drive.written, "what the guest read")


def read_head(vmm, drive):
    """The same with the start of a drive that the guest has not cached."""
    wait_for_drive(vmm.guest)
    check_equal(vmm.guest.check(f"head -c {HEAD} /dev/nvme0n1 | sha256sum").split()[0], drive.head, "what it read")


def drive_gone(vmm):
    vmm.guest.wait_true("[ ! -b /dev/nvme0n1 ]", what="the drive to be gone")


def limited(qmp):
    """What the VMM counts itself: memslots, interrupt routes and workers in use."""
    return {row["name"]: row["used"] for row in qmp.cmd("query-vfio-limits")}


def cycles(lab, rounds, *arguments):
    """Plug, read, unplug, again and again; each round ends with what the first one began with."""
    with machine(lab, *arguments) as (vmm, qmp, drive):
        first, used, rss, plugs, unplugs = taken(vmm), limited(qmp), 0, [], []
        for turn in range(rounds):
            start = time.monotonic()
            add(qmp, drive)
            wait_for_drive(vmm.guest)
            plugs.append(time.monotonic() - start)
            read_head(vmm, drive)
            with_it = taken(vmm)
            check(all(with_it[what] > first[what] for what in PLUG_TAKES), f"a plug takes nothing? {with_it} {first}")
            check(all(count > used[what] for what, count in limited(qmp).items()), f"a plug uses nothing? {used}")
            start = time.monotonic()
            delete(qmp)
            unplugs.append(time.monotonic() - start)
            drive_gone(vmm)
            check_equal((taken(vmm), limited(qmp)), (first, used), f"what is in use after round {turn}")
            check(device(qmp) is None, "query-vfio still shows the device")
            if turn == 0:
                rss = vmm.memory_kib()
        grown = vmm.memory_kib() - rss
        # Pinning the guest's RAM in the first round made all of it resident.
        check(grown < 4096, f"{grown} KiB more are resident than after the first round")
        lab.note(f"plug {min(plugs):.2f}-{max(plugs):.2f} s, unplug {min(unplugs):.2f}-{max(unplugs):.2f} s")
        drive.bind_native()
        check_equal(checksum(drive.block_device(), SIZE), drive.written, "what the host reads at the end")
        vmm.poweroff()


@case(vmms=OURS, deadline=400)
def hotplug_acpi(lab):
    """Plug a drive, read it, unplug it by ACPI, 15 times: each time all is given back."""
    cycles(lab, 15)


@case(vmms=OURS, deadline=1200, stress=True)
def hotplug_acpi_50(lab):
    """The same 50 times."""
    cycles(lab, 50)


@case(vmms=OURS, deadline=300)
def hotplug_native(lab):
    """The same by the port's own slot registers (pciehp), where Linux waits five seconds on the button."""
    cycles(lab, 3, *NATIVE)


@case(vmms=OURS, deadline=1800, stress=True)
def hotplug_native_50(lab):
    """The same 50 times."""
    cycles(lab, 50, *NATIVE)


def first_plug(lab):
    """Adds the first device to a 2 GiB guest; seconds another session waited for each of its answers meanwhile."""
    with machine(lab, memory="2G") as (vmm, qmp, drive):
        other = Qmp(SOCKET)
        vmm.guest.check("(while :; do cut -d' ' -f1 /proc/uptime; usleep 20000; done) >/tmp/ticks 2>&1 &")
        qmp.start("device_add", add_words(drive))
        gaps, done = [], threading.Event()

        def ask():
            while not done.is_set():
                start = time.monotonic()
                other.cmd("query-status")
                gaps.append(time.monotonic() - start)

        thread = threading.Thread(target=ask)
        scheduling = Scheduling(vmm.pid)
        start = time.monotonic()
        thread.start()
        qmp.answer(timeout=120)
        took = time.monotonic() - start
        held_up = scheduling.longest()
        done.set()
        thread.join()
        wait_for_drive(vmm.guest)
        ticks = [float(tick) for tick in vmm.guest.check("cat /tmp/ticks").split()]
        largest = max(b - a for a, b in zip(ticks, ticks[1:]))
        # On L1's one processor an answer waits for its turn; what counts is how long main was held up by locks.
        lab.note(f"device_add took {took:.2f} s; {len(gaps)} answers meanwhile, median "
                 f"{statistics.median(gaps) * 1000:.1f} ms, slowest {max(gaps) * 1000:.0f} ms; main waited at most "
                 f"{held_up['wait_max']:.1f} ms for the processor, {held_up['block_max']:.1f} ms for locks; "
                 f"largest gap in the guest's clock {largest * 1000:.0f} ms")
        check(len(gaps) > 3, "the other session was not answered while the device was added")
        check(held_up["block_max"] < 100, f"the kernel held main up for {held_up['block_max']} ms")
        delete(qmp)
        vmm.poweroff()
    return gaps


@case(vmms=OURS, deadline=400)
def hotplug_qmp_stays_live(lab):
    """While the first device is added to a 2 GiB guest, another session is answered and the guest's clock goes on."""
    first_plug(lab)


@case(host="clock", vmms=OURS, deadline=400, stress=True)
def hotplug_qmp_within_10_ms(lab):
    """The same on the instruction clock, a processor of 500 million instructions a second: no answer takes 10 ms."""
    slowest = max(first_plug(lab))
    check(slowest < 0.010, f"an answer took {slowest * 1000:.1f} ms")


@case(vmms=OURS, deadline=300)
def unplug_while_reading(lab):
    """Unplug while the guest reads at full speed: errors in the guest at most; the host has the drive within a second."""
    with machine(lab) as (vmm, qmp, drive):
        add(qmp, drive)
        wait_for_drive(vmm.guest)
        vmm.guest.check("(while dd if=/dev/nvme0n1 of=/dev/null bs=1M iflag=direct 2>/dev/null; do :; done) >/dev/null &")
        time.sleep(1)
        delete(qmp)
        start = time.monotonic()
        drive.bind_native()
        check_equal(drive.driver, "nvme", "the drive's driver")
        lab.note(f"bound to the host's driver {time.monotonic() - start:.2f} s after DEVICE_DELETED")
        check_equal(checksum(drive.block_device(), SIZE), drive.written, "what the host reads")
        drive_gone(vmm)
        drive.bind_vfio()
        add(qmp, drive)
        read_drive(vmm, drive)
        vmm.poweroff()


@case(vmms=OURS, deadline=300)
def unplug_cold_plugged(lab):
    """A device of the command line behind a root port is unplugged the same way; one on pcie.0 cannot be."""
    drive, second = lab.host.pci("nvme0"), lab.host.pci("edu0")
    second.bind_vfio()
    words = [PORT, f"vfio-pci,host={drive.bdf},id=vfio-0,bus=pcie.1,addr=0x0",
             f"vfio-pci,host={second.bdf},id=fixed,bus=pcie.0,addr=0x4"]
    with machine(lab, devices=words) as (vmm, qmp, drive):
        read_drive(vmm, drive)
        refused(qmp, "device_del", {"id": "fixed"}, "pcie.0")
        refused(qmp, "device_del", {"id": "nobody"}, "nobody")
        refused(qmp, "device_del", {"id": "pcie.1"}, "root port")
        delete(qmp)
        drive_gone(vmm)
        add(qmp, drive)
        read_drive(vmm, drive)
        vmm.poweroff()


@case(vmms=OURS, deadline=300)
def unplug_without_answer(lab):
    """A guest that does not answer: error and event in time, the device still works, force takes it away."""
    with machine(lab, "-S", append="acpiphp.disable=1", ready=False) as (vmm, qmp, drive):
        # Before the guest runs: it finds the device when it boots.
        add(qmp, drive, **{"unplug-timeout": 6})
        qmp.cmd("cont")
        vmm.guest.wait_ready()
        read_drive(vmm, drive)
        refused(qmp, "device_del", {"id": "vfio-0"}, "requested")
        event = qmp.wait_event("DEVICE_UNPLUG_GUEST_ERROR", timeout=1)
        check_equal(event["data"]["device"], "vfio-0", "the event's device")
        read_drive(vmm, drive)
        other = Qmp(SOCKET)
        qmp.start("device_del", {"id": "vfio-0"})
        wait_for(lambda: device(other)["stage"] == "requested", 10, "the stage 'requested'")
        refused(other, "device_del", {"id": "vfio-0"}, "already")
        try:
            qmp.answer(timeout=30)
            check(False, "the second device_del succeeded")
        except QmpError:
            pass
        qmp.cmd("stop")
        refused(qmp, "device_del", {"id": "vfio-0"}, "not running")
        qmp.cmd("cont")
        delete(qmp, force=True)
        check_equal(vmm.guest.check("echo alive"), "alive", "the guest's answer")
        vmm.poweroff()


def wait_until(condition, seconds):
    """For a while; whether it came true does not matter."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and not condition():
        time.sleep(0.05)


@case(vmms=OURS, deadline=400)
def clients_leave_and_race(lab):
    """A client leaves in the middle of device_add; two add and delete one id for 200 rounds: nothing is left."""
    other = lab.host.pci("nvme1")
    other.bind_vfio()
    # A device that stays keeps the memory pinned, which makes the rounds short.
    with machine(lab, devices=[PORT, f"vfio-pci,host={other.bdf},id=stays,bus=pcie.0,addr=0x4"]) as (vmm, qmp, drive):
        leaver = Qmp(SOCKET)
        leaver.start("device_add", add_words(drive))
        leaver.close()
        wait_for(lambda: (device(qmp) or {}).get("stage") == "plugged", 60, "the device to be plugged")
        vmm.guest.wait_true("grep -q nvme0 /sys/class/nvme/*/serial", what="the drive")
        delete(qmp)
        first, answers = taken(vmm), {"added": 0, "add refused": 0, "deleted": 0, "del refused": 0}

        def run(command, arguments, good, bad, pause):
            client = Qmp(SOCKET)
            for turn in range(200):
                # Without pauses each finds the other in its first steps, every time.
                time.sleep(turn % 4 * pause)
                if pause and turn % 8 == 0:
                    wait_until(lambda: (device(client) or {}).get("stage") == "plugged", 5)
                try:
                    client.cmd(command, arguments, timeout=120)
                    answers[good] += 1
                except QmpError:
                    answers[bad] += 1
                    time.sleep(0.1)
            client.close()

        clients = [threading.Thread(target=run, args=("device_add", add_words(drive), "added", "add refused", 0)),
                   threading.Thread(target=run, args=("device_del", {"id": "vfio-0", "force": True}, "deleted",
                                                      "del refused", 0.1))]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        lab.note(str(answers))
        check_equal(sum(answers.values()), 400, "answers")
        check(answers["added"] > 10 and answers["deleted"] > answers["added"] / 2, f"hardly a race: {answers}")
        if device(qmp):
            qmp.cmd("device_del", {"id": "vfio-0", "force": True}, timeout=60)
        wait_for(lambda: device(qmp) is None, 30, "the device to be gone")
        wait_for(lambda: taken(vmm) == first, 10, "what was taken to be given back")
        vmm.poweroff()
