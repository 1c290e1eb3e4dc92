/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_quirks.c - options for cards with quirks, and what is said where they cannot help. What the
 * rows of the table do is shown by tests/cards.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <linux/pci_regs.h>

#include <portcullis/err.h>

#include "fake_vfio_device.h"
#include "log_capture.h"
#include "says.h"

static struct fake_rig rig;

static int parse(struct vfio_pci_options *options, const char *text, struct err *err)
{
	memset(err, 0, sizeof(*err));
	props_init(&vfio_pci_type, options);
	return *text ? props_parse(&vfio_pci_type, options, text, err) : 0;
}

static void test_rombar(void **state)
{
	static const struct {
		const char *text;
		int32_t want;
	} cases[] = { { "", ON_OFF_AUTO }, { "rombar=auto", ON_OFF_AUTO },
		{ "rombar=on", ON_OFF_ON }, { "rombar=1", ON_OFF_ON }, { "rombar", ON_OFF_ON },
		{ "rombar=off", ON_OFF_OFF }, { "rombar=0", ON_OFF_OFF },
		{ "norombar", ON_OFF_OFF } };
	const struct prop_value zero = { .kind = PROP_VALUE_INT },
				yes = { .kind = PROP_VALUE_BOOL, .boolean = true };
	struct vfio_pci_options options;
	struct err err;

	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(parse(&options, cases[i].text, &err), 0);
		assert_int_equal(options.rombar, cases[i].want);
		props_release(&vfio_pci_type, &options, NULL);
	}
	assert_int_equal(parse(&options, "rombar=perhaps", &err), -EINVAL);
	assert_says(err.text, "property 'rombar' cannot be 'perhaps': it is 'on', 'off' or 'auto'");
	assert_int_equal(prop_set(&vfio_pci_type, &options, "rombar", &yes, &err), 0);
	assert_int_equal(options.rombar, ON_OFF_ON);
	assert_int_equal(prop_set(&vfio_pci_type, &options, "rombar", &zero, &err), 0);
	assert_int_equal(options.rombar, ON_OFF_OFF);
	props_release(&vfio_pci_type, &options, NULL);
}

static void test_clique_range(void **state)
{
	static const struct {
		const char *text;
		uint64_t want;
	} cases[] = { { "", VFIO_NV_CLIQUE_NONE }, { "x-nv-gpudirect-clique=0", 0 },
		{ "x-nv-gpudirect-clique=15", 15 } };
	struct vfio_pci_options options;
	struct err err;

	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(parse(&options, cases[i].text, &err), 0);
		assert_true(options.nv_clique == cases[i].want);
		props_release(&vfio_pci_type, &options, NULL);
	}
	assert_int_equal(parse(&options, "x-nv-gpudirect-clique=16", &err), -ERANGE);
	assert_says(err.text, "it must be between 0 and 15");
	props_release(&vfio_pci_type, &options, NULL);
	assert_int_equal(parse(&options, "x-nv-gpudirect-clique=-1", &err), -EINVAL);
	props_release(&vfio_pci_type, &options, NULL);
}

static void clique(struct vfio_pci_options *options)
{
	options->nv_clique = 1;
}

/* A capability at 0xc8, and one at 0xd0 that reaches to 0xd7. */
static void test_clique_without_room(void **state)
{
	struct err err = { 0 };

	(void)state;
	memset(&rig, 0, sizeof(rig));
	rig.set_options = clique;
	fake_card_init(&rig.card);
	fake_machine_init(&rig.machine);
	fake_card_gpu(&rig.card);
	assert_int_equal(fake_rig_realize(&rig, "port", &err), -ENOSPC);
	assert_says(err.text, "the card has capabilities at 0xc8 and at 0xd4");
	fake_rig_release(&rig);
}

static void try_intx(uint32_t ids, const char *says)
{
	memset(&rig, 0, sizeof(rig));
	fake_card_init(&rig.card);
	fake_machine_init(&rig.machine);
	fake_card_pci(&rig.card);
	pci_put(rig.card.config, PCI_VENDOR_ID, 4, ids);
	assert_int_equal(fake_rig_realize(&rig, "pcie.0", NULL), 0);
	fake_config_write(&rig, PCI_BASE_ADDRESS_0, 4, 0xc000);
	rig.card.fail_errno = EBUSY;
	rig.card.fail_irq = 1;
	log_capture_start();
	fake_config_write(&rig, PCI_COMMAND, 2, PCI_COMMAND_IO);
	fake_step(&rig);
	assert_says(log_captured(), says);
	assert_says(log_captured(), "x-no-intx=on hides INTx");
	log_capture_stop();
	fake_rig_release(&rig);
}

/* The kernel takes the line of a card that cannot mask it for that card alone, or not at all. */
static void test_line_shared(void **state)
{
	(void)state;
	try_intx(0x816910ec, "the card is known not to mask its line");
	try_intx(0x00021b36, "the kernel wants it alone for this card");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rombar),
		cmocka_unit_test(test_clique_range),
		cmocka_unit_test(test_clique_without_room),
		cmocka_unit_test(test_line_shared),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
