# SPDX-License-Identifier: Apache-2.0
"""One L1: a QEMU process, the JSON channel to the agent inside it, and QEMU's own monitor."""

import ctypes
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import threading
import time

from . import atomics, initramfs, paths, steal, svm_fix


def qemu_path():
    return os.environ.get("LAB_QEMU") or shutil.which("qemu-system-x86_64") or "qemu-system-x86_64"

BOOT_DEADLINE = 120     # seconds of steal.Clock; 8 is usual
CPU = "EPYC,ucode-rev=0x8001250"    # a microcode that is not KVM's own idea of one


_libc = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1


def die_with_parent():
    """In the new process: an L1 must not outlive the run that started it, however that ends."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


class LabFault(Exception):
    """L1 itself stopped: not the fault of the program under test."""


class Channel:
    """JSON lines over a connected stream socket."""

    def __init__(self, sock):
        self._sock = sock
        self._pending = b""

    def send(self, message):
        self._sock.sendall(json.dumps(message).encode() + b"\n")

    def receive(self, timeout):
        """The next message, or None when none came in time."""
        end = time.monotonic() + timeout
        while b"\n" not in self._pending:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self._sock], [], [], left)[0]:
                return None
            data = self._sock.recv(1 << 16)
            if not data:
                raise LabFault("the channel was closed")
            self._pending += data
        row, _, self._pending = self._pending.partition(b"\n")
        return json.loads(row)


class Qmp:
    """L0's own monitor, for cases that pull a device or a cable."""

    def __init__(self, sock):
        self._channel = Channel(sock)
        self._lock = threading.Lock()
        self.events = []

    def command(self, name, arguments=None, timeout=30):
        with self._lock:
            self._channel.send({"execute": name, **({"arguments": arguments} if arguments else {})})
            end = time.monotonic() + timeout
            while (message := self._channel.receive(end - time.monotonic())) is not None:
                if "event" in message:
                    self.events.append(message)
                elif "return" in message or "error" in message:
                    return message
            raise LabFault(f"L0's QEMU did not answer {name}")


class L1:
    emulator = "QEMU"

    def __init__(self, host, kernel, folder, repo_overrides=None):
        self.host = host
        self.kernel = kernel
        self.folder = folder
        self.console = folder / "l1-console.log"
        self.qmp = None             # where there is one
        self._process = None
        self._overrides = repo_overrides or {}

    def start(self, interactive=False):
        """Start QEMU; wait_ready() tells when the agent is up."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._make_images()
        ours, theirs = socket.socketpair()
        monitor, their_monitor = socket.socketpair()
        command = self._command(theirs.fileno(), their_monitor.fileno(), interactive)
        (self.folder / "l0-command.txt").write_text(" \\\n  ".join(map(str, command)) + "\n")
        with open(self.folder / "l0-qemu.log", "wb") as log:
            self._process = subprocess.Popen(
                command, pass_fds=(theirs.fileno(), their_monitor.fileno()),
                stdin=None if interactive else subprocess.DEVNULL,
                stdout=None if interactive else log, stderr=log,
                start_new_session=not interactive, preexec_fn=die_with_parent)
        self.clock = steal.Clock(self._process.pid)
        theirs.close()
        their_monitor.close()
        self.channel = Channel(ours)
        self.qmp = Qmp(monitor)
        self.qmp.command("qmp_capabilities")
        self.mended = svm_fix.apply(self._process.pid)      # long before L1 runs its first guest
        if self.host.atomics:
            atomics.apply(self._process.pid)

    def wait_ready(self):
        self._wait_ready(BOOT_DEADLINE)

    def _wait_ready(self, seconds):
        end = self.clock.now() + seconds
        while self.clock.now() < end:
            if (message := self.receive(1)) and message["type"] == "ready":
                return
        raise LabFault(f"L1 did not boot within {seconds} s")

    def receive(self, timeout):
        try:
            message = self.channel.receive(timeout)
        except (LabFault, ConnectionError):
            raise LabFault(f"L0's {self.emulator} ended with status {self._status()}") from None
        if message is None and self._process.poll() is not None:
            raise LabFault(f"L0's {self.emulator} ended with status {self._process.returncode}")
        return message

    def _status(self):
        """Of a QEMU that has just closed its channel; a signal's number is negative."""
        try:
            return self._process.wait(5)
        except subprocess.TimeoutExpired:
            return "none yet: only the channel closed"

    def stop(self):
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._process.wait()
        for device in self.host.devices:
            device.image(self.folder).unlink(missing_ok=True)

    def wait(self):
        return self._process.wait()

    def stolen(self):
        """Seconds of L1's own clock in which it had no processor."""
        return self.clock.stolen

    def where(self):
        """What L1's processor does: with nokaslr, RIP is a line of System.map; while L2 runs, it is L2's."""
        try:
            text = self.qmp.command("human-monitor-command", {"command-line": "info registers"}).get("return", "")
        except (LabFault, OSError):
            return "its QEMU does not answer either"
        mended = [] if self.mended else ["its QEMU is not mended"]
        return ", ".join(mended + re.findall(r"RIP=\w+|RFL=\w+ \[[^]]*\]|HLT=\d", text)) or "no registers"

    def said(self):
        """What L0's QEMU and L1's console said, for a failure's report."""
        texts = {}
        for title, name in (("L0 (QEMU)", "l0-qemu.log"), ("L1 console", "l1-console.log")):
            path = self.folder / name
            text = path.read_text(errors="replace") if path.exists() else ""
            texts[title] = "".join(row for row in text.splitlines(True) if "TCG doesn't support" not in row)
        return texts

    def _make_images(self):
        for device in self.host.devices:
            if device.drive:
                device.image(self.folder).write_bytes(os.urandom(device.drive))

    def _command(self, channel, monitor, interactive):
        # no_timer_check: on a busy machine the emulated timer looks broken to the kernel, which then panics.
        append = ["console=ttyS0", "panic=-1", "quiet", "nokaslr", "no_timer_check", self.host.append,
                  f"lab_repo={paths.REPO}", f"lab_kernel={self.kernel.root}"]
        append += [f"{name}={value}" for name, value in self._overrides.items()]
        if interactive:
            append.append("lab_shell=1")
            console = ["-chardev", f"stdio,id=console,mux=on,signal=off,logfile={self.console}"]
        else:
            console = ["-chardev", f"file,id=console,path={self.console}"]
        accel = os.environ.get("LAB_ACCEL", self.host.accel)
        command = [
            qemu_path(),
            "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
            "-M", "q35,kernel-irqchip=off", "-accel", accel, "-cpu", "host" if accel == "kvm" else CPU,
            "-smp", "1", "-m", f"{self.host.memory}M",
            "-device", "intel-iommu,intremap=on,device-iotlb=on",
            "-kernel", self.kernel.image, "-initrd", initramfs.l1(self.kernel), "-append", " ".join(append),
            *console, "-serial", "chardev:console",
            "-chardev", f"socket,id=monitor,fd={monitor}", "-mon", "chardev=monitor,mode=control",
            "-device", "virtio-serial-pci,addr=0x1e",
            "-chardev", f"socket,id=lab,fd={channel}", "-device", "virtserialport,chardev=lab,name=lab",
            "-device", "virtio-rng-pci,addr=0x1d",
            "-virtfs", "local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap",
        ]
        for device in self.host.devices:
            command += device.arguments(self.folder)
        return [*command, *self.host.extra]
