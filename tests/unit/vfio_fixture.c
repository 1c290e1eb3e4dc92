/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vfio_fixture.c - see vfio_fixture.h.
 */
#include "vfio_fixture.h"

#include <portcullis/vfio_query.h>

static void add_ram(const struct vfio_mapping *mapping, void *opaque)
{
	if (mapping->ram)
		*(uint64_t *)opaque += mapping->size;
}

uint64_t vfio_fixture_mapped_bytes(struct vfio_context *context)
{
	uint64_t sum = 0;

	vfio_context_mappings(context, add_ram, &sum);
	return sum;
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <portcullis/sys.h>

void vfio_fixture_start(struct vfio_fixture *fixture, const struct fixture_card *cards, unsigned n,
	const struct vfio_env *env)
{
	struct vfio_env on;

	role_enter_worker();
	assert_int_equal(sys_fd_limit(), 0);
	fake_vfio_host_init(&fixture->fake);
	for (unsigned i = 0; i < n; i++) {
		fake_vfio_device(&fixture->fake, cards[i].bdf, cards[i].group, "vfio-pci");
		if (cards[i].cdev)
			fake_vfio_cdev(&fixture->fake, cards[i].bdf, i);
	}
	on = env ? *env : fake_vfio_env(&fixture->fake);
	on.host = &fixture->fake.host;
	assert_int_equal(vfio_context_new(&fixture->context, &on), 0);
	memset(&fixture->err, 0, sizeof(fixture->err));
	memset(&fixture->ram, 0, sizeof(fixture->ram));
}

int vfio_fixture_teardown(void **state)
{
	struct vfio_fixture *fixture = *state;

	vfio_context_free(fixture->context);
	assert_string_equal(fixture->fake.violation, "");
	assert_true(fake_vfio_idle(&fixture->fake));
	fake_vfio_host_release(&fixture->fake);
	return 0;
}

void vfio_fixture_ram(
	struct vfio_fixture *fixture, uint64_t page_size, const uint64_t (*segments)[2], unsigned n)
{
	struct ram_layout *layout = &fixture->ram.layout;

	memset(&fixture->ram, 0, sizeof(fixture->ram));
	fixture->ram.page_size = page_size;
	for (unsigned i = 0; i < n; i++) {
		layout->segment[i] = (struct ram_segment){ .gpa = segments[i][0],
			.size = segments[i][1],
			.offset = layout->size,
			.hva = FIXTURE_HVA + layout->size };
		layout->size += segments[i][1];
	}
	layout->count = n;
}

struct vfio_pci_options vfio_fixture_options(const char *bdf)
{
	struct vfio_pci_options options = { .device.addr = -1 };

	(void)parse_bdf(bdf, &options.host);
	return options;
}

int vfio_fixture_attach(struct vfio_fixture *fixture, const char *bdf, struct vfio_attachment **out,
	struct err *err)
{
	const struct vfio_pci_options options = vfio_fixture_options(bdf);

	role_enter_worker();
	return vfio_attach(fixture->context, &options, -1, NULL, out, err);
}

int vfio_fixture_add_iommufd(struct vfio_fixture *fixture, const char *id, int fd)
{
	void *object;
	struct vfio_iommufd_options *options;

	role_enter_main();
	assert_int_equal(props_new(&vfio_iommufd_type, &object), 0);
	options = object;
	options->id = strdup(id);
	options->fd = fd;
	return vfio_context_add_iommufd(fixture->context, options, &fixture->err);
}

void vfio_fixture_p2p_map(struct vfio_attachment *attachment, uint64_t addr)
{
	const struct pci_area area = { .size = 0x10000, .hva = (void *)0x7000000000 };

	(void)vfio_attachment_p2p_set(attachment, 0, addr, &area, 1);
	(void)vfio_attachment_p2p_map(attachment);
}

unsigned long vfio_fixture_faults(struct vfio_fixture *fixture, int (*cycle)(void))
{
	const struct vfio_context *context = fixture->context;
	unsigned fds = fake_process_fds();
	unsigned long n;
	int ret = -1;

	for (n = 1; ret < 0; n++) {
		fixture->fake.calls = 0;
		fixture->fake.fail_at = n;
		fixture->err.text[0] = '\0';
		ret = cycle();
		assert_int_equal(fake_process_fds(), fds);
		assert_true(fake_vfio_idle(&fixture->fake));
		assert_string_equal(fixture->fake.violation, "");
		assert_int_equal(vfio_fixture_mapped_bytes(fixture->context), 0);
		assert_null(context->groups);
		assert_null(context->containers);
		assert_null(context->attachments);
		assert_true(n < 1000);
	}
	return n;
}
