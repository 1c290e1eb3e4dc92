/* SPDX-License-Identifier: Apache-2.0 */
/*
 * image.c - reading and recognising what -kernel, -initrd and -append name; placing it in RAM.
 */
#include <portcullis/boot.h>

#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <portcullis/err.h>
#include <portcullis/log.h>
#include <portcullis/sys.h>

/* COMMAND_LINE_SIZE of x86 is 2048, with the zero at the end. */
#define LINUX_CMDLINE_MAX 2047

/* An ELF file may be much larger than what is loaded of it, by its debugging information. */
static const struct file_limit kernel_limit = { GPA_HIGH_RAM, "a kernel has at most" };

/* Files people give by mistake, and what they should do. */
static const struct {
	unsigned offset, len;
	const char *magic, *what, *hint;
} mistakes[] = {
	{ 0, 2, "\x1f\x8b", "gzip-compressed data", "unpack it, or use the bzImage" },
	{ 0, 6, "\xfd\x37zXZ\0", "xz-compressed data", "unpack it, or use the bzImage" },
	{ 0, 4, "\x28\xb5\x2f\xfd", "zstd-compressed data", "unpack it, or use the bzImage" },
	{ 0, 5, "07070", "a cpio archive", "is it the initrd? -initrd takes that" },
	{ 0, 4, "QFI\xfb", "a qcow2 disk image", "-kernel takes a bzImage or an ELF kernel" },
	{ 0x38, 4, "ARM\x64", "a kernel for arm64", "use an x86_64 kernel" },
};

static int not_a_kernel(const struct boot_image *image, struct err *err)
{
	for (size_t i = 0; i < sizeof(mistakes) / sizeof(mistakes[0]); i++) {
		if (image->kernel_size < mistakes[i].offset + mistakes[i].len ||
			memcmp(image->kernel + mistakes[i].offset, mistakes[i].magic,
				mistakes[i].len) != 0)
			continue;
		err_set(err, ENOEXEC, "'%s' is not a kernel but %s", image->kernel_path,
			mistakes[i].what);
		err_hint(err, "%s", mistakes[i].hint);
		return -ENOEXEC;
	}
	err_set(err, ENOEXEC,
		"'%s' is not a kernel (%zu bytes; neither a bzImage nor an ELF file nor Multiboot)",
		image->kernel_path, image->kernel_size);
	err_hint(err,
		"-kernel takes a bzImage, such as /boot/vmlinuz-*, or an ELF kernel with a PVH entry");
	return -ENOEXEC;
}

static int recognise_elf(struct boot_image *image, struct err *err)
{
	struct elf elf;
	int ret;

	ret = elf_open(&elf, image->kernel, image->kernel_size, image->kernel_path, err);
	if (ret < 0)
		return ret;
	if (elf_pvh_entry(&elf, &image->pvh_entry)) {
		image->kind = BOOT_PVH;
		return 0;
	}
	if (multiboot_probe(image)) {
		image->kind = BOOT_MULTIBOOT;
		return multiboot_check(image, err);
	}
	err_set(err, ENOEXEC, "'%s' is an ELF file with neither a PVH entry nor a Multiboot header",
		image->kernel_path);
	err_hint(err, "a Linux vmlinux needs CONFIG_PVH=y; or use its bzImage");
	return -ENOEXEC;
}

int boot_recognise(struct boot_image *image, struct err *err)
{
	size_t len = strlen(image->cmdline);

	if (bzimage_probe(image->kernel, image->kernel_size)) {
		image->kind = BOOT_BZIMAGE;
		return bzimage_check(image, err);
	}
	/* Multiboot puts the kernel's path before it. */
	if (len + strlen(image->kernel_path) + 2 > BOOT_CMDLINE_SIZE)
		return err_set(err, E2BIG,
			"the command line (-append) has %zu bytes; at most %zu fit", len,
			BOOT_CMDLINE_SIZE - strlen(image->kernel_path) - 2);
	if (elf_probe(image->kernel, image->kernel_size))
		return recognise_elf(image, err);
	if (multiboot_probe(image)) {
		image->kind = BOOT_MULTIBOOT;
		return multiboot_check(image, err);
	}
	return not_a_kernel(image, err);
}

/* A bzImage says how long a command line it takes. */
static void warn_of_cmdline(const struct boot_image *image)
{
	const size_t len = strlen(image->cmdline);

	if (image->kind == BOOT_PVH && len > LINUX_CMDLINE_MAX)
		log_warn(
			"the command line (-append) has %zu bytes; if kernel '%s' is Linux, it keeps the first %d",
			len, image->kernel_path, LINUX_CMDLINE_MAX);
}

int boot_read(struct boot_image *image, const char *kernel, const char *initrd, const char *cmdline,
	uint64_t ram_size, struct err *err)
{
	const struct file_limit in_ram = { ram_size, "the guest's memory has" };
	int ret;

	*image = (struct boot_image){ .kernel_path = kernel, .initrd_path = initrd };
	image->cmdline = strdup(cmdline ? cmdline : "");
	if (!image->cmdline)
		return err_set_errno(err, ENOMEM, "cannot keep the command line");
	if (!kernel) {
		if (!initrd)
			return 0;
		ret = err_set(err, EINVAL, "-initrd '%s' without a kernel", initrd);
		err_hint(err, "give -kernel as well");
		goto fail;
	}
	ret = file_read(kernel, "kernel", kernel_limit, &image->kernel, &image->kernel_size, err);
	if (ret == 0)
		ret = boot_recognise(image, err);
	if (ret == 0 && initrd && image->kind == BOOT_MULTIBOOT)
		ret = modules_read(image, initrd, in_ram, err);
	else if (ret == 0 && initrd)
		ret = file_read(initrd, "initrd", in_ram, &image->initrd, &image->initrd_size, err);
	if (ret == 0) {
		warn_of_cmdline(image);
		return 0;
	}
fail:
	boot_release(image);
	return ret;
}

void boot_release(struct boot_image *image)
{
	if (!image)
		return;
	if (image->kernel)
		sys_munmap(image->kernel, image->kernel_size);
	if (image->initrd)
		sys_munmap(image->initrd, image->initrd_size);
	modules_release(image);
	free(image->cmdline);
	*image = (struct boot_image){ 0 };
}

int boot_place(const struct boot_image *image, const struct ram *ram, uint64_t rsdp,
	struct boot_load *load, struct kvm_entry *entry, struct err *err)
{
	static int (*const place_fn[])(const struct place *, struct kvm_entry *, struct err *) = {
		[BOOT_BZIMAGE] = bzimage_place,
		[BOOT_PVH] = pvh_place,
		[BOOT_MULTIBOOT] = multiboot_place,
	};
	struct place place = { .image = image, .ram = ram, .load = load, .rsdp = rsdp };
	struct e820 map;

	*entry = (struct kvm_entry){ 0 };
	*load = (struct boot_load){ 0 };
	if (image->kind == BOOT_NONE) {
		err_set(err, EINVAL, "there is nothing to boot");
		err_hint(err, "give a kernel with -kernel");
		return -EINVAL;
	}
	place.low = ram_hva(ram, 0, BOOT_LOW_END);
	if (!place.low)
		return err_set(err, ENOMEM, "there is no RAM below 128 KiB to start a kernel with");
	/* After a reset this may hold what the guest left there. */
	memset(place.low, 0, BOOT_LOW_END);
	e820_build(&map, &ram->layout);
	place.map = &map;
	return place_fn[image->kind](&place, entry, err);
}
