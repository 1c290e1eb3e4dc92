/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rom.c - the expansion ROM: the device's own or a file's, shown to the guest from memory.
 *
 * A card's ROM is slow to read, and most guests never look at it: it is copied when a guest first
 * enables its BAR, on the worker, and from then on is ordinary read-only memory. Where a memslot is
 * not to be had, accesses are trapped and answered from the copy.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <portcullis/err.h>
#include <portcullis/log.h>
#include <portcullis/sys.h>

#include "device.h"
#include "host/lookup.h"
#include "host/vfio_host.h"

#define ROM_MIN 2048u	     /* the smallest a BAR can tell */
#define ROM_MAX (16u << 20)  /* and the largest: address bits 24 and up are not its own */
#define ROM_CHUNK (1u << 20) /* per pread */

/*
 * Memory for size bytes, ones where nothing is put. The BAR is a page at least: it can be mapped.
 */
static int rom_alloc(struct vfio_rom *rom, uint64_t size)
{
	void *image;
	int ret;

	rom->size = REGION_PAGE;
	while (rom->size < size)
		rom->size <<= 1;
	ret = sys_mmap(NULL, rom->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0,
		&image);
	if (ret < 0)
		return ret;
	rom->image = image;
	return 0;
}

static int read_all(int fd, uint8_t *out, size_t size)
{
	size_t at = 0;

	while (at < size) {
		ssize_t n = read(fd, out + at, size - at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		at += (size_t)n;
	}
	return 0;
}

/* PCI Firmware 3.0, 5.1: 55 aa, and at 0x18 the offset of a structure that starts with PCIR. */
static bool is_rom(const uint8_t *image, uint64_t size)
{
	unsigned at;

	if (size < 0x1a || image[0] != 0x55 || image[1] != 0xaa)
		return false;
	at = pci_get(image, 0x18, 2);
	return at + 4 <= size && !memcmp(image + at, "PCIR", 4);
}

static int read_file(
	const struct vfio_lookup *lookup, struct vfio_rom *rom, const char *path, struct err *err)
{
	uint64_t size = 0;
	int fd = lookup->ops->open_romfile(lookup, path, &size, err), ret;

	if (fd < 0)
		return fd;
	ret = rom_alloc(rom, size);
	if (ret == 0)
		ret = read_all(fd, rom->image, size);
	sys_close(fd);
	if (ret < 0)
		return err_set_errno(err, -ret, "cannot read romfile '%s'", path);
	if (!is_rom(rom->image, size)) {
		err_set(err, EINVAL, "romfile '%s' is not a PCI expansion ROM", path);
		err_hint(err, "one starts with the bytes 55 aa and has a PCIR structure");
		return -EINVAL;
	}
	memset(rom->image + size, 0xff, rom->size - size);
	atomic_store(&rom->ready, true);
	return 0;
}

/* romfile= with nothing behind it: none at all, not the device's own either, as QEMU has it. */
static bool romfile_empty(const struct vfio_pci_options *options)
{
	return options->romfile && !*options->romfile;
}

int vfio_rom_open(struct vfio_pci *dev, struct err *err)
{
	const struct vfio_lookup here = vfio_lookup_direct(vfio_env_host(&dev->env));
	const struct vfio_pci_options *options = dev->options;
	int ret = 0;

	if (!options->romfile || romfile_empty(options))
		return 0;
	if (options->rombar == ON_OFF_OFF)
		return err_set(err, EINVAL, "'romfile' needs rombar=on");
	if (!dev->rom.image)
		ret = read_file(
			dev->lookup ? dev->lookup : &here, &dev->rom, options->romfile, err);
	if (ret < 0)
		vfio_rom_release(dev);
	return ret;
}

/* A ROM that hangs guests is shown to who asks for it. */
static bool shown(const struct vfio_pci *dev)
{
	const struct vfio_pci_options *options = dev->options;
	const struct vfio_quirk *quirk = vfio_quirk_find(VFIO_QUIRK_NO_ROM, dev->fn.config);

	if (options->rombar == ON_OFF_OFF || romfile_empty(options))
		return false;
	if (!quirk || (!dev->rom.image && !dev->rom.own))
		return true;
	if (options->romfile || options->rombar == ON_OFF_ON) {
		log_warn("vfio-pci '%s': %s; it is shown because %s asks for it",
			options->device.id, quirk->why, options->romfile ? "romfile" : "rombar=on");
		return true;
	}
	log_warn("vfio-pci '%s': %s: it is not shown; rombar=on or romfile shows one",
		options->device.id, quirk->why);
	return false;
}

void vfio_rom_declare(struct vfio_pci *dev)
{
	struct vfio_region *region = &dev->region[PCI_ROM];
	struct vfio_rom *rom = &dev->rom;

	rom->own = region->size;
	region->writable = false;
	region->size = region->n_areas = 0;
	if (!shown(dev))
		return;
	if (!rom->image) {
		if (rom->own < ROM_MIN || rom->own > ROM_MAX)
			return;
		if (rom_alloc(rom, rom->own) < 0) {
			log_warn("vfio-pci '%s': no memory for its expansion ROM: left out",
				dev->options->device.id);
			return;
		}
	}
	region->size = rom->size;
	region->n_areas = 1;
	region->area[0] = (struct pci_area){
		.offset = 0, .size = rom->size, .hva = rom->image, .readonly = true
	};
	pci_set_bar(&dev->fn, PCI_ROM, PCI_BAR_ROM, rom->size, false);
}

void vfio_rom_load(struct vfio_pci *dev)
{
	const struct vfio_region *region = &dev->region[PCI_ROM];
	struct vfio_rom *rom = &dev->rom;
	uint64_t at = 0;

	if (!rom->image || atomic_load(&rom->ready) || !dev->io)
		return;
	memset(rom->image, 0xff, rom->size);
	while (at < rom->own) {
		uint64_t left = rom->own - at;
		ssize_t n = dev->io->ops->pread(dev->io, rom->image + at,
			left < ROM_CHUNK ? left : ROM_CHUNK, region->offset + at);

		if (n <= 0) {
			log_warn("vfio-pci '%s': its expansion ROM cannot be read at 0x%llx (%s)",
				dev->options->device.id, (unsigned long long)at,
				n < 0 ? strerror((int)-n) : "nothing there");
			break;
		}
		at += (uint64_t)n;
	}
	atomic_store(&rom->ready, true);
}

void vfio_rom_release(struct vfio_pci *dev)
{
	atomic_store(&dev->rom.ready, false);
	if (dev->rom.image)
		sys_munmap(dev->rom.image, dev->rom.size);
	dev->rom.image = NULL;
}
