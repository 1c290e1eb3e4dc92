/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_vfio_token.c - vf-token on a fake kernel: a physical function that vfio-pci has and its virtual
 * one, with the right token, a wrong one, and where the kernel has no use for any; groups and IOMMUFD.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "vfio_fixture.h"

#define PHYSICAL "0000:1a:00.0"
#define VIRTUAL "0000:1a:10.0"
#define OTHER "0000:1b:00.0"
#define TOKEN "01234567-89ab-cdef-0123-456789abcdef"
#define WRONG "01234567-89ab-cdef-0123-456789abcdee"

static struct vfio_fixture vfio;
static char iommufd[] = "iommufd0";

static int start(void **state, bool cdev)
{
	const struct fixture_card cards[] = {
		{ PHYSICAL, 12, cdev },
		{ VIRTUAL, 13, true },
		{ OTHER, 14, true },
	};

	*state = &vfio;
	vfio_fixture_start(&vfio, cards, 3, NULL);
	fake_vfio_sriov(&vfio.fake, PHYSICAL, VIRTUAL);
	assert_int_equal(vfio_fixture_add_iommufd(&vfio, iommufd, -1), 0);
	return 0;
}

static int setup(void **state)
{
	return start(state, true);
}

/* The physical function may have a driver that is none of VFIO's. */
static int setup_unbound(void **state)
{
	return start(state, false);
}

static int attach(const char *bdf, const char *token, bool cdev, struct vfio_attachment **out)
{
	struct vfio_pci_options options = vfio_fixture_options(bdf);

	role_enter_worker();
	options.iommufd = cdev ? iommufd : NULL;
	if (token)
		assert_int_equal(parse_uuid(token, &options.vf_token), 0);
	return vfio_attach(vfio.context, &options, -1, NULL, out, &vfio.err);
}

static void refused(
	const char *bdf, const char *token, bool cdev, int ret, const char *says, const char *hint)
{
	struct vfio_attachment *a;

	assert_int_equal(attach(bdf, token, cdev, &a), ret);
	assert_says(vfio.err.text, bdf);
	assert_says(vfio.err.text, says);
	assert_says(vfio.err.hint, hint);
}

static void together(bool cdev)
{
	struct vfio_attachment *physical, *virtual;

	/* The kernel made a token up, which nobody knows. */
	refused(VIRTUAL, NULL, cdev, -EACCES,
		"virtual function of '" PHYSICAL
		"', which is bound to vfio-pci and wants a vf-token",
		"open '" PHYSICAL "' first and give both the same vf-token=UUID");
	refused(VIRTUAL, TOKEN, cdev, -EACCES, "wants another vf-token than this", "first");
	assert_int_equal(attach(PHYSICAL, TOKEN, cdev, &physical), 0);
	refused(VIRTUAL, WRONG, cdev, -EACCES, "another vf-token", "the same");
	assert_int_equal(attach(VIRTUAL, TOKEN, cdev, &virtual), 0);
	/* Nobody else's it becomes while it is in use. */
	vfio_detach(physical);
	refused(PHYSICAL, NULL, cdev, -EACCES, "has virtual functions in use and wants a vf-token",
		"vf-token=UUID");
	refused(PHYSICAL, WRONG, cdev, -EACCES, "wants another vf-token", "vf-token=UUID");
	assert_int_equal(attach(PHYSICAL, TOKEN, cdev, &physical), 0);
	vfio_detach(virtual);
	vfio_detach(physical);
	assert_int_equal(attach(PHYSICAL, WRONG, cdev, &physical), 0);
	vfio_detach(physical);
}

static void test_by_group(void **state)
{
	(void)state;
	together(false);
}

static void test_by_iommufd(void **state)
{
	(void)state;
	together(true);
}

static void test_unwanted(void **state)
{
	struct vfio_attachment *a;

	(void)state;
	for (unsigned cdev = 0; cdev < 2; cdev++) {
		refused(OTHER, TOKEN, cdev, -EINVAL, "neither has virtual functions nor is one",
			"leave vf-token out");
		fake_vfio_set_driver(&vfio.fake, PHYSICAL, "igb");
		refused(VIRTUAL, TOKEN, cdev, -EINVAL,
			"its physical function '" PHYSICAL "' is not bound to vfio-pci but to igb",
			"leave vf-token out");
		fake_vfio_set_driver(&vfio.fake, PHYSICAL, NULL);
		refused(VIRTUAL, TOKEN, cdev, -EINVAL, "but to no driver", "leave vf-token out");
		assert_int_equal(attach(VIRTUAL, NULL, cdev, &a), 0);
		vfio_detach(a);
	}
}

/* Linux 6.17 has the token's field and refuses it, older kernels have none: both say what to do. */
static void test_kernel_without(void **state)
{
	struct vfio_attachment *a;

	(void)state;
	vfio.fake.bind = FAKE_BIND_TOKEN_BROKEN;
	refused(PHYSICAL, TOKEN, true, -ENOTSUP, "does not take the vf-token", "leave iommufd out");
	refused(VIRTUAL, NULL, true, -EACCES, "wants a vf-token", "first");
	vfio.fake.bind = FAKE_BIND_NO_TOKEN;
	refused(PHYSICAL, TOKEN, true, -ENOTSUP, "does not take the vf-token", "Linux 6.18");
	/* Nor does it want one. */
	assert_int_equal(attach(VIRTUAL, NULL, true, &a), 0);
	vfio_detach(a);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, vfio_fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_by_group),
		CASE(test_by_iommufd),
		cmocka_unit_test_setup_teardown(
			test_unwanted, setup_unbound, vfio_fixture_teardown),
		CASE(test_kernel_without),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
