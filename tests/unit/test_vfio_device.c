/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_vfio_device.c - a device's life: probe, realize, faults at every step, fence, late requests.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include <linux/pci_regs.h>

#include <portcullis/err.h>
#include <portcullis/sys.h>

#include "fake_vfio_device.h"

static struct fake_rig rig;

FAKE_RIG_START(e1000e, fake_card_e1000e, "pcie.0")

static unsigned open_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;

	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static void prepare(struct fake_rig *r, void (*fill)(struct fake_card *))
{
	r->dev = NULL;
	fake_card_init(&r->card);
	fake_machine_init(&r->machine);
	fill(&r->card);
}

/* Every call of the kernel fails once: an error or a lesser device, and nothing is left behind. */
static void faults(void (*fill)(struct fake_card *), int code)
{
	unsigned failed = 0;
	unsigned long n = 1;

	for (;; n++) {
		unsigned before = open_fds();
		struct err err = { 0 };
		bool done;
		int ret;

		prepare(&rig, fill);
		rig.card.fail_at = n;
		rig.card.fail_errno = code;
		ret = fake_rig_realize(&rig, "pcie.0", &err);
		done = rig.card.calls < n;
		if (ret) {
			assert_true(err.text[0]);
			failed++;
		}
		fake_rig_release(&rig);
		assert_int_equal(rig.machine.gsis, 0);
		assert_int_equal(rig.machine.n_irqfds, 0);
		assert_string_equal(rig.machine.violation, "");
		assert_int_equal(rig.card.type, -1);
		assert_int_equal(rig.card.err_fd, -1);
		assert_int_equal(rig.card.req_fd, -1);
		assert_int_equal(open_fds(), before);
		if (done)
			break;
	}
	/* Info, nine regions, five interrupt kinds, the reset ... */
	assert_true(failed > 10);
	assert_true(n > 20);
}

static void test_faults(void **state)
{
	(void)state;
	faults(fake_card_e1000e, EIO);
	faults(fake_card_nvme, ENOMEM);
}

static void test_no_gsis(void **state)
{
	struct err err = { 0 };

	(void)state;
	prepare(&rig, fake_card_nvme);
	rig.machine.gsi_limit = 10;
	assert_int_equal(fake_rig_realize(&rig, "pcie.0", &err), -ENOSPC);
	assert_non_null(strstr(err.text, "interrupt vector 11 of 65"));
	fake_rig_release(&rig);
	assert_int_equal(rig.machine.gsis, 0);
}

static void fill_not_pci(struct fake_card *card)
{
	fake_card_nvme(card);
	card->flags = VFIO_DEVICE_FLAGS_RESET;
}

static void fill_no_config(struct fake_card *card)
{
	fake_card_nvme(card);
	card->config_size = 32;
}

static void fill_bridge(struct fake_card *card)
{
	fake_card_nvme(card);
	card->config[PCI_HEADER_TYPE] = 1;
}

/* Nor can it be reset, by which one that does not answer is found otherwise. */
static void fill_silent(struct fake_card *card)
{
	fake_card_nvme(card);
	card->flags = VFIO_DEVICE_FLAGS_PCI;
	memset(card->config + 4, 0xff, PCI_CONFIG_SIZE - 4); /* the ids are the kernel's */
}

static void test_refused(void **state)
{
	static const struct {
		void (*fill)(struct fake_card *);
		const char *text;
	} cases[] = {
		{ fill_not_pci, "not a PCI device" },
		{ fill_no_config, "does not give config space" },
		{ fill_bridge, "is a bridge" },
		{ fill_silent, "does not answer" },
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct err err = { 0 };

		prepare(&rig, cases[i].fill);
		assert_int_not_equal(fake_rig_realize(&rig, "pcie.0", &err), 0);
		assert_non_null(strstr(err.text, cases[i].text));
		fake_rig_release(&rig);
	}
}

/* A table outside its BAR is a broken card: it works without MSI-X. */
static void fill_bad_table(struct fake_card *card)
{
	fake_card_nvme(card);
	pci_put(card->config, 0x40 + PCI_MSIX_TABLE, 4, 0x7ff8);
}

static void test_bad_table(void **state)
{
	(void)state;
	assert_int_equal(fake_rig_init(&rig, fill_bad_table, "pcie.0"), 0);
	assert_int_equal(rig.dev->irqs.msix.n, 0);
	assert_int_equal(rig.dev->firewall.msix, 0);
	assert_int_equal(fake_config_read(&rig, PCI_CAPABILITY_LIST, 1), 0x80);
	assert_int_equal(fake_bar_read(&rig, 0, 0x2000, 4), 0);
	fake_rig_release(&rig);
}

/* Chelsio's T5 VFs say that the PBA begins where its BAR ends; their drivers need the vectors. */
static void fill_misplaced_pba(struct fake_card *card)
{
	fake_card_nvme(card);
	pci_put(card->config, 0x40 + PCI_MSIX_PBA, 4, 0x8000);
}

static void test_misplaced_pba(void **state)
{
	(void)state;
	assert_int_equal(fake_rig_init(&rig, fill_misplaced_pba, "rp1"), 0);
	assert_int_equal(rig.dev->irqs.msix.n, 65);
	assert_int_equal(fake_config_read(&rig, 0x40, 1), PCI_CAP_ID_MSIX);
	fake_config_write(&rig, 0x40 + PCI_MSIX_FLAGS, 2, PCI_MSIX_FLAGS_ENABLE);
	fake_bar_write(&rig, 0, 0x2000, 4, 0xfee00000);
	fake_bar_write(&rig, 0, 0x200c, 4, 0);
	fake_step(&rig);
	assert_int_equal(rig.card.type, VFIO_PCI_MSIX_IRQ_INDEX);
	/* Its pending bits are ours, behind the card's registers, none of which is covered. */
	assert_int_equal(fake_config_read(&rig, 0x40 + PCI_MSIX_PBA, 4), 0x8000);
	fake_config_write(&rig, PCI_BASE_ADDRESS_0, 4, 0xffffffff);
	assert_int_equal(fake_config_read(&rig, PCI_BASE_ADDRESS_0, 4), 0xffff0004);
	assert_int_equal(fake_bar_read(&rig, 0, 0x8000, 8), 0);
	fake_bar_write(&rig, 0, 0x2010, 4, 0xfee01000); /* vector 1, masked */
	fake_bar_write(&rig, 0, 0x201c, 4, 0);
	fake_bar_write(&rig, 0, 0x201c, 4, 1);
	assert_true(fake_card_fire(&rig.card, 1));
	fake_step(&rig);
	assert_int_equal(fake_bar_read(&rig, 0, 0x8000, 8), 2);
	rig.card.region[0].bytes[0x3000] = 0x5a;
	assert_int_equal(fake_bar_read(&rig, 0, 0x3000, 1), 0x5a);
	assert_int_equal(fake_bar_read(&rig, 0, 0, 1), rig.card.region[0].bytes[0]);
	fake_rig_release(&rig);
}

static void use_it(void)
{
	fake_config_write(&rig, PCI_BASE_ADDRESS_0, 4, 0xd0000000);
	fake_config_write(&rig, PCI_BASE_ADDRESS_3, 4, 0xd1000000);
	fake_config_write(&rig, PCI_COMMAND, 2, 7);
	fake_config_write(&rig, 0xa0 + PCI_MSIX_FLAGS, 2, PCI_MSIX_FLAGS_ENABLE);
	fake_bar_write(&rig, 3, 0, 4, 0xfee00000);
	fake_bar_write(&rig, 3, 12, 4, 0);
	fake_step(&rig);
}

static void test_fence(void **state)
{
	(void)state;
	use_it();
	assert_int_equal(pci_get(rig.card.config, PCI_COMMAND, 2), 7);
	vfio_pci_fence(rig.dev);
	assert_int_equal(pci_get(rig.card.config, PCI_COMMAND, 2), 3 | PCI_COMMAND_INTX_DISABLE);
	assert_int_equal(rig.card.type, -1);
	assert_int_equal(rig.machine.n_irqfds, 0);
	/* For good: nothing the guest still writes undoes it. */
	fake_config_write(&rig, PCI_COMMAND, 2, 3);
	fake_config_write(&rig, PCI_COMMAND, 2, 7);
	fake_config_write(&rig, 0xa0 + PCI_MSIX_FLAGS, 2, 0);
	fake_config_write(&rig, 0xa0 + PCI_MSIX_FLAGS, 2, PCI_MSIX_FLAGS_ENABLE);
	fake_bar_write(&rig, 3, 12 + 16, 4, 0);
	fake_config_write(&rig, 0xe0 + PCI_EXP_DEVCTL, 2, PCI_EXP_DEVCTL_BCR_FLR);
	assert_int_equal(rig.card.resets, 1);
	vfio_bar_moved(&rig.dev->fn, 0, 0xd0000000, true);
	fake_step(&rig);
	assert_int_equal(pci_get(rig.card.config, PCI_COMMAND, 2), 3 | PCI_COMMAND_INTX_DISABLE);
	assert_int_equal(rig.card.type, -1);
}

static void test_fence_dead(void **state)
{
	(void)state;
	use_it();
	rig.card.dead = true;
	vfio_pci_fence(rig.dev);
	assert_int_equal(rig.machine.n_irqfds, 0);
	vfio_pci_fence(rig.dev);
}

static void test_close_dead(void **state)
{
	uint64_t before = loop_now_ms();

	(void)state;
	rig.dev->reset_deadline_ms = VFIO_RESET_DEADLINE_MS;
	rig.card.dead = true;
	vfio_device_close(rig.dev);
	assert_int_equal(rig.card.resets, 2);
	assert_true(loop_now_ms() - before < VFIO_RESET_DEADLINE_MS / 2);
}

static void test_events(void **state)
{
	(void)state;
	assert_true(rig.card.err_fd >= 0);
	sys_eventfd_signal(rig.card.err_fd);
	fake_step(&rig);
	assert_int_equal(rig.machine.failed, 1);
	assert_int_equal(rig.machine.wants_back, 0);
	sys_eventfd_signal(rig.card.req_fd);
	fake_step(&rig);
	assert_int_equal(rig.machine.failed, 1);
	assert_int_equal(rig.machine.wants_back, 1);
}

/*
 * A vCPU posts after it has left the map, so its request may come when the device is unplugged,
 * closed and freed: it must be answered, and the memory must still be there (ASan).
 */
static void late_request(unsigned offset, uint32_t value)
{
	struct io_access access = { .offset = offset,
		.data = value,
		.size = 2,
		.write = true,
		.request = &rig.machine.request };
	struct io_request *request = &rig.machine.request;

	assert_int_equal(fake_rig_init(&rig, fake_card_e1000e, "pcie.0"), 0);
	fake_config_write(&rig, PCI_BASE_ADDRESS_0, 4, 0xd0000000);
	assert_int_equal(pci_function_write(&rig.dev->fn, offset, 2, &access), IO_DEFER);
	pci_unplug(&rig.dev->fn);
	vfio_pci_fence(rig.dev);
	vfio_device_close(rig.dev);
	vfio_device_put(rig.dev);
	rig.dev = NULL;
	loop_post(request->owner, &request->mail);
	fake_step(&rig);
	assert_int_equal(atomic_load(&request->done), 1);
	fake_rig_release(&rig);
	assert_int_equal(rig.machine.gsis, 0);
}

static void test_late_requests(void **state)
{
	(void)state;
	late_request(PCI_COMMAND, 7); /* worker, then main */
	late_request(PCI_COMMAND, 4); /* worker */
	late_request(0xa0 + PCI_MSIX_FLAGS, PCI_MSIX_FLAGS_ENABLE);
	late_request(0xe0 + PCI_EXP_DEVCTL, PCI_EXP_DEVCTL_BCR_FLR);
}

static void test_late_table_write(void **state)
{
	struct io_access access = {
		.offset = 12, .data = 0, .size = 4, .write = true, .request = &rig.machine.request
	};

	(void)state;
	assert_int_equal(fake_rig_init(&rig, fake_card_e1000e, "pcie.0"), 0);
	fake_config_write(&rig, 0xa0 + PCI_MSIX_FLAGS, 2, PCI_MSIX_FLAGS_ENABLE);
	assert_int_equal(vfio_bar_access(vfio_bar_opaque(&rig.dev->fn, 3), &access), IO_DEFER);
	pci_unplug(&rig.dev->fn);
	vfio_device_close(rig.dev);
	vfio_device_put(rig.dev);
	rig.dev = NULL;
	loop_post(rig.machine.request.owner, &rig.machine.request.mail);
	fake_step(&rig);
	assert_int_equal(atomic_load(&rig.machine.request.done), 1);
	fake_rig_release(&rig);
}

/* Main assigns addresses by itself, without a config write: the worker hears of it. */
static void test_assigned_by_main(void **state)
{
	struct pci_function *fn = &rig.dev->fn;

	(void)state;
	pci_put(fn->config, PCI_BASE_ADDRESS_0, 4, 0xd0000000);
	pci_put(fn->config, PCI_COMMAND, 2, 7);
	pci_update_mappings(fn);
	fake_step(&rig);
	assert_int_equal(rig.machine.bar_at[0], 0xd0000000);
	assert_int_equal(pci_get(rig.card.config, PCI_COMMAND, 2), 7);
	assert_int_equal(rig.card.type, VFIO_PCI_INTX_IRQ_INDEX);
}

/* A guest writes garbage into every trapped page and config space at once. */
static void test_garbage(void **state)
{
	static const unsigned bars[] = { 2, 3, 3, 3, PCI_ROM };
	uint32_t seed = 99;

	(void)state;
	use_it();
	for (unsigned i = 0; i < 30000; i++) {
		unsigned size = 1u << (seed >> 28 & 3), bar;
		uint64_t offset;

		seed = seed * 1664525 + 1013904223;
		bar = bars[(seed >> 16) % 5];
		offset = (seed >> 4) % (rig.dev->region[bar].size + 8);
		fake_bar_write(&rig, bar, offset, size, seed * 0x100000001ull);
		(void)fake_bar_read(&rig, bar, offset, size);
		if (i % 7 == 0)
			fake_config_write(&rig, 0xa0 + PCI_MSIX_FLAGS, 2, seed >> 9);
		if (i % 11 == 0)
			fake_config_write(&rig, 0xd0 + PCI_MSI_FLAGS, 2, seed >> 7);
		if (i % 13 == 0)
			fake_config_write(&rig, PCI_COMMAND, 2, seed >> 5);
	}
	assert_string_equal(rig.machine.violation, "");
	assert_true(rig.machine.n_irqfds <= 5);
}

/* vCPUs against each other and against the worker: for TSan, and for lost wake-ups. */
struct hammer {
	pthread_t thread;
	unsigned seed;
	struct io_request request;
};
static atomic_bool hammer_stop;

static void dispatch(struct io_request *request, enum io_status status)
{
	if (status == IO_DONE)
		return;
	loop_post(request->owner, &request->mail);
	io_wait(request);
}

static void *hammer_run(void *opaque)
{
	struct hammer *h = opaque;
	unsigned seed = h->seed;

	for (unsigned i = 0; i < 3000; i++) {
		struct io_access access = { .size = 4, .write = true, .request = &h->request };

		seed = seed * 1664525 + 1013904223;
		access.data = seed >> 3;
		if (i % 4 == 0) {
			unsigned at = i % 8 ? PCI_COMMAND : 0xa0 + PCI_MSIX_FLAGS;

			access.size = 2;
			dispatch(&h->request, pci_function_write(&rig.dev->fn, at, 2, &access));
			continue;
		}
		access.offset = (seed >> 20) % 80 & ~3u;
		dispatch(&h->request, vfio_bar_access(vfio_bar_opaque(&rig.dev->fn, 3), &access));
		(void)pci_function_read(&rig.dev->fn, 0xe0 + PCI_EXP_DEVSTA, 2);
		fake_card_fire(&rig.card, i % 5);
	}
	return NULL;
}

static void *loop_thread(void *loop)
{
	while (!atomic_load(&hammer_stop)) {
		fake_deliver(&rig.machine);
		loop_step(loop, 10);
	}
	return NULL;
}

static void test_threads(void **state)
{
	struct hammer hammers[3] = { { .seed = 1 }, { .seed = 2 }, { .seed = 3 } };
	struct loop *loops[2] = { &rig.machine.worker, &rig.machine.main };
	pthread_t owner[2];

	(void)state;
	atomic_store(&hammer_stop, false);
	for (unsigned i = 0; i < 2; i++)
		pthread_create(&owner[i], NULL, loop_thread, loops[i]);
	for (unsigned i = 0; i < 3; i++)
		pthread_create(&hammers[i].thread, NULL, hammer_run, &hammers[i]);
	for (unsigned i = 0; i < 3; i++)
		pthread_join(hammers[i].thread, NULL);
	atomic_store(&hammer_stop, true);
	for (unsigned i = 0; i < 2; i++)
		pthread_join(owner[i], NULL);
	fake_step(&rig);
	assert_string_equal(rig.machine.violation, "");
	/* What is armed is what the guest last asked for. */
	fake_config_write(&rig, 0xa0 + PCI_MSIX_FLAGS, 2, 0);
	fake_config_write(&rig, PCI_COMMAND, 2, PCI_COMMAND_INTX_DISABLE);
	assert_int_equal(rig.card.type, -1);
	assert_int_equal(rig.machine.n_irqfds, 0);
}

#define CASE(name, start) cmocka_unit_test_prestate_setup_teardown(name, start, fake_rig_stop, &rig)

static ssize_t (*whole_pread)(struct vfio_device_io *, void *, size_t, uint64_t);
static int refusal; /* of more than four bytes; 0: only four of them are given */

static ssize_t pread_in_pieces(struct vfio_device_io *io, void *buf, size_t len, uint64_t offset)
{
	if (len > 4 && refusal)
		return refusal;
	return whole_pread(io, buf, len > 4 ? 4 : len, offset);
}

/* A driver that gives config space in no larger pieces than registers are. */
static void test_config_in_pieces(void **state)
{
	static const int refusals[] = { 0, -EINVAL };

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct vfio_device_io_ops ops;
		struct err err = { 0 };

		refusal = refusals[i];
		prepare(&rig, fake_card_e1000e);
		ops = *rig.card.io.ops;
		whole_pread = ops.pread;
		ops.pread = pread_in_pieces;
		rig.card.io.ops = &ops;
		assert_int_equal(fake_rig_realize(&rig, "pcie.0", &err), 0);
		assert_int_equal(fake_config_read(&rig, PCI_VENDOR_ID, 4), 0x10d38086);
		assert_int_equal(fake_config_read(&rig, 0xa0, 1), PCI_CAP_ID_MSIX);
		assert_int_equal(fake_config_read(&rig, 0x100, 2), PCI_EXT_CAP_ID_ERR);
		fake_rig_release(&rig);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_faults),
		cmocka_unit_test(test_no_gsis),
		cmocka_unit_test(test_config_in_pieces),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_bad_table),
		cmocka_unit_test(test_misplaced_pba),
		CASE(test_fence, e1000e),
		CASE(test_fence_dead, e1000e),
		CASE(test_close_dead, e1000e),
		CASE(test_events, e1000e),
		cmocka_unit_test(test_late_requests),
		cmocka_unit_test(test_late_table_write),
		CASE(test_assigned_by_main, e1000e),
		CASE(test_garbage, e1000e),
		CASE(test_threads, e1000e),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
