# SPDX-License-Identifier: Apache-2.0
"""Who may include whom: higher includes lower only (docs/architecture.md: the tree is the architecture)."""
import re

from tree import module, product

# module -> what it may include besides itself. Order: lower layers first.
LAYERS = {
    "base": set(),
    "q35": set(),                                      # addresses; for x86 files only (FENCES)
    "policy": set(),                                   # the contract of seccomp/
    "memory": {"base"},
    "kvm": {"base", "q35"},
    "bus": {"base"},
    "pci": {"base", "bus"},
    "vfio": {"base", "memory", "bus", "pci"},          # not kvm: it is handed a vfio_env, irq_sink
    "devices": {"base", "bus", "pci"},
    "acpi": {"base", "q35", "memory", "devices"},      # of devices, register numbers only
    "boot": {"base", "q35", "memory", "kvm"},
    "machine": {"base", "policy", "q35", "memory", "kvm", "bus", "pci", "vfio", "devices", "acpi", "boot"},
    "qmp": {"base", "pci", "vfio", "machine"},         # the lower two are looked at only
    "cli": {"base", "memory", "machine", "qmp"},           # of memory, what objects may say
    "threads": {"base", "policy", "bus", "kvm", "memory", "pci", "machine", "qmp", "cli", "vfio"},
    "seccomp": {"base", "policy"},
}

# include/portcullis/X.h -> the module whose contract it is, where the names differ.
HEADERS = {
    "debug": "base", "device_options": "base", "err": "base", "log": "base", "loop": "base", "loop_away": "base", "msi_route": "base", "prop": "base", "role": "base",
    "sys": "base", "closer": "base", "container_of": "base", "futex": "base", "scm": "base",
    "unixsock": "base", "version": "base", "acpi_slots": "pci", "root_port": "pci", "chardev": "devices",
    "serial": "devices", "pvpanic": "devices",
    "board": "machine", "config": "machine", "machine_query": "machine", "vfio_query": "vfio", "vcpu": "machine",
    "pci_host": "pci", "populate": "memory", "irq_sink": "pci", "msix_table": "pci", "command_line": "cli", "process": "cli",
    "thread": "threads", "machine_vfio": "machine",
    "vfio_options": "vfio", "memory_backend": "memory", "kvm_vcpu": "kvm", "kvm_x86": "kvm", "mce": "kvm",
}

INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]')

# system header -> the only files that may know it
FENCES = [
    (r"yajl/", r"src/qmp/json\w*\.c$", "json.c is the only file that knows yajl"),
    (r"seccomp\.h$", r"seccomp/build\.c$", "build.c is the only file that knows libseccomp"),
    (r"linux/kvm\.h$", r"(src/kvm|seccomp)/", "KVM's interface is for src/kvm and seccomp"),
    (r"linux/(vfio|iommufd)\w*\.h$", r"(src/vfio|seccomp)/",
     "VFIO's interface is for src/vfio and seccomp"),
    (r"portcullis/(vfio|vfio_query|machine_vfio)\.h$", r"(src/machine/passthrough\.c|src/vfio/|src/qmp/|include/)",
     "in the machine, passthrough.c is the only file that knows VFIO devices"),
    (r"portcullis/q35\.h$", r"src/(kvm/x86|boot|acpi)/|src/machine/q35\.c$",
     "a board's addresses are for the files that are its architecture's; others ask struct board"),
    (r"portcullis/board\.h$", r"src/machine/", "which board it is matters to the machine alone"),
    (r"sys/ioctl\.h$", r"(src/base/sys|seccomp/\w+)\.c$", "ioctl only through base/sys.c"),
]


def includes(tree, path):
    for number, line in tree.lines(path):
        found = INCLUDE.match(line)
        if found:
            yield number, found[1], found[2]


def owner(name):
    name = name.removesuffix(".h")
    return HEADERS.get(name, name)


def own_module(path):
    if path.startswith("include/portcullis/"):
        return owner(path.rsplit("/", 1)[1])
    return module(path)


def check_layers(tree):
    """every include goes to a lower layer or stays inside its module"""
    for path in filter(product, tree.glob("src/", "threads/", "seccomp/", "include/")):
        mine = own_module(path)
        if mine not in LAYERS:
            yield f"{path}: module '{mine}' has no layer; put it into tests/lint/layers.py"
            continue
        for number, kind, name in includes(tree, path):
            if name.startswith("portcullis/"):
                header = name.removeprefix("portcullis/").removesuffix(".h")
                theirs = owner(header)
                if theirs != mine and theirs not in LAYERS[mine]:
                    yield f"{path}:{number}: {mine} may not include {theirs} ({name})"
            elif kind == '"' and "/" in name and not into_vfio_host(path, name) and not out_of_arch(path, name):
                yield f"{path}:{number}: private headers are included from their own directory: {name}"


def into_vfio_host(path, name):
    """src/vfio looks down into src/vfio/host, the one module in two layers, by three headers"""
    return re.match(r"src/vfio/[^/]+$", path) and name in (
        "host/attach.h", "host/device_io.h", "host/lookup.h", "host/vfio_host.h")


ARCH = r"src/kvm/x86/"  # an architecture's half of src/kvm


def out_of_arch(path, name):
    """an architecture's half implements what private.h asks of it"""
    return re.match(ARCH, path) and name == "../private.h"


def check_arch(tree):
    """the neutral files of src/kvm know an architecture only through kvm.h, kvm_vcpu.h and private.h"""
    for path in tree.glob("src/kvm/"):
        for number, _, name in includes(tree, path):
            if not re.match(ARCH, path) and re.match(r"(.*/)?(kvm_x86|mce|x86)\.h$|x86/|asm/", name):
                yield f"{path}:{number}: {name} is for src/kvm/x86"


def check_vfio_host(tree):
    """src/vfio/host, the device as the host has it, knows nothing of the device as the guest sees it"""
    for path in tree.glob("src/vfio/host/"):
        for number, kind, name in includes(tree, path):
            there = f"src/vfio/host/{name}"
            if kind == '"' and ("/" in name or there not in tree.paths()):
                yield f"{path}:{number}: src/vfio/host includes its own headers and contracts only: {name}"


def check_threads_header(tree):
    """nothing but threads/ includes thread.h"""
    for path in filter(product, tree.glob("src/", "threads/", "seccomp/", "include/")):
        for number, _, name in includes(tree, path):
            if name == "portcullis/thread.h" and not path.startswith("threads/"):
                yield f"{path}:{number}: thread.h is for threads/"


def check_fences(tree):
    """foreign interfaces (yajl, libseccomp, KVM, VFIO) are each known to one place"""
    for path in filter(product, tree.glob("src/", "threads/", "seccomp/", "include/")):
        for number, _, name in includes(tree, path):
            for header, place, why in FENCES:
                if re.match(header, name) and not re.match(place, path):
                    yield f"{path}:{number}: {name}: {why}"


def check_no_included_c(tree):
    """no file includes a .c file"""
    for path in filter(product, tree.glob("src/", "threads/", "seccomp/", "include/")):
        for number, _, name in includes(tree, path):
            if name.endswith(".c"):
                yield f"{path}:{number}: includes a .c file: {name}"


CHECKS = [
    ("layers", check_layers, {
        "src/pci/planted.c": "#include <portcullis/kvm.h>\n",
    }),
    ("layers: contract headers too", check_layers, {
        "include/portcullis/bus.h": "#include <portcullis/machine.h>\n",
    }),
    ("layers: no path into a neighbour", check_layers, {
        "src/qmp/planted.c": '#include "../vfio/device.h"\n',
    }),
    ("layers: not deep into vfio/host", check_layers, {
        "src/vfio/planted.c": '#include "host/context.h"\n',
    }),
    ("layers: vfio above vfio/host", check_vfio_host, {
        "src/vfio/host/planted.c": '#include "../device.h"\n',
    }),
    ("layers: vfio above vfio/host, whatever the search path", check_vfio_host, {
        "src/vfio/host/planted.c": '#include "device.h"\n',
    }),
    ("layers: neutral kvm", check_arch, {"src/kvm/planted.c": "#include <portcullis/mce.h>\n"}),
    ("thread.h", check_threads_header, {
        "src/machine/planted.c": "#include <portcullis/thread.h>\n",
    }),
    ("fence: yajl", check_fences, {"src/qmp/planted.c": "#include <yajl/yajl_gen.h>\n"}),
    ("fence: libseccomp", check_fences, {"seccomp/planted.c": "#include <seccomp.h>\n"}),
    ("fence: KVM", check_fences, {"src/machine/planted.c": "#include <linux/kvm.h>\n"}),
    ("fence: VFIO", check_fences, {"src/machine/planted.c": "#include <linux/vfio.h>\n"}),
    ("fence: VFIO devices", check_fences, {
        "src/machine/planted.c": "#include <portcullis/vfio.h>\n",
    }),
    ("fence: what is asked about VFIO devices", check_fences, {
        "src/machine/planted.c": "#include <portcullis/vfio_query.h>\n",
    }),
    ("fence: what is asked about them from above", check_fences, {
        "src/machine/planted.c": "#include <portcullis/machine_vfio.h>\n",
    }),
    ("fence: the board", check_fences, {"src/qmp/planted.c": "#include <portcullis/board.h>\n"}),
    ("fence: its addresses", check_fences, {"src/machine/planted.c": "#include <portcullis/q35.h>\n"}),
    ("no included .c", check_no_included_c, {"src/pci/planted.c": '#include "x.c"\n'}),
]
