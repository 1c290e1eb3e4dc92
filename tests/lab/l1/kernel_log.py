# SPDX-License-Identifier: Apache-2.0
"""What L1's kernel said during a case: a DMA fault or an oops is a failure even when the case passed."""

import re
import subprocess

# A device that goes on with DMA after its VMM let go of the memory shows up as a DMAR fault.
BAD = re.compile(r"DMAR:.*fault|DMAR: DRHD: handling fault|BUG:|WARNING:|Oops|general protection|Call Trace|"
                 r"irq \d+: nobody cared|Unable to handle|soft lockup|vfio.*(?:failed|error)|KVM: .*error", re.I)


def _read():
    return subprocess.run(["/bin/dmesg"], capture_output=True, text=True).stdout.splitlines()


class Mark:
    """A place in the log; what follows belongs to the case."""

    def __init__(self):
        rows = _read()
        self._last = rows[-1] if rows else None

    def lines(self):
        rows = _read()
        if self._last in rows:
            return rows[len(rows) - rows[::-1].index(self._last):]
        return rows

    def text(self):
        return "\n".join(self.lines())

    def problems(self, allowed):
        bad = [row for row in self.lines() if BAD.search(row) and not (allowed and re.search(allowed, row))]
        return [f"L1's kernel: {row}" for row in bad[:8]]
