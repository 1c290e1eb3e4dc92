# SPDX-License-Identifier: Apache-2.0
"""The host's memory has an uncorrectable error below the guest (the host's hard_offline_page), or is not there."""

import errno
import os
import pathlib
import re
import struct
import time

from cases.nvme import SIZE, wait_for_drive
from l1.case import Failure, case, check, check_equal
from l1.qmp import Qmp

PAGE = 4096
# What L1's kernel says of it. The page stays lost to this L1.
SAYS = "(?i)memory failure|hwpoison|mce:"
HARD_OFFLINE = pathlib.Path("/sys/devices/system/memory/hard_offline_page")
HUGE_PAGES = pathlib.Path("/sys/kernel/mm/transparent_hugepage/enabled")


def present_pages(pid):
    """(address, page frame) of what the VMM has in its large mappings: guest memory."""
    maps = pathlib.Path(f"/proc/{pid}/maps").read_text()
    with open(f"/proc/{pid}/pagemap", "rb") as pagemap:
        for first, last in re.findall(r"^(\w+)-(\w+) rw", maps, re.M):
            start, end = int(first, 16), int(last, 16)
            if end - start < 1 << 20:
                continue
            pagemap.seek(start // PAGE * 8)
            entries = pagemap.read((end - start) // PAGE * 8)
            for number, (entry,) in enumerate(struct.iter_unpack("<Q", entries)):
                if entry >> 63:
                    yield start + number * PAGE, entry & ((1 << 55) - 1)


def frames_of(pid, mark):
    """Page frames of the VMM's memory that are filled with the mark."""
    page = (mark.encode() * PAGE)[:PAGE]
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        found = []
        for address, frame in present_pages(pid):
            memory.seek(address)
            if memory.read(len(mark)) == page[:len(mark)]:
                memory.seek(address)
                if memory.read(PAGE) == page:
                    found.append(frame)
        return found


def lose(frame):
    """The host's memory controller reports an uncorrectable error there."""
    with open(HARD_OFFLINE, "wb", buffering=0) as file:
        try:
            file.write(hex(frame * PAGE).encode())
        except OSError as error:
            # The page is bad all the same; it cannot be taken from those who have it pinned.
            check(error.errno == errno.EBUSY, f"hard_offline_page: {error}")


def failure(qmp, timeout=60, required=True, **data):
    event = qmp.wait_event("MEMORY_FAILURE", timeout, flags={"action-required": required, "recursive": False}, **data)
    return event["data"]


def cpu_ticks(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def start(lab, *arguments, **options):
    socket_path = lab.directory / "qmp.socket"
    vmm = lab.vmm("-qmp", f"unix:{socket_path},server,nowait", *arguments, **options)
    return vmm, Qmp(socket_path)


def hold(guest, mark, pages=16):
    """A process of the guest fills pages with the mark and waits."""
    guest.check(f"rm -f /tmp/go /tmp/said; memory {pages} {mark} /tmp/go >/tmp/said 2>&1 &")
    guest.wait_true("grep -q filled /tmp/said", what="a process with memory")


def use(guest):
    """It reads them again; what it says."""
    guest.check("touch /tmp/go")
    return guest.wait_true("grep done /tmp/said && cat /tmp/said", what="the process's report")


@case(vmms=("portcullis",), allow=SAYS)
def memory_error_process(lab):
    """A process of the guest loses a page of its memory and gets SIGBUS; the guest lives, QMP is told."""
    vmm, qmp = start(lab, smp="2")
    with vmm:
        guest = vmm.guest
        hold(guest, "process-loses-me", 16)
        frames = frames_of(vmm.pid, "process-loses-me")
        check_equal(len(frames), 16, "pages with the mark")
        lose(frames[5])
        failure(qmp, recipient="guest", action="inject", required=False)
        said = use(guest)
        failure(qmp, recipient="guest", action="inject")
        check_equal(re.findall(r"SIGBUS code (\d)", said), ["4"], "SIGBUS in the guest's process")
        check("done, 0 bytes wrong" in said, f"the other pages: {said}")
        check(guest.check("dmesg | grep -ciE 'memory failure|hardware error'") != "0", "the guest's kernel says nothing")
        check_equal(qmp.cmd("query-status")["status"], "running", "run state")
        said = vmm.stderr()
        check_equal(said.count("uncorrectable error"), 1, f"lines in the log: {said}")
        vmm.poweroff()


@case(vmms=("portcullis",), allow=SAYS)
def memory_error_kernel(lab):
    """The guest's kernel itself meets the error and panics; started anew it has sound memory in that place."""
    vmm, qmp = start(lab)
    with vmm:
        guest = vmm.guest
        # Read by the kernel, on behalf of a process: for that it has no remedy.
        guest.check("awk 'BEGIN { for (i = 0; i < 4096; i++) printf \"kernel-loses-me \" }' >/tmp/file")
        frames = frames_of(vmm.pid, "kernel-loses-me ")
        check_equal(len(frames), 16, "pages with the mark")
        lose(frames[10])
        failure(qmp, recipient="guest", action="inject", required=False)
        guest.send_only("md5sum /tmp/file; echo survived")
        failure(qmp, recipient="guest", action="inject")
        qmp.wait_event("RESET")
        guest.wait_ready()
        check("survived" not in guest.output, "the guest went on")
        check("1 pages of guest memory with uncorrectable errors were replaced" in vmm.stderr(), vmm.stderr())
        # All memory there is, the page among it.
        free = int(guest.check("awk '/MemFree/ {print $2}' /proc/meminfo")) // 4
        hold(guest, "all-is-well", free * 9 // 10)
        check("done, 0 bytes wrong" == use(guest).splitlines()[-1], "what is in it")
        vmm.poweroff()


@case(vmms=("portcullis",), allow=SAYS)
def memory_error_deaf(lab):
    """A guest that has machine checks switched off meets the error: it is reset."""
    vmm, qmp = start(lab, append="mce=off")
    with vmm:
        guest = vmm.guest
        hold(guest, "nobody-listens")
        frames = frames_of(vmm.pid, "nobody-listens")
        check(frames, "no page with the mark")
        lose(frames[3])
        guest.send_only("touch /tmp/go")
        failure(qmp, recipient="guest", action="reset")
        qmp.wait_event("RESET")
        guest.wait_ready()
        check("shut down by a memory error" in vmm.stderr(), vmm.stderr())
        vmm.poweroff()


@case(vmms=("portcullis",), allow=SAYS)
def memory_error_device(lab):
    """The same beside a drive whose DMA all of guest memory is mapped for: the guest lives, the drive works."""
    drive = lab.host.pci("nvme0")
    drive.bind_vfio()
    # A huge page that DMA has pinned cannot be split, and then the host's kernel leaves it where it is.
    HUGE_PAGES.write_text("never")
    vmm, qmp = start(lab, smp="2", devices=[f"vfio-pci,host={drive.bdf},id=drive,bus=pcie.0,addr=0x3"])
    with vmm:
        guest = vmm.guest
        wait_for_drive(guest)
        before = guest.checksum("/dev/nvme0n1", SIZE)
        hold(guest, "pinned-and-lost")
        frames = frames_of(vmm.pid, "pinned-and-lost")
        check_equal(len(frames), 16, "pages with the mark")
        lose(frames[0])
        said = use(guest)
        failure(qmp, recipient="guest", action="inject")
        check_equal(re.findall(r"SIGBUS code (\d)", said), ["4"], "SIGBUS in the guest's process")
        check_equal(guest.checksum("/dev/nvme0n1", SIZE), before, "what the guest read")
        vmm.poweroff()
    HUGE_PAGES.write_text("always")


@case(vmms=("portcullis",), allow=SAYS, deadline=400)
def memory_error_reboot(lab):
    """After the guest's reboot there is sound memory in place of the page, for its processor and for the drive's DMA.
    Of several pages, far apart, because the new guest's kernel may need one of them for itself."""
    drive = lab.host.pci("nvme0")
    drive.bind_vfio()
    HUGE_PAGES.write_text("never")
    vmm, qmp = start(lab, memory="128M", devices=[f"vfio-pci,host={drive.bdf},id=drive,bus=pcie.0,addr=0x3"])
    with vmm:
        guest = vmm.guest
        hold(guest, "gone-until-reset", 4000)
        for frame in frames_of(vmm.pid, "gone-until-reset")[::1000]:
            lose(frame)
        check("SIGBUS code 4" in use(guest), "the guest's process was not told")
        addresses = re.findall(r"guest memory at (0x\w+)", vmm.stderr())
        guest.send_only("reboot -f")
        qmp.wait_event("RESET")
        guest.wait_ready()
        check(f"{len(addresses)} pages of guest memory with uncorrectable errors were replaced" in vmm.stderr(),
              vmm.stderr())
        wait_for_drive(guest)
        pages = int(guest.check("echo 3 >/proc/sys/vm/drop_caches; awk '/MemFree/ {print $2}' /proc/meminfo")) // 4
        said = {guest.check(f"dmapage {pages - 1000} {a} /dev/nvme0n1 || true") for a in addresses}
        check_equal(said - {f"not among {pages - 1000} pages"}, {"the same"}, "what the drive wrote")
        vmm.poweroff()
    HUGE_PAGES.write_text("always")


def backing_file(pid):
    """The descriptor of the VMM's that is guest memory: a file that has no name."""
    for link in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        if "portcullis-ram" in os.readlink(link):
            return link
    raise Failure("no file behind guest memory")


@case(vmms=("portcullis",))
def memory_file_truncated(lab):
    """The file behind guest memory is truncated: an internal error that says so, and no busy processor."""
    folder = pathlib.Path("/dev/shm/guest-memory")
    folder.mkdir()
    vmm, qmp = start(lab, "-mem-path", folder)
    with vmm:
        hold(vmm.guest, "behind-the-end")
        os.truncate(backing_file(vmm.pid), 4 << 20)
        qmp.wait_event("STOP")
        check_equal(qmp.cmd("query-status")["status"], "internal-error", "run state")
        check("EFAULT" in vmm.stderr() and "-mem-path" in vmm.stderr(), vmm.stderr())
        used = cpu_ticks(vmm.pid)
        time.sleep(3)
        check(cpu_ticks(vmm.pid) - used < 50, "the VMM is busy")
        # Nor can the guest be loaded again.
        qmp.cmd("system_reset")
        qmp.cmd("cont")
        check_equal(vmm.wait_exit(30), 1, "exit status")
        check("was truncated" in vmm.stderr(), vmm.stderr())
