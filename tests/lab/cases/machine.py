# SPDX-License-Identifier: Apache-2.0
"""The guest's machine: processors, memory, power, and what its kernel thinks of it."""

import os
import signal
import threading
import time

from cases.edu import address_of
from cases.nvme import SIZE, wait_for_drive
from l1.case import case, check, check_equal
from l1.host import checksum, wait_for, write_random
from l1.qmp import Qmp

GIB = 1 << 30
PANIC_SOCKET = "/tmp/qmp.sock"

# What Linux calls the processor, and its microcode.
NAMES = "grep -E '^(model name|microcode)' /proc/cpuinfo | sort -u"
# Its caches: level, type, size.
CACHES = "cd /sys/devices/system/cpu/cpu0/cache; for i in index*; do cat $i/level $i/type $i/size; done | tr '\\n' ' '"

# A guest without devices of its own may still complain of what QEMU's CPU emulation (L0) lacks.
COMPLAINTS = r"ACPI|PCI|pci|IRQ|irq|MSI|APIC|firmware bug|BIOS"


def drive_device(lab, extra=""):
    """The lab's first drive bound to vfio-pci, and the -device that hands it over."""
    drive = lab.host.pci("nvme0")
    drive.bind_vfio()
    return drive, f"vfio-pci,host={drive.bdf},id=drive,bus=pcie.0,addr=0x03.0x0{extra}"


def processors(lab, count):
    _, device = drive_device(lab)
    with lab.vmm(smp=str(count), devices=[device]) as vmm:
        guest = vmm.guest
        check_equal(guest.check("nproc"), str(count), "processors in the guest")
        check_equal(guest.check(NAMES), lab.shell(NAMES).strip(), "the guest's processor, beside L1's")
        check_equal(guest.check(CACHES).strip(), lab.shell(CACHES).strip(), "its caches, beside L1's")
        # L1's package has one, so the guest's has.
        check_equal(guest.check("cat /sys/devices/system/cpu/cpu0/cache/index3/shared_cpu_list"),
                    "0" if count == 1 else f"0-{count - 1}", "who shares the third-level cache")
        wait_for_drive(guest)
        # Each of them runs something, and each takes the drive's interrupts.
        for cpu in range(count):
            guest.check(f"taskset -c {cpu} dd if=/dev/nvme0n1 of=/dev/null bs=64k count=4 iflag=direct 2>&1")
        vmm.poweroff()


@case
def smp_1(lab):
    """One vCPU."""
    processors(lab, 1)


@case
def smp_2(lab):
    """Two vCPUs."""
    processors(lab, 2)


@case
def smp_4(lab):
    """Four vCPUs."""
    processors(lab, 4)


@case(deadline=400, stress=True)
def smp_16(lab):
    """Sixteen vCPUs, on L1's one processor; 64 stop L1, whoever the VMM is."""
    processors(lab, 16)


def many_processors(lab, count, last):
    """
    Of these, the guest's kernel starts two by itself, since each costs L1's processor; then the last one that a
    device's interrupts reach, whose interrupt it takes.
    """
    _, device = drive_device(lab)
    socket = "/tmp/qmp-many.sock"
    with lab.vmm("-qmp", f"unix:{socket},server=on,wait=off", smp=str(count), memory="640M", devices=[device],
                 append="console=ttyS0 panic=-1 maxcpus=2") as vmm:
        guest, qmp = vmm.guest, Qmp(socket)
        check_equal(guest.check("nproc"), "2", "processors at first")
        check_equal(guest.check("cat /sys/devices/system/cpu/present"), f"0-{count - 1}", "processors there are")
        guest.check("dmesg | grep -q x2apic")
        # The report of XSAVE's sizes, which every guest here has (docs/lab.md), names our firmware.
        complaints = guest.check(f"dmesg -r | grep '^<[0-4]>' | grep -v 'Hardware name:' | grep -E '{COMPLAINTS}' || true")
        check(not complaints, f"the guest's kernel complains:\n{complaints}")
        check_equal([cpu["cpu-index"] for cpu in qmp.cmd("query-cpus-fast")], list(range(count)), "query-cpus-fast")
        wait_for_drive(guest)
        guest.check(f"echo 1 >/sys/devices/system/cpu/cpu{last}/online")
        guest.check(f"taskset -c {last} dd if=/dev/nvme0n1 of=/dev/null bs=64k count=4 iflag=direct 2>&1")
        taken = guest.check("awk '/nvme/ { n += $4 } END { print n + 0 }' /proc/interrupts")
        check(int(taken) > 0, f"CPU {last} took none of the drive's interrupts")
        if last < count - 1:
            status, _ = guest.run(f"echo 1 >/sys/devices/system/cpu/cpu{count - 1}/online")
            check(status != 0, f"CPU {count - 1} is online, and no device's interrupt reaches it")
            check(f"interrupts reach {last + 1} of the vCPUs" in vmm.stderr(), "no warning of that")
        for command in ("stop", "cont"):
            qmp.cmd(command)
        away = qmp.cmd("query-vfio-main-loop")
        lab.note(f"main away {away['longest-step-us'] // 1000} ms")
        vmm.poweroff()


@case(deadline=300, stress=True)
def smp_255(lab):
    """255 vCPUs, all that 8 bits name; the last one takes a drive's interrupt."""
    many_processors(lab, 255, 254)


@case(deadline=300)
def smp_300(lab):
    """300 vCPUs: x2APIC in the tables and at the start; CPU 255 takes a drive's interrupt, 299 is not started."""
    many_processors(lab, 300, 255)


@case
def memory_128m(lab):
    """128 MiB of RAM, the least there may be, with a device at work."""
    drive, _ = drive_device(lab)
    drive.bind_native()
    written = write_random(drive.block_device(), SIZE)
    _, device = drive_device(lab)
    with lab.vmm(memory="128M", devices=[device]) as vmm:
        wait_for_drive(vmm.guest)
        check_equal(vmm.guest.checksum("/dev/nvme0n1", SIZE), written, "what the guest read")
        vmm.poweroff()


class ErrorTerminal:
    """A terminal for a VMM's stderr, and all it shows there."""

    def __init__(self):
        self._master, self._slave = os.openpty()
        self.prefix = ("sh", "-c", f'exec "$@" 2>{os.ttyname(self._slave)}', "sh")
        self.shown = b""
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        while True:
            self.shown += os.read(self._master, 4096)


@case(host="large", deadline=400)
def memory_above_4g(lab):
    """RAM on both sides of the 4 GiB boundary, and DMA into the high part; a terminal shows how far it is."""
    edu = lab.host.pci("edu0")
    edu.bind_vfio()
    drive, device = drive_device(lab)
    devices = [device, f"vfio-pci,host={edu.bdf},id=edu,bus=pcie.0,addr=0x04.0x0"]
    terminal = ErrorTerminal()
    with lab.vmm(memory="3584M", devices=devices, prefix=terminal.prefix) as vmm:
        guest = vmm.guest
        if vmm.kind == "portcullis":
            check(b"portcullis: preparing memory: " in terminal.shown and b" of 3584 MiB" in terminal.shown,
                  f"no progress on the terminal: {terminal.shown!r}")
            check(b" memory: " not in terminal.shown.rpartition(b"\r\x1b[K")[2],
                  f"progress stays on the terminal: {terminal.shown[-80:]!r}")
        total = int(guest.check("awk '/MemTotal/ {print $2}' /proc/meminfo"))
        check(total > 3300 * 1024, f"the guest has only {total} KiB")
        check(guest.check("grep 'System RAM' /proc/iomem | grep '^1[0-9a-f]\\{8\\}-'"), "no RAM above 4 GiB")
        lab.note(guest.check(f"edu {address_of(guest)} dma {4 * GIB:#x}"))
        wait_for_drive(guest)
        vmm.poweroff()


@case
def reboot_with_device(lab):
    """The guest reboots with a drive attached: the machine and the drive are reset, and both work again."""
    drive = lab.host.pci("nvme0")
    written = write_random(drive.block_device(), SIZE)
    _, device = drive_device(lab)
    with lab.vmm(devices=[device]) as vmm:
        guest = vmm.guest
        for _ in range(2):
            wait_for_drive(guest)
            check_equal(guest.checksum("/dev/nvme0n1", SIZE), written, "what the guest read")
            guest.send_only("reboot -f")
            guest.wait_ready()
        wait_for_drive(guest)
        vmm.poweroff()


@case(stress=True)
def reboot_without_npt(lab):
    """On a host without nested paging, where KVM shadows the guest's page tables: boot, reboot, power-off."""
    lab.shell("modprobe -r kvm_amd && modprobe kvm_amd npt=0")
    try:
        check_equal(lab.shell("cat /sys/module/kvm_amd/parameters/npt").strip(), "N", "kvm_amd's nested paging")
        with lab.vmm(smp="2") as vmm:
            first = vmm.guest.check("cat /proc/sys/kernel/random/boot_id")
            vmm.guest.send_only("reboot -f")
            vmm.guest.wait_ready()
            check(vmm.guest.check("cat /proc/sys/kernel/random/boot_id") != first, "the guest did not boot again")
            vmm.poweroff()
    finally:
        lab.shell("modprobe -r kvm_amd && modprobe kvm_amd")


@case(deadline=900)
def ten_reboots(lab):
    """Ten reboots in a row leave the numbers of threads and open files as they were."""
    _, device = drive_device(lab)
    with lab.vmm(devices=[device]) as vmm:
        wait_for_drive(vmm.guest)
        before = (len(vmm.threads()), vmm.fd_count())
        for _ in range(10):
            vmm.guest.send_only("reboot -f")
            vmm.guest.wait_ready()
        wait_for_drive(vmm.guest)
        check_equal((len(vmm.threads()), vmm.fd_count()), before, "threads and open files after ten reboots")
        vmm.poweroff()


@case
def no_reboot(lab):
    """With -no-reboot, a guest that reboots ends the process with 0; with -mem-prealloc, it had all its memory."""
    with lab.vmm("-no-reboot", "-mem-prealloc") as vmm:
        check(vmm.memory_kib() >= 256 * 1024, f"only {vmm.memory_kib()} KiB of the guest's 256 MiB are there")
        names = [thread.comm for thread in vmm.threads()]
        check(not any(name.startswith("populator") for name in names), f"still there: {names}")
        vmm.guest.send_only("reboot -f")
        check_equal(vmm.wait_exit(60), 0, "exit status")


@case(vmms=("portcullis",))
def triple_fault(lab):
    """A guest that ends in a triple fault: the VMM says so."""
    with lab.vmm("-no-reboot", append="reboot=t") as vmm:
        vmm.guest.send_only("reboot -f")
        vmm.wait_exit(60)
        check("triple fault" in vmm.stderr().lower(), f"the VMM did not say so: {vmm.stderr()!r}")


@case(vmms=("portcullis",))
def panic(lab):
    """The guest's kernel panics: pvpanic-pci says so, cold- and hot-plugged, and what is done is the user's choice."""
    port = "pcie-root-port,port=0x0,addr=0x1.0x0,bus=pcie.0,id=rp"
    qmp_options = ("-qmp", f"unix:{PANIC_SOCKET},server,nowait")
    with lab.vmm(*qmp_options, "-action", "panic=exit-failure", devices=["pvpanic-pci"], append="panic=-1") as vmm:
        qmp = Qmp(PANIC_SOCKET)
        vmm.guest.check("load pvpanic_pci")
        vmm.guest.send_only("echo c > /proc/sysrq-trigger")
        check_equal(qmp.wait_event("GUEST_PANICKED", timeout=60)["data"], {"action": "poweroff"}, "what is done")
        check_equal(vmm.wait_exit(60), 1, "exit status")
    with lab.vmm(*qmp_options, devices=[port], append="panic=1") as vmm:
        qmp = Qmp(PANIC_SOCKET)
        for _ in range(2):  # it comes and goes like any card
            qmp.cmd("device_add", {"driver": "pvpanic-pci", "id": "p", "bus": "rp"}, timeout=60)
            vmm.guest.wait_true("grep -q 0x0011 /sys/bus/pci/devices/*/device", what="the card in the guest")
            check_equal(qmp.cmd("device_del", {"id": "p"}, timeout=60), {}, "device_del's return")
        qmp.cmd("device_add", {"driver": "pvpanic-pci", "id": "p", "bus": "rp"}, timeout=60)
        vmm.guest.wait_true("grep -q 0x0011 /sys/bus/pci/devices/*/device", what="the card in the guest")
        vmm.guest.check("load pvpanic_pci; [ -e /sys/bus/pci/drivers/pvpanic-pci/0000:* ]")
        qmp.cmd("set-action", {"panic": "pause"})
        vmm.guest.send_only("echo c > /proc/sysrq-trigger")
        check_equal(qmp.wait_event("GUEST_PANICKED", timeout=60)["data"], {"action": "pause"}, "what is done")
        wait_for(lambda: qmp.cmd("query-status")["status"] == "guest-panicked", 10, "the machine to be stopped")
        qmp.cmd("system_reset")
        qmp.cmd("cont")
        vmm.guest.wait_ready()
        vmm.poweroff()


@case
def poweroff(lab):
    """The guest's poweroff ends the process with 0, and the host uses the drive at once."""
    drive, device = drive_device(lab)
    with lab.vmm(devices=[device]) as vmm:
        wait_for_drive(vmm.guest)
        vmm.poweroff()
    started = time.monotonic()
    drive.bind_native()
    checksum(drive.block_device(), SIZE)
    lab.note(f"the host has the drive back after {time.monotonic() - started:.2f} s")


@case(vmms=("portcullis",))
def sigterm(lab):
    """SIGTERM presses the power button, and the guest turns itself off."""
    _, device = drive_device(lab)
    with lab.vmm(devices=[device]) as vmm:
        vmm.signal(signal.SIGTERM)
        check_equal(vmm.wait_exit(60), 0, "exit status after the guest's orderly poweroff")


@case(vmms=("portcullis",))
def sigterm_twice(lab):
    """A guest that ignores its power button: the second SIGTERM ends the process, the device is left reset."""
    drive, device = drive_device(lab)
    with lab.vmm(devices=[device]) as vmm:
        wait_for_drive(vmm.guest)
        vmm.guest.check("killall power-button")
        vmm.signal(signal.SIGTERM)
        time.sleep(2)
        check(vmm.status() is None, "the first SIGTERM ended the process, with the guest still running")
        vmm.signal(signal.SIGTERM)
        vmm.wait_exit(30)
    drive.bind_native()
    checksum(drive.block_device(), SIZE)


@case
def killed(lab):
    """SIGKILL in the middle of the drive's work: the kernel cleans up, and the host's driver has it again."""
    drive, device = drive_device(lab)
    with lab.vmm(devices=[device]) as vmm:
        wait_for_drive(vmm.guest)
        vmm.guest.send_only("while :; do cat /dev/nvme0n1 >/dev/null; done")
        time.sleep(2)
        vmm.signal(signal.SIGKILL)
        vmm.wait_exit(30)
    drive.bind_native()
    checksum(drive.block_device(), SIZE)


@case(vmms=("portcullis",))
def seccomp_filters(lab):
    """Every thread has its role's name and is under a filter; -disable-seccomp takes the filters away."""
    _, device = drive_device(lab)
    for arguments, mode in (((), 2), (("-disable-seccomp",), 0)):
        with lab.vmm(*arguments, smp="2", devices=[device]) as vmm:
            wait_for_drive(vmm.guest)
            threads = vmm.threads()
            wrong = [thread for thread in threads if thread.seccomp != mode]
            check(not wrong, f"threads whose Seccomp is not {mode}: {wrong}")
            names = [thread.comm.lower() for thread in threads]
            check_equal(sum("vcpu" in name for name in names), 2, f"vCPU threads among {names}")
            check_equal(sum("vfio" in name for name in names), 1, f"VFIO worker threads among {names}")
            vmm.poweroff()
            lab.note(", ".join(sorted(names)))


@case(vmms=("portcullis",))
def quiet_guest(lab):
    """The guest's kernel has no complaint about ACPI, PCI or interrupts, on two vCPUs with devices."""
    drive, device = drive_device(lab)
    port = "pcie-root-port,port=0x0,addr=0x1.0x0,bus=pcie.0,id=pcie.1"
    with lab.vmm(smp="2", devices=[device, port]) as vmm:
        wait_for_drive(vmm.guest)
        # "Hardware name" names our firmware in the report of any warning, of whatever.
        complaints = vmm.guest.check(f"dmesg -r | grep '^<[0-4]>' | grep -v 'Hardware name:' | grep -E '{COMPLAINTS}' || true")
        check(not complaints, f"the guest's kernel complains:\n{complaints}")
        vmm.poweroff()


@case
def clock_and_rtc(lab):
    """The guest runs on kvm-clock, has the host's time from the RTC, and its alarms and update interrupts."""
    with lab.vmm(smp="2") as vmm:
        guest = vmm.guest
        source = guest.check("cat /sys/devices/system/clocksource/clocksource0/current_clocksource")
        check(source in ("kvm-clock", "tsc"), f"the guest's clocksource is {source}")
        check(guest.check("dmesg | grep -c kvm-clock") != "0", "the guest does not know kvm-clock")
        apart = abs(int(guest.check("date +%s")) - int(time.time()))
        check(apart < 120, f"the guest's clock is {apart} s from the host's")
        guest.check("hwclock -u -r -f /dev/rtc0")
        # Linux sets every alarm register, and takes the alarm back when it has gone off.
        for alarm in range(2):
            guest.check("echo +2 > /sys/class/rtc/rtc0/wakealarm")
            guest.check("for i in $(seq 100); do [ -z \"$(cat /sys/class/rtc/rtc0/wakealarm)\" ] && break; "
                        "sleep 0.2; done; [ -z \"$(cat /sys/class/rtc/rtc0/wakealarm)\" ]")
            interrupts = int(guest.check("awk '/rtc0/ { print $2 + $3 }' /proc/interrupts"))
            check(interrupts > alarm, f"alarm {alarm + 1}: rtc0 had {interrupts} interrupts")
        vmm.poweroff()


@case(vmms=("portcullis",), deadline=400)
def long_stop(lab):
    """A guest that was stopped for longer than its watchdog's patience does not complain; its clock is right."""
    socket_path = lab.directory / "qmp.socket"
    with lab.vmm("-qmp", f"unix:{socket_path},server,nowait", smp="2") as vmm:
        guest, qmp = vmm.guest, Qmp(socket_path)
        check_equal(guest.check("cat /proc/sys/kernel/soft_watchdog"), "1", "the guest's watchdog for soft lockups")
        patience = 2 * int(guest.check("cat /proc/sys/kernel/watchdog_thresh"))
        before = int(guest.check("date +%s")) - time.time()
        # Processors that are idle have watchdogs that sleep.
        guest.check("for c in 0 1; do taskset -c $c sh -c 'while :; do :; done' >/dev/null 2>&1 & done; sleep 5")
        qmp.cmd("stop")
        time.sleep(patience + 10)
        qmp.cmd("cont")
        time.sleep(10)
        said = guest.check("dmesg | grep -iE 'lockup|stall|hung' || true")
        check(not said, f"after {patience + 10} s of stop, the guest's kernel says: {said}")
        apart = int(guest.check("date +%s")) - time.time() - before
        check(abs(apart) < patience, f"the guest's clock went {apart:+.0f} s from the host's in {patience + 10} s of stop")
        lab.note(f"clocks {apart:+.1f} s apart after a stop of {patience + 10} s")
        vmm.poweroff()


@case
def daemonize(lab):
    """-daemonize returns once the guest has started; -pidfile names the process that goes on. Paths may be relative."""
    pid_file, socket_path = lab.directory / "pid", lab.directory / "console.socket"
    arguments = ("-daemonize", "-pidfile", pid_file.name)
    files = {name: os.path.relpath(path, lab.directory) for name, path in (("kernel", lab.vmlinux), ("initrd", lab.initrd))}
    with lab.vmm(*arguments, **files, serial=f"unix:{socket_path.name},server,nowait", ready=False,
                 prefix=("env", f"--chdir={lab.directory}")) as vmm:
        check_equal(vmm.wait_exit(60), 0, "exit status of the command")
        pid = int(pid_file.read_text())
        if vmm.kind == "portcullis":
            check_equal(os.readlink(f"/proc/{pid}/cwd"), "/", "the daemon's folder")
        check(lab.alive(pid), "the daemon is not there")
        guest = lab.attach_console(socket_path)
        guest.wait_ready()
        guest.send_only("poweroff -f")
        wait_for(lambda: not lab.alive(pid), 60, "the daemon's end")
        check(not pid_file.exists(), "the pid file was left behind")
