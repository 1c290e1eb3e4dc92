# SPDX-License-Identifier: Apache-2.0
"""Calls that have one door, and the shape of files and functions."""
import json
import os
import re
import subprocess
import tempfile

from tree import ROOT, product

FILE_LINES = 500
FUNCTION_LINES = 50
TEST_FUNCTION_LINES = 90  # a case tells a story from its beginning to its end

# Calls that only base/sys.c makes...
DOOR = ("open openat openat2 open64 creat fopen fdopen opendir fdopendir mmap mremap munmap ioctl "
        "eventfd epoll_create epoll_create1 signalfd timerfd_create memfd_create syscall socket "
        "socketpair pipe pipe2 dup dup2 dup3 close fork vfork clone execl execv execve system popen "
        "prctl setrlimit").split()
# ... and where else, and why: (path, call).
DOOR_EXCEPTIONS = {
    ("src/base/loop.c", "epoll_create1"): "a loop's own fd, closed by sys_close",
    ("include/portcullis/futex.h", "syscall"): "futex(2)",
    ("src/cli/daemonize.c", "dup2"): "standard input and output of a daemon",
    ("src/cli/daemonize.c", "pipe2"): "the parent waits on it",
    ("src/cli/daemonize.c", "fork"): "-daemonize",
    ("src/base/unixsock.c", "socket"): "-serial unix: and -qmp unix:",
    ("src/qmp/listen.c", "socket"): "-qmp tcp:",
    ("threads/thread.c", "prctl"): "the thread's name",
    ("threads/main_loop.c", "prctl"): "the thread's name",
    ("threads/sigbus.c", "prctl"): "main hears of memory errors nobody has met",
    ("threads/main_loop.c", "signalfd"): "SIGTERM and friends in the loop",
    ("seccomp/install.c", "prctl"): "NO_NEW_PRIVS",
    ("seccomp/install.c", "syscall"): "seccomp(2)",
    ("seccomp/build.c", "memfd_create"): "libseccomp exports to a file descriptor only",
}

# A guest must not be able to end the VMM: no way out of the process but main's return.
ENDS = "assert abort exit _exit quick_exit err errx perror".split()
ENDS_EXCEPTIONS = {
    ("src/cli/daemonize.c", "_exit"): "parents of the daemon",
    ("include/portcullis/debug.h", "abort"): "builds with DEBUG_CHECKS only",
}

# Half a name is another name, and whoever waits for the whole one waits for ever.
CUTS = "strncpy stpncpy strncat strlcpy strlcat".split()
CUTS_EXCEPTIONS = {
    ("threads/thread.c", "strncpy"): "the kernel keeps 15 characters of a thread's name",
}

# A guest must not be able to fill a disk: what runs while it does logs by log_guest(), which stops after
# some. These go without, and why no guest makes them come again and again: path -> (calls, why).
LOG = "log_line log_error log_warn log_info log_debug".split()
LOG_MODULES = tuple(f"src/{m}/" for m in "memory kvm bus pci vfio devices acpi boot machine".split())
LOG_EXCEPTIONS = {
    "src/boot/image.c": (1, "files are read at the start"),
    "src/devices/chardev.c": (1, "once for a port (out_failed)"),
    "src/devices/chardev_open.c": (1, "at the start"),
    "src/machine/end.c": (3, "at the end, once"),
    "src/machine/machine.c": (2, "at the start"),
    "src/machine/memory_failure.c": (5, "once for a page (MEMORY_PAGES, RAM_REPLACED_MAX), or the machine ends"),
    "src/machine/reset.c": (1, "the machine ends with it"),
    "src/machine/unplug.c": (3, "as often as the host asks for a device"),
    "src/vfio/host/context.c": (1, "at the end"),
    "src/vfio/device.c": (1, "a device is closed once"),
    "src/vfio/irq.c": (1, "a device is realized once"),
    "src/vfio/host/peers.c": (1, "once for a BAR of a device (warned)"),
    "src/vfio/realize.c": (4, "a device is realized once"),
    "src/vfio/regions.c": (2, "a device is realized once"),
    "src/vfio/rom.c": (4, "a device is realized once, and its ROM read once (ready)"),
}

CALL = r"(?<![\w.>])({})\s*\("


def calls(tree, path, names):
    pattern = re.compile(CALL.format("|".join(names)))
    for number, line in tree.lines(path):
        for found in pattern.finditer(line):
            yield number, found[1]


def forbidden(tree, names, exceptions, home):
    used = set()
    for path in filter(product, tree.glob("src/", "threads/", "seccomp/", "include/")):
        if path == home:
            continue
        for number, name in calls(tree, path, names):
            if (path, name) in exceptions:
                used.add((path, name))
            else:
                yield f"{path}:{number}: {name}() has one door, or none"
    for path, name in exceptions:
        if (path, name) not in used:
            yield f"{path}: no longer calls {name}(); {__name__}'s exceptions say it does ({exceptions[path, name]})"


def check_door(tree):
    """open, mmap, ioctl and their kin are called in base/sys.c only, or in the table of exceptions"""
    yield from forbidden(tree, DOOR, DOOR_EXCEPTIONS, "src/base/sys.c")


# What names a file or directory to the kernel: src/vfio asks struct vfio_host, so that somebody else can answer.
BY_NAME = ("sys_open sys_openat sys_read_file sys_read_link sys_stat stat lstat fstatat statx access faccessat "
           "readlink readlinkat realpath scandir ftw nftw glob").split()
BY_NAME_HOME = "src/vfio/host/vfio_host.c"


def check_by_name(tree):
    """what src/vfio opens or reads by name it asks struct vfio_host for; getdents64 and its kin are base/sys.c's"""
    for path in tree.glob("src/vfio/", ext=".c"):
        for number, name in calls(tree, path, BY_NAME):
            if path != BY_NAME_HOME:
                yield f"{path}:{number}: {name}(): through struct vfio_host's ops"
    for path in tree.glob("src/", ext=".c"):
        for number, name in calls(tree, path, ["getdents64", "readlinkat"]):
            if path != "src/base/sys.c":
                yield f"{path}:{number}: {name}() has one door"


def check_ends(tree):
    """no assert, exit or abort: nothing ends the process but main's return"""
    yield from forbidden(tree, ENDS, ENDS_EXCEPTIONS, None)


def check_cuts(tree):
    """nothing copies as much of a string as fits: what is too long is refused where it comes in"""
    yield from forbidden(tree, CUTS, CUTS_EXCEPTIONS, None)


def check_log(tree):
    """what a guest can cause is logged by log_guest(), which stops after some; the others are in a table"""
    for path in tree.glob(*LOG_MODULES, ext=".c"):
        lines = [number for number, _ in calls(tree, path, LOG)]
        allowed, why = LOG_EXCEPTIONS.get(path, (0, ""))
        if len(lines) > allowed:
            yield f"{path}:{lines[-1]}: log_guest(), or say in {__name__}.LOG_EXCEPTIONS why no guest repeats it"
        elif len(lines) < allowed:
            yield f"{path}: has {len(lines)} messages, {__name__}.LOG_EXCEPTIONS says {allowed} ({why})"


def check_pthread_create(tree):
    """threads are made in threads/thread.c only"""
    yield from forbidden(tree, ["pthread_create"], {}, "threads/thread.c")


# State that a pure table governs, and the function that alone takes its steps.
STEPS = [("src/machine/", re.compile(r"\blife(?:\.|->)\w+\s*=[^=]|(?:->|\.)life\s*=[^=]"), "device_event()")]
ROLES = re.compile(r"\brole_begin\s*\(")


def check_steps(tree):
    """a state that has a table is changed by its one function, and threads/ alone says what a thread is"""
    for folder, write, function in STEPS:
        for path in tree.glob(folder, ext=".c"):
            for number, line in tree.lines(path):
                if write.search(line):
                    yield f"{path}:{number}: {function} changes it"
    for path in tree.glob("src/", ext=".c"):
        for number, line in tree.lines(path):
            if ROLES.search(line) and path != "src/base/role.c":
                yield f"{path}:{number}: role_begin() is for threads/"


def check_headers(tree):
    """a contract header says what it is for and which layer it is"""
    for path in tree.glob("include/", "src/", "threads/", "seccomp/", ext=".h"):
        text = tree.read(path)
        name = path.rsplit("/", 1)[1]
        opening = text.split("*/", 2)[1] if text.count("*/") > 1 else ""
        if name not in opening:
            yield f"{path}: the first comment says '{name} - purpose'"
        if path.startswith("include/") and "Layer:" not in opening:
            yield f"{path}: the first comment says 'Layer: ...'"
        if not re.search(r"#ifndef PORTCULLIS_\w+_H\n#define PORTCULLIS_\w+_H\n", text):
            yield f"{path}: include guard PORTCULLIS_..._H"


def check_opening(tree):
    """every C file opens with its licence and a comment that says what it is"""
    for path in tree.glob("src/", "threads/", "seccomp/", "include/", "tests/"):
        head = tree.read(path)[:400].split("\n")
        if head[0] != "/* SPDX-License-Identifier: Apache-2.0 */":
            yield f"{path}:1: SPDX line"
        if len(head) < 2 or not head[1].startswith("/*"):
            yield f"{path}:2: a comment that says what this file is"


def check_file_length(tree):
    """one concept per file, contract headers too: at most 500 lines"""
    for path in tree.glob("src/", "threads/", "seccomp/", "include/"):
        lines = tree.read(path).count("\n")
        if lines > FILE_LINES:
            yield f"{path}: {lines} lines, at most {FILE_LINES}"


def functions(tree, paths):
    """(path, line, name, length) by ctags, which reads files from a directory."""
    with tempfile.TemporaryDirectory() as directory:
        names = []
        for path in paths:
            where = os.path.join(ROOT, path)
            if path in tree.overlay:
                where = os.path.join(directory, path.replace("/", "_"))
                with open(where, "w", encoding="utf-8") as f:
                    f.write(tree.read(path))
            names.append((where, path))
        back = dict(names)
        out = subprocess.run(
            ["ctags", "--output-format=json", "--fields=+ne", "--kinds-C=f", "--languages=C",
             "--langmap=C:.c.h", "-f", "-", "-L", "-"],
            input="\n".join(back), stdout=subprocess.PIPE, text=True, check=True).stdout
    for line in out.splitlines():
        tag = json.loads(line)
        if "end" in tag:
            yield back[tag["path"]], tag["line"], tag["name"], tag["end"] - tag["line"] + 1


def check_function_length(tree):
    """a function fits on a screen: at most 50 lines, in tests 90"""
    paths = tree.glob("src/", "threads/", "seccomp/", "tests/")
    if tree.overlay:
        paths = [p for p in paths if p in tree.overlay]
    for path, line, name, length in functions(tree, paths):
        most = TEST_FUNCTION_LINES if path.startswith("tests/") else FUNCTION_LINES
        if length > most:
            yield f"{path}:{line}: {name} has {length} lines, at most {most}"


def long_function(lines):
    return "static void f(void)\n{\n" + "\tg();\n" * lines + "}\n"


SPDX = "/* SPDX-License-Identifier: Apache-2.0 */\n"

CHECKS = [
    ("one door: open", check_door, {
        "src/machine/planted.c": "int f(void) { return open(\"/x\", 0); }\n"}),
    ("one door: ioctl", check_door, {
        "threads/planted.c": "int f(void) { return ioctl(1, 2, 3); }\n"}),
    ("one door: mmap", check_door, {
        "src/vfio/planted.c": "void *f(void)\n{\n\treturn mmap(0, 1, 0, 0, 0, 0);\n}\n"}),
    ("one door: in headers too", check_door, {
        "include/portcullis/planted.h": "static inline int f(void) { return dup(0); }\n"}),
    ("one door: no exception that nobody needs", check_door, {
        "src/qmp/listen.c": "int f(void);\n"}),
    ("the host by name", check_by_name, {
        "src/vfio/planted.c": "int f(const char *path)\n{\n\treturn sys_open(path, 0, 0);\n}\n"}),
    ("the host by name: in vfio/host too", check_by_name, {
        "src/vfio/host/planted.c": "int f(char *out)\n{\n\treturn fstatat(1, \"/sys\", out, 0);\n}\n"}),
    ("nothing ends the process", check_ends, {
        "src/pci/planted.c": "void f(int x) { assert(x); }\n"}),
    ("names are whole", check_cuts, {
        "src/qmp/planted.c": "void f(char *a, char *b) { strncpy(a, b, 9); }\n"}),
    ("messages are bounded", check_log, {
        "src/pci/planted.c": "void f(void) { log_warn(\"again\"); }\n"}),
    ("one door: pthread_create", check_pthread_create, {
        "src/vfio/planted.c": "void f(void) { pthread_create(0, 0, 0, 0); }\n"}),
    ("states have one writer", check_steps, {
        "src/machine/planted.c": "void f(struct device *d) { d->life.stage = 3; }\n"}),
    ("roles are said by threads", check_steps, {
        "src/pci/planted.c": "void f(void) { role_begin(1); }\n"}),
    ("headers: shape", check_headers, {
        "include/portcullis/planted.h": SPDX + "/* nothing */\n"}),
    ("headers: layer", check_headers, {
        "include/portcullis/planted.h": SPDX + "/* planted.h - x\n */\n#ifndef PORTCULLIS_X_H\n"
        "#define PORTCULLIS_X_H\n"}),
    ("files open with licence and purpose", check_opening, {
        "src/pci/planted.c": "#include <stdio.h>\n"}),
    ("file length", check_file_length, {"src/pci/planted.c": "\n" * (FILE_LINES + 1)}),
    ("function length", check_function_length, {"src/pci/planted.c": long_function(FUNCTION_LINES)}),
    ("function length, of tests", check_function_length, {
        "tests/unit/planted.c": long_function(TEST_FUNCTION_LINES)}),
]
