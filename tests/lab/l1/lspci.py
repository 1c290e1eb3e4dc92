# SPDX-License-Identifier: Apache-2.0
"""`lspci -vvv` of the guest's devices: it reads config space there, lspci here says what it is."""

import subprocess
import tempfile


def lspci(guest, bdf):
    """Of the first 256 bytes of 0000:BDF's config space."""
    rows = guest.check(f"od -v -An -tx1 -N256 /sys/bus/pci/devices/0000:{bdf}/config").split()
    with tempfile.NamedTemporaryFile("w", suffix=".lspci") as dump:
        dump.write(f"{bdf} device\n")
        for at in range(0, len(rows), 16):
            dump.write(f"{at:02x}: {' '.join(rows[at:at + 16])}\n")
        dump.flush()
        return subprocess.run(["lspci", "-F", dump.name, "-vvv"], check=True, capture_output=True, text=True).stdout


def lspci_here(bdf):
    """The same of a device of L1's own."""
    return subprocess.run(["lspci", "-s", bdf, "-vvv"], check=True, capture_output=True, text=True).stdout
