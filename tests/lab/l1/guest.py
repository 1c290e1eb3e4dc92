# SPDX-License-Identifier: Apache-2.0
"""The guest (L2) behind its serial console: run commands there, read what came out."""

import base64
import os
import re
import threading

from l1 import clock
from l1.case import Failure, log, shorten


class Drain(threading.Thread):
    """Reads a file descriptor into a log, so that nobody blocks on a full one; waiters see what came."""

    def __init__(self, fd, path):
        super().__init__(daemon=True)
        self._fd = fd
        self._log = open(path, "wb", buffering=0)
        self.data = bytearray()
        self.changed = threading.Condition()
        self.ended = False
        self.logging = True

    def run(self):
        while True:
            try:
                chunk = os.read(self._fd, 1 << 16)
            except OSError:     # a pty whose other side closed
                chunk = b""
            if chunk and self.logging:
                self._log.write(chunk)
            with self.changed:
                self.data += chunk
                self.ended = not chunk
                self.changed.notify_all()
            if not chunk:
                self._log.close()
                return


def _text(data):
    """What a command printed; a terminal in between may have added carriage returns."""
    return data.decode(errors="replace").replace("\r\n", "\n").rstrip("\r\n")


class Guest:
    """Speaks the protocol of tests/lab/l2/init. Takes the descriptor of the console's other end."""

    def __init__(self, fd, log, vmm_status):
        self._fd = fd
        self._vmm_status = vmm_status
        self._drain = Drain(fd, log)
        self._drain.start()
        self._position = 0      # what lies before it in the console's output has been dealt with
        self._count = 0
        self.is_ready = False

    def close(self):
        """The VMM is gone, or is about to be: wait for its last words."""
        if self._fd is not None:
            self._drain.join(2)
            os.close(self._fd)
            self._fd = None

    @property
    def output(self):
        """Everything the console ever said."""
        with self._drain.changed:
            return self._drain.data.decode(errors="replace")

    def wait_for(self, pattern, timeout, what=None):
        """Wait for a regular expression on the console, after what was waited for before."""
        expression = re.compile(pattern.encode(), re.S)
        end = clock.now() + timeout
        with self._drain.changed:
            while not (match := expression.search(self._drain.data, self._position)):
                left = end - clock.now()
                if self._drain.ended and not left <= 0:
                    raise Failure(f"the console closed while the case waited for {what or pattern!r} "
                                  f"(exit status {self._vmm_status()})")
                if left <= 0:
                    raise Failure(f"waited {timeout} s for {what or pattern!r} from the guest's console")
                self._drain.changed.wait(min(left, 1))
            self._position = match.end()
            return match

    def wait_ready(self, timeout=180):
        """Until the guest's user space asks for commands; after a reboot, until it does so again."""
        self.is_ready = False
        started = clock.now()
        self.wait_for(r"@@READY\r?\n", timeout, "the guest's user space")
        self.is_ready = True
        log(f"guest: ready after {clock.now() - started:.1f} s")

    def run(self, command, timeout=120):
        """(status, output) of a shell command in the guest."""
        number = self.send_only(command)
        match = self.wait_for(rf"@@BEGIN {number}\r?\n(.*?)\r?\n@@END {number} (\d+)\r?\n", timeout,
                              f"the end of {command!r}")
        status, output = int(match[2]), _text(match[1])
        log(f"guest: {shorten(command)} -> {status} {shorten(output)}")
        return status, output

    def check(self, command, timeout=120):
        """Output of a command that must succeed."""
        status, output = self.run(command, timeout)
        if status:
            raise Failure(f"in the guest, {command!r} ended with {status}: {output}")
        return output

    def send_only(self, command):
        """Start a command without waiting for it (a poweroff, or one to be typed at)."""
        self._count += 1
        encoded = base64.b64encode(command.encode()).decode()
        self.type(f"@@RUN {self._count} {encoded}\n".encode())
        return self._count

    def type(self, data):
        """Bytes into the guest's serial port."""
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view):]

    # -- what cases ask again and again -----------------------------------------------------------

    def wait_true(self, command, timeout=30, what=None):
        """Until a command succeeds in the guest; its output. The guest polls, the console stays quiet."""
        script = (f"i=0; until {{ {command}; }} >/tmp/wait 2>&1; do i=$((i+1)); "
                  f"[ $i -lt {int(timeout * 10)} ] || {{ cat /tmp/wait; exit 1; }}; usleep 100000; done; cat /tmp/wait")
        status, output = self.run(script, timeout + 60)
        if status:
            raise Failure(f"waited {timeout} s in the guest for {what or command!r}: {output}")
        return output

    def checksum(self, path, size, timeout=180):
        """SHA-256 of the start of a file or drive of the guest, past the guest's page cache."""
        return self.check(f"echo 3 >/proc/sys/vm/drop_caches; head -c {size} {path} | sha256sum",
                          timeout).split()[0]

    def pci_devices(self):
        """{address: vendor:device} as the guest's kernel sees them."""
        rows = self.check("cd /sys/bus/pci/devices; for d in *; do echo $d $(cat $d/vendor $d/device); done")
        return {bdf: f"{vendor[2:]}:{device[2:]}" for bdf, vendor, device in map(str.split, rows.splitlines())}

    def interrupts(self, pattern):
        """{row's name: count over all CPUs} of the lines of /proc/interrupts that match."""
        counts = {}
        for row in self.check("cat /proc/interrupts").splitlines()[1:]:
            if re.search(pattern, row):
                fields = row.split()
                numbers = [int(field) for field in fields[1:] if field.isdigit()]
                counts[f"{fields[0]} {fields[-1]}"] = sum(numbers)
        return counts

    def kernel_messages(self, level):
        """Lines of the guest's kernel log at this level or more urgent (4: warnings)."""
        return self.check(f"dmesg -r | grep '^<[0-{level}]>' || true").splitlines()

    def dmesg(self, timeout=60):
        """The end of the kernel's log, kept out of the console's. The serial port is slow: this takes seconds."""
        self._drain.logging = False
        try:
            return self.check("dmesg | tail -n 150", timeout)
        finally:
            self._drain.logging = True
