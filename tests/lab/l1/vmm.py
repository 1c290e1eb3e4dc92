# SPDX-License-Identifier: Apache-2.0
"""The program under test, or QEMU in its place: started, watched, ended."""

import dataclasses
import os
import pathlib
import re
import shlex
import signal
import socket
import subprocess
import time

from l1 import clock, process
from l1.case import Failure, log
from l1.guest import Guest

# What QEMU needs to be told to be the same machine. Without rombar=0 its firmware runs the network card's
# boot ROM, which takes most of a minute here.
QEMU_EXTRA = ["-accel", "kvm", "-nodefaults", "-no-user-config", "-display", "none", "-global", "vfio-pci.rombar=0"]


@dataclasses.dataclass
class Options:
    """The machine a case wants; everything has a default, and None leaves an option away."""

    memory: str = "256M"
    smp: str = "1"
    kernel: object = None
    initrd: object = None
    append: str = ""            # added to what the console needs
    serial: str = "stdio"
    console: str = "socket"     # what its stdin and stdout are: socket or pty
    devices: tuple = ()         # values of -device
    ready: bool = True          # wait until the guest's shell is up
    prefix: tuple = ()          # a command to run it under: setpriv, prlimit
    limits: tuple = ()          # (resource, (soft, hard)) for setrlimit in the child
    fds: tuple = ()             # file descriptors it inherits, by their numbers
    boot_timeout: int = 180
    program: object = None
    bare: bool = False          # only the case's own arguments

    def arguments(self):
        if self.bare:
            return []
        out = ["-machine", "q35", "-cpu", "host"]
        for option, value in (("-smp", self.smp), ("-m", self.memory), ("-kernel", self.kernel),
                              ("-initrd", self.initrd), ("-serial", self.serial)):
            if value is not None:
                out += [option, str(value)]
        if self.append is not None:
            out += ["-append", f"console=ttyS0 quiet panic=-1 {self.append}".strip()]
        for device in self.devices:
            out += ["-device", device]
        return out


@dataclasses.dataclass(frozen=True)
class Thread:
    tid: int
    comm: str
    seccomp: int    # the Seccomp: field of its status: 0 none, 2 a filter


class Vmm:
    """Its console is a socket on its stdin and stdout; logs are PREFIX-{command,console,stderr}.log."""

    def __init__(self, program, kind, options, arguments, prefix):
        self.kind = kind
        self.options = options
        self._prefix = str(prefix)
        self._command = [*options.prefix, str(options.program or program), *options.arguments(),
                         *(QEMU_EXTRA if kind == "qemu" and not options.bare else []), *map(str, arguments)]
        self._process = None
        self.guest = None
        self.terminal = None

    def start(self):
        pathlib.Path(self._prefix + "-command.log").write_text(shlex.join(self._command) + "\n")
        log(f"start {shlex.join(self._command)}")
        ours, theirs = self._console()
        self.started = time.monotonic()
        with open(self._prefix + "-stderr.log", "wb") as errors:
            self._process = subprocess.Popen(self._command, stdin=theirs, stdout=theirs, stderr=errors,
                                             pass_fds=self.options.fds,
                                             preexec_fn=self._limit if self.options.limits else None)
        if self.options.console == "pty":
            self.terminal = theirs      # the case looks at its settings
        else:
            os.close(theirs)
        self.guest = Guest(ours, pathlib.Path(self._prefix + "-console.log"), self._last_status)
        if self.options.ready:
            self.guest.wait_ready(self.options.boot_timeout)

    def _console(self):
        """(our end, the VMM's end) as descriptors."""
        if self.options.console == "pty":
            return os.openpty()
        ours, theirs = socket.socketpair()
        return ours.detach(), theirs.detach()

    def _limit(self):
        import resource
        for which, limit in self.options.limits:
            resource.setrlimit(which, limit)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if kind is not None:
            self._describe()
        self.close()

    def close(self):
        """End it, whatever it is doing; nothing happens when it has ended."""
        if self._process and self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
        if self.terminal is not None:
            os.close(self.terminal)     # or the console would never end
            self.terminal = None
        if self.guest:
            self.guest.close()

    def _describe(self):
        """For a failure's report: where its threads are, and the guest's kernel log if it still talks."""
        if self.status() is not None:
            return
        pathlib.Path(self._prefix + "-threads.log").write_text(process.describe(self.pid))
        if self.guest.is_ready:
            try:
                pathlib.Path(self._prefix + "-guest-dmesg.log").write_text(self.guest.dmesg())
            except Failure:
                pass

    # -- watching it ----------------------------------------------------------------------------

    @property
    def pid(self):
        return self._process.pid

    def status(self):
        """Exit status, negative for a signal, or None while it runs."""
        return self._process.poll()

    def _last_status(self):
        """The same, for one whose console just closed: give it the time to end."""
        try:
            return self._process.wait(3)
        except subprocess.TimeoutExpired:
            return None

    def stderr(self):
        return pathlib.Path(self._prefix + "-stderr.log").read_text(errors="replace")

    def final_output(self):
        """All it wrote on its stdout, once it has ended."""
        self.guest.close()
        return self.guest.output

    def wait_exit(self, timeout=60):
        end = clock.now() + timeout
        while True:
            try:
                return self._process.wait(0.5)
            except subprocess.TimeoutExpired:
                if clock.now() > end:
                    raise Failure(f"the VMM was still running after {timeout} s") from None

    def signal(self, number):
        self._process.send_signal(number)

    def poweroff(self, timeout=60):
        """The guest turns itself off; the VMM must end with 0."""
        self.guest.send_only("sync; poweroff -f")
        status = self.wait_exit(timeout)
        if status != 0:
            raise Failure(f"after the guest's poweroff the VMM ended with {status}; it said: {self.stderr()!r}")

    def threads(self):
        found = []
        for task in pathlib.Path(f"/proc/{self.pid}/task").iterdir():
            status = (task / "status").read_text()
            found.append(Thread(int(task.name), (task / "comm").read_text().strip(),
                                int(re.search(r"^Seccomp:\s+(\d)", status, re.M)[1])))
        return sorted(found, key=lambda thread: thread.tid)

    def fd_count(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def memory_kib(self, field="VmRSS"):
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(rf"^{field}:\s+(\d+)", status, re.M)[1])

