# SPDX-License-Identifier: Apache-2.0
"""A newc cpio archive, written without needing root for its device nodes."""

import stat


class Archive:
    def __init__(self):
        self._parts = []
        self._folders = set()
        self._inode = 0

    def file(self, name, data, mode=0o644):
        self._parents(name)
        self._entry(name, stat.S_IFREG | mode, data)

    def symlink(self, name, target):
        self._parents(name)
        self._entry(name, stat.S_IFLNK | 0o777, target.encode())

    def folder(self, name):
        if name and name not in self._folders:
            self._parents(name)
            self._folders.add(name)
            self._entry(name, stat.S_IFDIR | 0o755)

    def char_device(self, name, major, minor):
        self._parents(name)
        self._entry(name, stat.S_IFCHR | 0o600, device=(major, minor))

    def bytes(self):
        self._entry("TRAILER!!!", 0)
        parts, self._parts = self._parts, None
        return b"".join(parts)

    def _parents(self, name):
        parent = name.rpartition("/")[0]
        if parent:
            self.folder(parent)

    def _entry(self, name, mode, data=b"", device=(0, 0)):
        self._inode += 1
        path = name.encode() + b"\0"
        fields = (self._inode, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(path), 0)
        header = b"070701" + b"".join(b"%08x" % field for field in fields) + path
        self._parts += [header, bytes(-len(header) % 4), data, bytes(-len(data) % 4)]
