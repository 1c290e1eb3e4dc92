/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_vfio_iommufd.c - the fake kernel's /dev/iommu and device nodes.
 */
#include "fake_vfio_host.h"

#include <errno.h>

long fake_iommufd_ioctl(
	struct fake_vfio_host *fake, struct fake_fd *fd, unsigned long cmd, void *arg)
{
	(void)fake;
	(void)fd;
	(void)cmd;
	(void)arg;
	return -ENOTTY;
}
