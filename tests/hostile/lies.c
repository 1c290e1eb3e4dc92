/* SPDX-License-Identifier: Apache-2.0 */
/* lies.c - how often and how the fake kernel fails, delays and holds, by the machine's plan. */
#include <errno.h>
#include <fcntl.h>

#include <portcullis/sys.h>

#include "hostile.h"
#include "lies.h"

/* Main makes the first two itself, so the kernel does not hold them. */
static const struct {
	unsigned delay_ms, hold_ms;
} longest[LIES] = {
	[LIE_MEMSLOT] = { 3, 20 },
	[LIE_ROUTES] = { 3, 20 },
	[LIE_OPEN] = { 20, 400 },
	[LIE_MAP_DMA] = { 10, 600 },
	[LIE_CLOSE] = { 30, 500 },
	[LIE_IRQS] = { 5, 300 },
	[LIE_RESET] = { 100, 1500 },
	[LIE_ACCESS] = { 30, 4000 },
};

static void delay(unsigned delay_one_in, unsigned hold_one_in, enum lie lie)
{
	if (one_in(hold_one_in))
		sleep_ms(1 + chance_below(longest[lie].hold_ms));
	else if (one_in(delay_one_in))
		sleep_ms(1 + chance_below(longest[lie].delay_ms));
}

void lie_delay(enum lie lie)
{
	delay(hostile.plan.delay_one_in, hostile.plan.hold_one_in, lie);
}

void lie_delay_access(void)
{
	delay(hostile.plan.access_one_in, 10 * hostile.plan.access_one_in, LIE_ACCESS);
}

bool lie_fails(void)
{
	return one_in(hostile.plan.fail_one_in);
}

int lie_errno(void)
{
	static const int codes[] = { EIO, EIO, ENOMEM, EBUSY, EAGAIN, EINVAL, ENODEV, EPERM, EFAULT,
		ENOTTY };

	return codes[chance_below(sizeof(codes) / sizeof(codes[0]))];
}

int lie_dup(int fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, FD_ZONE_EVENT);

	if (copy < 0)
		violation("the kernel was given %d, which is no file descriptor", fd);
	return copy;
}
