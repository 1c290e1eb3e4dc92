# SPDX-License-Identifier: Apache-2.0
"""Time as L1 experiences it: without the time its threads were ready to run and had no processor.

A lab shares its machine with builds and other labs, and may get a quarter of a processor. Deadlines counted
on the wall would then fail cases that are doing fine; on this clock a second is a second of chances to run.
"""

import pathlib
import threading
import time

CAP = 0.95      # of any stretch of the wall clock, at most this share counts as waiting


class Clock:
    def __init__(self, pid):
        self._tasks = pathlib.Path(f"/proc/{pid}/task")
        self._lock = threading.Lock()
        self._last = time.monotonic()
        self._delays = {}
        self.stolen = 0.0

    def now(self):
        """Seconds, from any start."""
        with self._lock:
            wall = time.monotonic()
            passed, self._last = wall - self._last, wall
            # The thread that waited longest: two of them waiting at once are not two stretches of time.
            waited = max((self._new_delay(task) for task in self._list()), default=0)
            self.stolen += min(waited, passed * CAP)
            return wall - self.stolen

    def _list(self):
        try:
            return list(self._tasks.iterdir())
        except OSError:
            return []

    def _new_delay(self, task):
        """Seconds this thread waited for a processor since the last look."""
        try:
            delay = int((task / "schedstat").read_text().split()[1]) / 1e9
        except (OSError, ValueError, IndexError):
            return 0        # ended, or a kernel without these figures
        before = self._delays.get(task.name, 0)
        self._delays[task.name] = delay
        return delay - before
