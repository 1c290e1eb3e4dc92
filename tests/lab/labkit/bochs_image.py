# SPDX-License-Identifier: Apache-2.0
"""The CD that an L1 in Bochs boots from: Debian's kernel without its decompressor, and an initramfs with all of L1.

Decompressing a bzImage costs Bochs 5.5 G instructions, twice as many as booting the kernel, so what Isolinux loads
is the vmlinux: as a Multiboot ELF, with l1/multiboot.s in front of the kernel's PVH entry.
"""

import hashlib
import json
import pathlib
import py_compile
import re
import shutil
import struct
import subprocess
import sys
import tempfile

from . import initramfs, paths, report

LOADER = ("/usr/lib/ISOLINUX/isolinux.bin",
          *(f"/usr/lib/syslinux/modules/bios/{name}.c32" for name in ("ldlinux", "libcom32", "mboot")))
PYTHON = "/usr/bin/python3"
REPO = pathlib.PurePath("/portcullis")          # in L1
GUEST_FOLDER = pathlib.PurePath("/run/lab/guest")   # where l1/lab.py finds what it need not copy
GUEST_FILES = ("program", "vmlinux", "initrd")
STUB = 1 << 20                  # the kernel begins at 16 MiB
PVH_ENTRY_NOTE = 18             # XEN_ELFNOTE_PHYS32_ENTRY
PT_LOAD, PT_NOTE = 1, 4
ELF32_HEADER, ELF32_PROGRAM = struct.Struct("<16sHHIIIIIHHHHHH"), struct.Struct("<IIIIIIII")
PAGE = 4096

# Imported when it is needed, so that importing the agent does not show it.
LATE = ("encodings.ascii", "encodings.idna", "encodings.latin_1", "linecache", "resource", "stringprep", "shlex")
# Large, and their users do without them.
UNWANTED = ("_hashlib", "_bz2", "_lzma")
CASES = ("__init__.py", "intel.py")


def make(target, scratch, debian, append, files):
    """`files`: what cases use by name. The kernel is cached; the rest is as new as the tree."""
    tree = scratch / "iso"
    tree.mkdir()
    for path in LOADER:
        shutil.copy(path, tree)
    (tree / "isolinux.cfg").write_text(f"DEFAULT mboot.c32 /kernel {append} --- /initrd\n")
    shutil.copy(kernel(debian), tree / "kernel")
    packed = subprocess.run(["lz4", "-l", "-9", "-c"], input=_initramfs(debian, files), capture_output=True, check=True)
    (tree / "initrd").write_bytes(packed.stdout)
    subprocess.run(["xorriso", "-as", "mkisofs", "-quiet", "-o", target, "-b", "isolinux.bin", "-c", "boot.cat",
                    "-no-emul-boot", "-boot-load-size", "4", "-boot-info-table", tree],
                   check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    shutil.rmtree(tree)


# -- the kernel ------------------------------------------------------------------------------------

def kernel(debian):
    """Debian's kernel for Isolinux's mboot.c32, from the cache or made now."""
    source = paths.LAB / "l1" / "multiboot.s"
    digest = hashlib.sha256(source.read_bytes() + pathlib.Path(__file__).read_bytes()).hexdigest()[:16]
    target = paths.CACHE / "kernel" / f"{debian.key}.multiboot-{digest}"

    def build(path):
        report.progress("making a Multiboot kernel")
        path.write_bytes(_multiboot(debian.vmlinux().read_bytes(), source))

    return paths.make_once(target, build)


def _multiboot(vmlinux, source):
    loads, entry = _programs(vmlinux)
    with tempfile.TemporaryDirectory() as folder:
        stub = pathlib.Path(folder) / "stub"
        subprocess.run(["as", "--32", "--defsym", f"PVH_ENTRY={entry}", "-o", f"{stub}.o", source], check=True)
        subprocess.run(["ld", "-m", "elf_i386", "-N", f"-Ttext={STUB:#x}", "-e", "start", "--no-warn-rwx-segments",
                        "-o", stub, f"{stub}.o"], check=True)
        binary = stub.with_suffix(".bin")
        subprocess.run(["objcopy", "-O", "binary", stub, binary], check=True)
        start = struct.unpack_from("<I", stub.read_bytes(), 24)[0]
        segments = [(STUB, binary.read_bytes(), binary.stat().st_size), *loads]
    return _elf32(start, segments)


def _programs(elf):
    """[(physical address, bytes without the zeros at their end, size in memory)] and the PVH entry."""
    offset, size, count = struct.unpack_from("<Q", elf, 32)[0], *struct.unpack_from("<HH", elf, 54)
    loads, entry = [], None
    for number in range(count):
        kind, _, start, _, address, in_file, in_memory, _ = struct.unpack_from("<IIQQQQQQ", elf, offset + number * size)
        data = elf[start:start + in_file]
        if kind == PT_LOAD:
            loads.append((address, data.rstrip(b"\0"), in_memory))
        elif kind == PT_NOTE:
            entry = _pvh_entry(data)
    return loads, entry


def _pvh_entry(notes):
    place = 0
    while place < len(notes):
        name_size, size, kind = struct.unpack_from("<III", notes, place)
        name = place + 12
        description = name + (name_size + 3 & ~3)
        if kind == PVH_ENTRY_NOTE and notes[name:name + name_size] == b"Xen\0":
            return int.from_bytes(notes[description:description + size], "little")
        place = description + (size + 3 & ~3)
    raise ValueError("the kernel has no PVH entry")


def _elf32(start, segments):
    """A program that Multiboot 1 can load; its header is in the first 8 KiB, as the stub comes first."""
    programs, body, offset = b"", b"", PAGE
    for address, data, size in segments:
        programs += ELF32_PROGRAM.pack(PT_LOAD, offset, address, address, len(data), size, 7, PAGE)
        data += bytes(-len(data) % PAGE)
        body += data
        offset += len(data)
    header = ELF32_HEADER.pack(b"\x7fELF\x01\x01\x01", 2, 3, 1, start, ELF32_HEADER.size, 0, 0, ELF32_HEADER.size,
                               ELF32_PROGRAM.size, len(segments), 0, 0, 0)
    return (header + programs).ljust(PAGE, b"\0") + body


# -- the initramfs ---------------------------------------------------------------------------------

def _initramfs(debian, files):
    archive = initramfs.base(paths.LAB / "l1" / "init-bochs")
    initramfs.add_modules(archive, debian, ["kvm-intel"], [])
    for name in GUEST_FILES:
        archive.file(str(GUEST_FOLDER / name)[1:], pathlib.Path(files[name]).read_bytes(), 0o755)
    scripts, objects = _python_modules()
    for path in [pathlib.Path(PYTHON), *objects, *_libraries([PYTHON, files["program"], *objects])]:
        archive.file(str(path)[1:], path.read_bytes(), 0o755)
    for path in scripts:
        archive.file(f"{path}c"[1:], _compiled(path))
    for path in [*(paths.LAB / "l1").glob("*.py"), *(paths.LAB / "cases" / name for name in CASES)]:
        name = REPO / path.relative_to(paths.REPO)
        archive.file(str(name)[1:], path.read_bytes())
        archive.file(f"{name.parent}/__pycache__/{name.stem}.{sys.implementation.cache_tag}.pyc"[1:], _compiled(path))
    return archive.bytes()


def _libraries(programs):
    """The libraries they are linked with, by the paths they are looked for at."""
    text = subprocess.run(["ldd", *programs], capture_output=True, text=True, check=True).stdout
    return sorted({pathlib.Path(path) for path in re.findall(r"(/\S+) \(0x", text)})


def _python_modules():
    """Files of Python's library that the agent and its cases import: (in Python, in C)."""
    script = """
import importlib, json, os, sys
sys.path.insert(0, sys.argv[1])
for name in sys.argv[2:]:
    importlib.import_module(name)
specs = [getattr(module, "__spec__", None) for module in list(sys.modules.values())]
print(json.dumps([os.__file__, *(spec.origin for spec in specs if spec)]))
"""
    modules = [f"cases.{name.removesuffix('.py')}" for name in CASES if not name.startswith("__")]
    output = subprocess.run([PYTHON, "-B", "-S", "-c", script, paths.LAB, "l1.agent", *modules, *LATE],
                            capture_output=True, text=True, check=True).stdout
    found = sorted({pathlib.Path(path) for path in json.loads(output) if path and path.startswith("/usr/lib/")})
    return ([path for path in found if path.suffix == ".py"],
            [path for path in found if path.suffix == ".so" and path.name.partition(".")[0] not in UNWANTED])


def _compiled(path):
    """Bytecode that Python takes without looking at its source: L1 would compile for a minute."""
    with tempfile.NamedTemporaryFile(suffix=".pyc") as file:
        py_compile.compile(path, file.name, doraise=True, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
        return pathlib.Path(file.name).read_bytes()
