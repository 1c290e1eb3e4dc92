/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_vfio_device_io.c - the real calls, on fds that are no VFIO devices, and capability chains.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cmocka.h>

#include <portcullis/sys.h>

#include "../../src/vfio/host/vfio_host.h"
#include "../../src/vfio/host/infocap.h"

static long answer; /* to VFIO_DEVICE_SET_IRQS; 0: the kernel's own */

long __real_sys_ioctl(int fd, unsigned long request, void *arg);
long __wrap_sys_ioctl(int fd, unsigned long request, void *arg);
long __wrap_sys_ioctl(int fd, unsigned long request, void *arg)
{
	return request == VFIO_DEVICE_SET_IRQS && answer ? answer
							 : __real_sys_ioctl(fd, request, arg);
}

/* The host has fewer vectors than were asked for, and gave none: not to be taken for success. */
static void test_too_few_vectors(void **state)
{
	struct vfio_device_io io = { .ops = &vfio_device_io_real, .fd = -1 };
	struct vfio_irq_set set = { .argsz = sizeof(set), .count = 4 };

	(void)state;
	answer = 3;
	assert_int_equal(io.ops->set_irqs(&io, &set), 3);
	answer = -EINVAL;
	assert_int_equal(io.ops->set_irqs(&io, &set), -EINVAL);
	answer = 0;
}

static void test_memory(void **state)
{
	struct vfio_device_io io;
	char page[4096] = "", *addr;
	int fd = memfd_create("device", MFD_CLOEXEC);
	void *reserved;

	(void)state;
	assert_int_equal(sys_fd_limit(), 0);
	assert_int_equal(ftruncate(fd, 8192), 0);
	assert_int_equal(vfio_host_real.ops->device_io(&vfio_host_real, fd, &io), 0);
	assert_int_equal((unsigned)io.fd & FD_ZONE_DEVICE_MASK, FD_ZONE_DEVICE);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	assert_int_equal(fcntl(io.fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(io.ops->pwrite(&io, "bar", 4, 4100), 4);
	assert_int_equal(io.ops->pread(&io, page, 4, 4100), 4);
	assert_string_equal(page, "bar");
	assert_int_equal(io.ops->pread(&io, page, 4, 8192), 0);
	assert_int_equal(sys_reserve(8192, 4096, &reserved), 0);
	assert_int_equal(io.ops->map(&io, reserved, 4096, PROT_READ | PROT_WRITE, 4096), 0);
	addr = reserved;
	assert_string_equal(addr + 4, "bar");
	strcpy(addr + 4, "foo");
	assert_int_equal(io.ops->pread(&io, page, 4, 4100), 4);
	assert_string_equal(page, "foo");
	assert_int_equal(sys_munmap(reserved, 8192), 0);
	vfio_host_real.ops->close(&vfio_host_real, io.fd);
	assert_int_equal(io.ops->pread(&io, page, 4, 0), -EBADF);
	assert_int_equal(io.ops->pwrite(&io, page, 4, 0), -EBADF);
	assert_int_equal(io.ops->map(&io, page, 4096, PROT_READ, 0), -EBADF);
}

/* A file is no device: every ioctl says so as a value. */
static void test_no_device(void **state)
{
	struct vfio_device_io io = { .ops = &vfio_device_io_real,
		.fd = memfd_create("x", MFD_CLOEXEC) };
	struct vfio_region_info *region = NULL;
	struct vfio_irq_set set = { .argsz = sizeof(set) };
	struct vfio_device_info *info = NULL;
	struct vfio_irq_info irq;

	(void)state;
	assert_int_equal(io.ops->info(&io, &info), -ENOTTY);
	assert_null(info);
	assert_int_equal(io.ops->region_info(&io, 0, &region), -ENOTTY);
	assert_null(region);
	assert_int_equal(io.ops->irq_info(&io, 0, &irq), -ENOTTY);
	assert_int_equal(irq.index, 0);
	assert_int_equal(io.ops->set_irqs(&io, &set), -ENOTTY);
	assert_int_equal(io.ops->reset(&io), -ENOTTY);
	sys_close(io.fd);
	assert_true(vfio_host_real.ops->open(&vfio_host_real, "/dev/vfio/no-such-node") == -ENOENT);
	assert_int_equal(
		vfio_host_real.ops->ioctl(&vfio_host_real, -1, VFIO_GET_API_VERSION, NULL), -EBADF);
}

static void test_adopt(void **state)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC), copy;
	dev_t node = 0;

	(void)state;
	copy = vfio_host_real.ops->adopt(&vfio_host_real, fd, &node);
	assert_true(copy >= 0 && copy != fd);
	assert_int_equal(node, makedev(1, 3));
	assert_int_equal(fcntl(copy, F_GETFD), FD_CLOEXEC);
	sys_close(copy);
	sys_close(fd);
	assert_int_equal(vfio_host_real.ops->adopt(&vfio_host_real, fd, &node), -EBADF);
	fd = memfd_create("x", MFD_CLOEXEC);
	assert_int_equal(vfio_host_real.ops->adopt(&vfio_host_real, fd, &node), -ENODEV);
	sys_close(fd);
}

struct chain {
	uint32_t head[4];
	struct vfio_info_cap_header cap[4];
};

static void test_chain(void **state)
{
	struct chain chain = { .cap = { { .id = 1, .next = 24 }, { .id = 2, .next = 32 },
				       { .id = 3, .next = 40 }, { .id = 4 } } };
	size_t size = sizeof(chain);

	(void)state;
	assert_int_equal(size, 48);
	assert_ptr_equal(vfio_info_cap(&chain, size, 16, 1, 8), &chain.cap[0]);
	assert_ptr_equal(vfio_info_cap(&chain, size, 16, 4, 8), &chain.cap[3]);
	assert_null(vfio_info_cap(&chain, size, 16, 5, 8));
	assert_null(vfio_info_cap(&chain, size, 0, 1, 8));
	/* Too short for what it says it is. */
	assert_null(vfio_info_cap(&chain, size, 16, 4, 9));
	assert_ptr_equal(vfio_info_cap(&chain, size, 16, 3, 16), &chain.cap[2]);
	/* Out of bounds, not aligned, in a circle. */
	assert_null(vfio_info_cap(&chain, 44, 16, 4, 4));
	memcpy((char *)&chain + 2, &(struct vfio_info_cap_header){ .id = 7 }, 8);
	assert_null(vfio_info_cap(&chain, size, 2, 7, 8));
	assert_null(vfio_info_cap(&chain, size, 0x7ffffff0, 1, 4));
	chain.cap[2].next = 16;
	assert_null(vfio_info_cap(&chain, size, 16, 4, 8));
	chain.cap[2].next = UINT32_MAX & ~3u;
	assert_null(vfio_info_cap(&chain, size, 16, 4, 8));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_too_few_vectors),
		cmocka_unit_test(test_no_device),
		cmocka_unit_test(test_adopt),
		cmocka_unit_test(test_chain),
	};

	return cmocka_run_group_tests_name("vfio_device_io", tests, NULL, NULL);
}
