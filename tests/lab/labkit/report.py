# SPDX-License-Identifier: Apache-2.0
"""What the user sees: a line per case, what everybody said when one fails, a summary."""

import sys
import threading

_lock = threading.Lock()
_status = ""
_live = sys.stdout.isatty()


def line(text=""):
    """Print a line that stays, above the live status line if there is one."""
    with _lock:
        if _live and _status:
            sys.stdout.write("\r\033[K")
        sys.stdout.write(text + "\n")
        if _live and _status:
            sys.stdout.write(_status)
        sys.stdout.flush()


def progress(text):
    line(f"    {text} ...")


def status(text):
    """Show what is going on right now, on a terminal only."""
    global _status
    if not _live:
        return
    with _lock:
        _status = text[:120]
        sys.stdout.write("\r\033[K" + _status)
        sys.stdout.flush()


def tail(text, lines):
    rows = text.rstrip("\n").split("\n")
    if len(rows) > lines:
        rows = [f"... ({len(rows) - lines} earlier lines in the log)"] + rows[-lines:]
    return rows


def section(title, text, lines=50):
    """One speaker's words, indented under a title; silence is worth saying too."""
    out = [f"    --- {title}"]
    body = tail(text, lines) if text.strip() else ["(nothing)"]
    out += [f"    | {printable(row)}" for row in body]
    return "\n".join(out)


def printable(row):
    return "".join(c if c.isprintable() or c == "\t" else "?" for c in row.rstrip("\r"))
