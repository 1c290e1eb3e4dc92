# SPDX-License-Identifier: Apache-2.0
"""Mends, in the memory of a QEMU that has just started, the fault that made guests in L1 hang and crash.

KVM in L1 injects an interrupt into L2 with VMRUN. QEMU's helper_vmrun() delivers it at once, but leaves its
vector in cpu->exception_index. When something then wants the processor's thread out of its loop (a timer, a
device, the end of an instruction budget) before anything else has overwritten that, the loop takes the vector
for an exception that is still to be delivered, and delivers it a second time: whether or not L2 has interrupts
enabled, at whatever instruction it is. QEMU 7.2 has it; later ones, up to 10.0, were seen to hang in the same way.

The store of the vector is taken out: delivery does not need it, and the loop's value for "none" stays.
"""

import functools
import os
import re

# The case SVM_EVTINJ_TYPE_INTR as gcc compiles it in Debian 12: the store; exception_is_int = 0; exception_next_eip
# = -1; a look at the log mask; do_interrupt_x86_hardirq(env, vector, 1).
STORE = re.compile(rb"\x89\xb3.{4}(?=\xc7\x83.{4}\0\0\0\0\x48\xc7\x83.{4}\xff\xff\xff\xff\xf6\x05.{4}\x02\x0f\x85.{4}"
                   rb"\xba\x01\0\0\0\x48\x89\xdf\xe8)", re.S)
NOTHING = b"\x66\x0f\x1f\x44\x00\x00"       # a no-op of the same length


@functools.cache
def _place(program):
    """Offset of the store in the program's file; None in a QEMU that was compiled otherwise."""
    with open(program, "rb") as file:
        found = list(STORE.finditer(file.read()))
    return found[0].start() if len(found) == 1 else None


def _address(pid, program, offset):
    """Where that byte of the file is in the process."""
    with open(f"/proc/{pid}/maps") as maps:
        for area, mode, start, *rest in map(str.split, maps):
            low, high = (int(end, 16) for end in area.split("-"))
            at = low + offset - int(start, 16)
            if "x" in mode and rest[-1] == program and low <= at < high:
                return at
    raise OSError("it is not in memory")


def apply(pid):
    """True: mended. False: another QEMU, or no leave to do it; the lab works, with a hang now and then."""
    try:
        program = os.readlink(f"/proc/{pid}/exe")
        offset = _place(program)
        if offset is None:
            return False
        with open(f"/proc/{pid}/mem", "r+b", buffering=0) as memory:
            memory.seek(_address(pid, program, offset))
            return memory.write(NOTHING) == len(NOTHING)
    except OSError:
        return False
