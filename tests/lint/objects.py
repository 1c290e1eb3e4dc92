# SPDX-License-Identifier: Apache-2.0
"""What the compiler knows: thread roles, what a vCPU can reach, and global state."""
import collections
import concurrent.futures
import functools
import os
import re
import subprocess
import tempfile

from tree import ROOT, product

BUILD = os.environ.get("B", "build")
CLANG = os.environ.get("CLANG", "clang")
FLAGS = ["-std=gnu17", "-D_GNU_SOURCE", "-Iinclude", f"-I{BUILD}/gen"]

# Where a vCPU's thread comes in: its own function and whatever answers an access.
ROOTS = re.compile(
    r"^(vcpu_thread|kick_handler|bus_dispatch|io_wait|io_defer|\w+_access|pci_host_\w+|"
    r"\w*config_read|\w*config_write|write_config)$")
# Functions of those names that other threads run.
NOT_ROOTS = {"pci_host_bridge_init"}
# Not send(): that is how the log writes to a socket, without waiting.
FORBIDDEN = re.compile(
    r"^(malloc|calloc|realloc|reallocarray|free|strdup|strndup|asprintf|vasprintf|"
    r"posix_memalign|aligned_alloc|"
    r"open|openat|fopen|fdopen|opendir|close|mmap|munmap|mremap|mprotect|sys_open\w*|sys_mmap|"
    r"sys_munmap|sys_reserve|sys_eventfd|sys_fd_move|sys_close\w*|sys_read_file|"
    r"printf|fprintf|vfprintf|puts|fputs|fwrite|perror|strerror|localtime\w*|gmtime\w*|getenv|"
    r"pthread_create|pthread_join|pthread_exit|pthread_cancel|pthread_cond_\w+|"
    r"exit|_exit|abort|__assert_fail|sleep|usleep|nanosleep|clock_nanosleep|"
    r"ppoll|p?select|epoll_\w+|socket|send(to|m*sg)|recv\w*|kvm_memslot_\w+|kvm_gsi_\w+|kvm_irqfd_\w+)$")

# Writable data that is meant to be: (object, symbol).
STATE = [
    (r"src/base/log\.o", r"log_(to|max|lost|manner|stamped|shows)", "where messages go, and how, is a fact of the process"),
    (r".*", r"log_site_count_\.\d+", "how often a message was printed"),
    (r"threads/sigbus\.o", r"self", "what this thread does about a bus error; a signal handler is given nothing"),
    (r"src/base/role\.o", r"role_(main|vcpu|worker)|own", "capabilities for clang, never written; debug: this thread's"),
]


def objects(directory):
    for top in ("src", "threads", "seccomp"):
        for where, _, files in os.walk(os.path.join(directory, top)):
            for name in sorted(files):
                if name.endswith(".o"):
                    yield os.path.relpath(os.path.join(where, name), directory)


def compiled(tree):
    """The objects of the build, and those of planted files."""
    directory = os.path.join(ROOT, BUILD)
    for name in objects(directory):
        source = name[:-2] + ".c"
        if source not in tree.overlay and os.path.exists(os.path.join(ROOT, source)):
            yield name, os.path.join(directory, name)
    if not tree.overlay:
        return
    with tempfile.TemporaryDirectory() as planted:
        for path in filter(lambda p: p.endswith(".c"), tree.overlay):
            out = os.path.join(planted, path.replace("/", "_") + ".o")
            subprocess.run(["gcc", *FLAGS, "-O1", "-fPIE", "-x", "c", "-", "-c", "-o", out],
                           input=tree.read(path), text=True, cwd=ROOT, check=True)
            yield path[:-2] + ".o", out


LABEL = re.compile(r"^([0-9a-f]+) <([^>]+)>:$")
JUMP = re.compile(r"\s(?:call|jmp|j[a-z]+)\s+[0-9a-f]+ <([^>+]+)(?:\+0x[0-9a-f]+)?>")
RELOC = re.compile(r"R_X86_64_(?:PLT32|PC32|GOTPCRELX|REX_GOTPCRELX|GOTPCREL)\s+([^\s+-]+)")
BRANCH = re.compile(r"\s(?:call|jmp|j[a-z]+)\s")


def plain(name):
    """The function a compiler-made piece belongs to."""
    return re.sub(r"\.(cold|part|isra|constprop)\b.*", "", name)


@functools.lru_cache(None)
def call_graph(name, path):
    """function -> functions it calls or jumps to; static ones are (name, object). Taking an address
    is no call."""
    symbols = subprocess.run(["nm", path], stdout=subprocess.PIPE, text=True, check=True).stdout
    local = {plain(line.split()[-1]) for line in symbols.splitlines() if " t " in line}

    def key(function):
        return (plain(function), name if plain(function) in local else "")

    text = subprocess.run(["objdump", "-dr", "--no-show-raw-insn", path], stdout=subprocess.PIPE,
                          text=True, check=True).stdout
    graph, current, branch = {}, None, False
    for line in text.splitlines():
        label = LABEL.match(line)
        if label:
            current = key(label[2])
            graph.setdefault(current, set())
        elif current and "R_X86_64_" in line:
            found = RELOC.search(line)
            if branch and found:
                graph[current].add(key(found[1]))
        elif current:
            branch = bool(BRANCH.search(line))
            found = JUMP.search(line)
            if found:
                graph[current].add(key(found[1]))
    return graph


def trail(came_from, function):
    while function:
        yield function[0]
        function = came_from[function]


def check_vcpu_reach(tree):
    """what a vCPU's thread can reach does not allocate, open, print, sleep or end the process"""
    graph = {}
    for name, path in compiled(tree):
        if not name.startswith(("src/cli", "src/qmp", "seccomp")):
            for function, callees in call_graph(name, path).items():
                graph.setdefault(function, set()).update(callees)
    queue = [f for f in graph if ROOTS.match(f[0]) and f[0] not in NOT_ROOTS]
    if ("vcpu_thread", "") not in queue:
        yield "no vcpu_thread in the build; is it complete?"
    came_from = {root: None for root in queue}
    while queue:
        function = queue.pop()
        for callee in sorted(graph.get(function, ())):
            if FORBIDDEN.match(callee[0]):
                yield f"{callee[0]} <- {' <- '.join(trail(came_from, function))}"
            elif callee not in came_from:
                came_from[callee] = function
                queue.append(callee)


@functools.lru_cache(None)
def symbols(path):
    return subprocess.run(["nm", "-f", "sysv", path], stdout=subprocess.PIPE, text=True,
                          check=True).stdout


def check_state(tree):
    """no writable global or static data"""
    for name, path in compiled(tree):
        for line in symbols(path).splitlines():
            cells = [c.strip() for c in line.split("|")]
            if len(cells) < 7 or not re.match(r"\.(data|bss|tdata|tbss)|\*COM\*", cells[6]):
                continue
            if cells[6].startswith(".data.rel.ro") or cells[3] == "SECTION":
                continue
            if not any(re.fullmatch(o, name) and re.fullmatch(s, cells[0]) for o, s, _ in STATE):
                yield f"{name}: '{cells[0]}' is writable and outlives its caller ({cells[6]})"


# Functions that nothing in the product calls: (name, reason).
UNCALLED = {
    "main": "the C library calls it",
}


def check_uncalled(tree):
    """a function with a contract is called somewhere in the product, not only by tests"""
    code = "\n".join(tree.code(p) for p in tree.glob("src/", "threads/", "seccomp/", ext=".c"))
    code += "\n".join(re.findall(r"\n\t[^\n]*", "\n".join(
        tree.code(p) for p in tree.glob("src/", "include/", "seccomp/", ext=".h"))))
    words = collections.Counter(re.findall(r"\b[A-Za-z_]\w*\b", code))
    for name, path in compiled(tree):
        for line in symbols(path).splitlines():
            cells = [c.strip() for c in line.split("|")]
            if len(cells) >= 7 and cells[2] == "T" and words[cells[0]] < 2 and cells[0] not in UNCALLED:
                yield f"{name}: nothing calls {cells[0]}()"


def role_errors(tree, path):
    done = subprocess.run(
        [CLANG, *FLAGS, "-fsyntax-only", "-Wthread-safety", "-Werror=thread-safety",
         "-Werror=ignored-attributes", "-x", "c", "-"],
        input=f'#line 1 "{path}"\n' + tree.read(path), text=True, stderr=subprocess.PIPE,
        cwd=os.path.join(ROOT, os.path.dirname(path)) if path not in tree.overlay else ROOT,
        check=False)
    return done.stderr.strip().split("\n") if done.returncode else []


def check_roles(tree):
    """functions marked ON_MAIN, ON_VCPU, ON_WORKER are called from that role only (clang)"""
    global FLAGS
    flags, FLAGS = FLAGS, ["-std=gnu17", "-D_GNU_SOURCE", f"-I{ROOT}/include",
                           f"-I{os.path.join(ROOT, BUILD)}/gen", "-I."]
    paths = [p for p in tree.glob("src/", "threads/", ext=".c") if product(p)]
    if tree.overlay:
        paths = [p for p in paths if p in tree.overlay]
    try:
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            for errors in pool.map(lambda p: role_errors(tree, p), paths):
                yield from (e for e in errors if ": error:" in e or ": fatal error:" in e)
    finally:
        FLAGS = flags


CHECKS = [
    ("what a vCPU can reach", check_vcpu_reach, {
        "src/devices/planted.c": "void *malloc(unsigned long);\nvoid *planted_access(void);\n"
        "static __attribute__((noinline)) void *deep(void) { return malloc(9); }\n"
        "void *planted_access(void) { return deep(); }\n"}),
    ("no global state", check_state, {
        "src/devices/planted.c": "int planted_count = 3;\n"}),
    ("uncalled functions", check_uncalled, {
        "src/devices/planted.c": "int planted_lonely(void) { return 3; }\n"}),
    ("thread roles: none on a pointer, which clang refuses", check_roles, {
        "src/devices/planted.c": "#include <portcullis/role.h>\n"
        "struct planted {\n\tvoid (*fn)(void) ON_MAIN;\n};\n"}),
    ("thread roles", check_roles, {
        "src/devices/planted.c": "#include <portcullis/bus.h>\n"
        "int f(struct bus *bus);\nint f(struct bus *bus) { return bus_publish(bus); }\n"}),
]
