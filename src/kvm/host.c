/* SPDX-License-Identifier: Apache-2.0 */
/*
 * host.c - what this host's KVM is and can do, told so that a user knows what to change.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/kvm.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <portcullis/err.h>
#include <portcullis/sys.h>

#include "private.h"

static const struct {
	int cap;
	const char *name;
} needed[] = {
	{ KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY" },
	{ KVM_CAP_READONLY_MEM, "KVM_CAP_READONLY_MEM" },
	{ KVM_CAP_SET_TSS_ADDR, "KVM_CAP_SET_TSS_ADDR" },
	{ KVM_CAP_SET_IDENTITY_MAP_ADDR, "KVM_CAP_SET_IDENTITY_MAP_ADDR" },
	{ KVM_CAP_IRQCHIP, "KVM_CAP_IRQCHIP" },
	{ KVM_CAP_PIT2, "KVM_CAP_PIT2" },
	{ KVM_CAP_PIT_STATE2, "KVM_CAP_PIT_STATE2" },
	{ KVM_CAP_IRQ_ROUTING, "KVM_CAP_IRQ_ROUTING" },
	{ KVM_CAP_IRQFD, "KVM_CAP_IRQFD" },
	{ KVM_CAP_IRQFD_RESAMPLE, "KVM_CAP_IRQFD_RESAMPLE" },
	{ KVM_CAP_SIGNAL_MSI, "KVM_CAP_SIGNAL_MSI" },
	{ KVM_CAP_EXT_CPUID, "KVM_CAP_EXT_CPUID" },
	{ KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT" },
	{ KVM_CAP_MP_STATE, "KVM_CAP_MP_STATE" },
	{ KVM_CAP_VCPU_EVENTS, "KVM_CAP_VCPU_EVENTS" },
	{ KVM_CAP_DEBUGREGS, "KVM_CAP_DEBUGREGS" },
	{ KVM_CAP_XSAVE, "KVM_CAP_XSAVE" },
};

int kvm_host_cap(int fd, int cap)
{
	long r = sys_ioctl_int(fd, KVM_CHECK_EXTENSION, (unsigned long)cap);

	return r > 0 ? (int)r : 0;
}

int kvm_host_check(int fd, struct err *err)
{
	unsigned missing = 0;
	long version = sys_ioctl_int(fd, KVM_GET_API_VERSION, 0);

	if (version == -ENOTTY)
		return err_set(err, ENOTTY, "what was opened is not the KVM device");
	if (version != KVM_API_VERSION)
		return err_set(err, EOPNOTSUPP,
			"this kernel speaks KVM API version %ld, needed is %d", version,
			KVM_API_VERSION);
	for (unsigned i = 0; i < sizeof(needed) / sizeof(needed[0]); i++) {
		if (kvm_host_cap(fd, needed[i].cap))
			continue;
		if (missing++ == 0)
			err_set(err, EOPNOTSUPP, "this kernel's KVM lacks %s", needed[i].name);
		else if (err)
			err_append(err, ", %s", needed[i].name);
	}
	if (missing == 0)
		return 0;
	if (err)
		err_hint(err, "use Linux 4.13 or newer on x86_64");
	return -EOPNOTSUPP;
}

/* The processor flag that says "hardware virtualisation", as /proc/cpuinfo spells it; or NULL. */
static const char *cpu_virt_flag(void)
{
	char buf[16384]; /* the first processor's paragraph is about 2 KiB */
	int fd = sys_open("/proc/cpuinfo", O_RDONLY, 0);
	ssize_t n;

	if (fd < 0)
		return NULL;
	n = read(fd, buf, sizeof(buf) - 1);
	sys_close(fd);
	if (n <= 0)
		return NULL;
	buf[n] = '\0';
	return strstr(buf, " vmx") ? "vmx" : strstr(buf, " svm") ? "svm" : NULL;
}

static void hint_missing(struct err *err)
{
	const char *flag = cpu_virt_flag();

	if (!flag)
		err_hint(err,
			"the processor offers no virtualisation (no vmx or svm in /proc/cpuinfo): switch it on in the firmware's settings, or, inside a virtual machine, switch on nested virtualisation in the host around it");
	else
		err_hint(err, "load the module: sudo modprobe %s",
			flag[0] == 'v' ? "kvm_intel" : "kvm_amd");
}

static void hint_permission(const char *path, struct err *err)
{
	struct stat st;
	const struct passwd *user;
	const struct group *group;

	if (stat(path, &st) != 0)
		return;
	user = getpwuid(st.st_uid);
	group = getgrgid(st.st_gid);
	err_append(err, " (owner %s, group %s, mode %04o)", user ? user->pw_name : "unknown",
		group ? group->gr_name : "unknown", (unsigned)st.st_mode & 07777);
	if (group && (st.st_mode & 060) == 060)
		err_hint(err,
			"add yourself to that group and log in again: sudo usermod -aG %s $USER",
			group->gr_name);
	else
		err_hint(err,
			"let a group use it: sudo chgrp kvm %s; sudo chmod 0660 %s; sudo usermod -aG kvm $USER; then log in again",
			path, path);
}

int kvm_host_open(const char *path, struct err *err)
{
	int fd = sys_open(path, O_RDWR, 0);

	if (fd >= 0)
		return fd;
	err_set_errno(err, -fd, "cannot open '%s'", path);
	if (!err)
		return fd;
	if (fd == -ENOENT || fd == -ENODEV || fd == -ENXIO)
		hint_missing(err);
	else if (fd == -EACCES || fd == -EPERM)
		hint_permission(path, err);
	return fd;
}
