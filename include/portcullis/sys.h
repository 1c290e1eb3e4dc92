/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sys.h - the only door to open, mmap, ioctl and eventfd; fd number zones; fault injection.
 *
 * Layer: L0. Any thread. Every fd returned is O_CLOEXEC and owned by the caller.
 * Errors: negative errno.
 * Zones: seccomp can compare an fd with a mask only, so fds that a vCPU may touch live in a number
 *        range of their own: device fds in [0x200, 0x400), eventfds from 0x400 up.
 * Faults: with PORTCULLIS_FAULTS defined at build time (tests only, never in a release binary)
 *        sys_fail_nth(n) makes the n-th call through this door fail with ENOMEM.
 */
#ifndef PORTCULLIS_SYS_H
#define PORTCULLIS_SYS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct stat;

enum fd_zone {
	FD_ZONE_ANY = 3,	/* any number below the zones */
	FD_ZONE_DEVICE = 0x200, /* VFIO device fds: pread/pwrite by vCPUs; 512 of them */
	FD_ZONE_EVENT = 0x400,	/* and up; eventfds: write(8) by vCPUs; and the vCPUs' */
};
#define FD_ZONE_DEVICE_MASK (~0x1ffu) /* (fd & mask) == FD_ZONE_DEVICE */
#define FD_ZONE_DEVICE_COUNT 512

/*
 * Raises RLIMIT_NOFILE's soft limit so that the zones exist. -ERANGE with the hard limit too low.
 */
int sys_fd_limit(void);
/* x86: ARCH_REQ_XCOMP_GUEST_PERM and its kind. */
int sys_arch_prctl(int operation, unsigned long argument);

/* -EMFILE also when the number would lie inside a zone. */
int sys_open(const char *path, int flags, mode_t mode);
int sys_openat(int dir, const char *path, int flags, mode_t mode);
/* ioctl whose third argument is a pointer or an integer; returns >= 0 or -errno, retries EINTR. */
long sys_ioctl(int fd, unsigned long cmd, void *arg);
long sys_ioctl_int(int fd, unsigned long cmd, unsigned long arg);
/* For KVM_RUN: returns -EINTR when a signal came, is never made to fail. */
long sys_ioctl_once(int fd, unsigned long cmd, unsigned long arg);
/* Returns 0 and *out, or -errno. */
int sys_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t off, void **out);
int sys_munmap(void *addr, size_t len);
/* Reserves address space (PROT_NONE) aligned to align, a power of two >= page size. */
int sys_reserve(size_t len, size_t align, void **out);
/* mbind(2): which of the host's NUMA nodes memory comes from; nodes: a bit each, max_node bits. */
int sys_mbind(void *addr, size_t len, int mode, const uint64_t *nodes, unsigned long max_node,
	unsigned flags);
/* memfd_create(2) */
int sys_memfd(const char *name, unsigned flags);
/* Non-blocking eventfd in FD_ZONE_EVENT. */
int sys_eventfd(void);
/* Adds 1; cannot block (a full counter is as good as a set one). */
void sys_eventfd_signal(int fd);
/* Clears the counter; returns true if it was set. */
_Bool sys_eventfd_drain(int fd);
/* Takes fd (closes it), returns a number inside the zone or -errno (-EMFILE: zone is full). */
int sys_fd_move(int fd, enum fd_zone zone);
/* Takes fd; -1 is ignored. EINTR is not retried: on Linux the fd is gone. */
void sys_close(int fd);
/* sys_close(*fd), then *fd = -1. */
void sys_closep(int *fd);
/*
 * A whole small file (sysfs); the result is NUL-terminated and without the last newline.
 * -EOVERFLOW: does not fit.
 */
int sys_read_file(const char *path, char *buf, size_t size);
/* What a symbolic link says, whole or not at all (half a name is another name): -ENAMETOOLONG. */
int sys_read_link(const char *path, char *buf, size_t size);
/* What is there; follows links. */
int sys_stat(const char *path, struct stat *out);
/* Calls fn for every entry of an open directory but "." and "..". Borrows dir; does not allocate. */
typedef void (*sys_entry_fn)(const char *name, void *opaque);
int sys_list(int dir, sys_entry_fn fn, void *opaque);

#ifdef PORTCULLIS_FAULTS
void sys_fail_nth(unsigned long n); /* 0: never; counting starts anew */
unsigned long sys_calls(void);	    /* calls since sys_fail_nth() */
#endif

#endif
