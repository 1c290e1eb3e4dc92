/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dev_kvm.c - what this host's KVM is and can do, told so that a user knows what to change.
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

static const struct kvm_needed_cap needed[] = {
	KVM_NEEDED_CAP(KVM_CAP_USER_MEMORY),
	KVM_NEEDED_CAP(KVM_CAP_READONLY_MEM),
	KVM_NEEDED_CAP(KVM_CAP_IRQCHIP),
	KVM_NEEDED_CAP(KVM_CAP_IRQ_ROUTING),
	KVM_NEEDED_CAP(KVM_CAP_IRQFD),
	KVM_NEEDED_CAP(KVM_CAP_IRQFD_RESAMPLE),
	KVM_NEEDED_CAP(KVM_CAP_SIGNAL_MSI),
	KVM_NEEDED_CAP(KVM_CAP_IMMEDIATE_EXIT),
	{ 0, NULL },
};

int kvm_check_extension(int fd, int cap)
{
	long r = sys_ioctl_int(fd, KVM_CHECK_EXTENSION, (unsigned long)cap);

	return r > 0 ? (int)r : 0;
}

/* Appends the names of those that are missing; how many these are, *missing counts on. */
static void check_caps(
	int fd, const struct kvm_needed_cap *list, unsigned *missing, struct err *err)
{
	for (; list->name; list++) {
		if (kvm_check_extension(fd, list->cap))
			continue;
		if ((*missing)++ == 0)
			err_set(err, EOPNOTSUPP, "this kernel's KVM lacks %s", list->name);
		else if (err)
			err_append(err, ", %s", list->name);
	}
}

int kvm_dev_check(int fd, struct err *err)
{
	unsigned missing = 0;
	long version = sys_ioctl_int(fd, KVM_GET_API_VERSION, 0);

	if (version == -ENOTTY)
		return err_set(err, ENOTTY, "what was opened is not the KVM device");
	if (version != KVM_API_VERSION)
		return err_set(err, EOPNOTSUPP,
			"this kernel speaks KVM API version %ld, needed is %d", version,
			KVM_API_VERSION);
	check_caps(fd, needed, &missing, err);
	check_caps(fd, kvm_arch_needed_caps, &missing, err);
	if (missing == 0)
		return 0;
	if (err)
		err_hint(err, "use Linux 4.13 or newer on x86_64");
	return -EOPNOTSUPP;
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

int kvm_dev_open(const char *path, struct err *err)
{
	int fd = sys_open(path, O_RDWR, 0);

	if (fd >= 0)
		return fd;
	err_set_errno(err, -fd, "cannot open '%s'", path);
	if (!err)
		return fd;
	if (fd == -ENOENT || fd == -ENODEV || fd == -ENXIO)
		kvm_arch_hint_missing(err);
	else if (fd == -EACCES || fd == -EPERM)
		hint_permission(path, err);
	return fd;
}
