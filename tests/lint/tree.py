# SPDX-License-Identifier: Apache-2.0
"""The source tree as the checks see it: files on disk, with planted faults laid over them."""
import os
import re

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SKIP = {".git", "build", "__pycache__"}
LITERAL = re.compile(
    r"""//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'""", re.S)


SPDX = "/* SPDX-License-Identifier: Apache-2.0 */\n/* gone */\n"


class Tree:
    """Paths are relative to the root, with forward slashes."""

    def __init__(self, overlay=None):
        self.overlay = overlay or {}
        self._paths = None

    def paths(self):
        if self._paths is None:
            found = set(self.overlay)
            for directory, dirs, files in os.walk(ROOT):
                dirs[:] = [d for d in dirs if d not in SKIP]
                found.update(os.path.relpath(os.path.join(directory, f), ROOT) for f in files)
            self._paths = sorted(found)
        return self._paths

    def glob(self, *tops, ext=(".c", ".h")):
        return [p for p in self.paths() if p.startswith(tops) and p.endswith(ext)]

    def read(self, path):
        if path in self.overlay:
            return self.overlay[path]
        try:
            with open(os.path.join(ROOT, path), encoding="utf-8", errors="replace") as f:
                return f.read()
        except FileNotFoundError:  # somebody is at work in the tree
            self.paths().remove(path)
            return SPDX

    def code(self, path):
        """The text with comments and literals blanked, line numbers kept; includes stay whole."""
        def blank(match):
            return re.sub(r"[^\n]", " ", match.group())
        lines = self.read(path)
        keep = {m.start(): m.group() for m in re.finditer(r'^#include[^\n]*', lines, re.M)}
        out = LITERAL.sub(blank, lines)
        for start, text in keep.items():
            out = out[:start] + text + out[start + len(text):]
        return out

    def lines(self, path):
        return enumerate(self.code(path).split("\n"), 1)


def product(path):
    """Is it part of the program (not of its tests)?"""
    return path.startswith(("src/", "threads/", "seccomp/", "include/"))


def module(path):
    """src/pci/bar.c -> pci; include/portcullis/pci.h -> see layers.HEADERS; threads/x.c -> threads"""
    parts = path.split("/")
    return parts[1] if parts[0] == "src" else parts[0]
