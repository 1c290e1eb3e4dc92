/* SPDX-License-Identifier: Apache-2.0 */
/*
 * elf.c - ELF32 and ELF64 executables (System V gABI): headers, the PVH note, loading.
 *
 * One set of 64-bit structures is used for both classes. Nothing here trusts the file: every offset
 * is compared with its size, every sum is overflow-checked.
 */
#include "internal.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include <portcullis/err.h>

#define NOTE_PHYS32_ENTRY 18 /* XEN_ELFNOTE_PHYS32_ENTRY */
#define ELF_SEGMENTS_MAX 256 /* real kernels have fewer than ten */
_Static_assert(ELF_SEGMENTS_MAX < BOOT_COPIES_MAX, "room for every segment and the initrd");

bool elf_probe(const uint8_t *data, size_t size)
{
	return size >= SELFMAG && memcmp(data, ELFMAG, SELFMAG) == 0;
}

static bool inside(uint64_t offset, uint64_t len, uint64_t size)
{
	return offset <= size && len <= size - offset;
}

static int truncated(
	const struct elf *elf, const char *what, uint64_t offset, uint64_t len, struct err *err)
{
	err_set(err, ENOEXEC,
		"kernel '%s' is truncated: its header promises %s of %llu bytes at offset %llu, the file has %zu bytes",
		elf->path, what, (unsigned long long)len, (unsigned long long)offset, elf->size);
	err_hint(err, "copy or build the file again");
	return -ENOEXEC;
}

/* Takes entry, phoff, phnum from either class. */
static int read_header(struct elf *elf, uint16_t *type, uint16_t *phentsize, struct err *err)
{
	Elf64_Ehdr e64;
	Elf32_Ehdr e32;

	elf->is64 = elf->data[EI_CLASS] == ELFCLASS64;
	if (elf->size < (elf->is64 ? sizeof(e64) : sizeof(e32)))
		return truncated(
			elf, "an ELF header", 0, elf->is64 ? sizeof(e64) : sizeof(e32), err);
	if (elf->is64) {
		memcpy(&e64, elf->data, sizeof(e64));
		elf->entry = e64.e_entry;
		elf->phoff = e64.e_phoff;
		elf->phnum = e64.e_phnum;
		elf->machine = e64.e_machine;
		*type = e64.e_type;
		*phentsize = e64.e_phentsize;
	} else {
		memcpy(&e32, elf->data, sizeof(e32));
		elf->entry = e32.e_entry;
		elf->phoff = e32.e_phoff;
		elf->phnum = e32.e_phnum;
		elf->machine = e32.e_machine;
		*type = e32.e_type;
		*phentsize = e32.e_phentsize;
	}
	return 0;
}

/*
 * A position-independent program (a static-PIE tool, say) is no kernel, but ET_DYN kernels exist.
 */
static int check_header(const struct elf *elf, uint16_t type, uint16_t phentsize, struct err *err)
{
	const size_t want = elf->is64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);

	if (elf->machine != EM_386 && elf->machine != EM_X86_64)
		return err_set(err, ENOEXEC,
			"kernel '%s' is for another processor (ELF machine %u), not x86", elf->path,
			elf->machine);
	if (type != ET_EXEC && type != ET_DYN)
		return err_set(err, ENOEXEC, "kernel '%s' is not an executable (ELF type %u)",
			elf->path, type);
	if (!elf->phnum || elf->phnum > ELF_SEGMENTS_MAX || phentsize != want)
		return err_set(err, ENOEXEC,
			"kernel '%s' has an invalid ELF header: %u program headers of %u bytes",
			elf->path, elf->phnum, phentsize);
	if (!inside(elf->phoff, elf->phnum * want, elf->size))
		return truncated(elf, "program headers", elf->phoff, elf->phnum * want, err);
	return 0;
}

void elf_phdr(const struct elf *elf, unsigned i, Elf64_Phdr *out)
{
	Elf32_Phdr p;

	if (elf->is64) {
		memcpy(out, elf->data + elf->phoff + i * sizeof(*out), sizeof(*out));
		return;
	}
	memcpy(&p, elf->data + elf->phoff + i * sizeof(p), sizeof(p));
	*out = (Elf64_Phdr){
		.p_type = p.p_type,
		.p_flags = p.p_flags,
		.p_offset = p.p_offset,
		.p_vaddr = p.p_vaddr,
		.p_paddr = p.p_paddr,
		.p_filesz = p.p_filesz,
		.p_memsz = p.p_memsz,
		.p_align = p.p_align,
	};
}

static int check_segment(const struct elf *elf, unsigned i, const Elf64_Phdr *p, struct err *err)
{
	uint64_t end;

	if (p->p_type != PT_LOAD && p->p_type != PT_NOTE)
		return 0;
	if (!inside(p->p_offset, p->p_filesz, elf->size))
		return truncated(elf, "a segment", p->p_offset, p->p_filesz, err);
	if (p->p_type == PT_LOAD &&
		(p->p_filesz > p->p_memsz || __builtin_add_overflow(p->p_paddr, p->p_memsz, &end)))
		return err_set(err, ENOEXEC,
			"kernel '%s': segment %u is invalid (address %#llx, %llu bytes in the file, %llu in memory)",
			elf->path, i, (unsigned long long)p->p_paddr,
			(unsigned long long)p->p_filesz, (unsigned long long)p->p_memsz);
	return 0;
}

static bool loaded(const struct elf *elf, unsigned i, Elf64_Phdr *p)
{
	elf_phdr(elf, i, p);
	return p->p_type == PT_LOAD && p->p_memsz;
}

/* The first segment before i that shares memory with it. */
static bool find_overlap(const struct elf *elf, unsigned i, const Elf64_Phdr *p, unsigned *with)
{
	Elf64_Phdr q;

	for (*with = 0; *with < i; ++*with)
		if (loaded(elf, *with, &q) && q.p_paddr < p->p_paddr + p->p_memsz &&
			p->p_paddr < q.p_paddr + q.p_memsz)
			return true;
	return false;
}

/* Loading costs what the file's bytes and the memory they need cost, and nothing twice. */
static int check_overlaps(const struct elf *elf, struct err *err)
{
	uint64_t file_bytes = 0;
	unsigned other;
	Elf64_Phdr p;

	for (unsigned i = 0; i < elf->phnum; i++) {
		if (!loaded(elf, i, &p))
			continue;
		if (find_overlap(elf, i, &p, &other)) {
			err_set(err, ENOEXEC,
				"kernel '%s': its segments %u and %u overlap in memory, at %#" PRIx64,
				elf->path, other, i, p.p_paddr);
			err_hint(err, "build the kernel again: `readelf -l` shows its segments");
			return -ENOEXEC;
		}
		file_bytes += p.p_filesz;
	}
	if (file_bytes <= elf->size)
		return 0;
	err_set(err, ENOEXEC,
		"kernel '%s': its segments overlap in the file: they have %llu bytes, it has %zu",
		elf->path, (unsigned long long)file_bytes, elf->size);
	err_hint(err, "build the kernel again: `readelf -l` shows its segments");
	return -ENOEXEC;
}

int elf_open(struct elf *elf, const uint8_t *data, size_t size, const char *path, struct err *err)
{
	uint16_t type, phentsize;
	Elf64_Phdr p;
	int ret;

	*elf = (struct elf){ .data = data, .size = size, .path = path };
	if (size <= EI_NIDENT)
		return truncated(elf, "an ELF header", 0, sizeof(Elf32_Ehdr), err);
	if ((data[EI_CLASS] != ELFCLASS32 && data[EI_CLASS] != ELFCLASS64) ||
		data[EI_DATA] != ELFDATA2LSB)
		return err_set(err, ENOEXEC, "kernel '%s' is not an x86 ELF file", path);
	ret = read_header(elf, &type, &phentsize, err);
	if (ret < 0)
		return ret;
	ret = check_header(elf, type, phentsize, err);
	for (unsigned i = 0; ret == 0 && i < elf->phnum; i++) {
		elf_phdr(elf, i, &p);
		ret = check_segment(elf, i, &p, err);
	}
	return ret < 0 ? ret : check_overlaps(elf, err);
}

static uint64_t align_up(uint64_t value, uint64_t align)
{
	return (value + align - 1) & ~(align - 1);
}

/* Notes of one PT_NOTE segment: name and descriptor are each padded to align (4, rarely 8). */
static bool find_note(const uint8_t *data, uint64_t size, uint64_t align, uint64_t *entry)
{
	uint64_t at = 0;
	Elf64_Nhdr note; /* same layout as Elf32_Nhdr */

	while (inside(at, sizeof(note), size)) {
		uint64_t name, desc;
		uint32_t desc32;

		memcpy(&note, data + at, sizeof(note));
		name = at + sizeof(note);
		desc = align_up(name + note.n_namesz, align);
		at = align_up(desc + note.n_descsz, align);
		if (!inside(desc, note.n_descsz, size)) /* the name lies before it */
			return false;
		if (note.n_type != NOTE_PHYS32_ENTRY || note.n_namesz != 4 ||
			memcmp(data + name, "Xen", 4) != 0)
			continue;
		if (note.n_descsz == sizeof(*entry)) {
			memcpy(entry, data + desc, sizeof(*entry));
			return true;
		}
		if (note.n_descsz == sizeof(desc32)) {
			memcpy(&desc32, data + desc, sizeof(desc32));
			*entry = desc32;
			return true;
		}
	}
	return false;
}

bool elf_pvh_entry(const struct elf *elf, uint64_t *entry)
{
	uint64_t left = elf->size; /* segments of notes may overlap: not every byte for each */
	Elf64_Phdr p;

	for (unsigned i = 0; i < elf->phnum; i++) {
		elf_phdr(elf, i, &p);
		if (p.p_type != PT_NOTE || p.p_filesz > left)
			continue;
		left -= p.p_filesz;
		if (find_note(elf->data + p.p_offset, p.p_filesz, p.p_align == 8 ? 8 : 4, entry))
			return true;
	}
	return false;
}

int elf_load(const struct elf *elf, const struct place *place, uint64_t entry, struct span *bounds,
	struct err *err)
{
	uint64_t low = UINT64_MAX, high = 0;
	bool has_entry = false;
	struct piece piece;
	Elf64_Phdr p;

	for (unsigned i = 0; i < elf->phnum; i++) {
		int ret;

		if (!loaded(elf, i, &p))
			continue;
		piece = (struct piece){ p.p_offset, p.p_filesz, p.p_paddr, p.p_memsz };
		ret = load_piece(place->load, &piece, elf->data, elf->path, place->ram, err);
		if (ret < 0)
			return ret;
		low = p.p_paddr < low ? p.p_paddr : low;
		high = p.p_paddr + p.p_memsz > high ? p.p_paddr + p.p_memsz : high;
		has_entry |= entry >= p.p_paddr && entry - p.p_paddr < p.p_memsz;
	}
	if (!has_entry)
		return err_set(err, ENOEXEC,
			"kernel '%s': its entry point %#" PRIx64 " lies in none of its segments",
			elf->path, entry);
	*bounds = (struct span){ low, high - low };
	return 0;
}
