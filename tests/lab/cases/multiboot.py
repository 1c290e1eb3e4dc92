# SPDX-License-Identifier: Apache-2.0
"""Bare-metal test kernels: started by Multiboot 1, ended through isa-debug-exit. See l2/multiboot.s."""

import pathlib
import re
import struct
import time

from l1.case import case, check, check_equal
from l1.qmp import Qmp

SOURCE = pathlib.Path(__file__).parent.parent / "l2" / "multiboot.s"
SOCKET = "/tmp/qmp.sock"
EXIT = "isa-debug-exit,iobase=0xf4,iosize=4"
MIB = 1 << 20
RAM = 1     # type of a memory map entry
IF, VM = 1 << 9, 1 << 17
MEMORY, CMDLINE, MODULES, MAP, LOADER = 1 << 0, 1 << 2, 1 << 3, 1 << 6, 1 << 9


def build(lab, name, assembler=(), linker=(), source=SOURCE):
    kernel = lab.directory / name
    lab.shell(f"as --32 {' '.join(assembler)} -o {kernel}.o {source} && "
              f"ld -m elf_i386 -N -Ttext=0x100000 -e start --no-warn-rwx-segments {' '.join(linker)} "
              f"-o {kernel} {kernel}.o")
    return kernel


def run(lab, kernel, modules, status):
    """What the kernel says: {first word of a line: the rests of those lines}."""
    with lab.vmm("-append", "one two", "-no-reboot", kernel=kernel, initrd=modules, append=None, memory="128M",
                 devices=[EXIT], ready=False) as vmm:
        check_equal(vmm.wait_exit(60), status, "exit status")
        output = vmm.final_output()
    said = {}
    for line in output.replace("\r", "").splitlines():
        key, _, rest = line.partition(" ")
        said.setdefault(key, []).append(rest)
    check("end" in said, f"the kernel said {output!r}")
    check_equal(output.replace("\r", "").splitlines()[-1], "end", "last word before the exit")
    return said


def number(said, name):
    return int(said[name][0], 16)


def check_processor(said):
    """Chapter 3.2 of the specification."""
    check_equal(number(said, "eax"), 0x2BADB002, "EAX")
    check_equal(number(said, "eflags") & (IF | VM), 0, "IF and VM in EFLAGS")
    check_equal(number(said, "cr0") & 0x80000001, 1, "PG and PE in CR0")
    for segment in ("cs", "ss"):
        check_equal(number(said, f"{segment}-limit"), 0xFFFFFFFF, f"limit of {segment}")
    check_equal(number(said, "cs-rights") & 0xF09A00, 0xC09A00, "CS: 32-bit code, readable")
    check_equal(number(said, "es-rights") & 0xF09A00, 0xC09200, "ES: 32-bit data, writable")
    check_equal(number(said, "a20"), 1, "A20")
    check_equal(number(said, "bss"), 0, "the kernel's zeroed memory")


def check_memory(said, size):
    entries = [tuple(int(field, 16) for field in entry.split()) for entry in said["map"]]
    ram = [(start, start + length) for start, length, kind in entries if kind == RAM]
    check_equal(ram[0][0], 0, "start of RAM")
    check_equal(number(said, "lower"), ram[0][1] // 1024, "KiB below 1 MiB")
    above = [end for start, end in ram if start == MIB]
    check(above, f"no RAM at 1 MiB: {entries}")
    check_equal(number(said, "upper"), (above[0] - MIB) // 1024, "KiB above 1 MiB")
    total = sum(end - start for start, end in ram)
    check(size - MIB <= total <= size, f"{total} bytes of RAM in {entries}")
    spans = sorted((start, start + length) for start, length, _ in entries)
    check(all(a[1] <= b[0] for a, b in zip(spans, spans[1:])), f"entries overlap: {entries}")


def check_told(said, kernel, modules):
    """Command line, loader, and modules given as [(text, content)]."""
    wanted = MEMORY | CMDLINE | MAP | LOADER | (MODULES if modules else 0)
    check_equal(number(said, "flags") & wanted, wanted, "flags")
    check_equal(said["cmdline"], [f"{kernel} one two"], "command line")
    check(said["loader"][0], "the boot loader has no name")
    got = [re.fullmatch(r"([0-9a-f]{8}) ([0-9a-f]{8}) \[(.*)\] (.*)", module) for module in said.get("module", [])]
    check_equal([(module[4], module[3]) for module in got], modules, "modules")
    for module in got:
        check_equal(int(module[2], 16), len(module[3]), "a module's length")
        check_equal(int(module[1], 16) % 4096, 0, "a module's place in its page")


@case
def multiboot(lab):
    """A Multiboot kernel tells how it was started, as an ELF file and as a flat one, and ends with its own status."""
    first, second = lab.directory / "first", lab.directory / "second"
    first.write_text("hello from a module")
    second.write_text("x")
    modules = [(f"{first} a=b  c", "hello from a module"), (str(second), "x")]
    elf = build(lab, "elf")
    said = run(lab, elf, ",".join(text for text, _ in modules), (0x12 << 1) | 1)
    check_processor(said)
    check_memory(said, 128 * MIB)
    check_told(said, elf, modules)
    flat = build(lab, "flat", ["--defsym FLAT=1"], ["--oformat binary"])
    said = run(lab, flat, None, (0x10 << 1) | 1)
    check_processor(said)
    check_told(said, flat, [])


@case(vmms=("portcullis",))
def multiboot_refused(lab):
    """Test devices and kernels that cannot be: a message that names what is wrong."""
    elf = build(lab, "elf")
    for device, mentions in (("isa-debug-exit,iobase=0x70,iosize=4", ["0x70", "rtc"]),
                             ("isa-debug-exit,iobase=0xcfc", ["0xcfc", "pci"]),
                             ("isa-debug-exit,iobase=0xf4,iosize=8", ["iosize", "8"])):
        lab.refused("-append", "", kernel=elf, initrd=None, append=None, devices=[device], mentions=mentions)
    lab.refused(kernel=elf, initrd=f"{elf},/nowhere", devices=[EXIT], mentions=["/nowhere"])
    overlapping = lab.directory / "overlapping"
    data = elf.read_bytes()     # the first program header twice, behind the rest
    overlapping.write_bytes(data[:28] + struct.pack("<I", len(data)) + data[32:44] + struct.pack("<H", 2) + data[46:]
                            + 2 * data[52:84])
    lab.refused(kernel=overlapping, initrd=None, append=None, mentions=["overlapping", "0 and 1", "0x100000"])


def processor_seconds(vmm):
    """{name of a thread: seconds it has run}"""
    tasks = [(thread.comm, pathlib.Path(f"/proc/{vmm.pid}/task/{thread.tid}/schedstat")) for thread in vmm.threads()]
    return {name: int(path.read_text().split()[0]) / 1e9 for name, path in tasks}


@case(vmms=("portcullis",))
def multiboot_zeros(lab):
    """A kernel of some KiB that wants a GiB zeroed has its own vCPU do it, at each reset: main has no part in it."""
    kernel = build(lab, "zeros", ["--defsym ZEROS=0x40000000"])
    with lab.vmm("-qmp", f"unix:{SOCKET},server,nowait", kernel=kernel, initrd=None, append=None,
                 memory="1200M", ready=False) as vmm:
        qmp = Qmp(SOCKET)
        vmm.guest.wait_for("alive", 100, "the kernel's last word")
        before = processor_seconds(vmm)
        for _ in range(3):
            qmp.cmd("system_reset")
            vmm.guest.wait_for("alive", 60, "the kernel's last word after a reset")
        spent = {name: seconds - before[name] for name, seconds in processor_seconds(vmm).items()}
        qmp.cmd("quit")
        check_equal(vmm.wait_exit(60), 0, "exit status")
    main, vcpu = spent["main"], spent["vcpu0"]
    lab.note(f"main {main * 1000:.0f} ms, vcpu0 {vcpu * 1000:.0f} ms")
    check(main < vcpu / 4, f"main ran for {main:.3f} s, vcpu0 for {vcpu:.3f} s")


def reset_again_and_again(lab, kernel, resets=8):
    with lab.vmm("-qmp", f"unix:{SOCKET},server=on,wait=off", kernel=kernel, initrd=None, append=None, memory="128M",
                 devices=[EXIT], ready=False) as vmm:
        qmp = Qmp(SOCKET)
        for n in range(resets):
            time.sleep(0.3)
            check(vmm.status() is None, f"the guest that started anew found its memory changed after {n} resets")
            qmp.cmd("system_reset")
        time.sleep(1)
        qmp.cmd("quit")
        check_equal(vmm.wait_exit(60), 0, "exit status")
        check_equal(vmm.final_output().count("S"), resets + 1, "starts")


@case(vmms=("portcullis", "qemu"))
def reset_within_an_instruction(lab):
    """A read into memory that the VMM has answered and KVM has yet to finish is finished before a reset, not after it,
    when that memory is the new guest's."""
    for name, how in (("ins", ()), ("movs", ("--defsym MOVS=1",))):
        reset_again_and_again(lab, build(lab, name, how, source=SOURCE.with_name("reset.s")))
