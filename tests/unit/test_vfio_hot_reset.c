/* SPDX-License-Identifier: Apache-2.0 */
/* test_vfio_hot_reset.c - the whole ladder: which reset is chosen, and whom a bus reset may hit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/pci_regs.h>

#include "fake_vfio_device.h"
#include "vfio_fixture.h"

#define CARDS 3
static const char *const names[CARDS] = { "0000:05:00.0", "0000:05:00.1", "0000:06:00.0" };

static struct vfio_fixture vfio;
static struct fake_machine machine;
static struct fake_card card[CARDS];
static struct vfio_pci *dev[CARDS];

static void methods(unsigned i, const char *text)
{
	char path[100];

	snprintf(path, sizeof(path), "sys/bus/pci/devices/%s/reset_method", names[i]);
	fake_vfio_file(&vfio.fake, path, text);
}

/* groups: of the two that share a bus. */
static void start(int group_0, int group_1)
{
	const struct fixture_card cards[CARDS] = {
		{ names[0], group_0, false },
		{ names[1], group_1, false },
		{ names[2], 9, false },
	};

	fake_machine_init(&machine);
	vfio_fixture_start(&vfio, cards, CARDS, &machine.env);
	for (unsigned i = 0; i < CARDS; i++) {
		dev[i] = NULL;
		fake_card_init(&card[i]);
		fake_card_e1000e(&card[i]);
		fake_vfio_set_io(&vfio.fake, names[i], &card[i].io);
		methods(i, "pm bus\n");
	}
}

static int setup(void **state)
{
	*state = &vfio;
	start(7, 7);
	return 0;
}

static int setup_groups(void **state)
{
	*state = &vfio;
	start(7, 8);
	return 0;
}

static int teardown(void **state)
{
	for (unsigned i = 0; i < CARDS; i++) {
		card[i].dead = false;
		if (dev[i])
			vfio_pci_close(dev[i]);
		vfio_pci_free(dev[i]);
		fake_card_release(&card[i]);
	}
	(void)vfio_fixture_teardown(state);
	fake_machine_release(&machine);
	return 0;
}

static int use(unsigned i, const char *iommufd)
{
	struct vfio_pci_options *options = calloc(1, sizeof(*options));
	int ret;

	props_init(&vfio_pci_type, options);
	options->device.id = strdup("card");
	options->iommufd = iommufd ? strdup(iommufd) : NULL;
	assert_int_equal(parse_bdf(names[i], &options->host), 0);
	options->host.set = true;
	assert_int_equal(
		vfio_pci_new(&dev[i], vfio.context, options, &machine.worker, NULL, &vfio.err), 0);
	dev[i]->reset_deadline_ms = 30;
	ret = vfio_pci_open(dev[i], &vfio.err);
	return ret ? ret : vfio_pci_realize(dev[i], &vfio.err);
}

static const char *how(unsigned i)
{
	struct vfio_pci_info info;

	vfio_pci_query(dev[i], &info);
	return info.reset;
}

static void test_function_first(void **state)
{
	(void)state;
	methods(2, "flr pm bus\n");
	assert_int_equal(use(2, NULL), 0);
	assert_string_equal(how(2), "flr");
	/* Opening it was its reset, closing it will be another. */
	assert_int_equal(card[2].resets, 0);
	assert_int_equal(vfio_pci_reset(dev[2], &vfio.err), 0);
	assert_int_equal(card[2].resets, 1);
	vfio_pci_close(dev[2]);
	assert_int_equal(card[2].resets, 1);
	assert_int_equal(vfio.fake.bus_resets, 0);
}

/* Somebody may have kept a copy of an fd that was handed over: then closing ours resets nothing. */
static void test_not_the_last_fd(void **state)
{
	(void)state;
	methods(2, "flr pm bus\n");
	assert_int_equal(use(2, NULL), 0);
	dev[2]->handed_over = true;
	vfio_pci_close(dev[2]);
	assert_int_equal(card[2].resets, 1);
}

/* D3hot and back is the last resort, not the first. */
static void test_bus_before_pm(void **state)
{
	(void)state;
	assert_int_equal(use(2, NULL), 0);
	assert_string_equal(how(2), "bus");
	assert_int_equal(card[2].resets, 0);
	assert_int_equal(vfio.fake.bus_resets, 1);
	/* Leaving D3hot is none, however often the guest does it. */
	assert_int_equal(vfio_reset_running(dev[2], true, &vfio.err), 0);
	assert_string_equal(how(2), "pm");
	assert_int_equal(vfio.fake.bus_resets, 1);
	vfio.fake.no_bus_reset = true;
	assert_int_equal(vfio_reset_function(dev[2], &vfio.err), 0);
	assert_string_equal(how(2), "pm");
	assert_int_equal(card[2].resets, 2);
}

static void test_kernel_does_not_tell(void **state)
{
	(void)state;
	methods(2, "");
	assert_int_equal(use(2, NULL), 0);
	assert_string_equal(how(2), "function");
	fake_vfio_unlink(&vfio.fake, "sys/bus/pci/devices/0000:05:00.0/reset_method");
	assert_int_equal(use(0, NULL), 0);
	assert_string_equal(how(0), "function");
}

/* The kernel wants every group that a bus reset hits. */
static void test_neighbour_is_not_ours(void **state)
{
	(void)state;
	assert_int_equal(use(0, NULL), 0);
	assert_string_equal(how(0), "pm");
	assert_int_equal(vfio.fake.bus_resets, 0);
	/* Without any other way: the guest gets it as it is, and the reason is told. */
	dev[0]->flags = VFIO_DEVICE_FLAGS_PCI;
	assert_int_equal(vfio_reset_function(dev[0], &vfio.err), -ENOTTY);
	assert_non_null(strstr(vfio.err.text, "'0000:05:00.1'"));
	assert_non_null(strstr(vfio.err.text, "not part of this machine"));
	assert_string_equal(how(0), "none");
	/* With it, in a group of its own, both may go. */
	card[1].flags = VFIO_DEVICE_FLAGS_PCI;
	assert_int_equal(use(1, NULL), 0);
	assert_string_equal(how(1), "bus");
}

static void test_neighbour_in_use(void **state)
{
	(void)state;
	/* While the guest does not run, nobody is disturbed. */
	assert_int_equal(use(0, NULL), 0);
	assert_int_equal(use(1, NULL), 0);
	assert_int_equal(vfio.fake.bus_resets, 2);
	vfio_context_set_multi_reset(vfio.context, false);
	assert_int_equal(vfio_reset_function(dev[0], &vfio.err), 0);
	assert_string_equal(how(0), "pm");
	dev[0]->flags = VFIO_DEVICE_FLAGS_PCI;
	assert_int_equal(vfio_reset_function(dev[0], &vfio.err), -ENOTTY);
	assert_non_null(strstr(vfio.err.text, "'0000:05:00.1' as well, which the guest uses"));
	assert_int_equal(vfio.fake.bus_resets, 2);
	/* The machine's reset, and the other one on its way out. */
	vfio_context_set_multi_reset(vfio.context, true);
	assert_int_equal(vfio_reset_function(dev[0], &vfio.err), 0);
	vfio_context_set_multi_reset(vfio.context, false);
	vfio_pci_fence(dev[1]);
	assert_int_equal(vfio_reset_function(dev[0], &vfio.err), 0);
	assert_int_equal(vfio.fake.bus_resets, 4);
	/* A device that leaves is not worth a bus. */
	vfio_pci_close(dev[1]);
	assert_int_equal(vfio.fake.bus_resets, 4);
}

static void revive(struct fake_vfio_host *fake)
{
	(void)fake;
	card[2].dead = false;
}

static void test_down_the_ladder(void **state)
{
	(void)state;
	methods(2, "flr bus\n");
	assert_int_equal(use(2, NULL), 0);
	/* FLR says it worked, but the card is not back before its bus was reset. */
	card[2].dead = true;
	vfio.fake.on_bus_reset = revive;
	assert_int_equal(vfio_reset_function(dev[2], &vfio.err), 0);
	assert_string_equal(how(2), "bus");
	assert_int_equal(card[2].resets, 1);
	assert_false(dev[2]->quarantined);
	/* Refused at once: the same. */
	card[2].reset_error = -EINVAL;
	assert_int_equal(vfio_reset_function(dev[2], &vfio.err), 0);
	assert_string_equal(how(2), "bus");
	/* Nothing helps. */
	card[2].reset_error = 0;
	card[2].dead = true;
	vfio.fake.on_bus_reset = NULL;
	assert_int_equal(vfio_reset_function(dev[2], &vfio.err), -EIO);
	assert_true(dev[2]->quarantined);
	assert_non_null(strstr(vfio.err.text, "does not answer"));
	/* The kernel's own refusal is the one that is told. */
	card[2].dead = false;
	card[2].reset_error = -EINVAL;
	vfio.fake.no_bus_reset = true;
	assert_int_equal(vfio_reset_function(dev[2], &vfio.err), -EINVAL);
	assert_non_null(strstr(vfio.err.text, "cannot reset the device"));
	card[2].reset_error = 0;
}

static void test_iommufd(void **state)
{
	(void)state;
	assert_int_equal(vfio_fixture_add_iommufd(&vfio, "io0", -1), 0);
	role_enter_worker();
	fake_vfio_cdev(&vfio.fake, names[0], 0);
	fake_vfio_cdev(&vfio.fake, names[1], 1);
	assert_int_equal(use(0, "io0"), 0);
	assert_string_equal(how(0), "pm");
	assert_int_equal(use(1, "io0"), 0);
	assert_string_equal(how(1), "bus");
	assert_int_equal(vfio.fake.bus_resets, 1);
	/* The kernel tells no groups here; who is in use is known all the same. */
	vfio_context_set_multi_reset(vfio.context, false);
	assert_int_equal(vfio_reset_function(dev[0], &vfio.err), 0);
	assert_string_equal(how(0), "pm");
}

#define CASE(name, start) cmocka_unit_test_setup_teardown(name, start, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_function_first, setup),
		CASE(test_not_the_last_fd, setup),
		CASE(test_bus_before_pm, setup),
		CASE(test_kernel_does_not_tell, setup_groups),
		CASE(test_neighbour_is_not_ours, setup_groups),
		CASE(test_neighbour_in_use, setup),
		CASE(test_down_the_ladder, setup),
		CASE(test_iommufd, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
