/* SPDX-License-Identifier: Apache-2.0 */
/* test_vfio_rom.c - the expansion ROM: read when the guest first looks, from the card or a file. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <linux/pci_regs.h>

#include <portcullis/err.h>

#include "fake_vfio_device.h"

static struct fake_rig rig;
static char path[] = "/tmp/test_vfio_rom.XXXXXX";
static struct err err;

static int make_file(void **state)
{
	int fd = mkstemp(path);

	(void)state;
	if (fd >= 0)
		close(fd);
	return fd < 0;
}

static int remove_file(void **state)
{
	(void)state;
	return unlink(path);
}

/* size bytes of a good ROM; mark: the byte that fills it. */
static void write_rom(size_t size, uint8_t mark)
{
	uint8_t *image = malloc(size);
	FILE *file = fopen(path, "w");

	memset(image, mark, size);
	if (size >= 0x40) {
		image[0] = 0x55;
		image[1] = 0xaa;
		pci_put(image, 0x18, 2, 0x1c);
		memcpy(image + 0x1c, "PCIR", 4);
	}
	assert_int_equal(fwrite(image, 1, size, file), size);
	fclose(file);
	free(image);
}

static void write_bytes(const char *bytes, size_t size)
{
	FILE *file = fopen(path, "w");

	fwrite(bytes, 1, size, file);
	fclose(file);
}

static void start(void (*fill)(struct fake_card *))
{
	rig.dev = NULL;
	memset(&err, 0, sizeof(err));
	fake_card_init(&rig.card);
	fake_machine_init(&rig.machine);
	fill(&rig.card);
}

static void enable(uint32_t addr)
{
	fake_config_write(&rig, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	fake_config_write(&rig, PCI_ROM_ADDRESS, 4, addr | PCI_ROM_ADDRESS_ENABLE);
}

static const struct pci_area *area(void)
{
	static struct pci_area out[PCI_AREAS_MAX];

	assert_int_equal(vfio_bar_areas(&rig.dev->fn, PCI_ROM, out), 1);
	return out;
}

static void test_lazy(void **state)
{
	unsigned long calls;

	(void)state;
	start(fake_card_e1000e);
	memset(rig.card.region[PCI_ROM].bytes + 2, 0x5a, 0x3fffe);
	assert_int_equal(fake_rig_realize(&rig, "pcie.0", &err), 0);
	assert_int_equal(area()->size, 0x40000);
	assert_true(area()->readonly);
	assert_false(atomic_load(&rig.dev->rom.ready));
	/* Sizing is not looking. */
	calls = rig.card.calls;
	fake_config_write(&rig, PCI_ROM_ADDRESS, 4, 0xfffff800);
	assert_int_equal(fake_config_read(&rig, PCI_ROM_ADDRESS, 4), 0xfffc0000);
	assert_int_equal(rig.card.calls, calls);
	assert_false(atomic_load(&rig.dev->rom.ready));
	enable(0xd0000000);
	assert_int_equal(rig.machine.bar_at[PCI_ROM], 0xd0000000);
	/* It was there before the BAR was: what the memslot shows. */
	assert_memory_equal(area()->hva, rig.card.region[PCI_ROM].bytes, 0x40000);
	/* Once; and trapped accesses do not go to the card either. */
	rig.card.region[PCI_ROM].bytes[0] = 0;
	fake_config_write(&rig, PCI_ROM_ADDRESS, 4, 0xd0000000);
	assert_int_equal(rig.machine.bar_at[PCI_ROM], 0);
	fake_config_write(&rig, PCI_ROM_ADDRESS, 4, 0xd0000001);
	assert_int_equal(rig.machine.bar_at[PCI_ROM], 0xd0000000);
	assert_int_equal(fake_bar_read(&rig, PCI_ROM, 0, 2), 0xaa55);
	assert_int_equal(fake_bar_read(&rig, PCI_ROM, 0x3fff8, 8), 0x5a5a5a5a5a5a5a5a);
	fake_bar_write(&rig, PCI_ROM, 0, 4, 0);
	assert_int_equal(fake_bar_read(&rig, PCI_ROM, 0, 4), 0x5a5aaa55);
	fake_rig_release(&rig);
}

static void test_read_fails(void **state)
{
	(void)state;
	start(fake_card_e1000e);
	assert_int_equal(fake_rig_realize(&rig, "pcie.0", &err), 0);
	fake_config_write(&rig, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	fake_step(&rig);
	rig.card.fail_at = rig.card.calls + 1;
	fake_config_write(&rig, PCI_ROM_ADDRESS, 4, 0xd0000001);
	assert_int_equal(rig.machine.bar_at[PCI_ROM], 0xd0000000);
	assert_int_equal(fake_bar_read(&rig, PCI_ROM, 0, 4), 0xffffffff);
	fake_rig_release(&rig);
}

/* Smaller than a page: the BAR is a page, so that it can be mapped; the rest reads as ones. */
static void test_small(void **state)
{
	(void)state;
	start(fake_card_e1000e);
	rig.card.region[PCI_ROM].size = 2048;
	assert_int_equal(fake_rig_realize(&rig, "pcie.0", &err), 0);
	assert_int_equal(area()->size, 4096);
	enable(0xd0000000);
	assert_int_equal(fake_bar_read(&rig, PCI_ROM, 0, 2), 0xaa55);
	assert_int_equal(fake_bar_read(&rig, PCI_ROM, 2046, 4), 0xffff0000);
	fake_rig_release(&rig);
}

static void rombar_off(struct vfio_pci_options *options)
{
	options->rombar = ON_OFF_OFF;
}

static void romfile(struct vfio_pci_options *options)
{
	options->romfile = strdup(path);
}

static int open_rom(void (*fill)(struct fake_card *), void (*set)(struct vfio_pci_options *))
{
	start(fill);
	rig.set_options = set;
	return fake_rig_realize(&rig, "pcie.0", &err);
}

static void end(void)
{
	fake_rig_release(&rig);
	rig.set_options = NULL;
}

static void test_rombar_off(void **state)
{
	struct pci_area out[PCI_AREAS_MAX];

	(void)state;
	assert_int_equal(open_rom(fake_card_e1000e, rombar_off), 0);
	assert_int_equal(vfio_bar_areas(&rig.dev->fn, PCI_ROM, out), 0);
	fake_config_write(&rig, PCI_ROM_ADDRESS, 4, 0xfffff801);
	assert_int_equal(fake_config_read(&rig, PCI_ROM_ADDRESS, 4), 0);
	assert_int_equal(fake_bar_read(&rig, PCI_ROM, 0, 4), 0xffffffff);
	end();
}

static void no_romfile(struct vfio_pci_options *options)
{
	struct prop_value none = { .kind = PROP_VALUE_STRING, .string = "" };

	assert_int_equal(prop_set(&vfio_pci_type, options, "romfile", &none, NULL), 0);
}

static void neither(struct vfio_pci_options *options)
{
	rombar_off(options);
	no_romfile(options);
}

/* QEMU's romfile="": no ROM, not even the card's own. */
static void test_empty_romfile(void **state)
{
	void (*const ways[])(struct vfio_pci_options *) = { no_romfile, neither };
	struct pci_area out[PCI_AREAS_MAX];

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(open_rom(fake_card_e1000e, ways[i]), 0);
		assert_int_equal(vfio_bar_areas(&rig.dev->fn, PCI_ROM, out), 0);
		fake_config_write(&rig, PCI_ROM_ADDRESS, 4, 0xfffff801);
		assert_int_equal(fake_config_read(&rig, PCI_ROM_ADDRESS, 4), 0);
		end();
	}
}

static void test_romfile(void **state)
{
	(void)state;
	/* A card without a ROM of its own, and one with. */
	write_rom(5000, 0x11);
	assert_int_equal(open_rom(fake_card_nvme, romfile), 0);
	enable(0xd0000000);
	assert_int_equal(area()->size, 8192);
	assert_int_equal(fake_bar_read(&rig, PCI_ROM, 0x1c, 4), 0x52494350);
	assert_int_equal(fake_bar_read(&rig, PCI_ROM, 4998, 4), 0xffff1111);
	end();
	assert_int_equal(open_rom(fake_card_e1000e, romfile), 0);
	enable(0xd0000000);
	assert_int_equal(area()->size, 8192);
	assert_int_equal(fake_bar_read(&rig, PCI_ROM, 0x100, 4), 0x11111111);
	end();
}

static void refused(int code, const char *mentions)
{
	assert_int_equal(open_rom(fake_card_nvme, romfile), code);
	if (!strstr(err.text, mentions) || (strstr(mentions, "romfile") && !strstr(err.text, path)))
		fail_msg("'%s' does not mention %s", err.text, mentions);
	assert_int_equal(rig.card.calls, 0);
	end();
}

static void test_bad_romfiles(void **state)
{
	(void)state;
	write_bytes("", 0);
	refused(-EINVAL, "has 0 bytes");
	write_bytes("\x55\xaa", 2);
	refused(-EINVAL, "is not a PCI expansion ROM");
	write_rom(0x20, 0);
	refused(-EINVAL, "is not a PCI expansion ROM");
	write_rom(4096, 0xff);
	truncate(path, 0x1d);
	refused(-EINVAL, "is not a PCI expansion ROM");
	/* The structure lies outside the file, and outside anything. */
	write_bytes("\x55\xaa\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\xf0\xff\0\0", 28);
	refused(-EINVAL, "is not a PCI expansion ROM");
	write_rom(4096, 0);
	truncate(path, (16 << 20) + 1);
	refused(-EINVAL, "up to 16 MiB");
	unlink(path);
	refused(-ENOENT, "romfile");
	/* Would block for ever. */
	assert_int_equal(mkfifo(path, 0600), 0);
	refused(-EINVAL, "is not a file");
	unlink(path);
	write_rom(4096, 0);
	assert_int_equal(open_rom(fake_card_nvme, romfile), 0);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lazy),
		cmocka_unit_test(test_read_fails),
		cmocka_unit_test(test_small),
		cmocka_unit_test(test_rombar_off),
		cmocka_unit_test(test_empty_romfile),
		cmocka_unit_test(test_romfile),
		cmocka_unit_test(test_bad_romfiles),
	};

	return cmocka_run_group_tests(tests, make_file, remove_file);
}
