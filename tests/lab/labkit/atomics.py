# SPDX-License-Identifier: Apache-2.0
"""Gives an L1 what no QEMU has: root ports that complete AtomicOps, and drives that say they could, too.

Linux tells users of VFIO of a path's AtomicOps when the device's own register and the root port's have the bits. In
QEMU nothing sets them, and no property does. Config space is bytes in QEMU's heap, which are found by what is in them,
just after QEMU has started; nothing in QEMU looks at these bits.
"""

import struct

PORT = (b"\x36\x1b\x0c\x00", b"\x00\x04\x06")       # ids; class (0x09): pcie-root-port
DRIVE = (b"\x36\x1b\x10\x00", b"\x02\x08\x01")      # nvme
SIZE = 256
EXPRESS, DEVCAP2 = 0x10, 0x24
LARGEST = 64 << 20                                  # of a mapping: L1's memory is not the heap
COMPLETES = 0x180                                   # AtomicOps of 32 and 64 bits (PCIe 5.0 7.5.3.15)


def _areas(pid):
    with open(f"/proc/{pid}/maps") as maps:
        for row in map(str.split, maps):
            low, high = (int(end, 16) for end in row[0].split("-"))
            if row[1] == "rw-p" and (len(row) == 5 or row[5] == "[heap]") and high - low <= LARGEST:
                yield low, high


def _express(config):
    """Offset of the PCI Express capability, version 2; None: this is no config space of one."""
    at, left = config[0x34], 48
    while at and at + DEVCAP2 + 4 <= SIZE and left:
        if config[at] == EXPRESS:
            return at if config[at + 2] & 0xf == 2 else None
        at, left = config[at + 1], left - 1
    return None


def _found(data, ids, kind):
    at = data.find(ids)
    while at >= 0:
        config = data[at:at + SIZE]
        if len(config) == SIZE and config[9:12] == kind and (express := _express(config)) is not None:
            yield at + express + DEVCAP2
        at = data.find(ids, at + 1)


def apply(pid):
    """How many devices have the bits now; 0 where there is no leave to do it."""
    count = 0
    try:
        with open(f"/proc/{pid}/mem", "r+b", buffering=0) as memory:
            for low, high in _areas(pid):
                memory.seek(low)
                data = memory.read(high - low)
                for at in (at for what in (PORT, DRIVE) for at in _found(data, *what)):
                    memory.seek(low + at)
                    memory.write(struct.pack("<I", struct.unpack_from("<I", data, at)[0] | COMPLETES))
                    count += 1
    except OSError:
        return 0
    return count
