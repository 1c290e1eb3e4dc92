# SPDX-License-Identifier: Apache-2.0
"""The serial port: a terminal for people, a pipe for programs."""

import hashlib
import os
import termios

from l1.case import case, check, check_equal
from l1.host import wait_for

PASTE = 16 << 10        # bytes; the lab takes some kilobytes a second


@case(deadline=400)
def paste(lab):
    """Input that comes faster than the guest reads it is not lost."""
    data = os.urandom(PASTE // 2).hex().encode()
    with lab.vmm() as vmm:
        guest = vmm.guest
        number = guest.send_only(f"echo go; head -c {len(data)} </dev/ttyS0 | sha256sum")
        guest.wait_for(rf"@@BEGIN {number}\r?\ngo\r?\n", 30)
        guest.type(data)
        match = guest.wait_for(rf"([0-9a-f]{{64}})  -\r?\n\r?\n@@END {number}", 300, "the checksum of what was pasted")
        check_equal(match[1].decode(), hashlib.sha256(data).hexdigest(), "what the guest read")
        vmm.poweroff()


@case(vmms=("portcullis",))
def terminal(lab):
    """On a terminal: raw while the guest has it, Ctrl-A X quits, and it is left as it was found."""
    with lab.vmm(console="pty", ready=False) as vmm:
        before = termios.tcgetattr(vmm.terminal)
        # Nobody has touched it yet when the process has only just been started.
        check(before[3] & termios.ICANON, "a new terminal should be in canonical mode")
        vmm.guest.wait_ready()
        check(not termios.tcgetattr(vmm.terminal)[3] & (termios.ICANON | termios.ECHO | termios.ISIG),
              "the terminal is not raw while the guest runs")
        check_equal(vmm.guest.check("echo hello"), "hello", "what the guest says over the terminal")
        vmm.guest.type(b"\x01x")
        vmm.wait_exit(30)
        check_equal(termios.tcgetattr(vmm.terminal), before, "the terminal's settings afterwards")


@case(vmms=("portcullis",))
def terminal_after_failure(lab):
    """A start that fails leaves the terminal as it was."""
    with lab.vmm(console="pty", ready=False, kernel="/nonexistent") as vmm:
        before = termios.tcgetattr(vmm.terminal)
        check_equal(vmm.wait_exit(30), 1, "exit status")
        check_equal(termios.tcgetattr(vmm.terminal), before, "the terminal's settings afterwards")


@case
def serial_file(lab):
    """-serial file:PATH keeps what the guest says."""
    path = lab.directory / "serial-out.log"
    with lab.vmm(serial=f"file:{path}", ready=False) as vmm:
        wait_for(lambda: path.exists() and b"@@READY" in path.read_bytes(), 120, "the guest's greeting in the file")
        check(vmm.status() is None, "the VMM ended")
