/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config.h - what the user asked for, parsed and checked for form, before anything is opened.
 *
 * Layer: L4, plain data: cli fills it, machine reads it. Strings are owned by the config.
 */
#ifndef PORTCULLIS_CONFIG_H
#define PORTCULLIS_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include <portcullis/prop.h>

struct err;
struct memory_backend_options;

enum serial_kind { SERIAL_NONE, SERIAL_STDIO, SERIAL_FILE, SERIAL_UNIX, SERIAL_FD };

struct config_serial {
	enum serial_kind kind;
	char *path;  /* file, unix */
	int fd;	     /* SERIAL_FD: a socket that was handed over; chardev_new() takes it */
	bool server; /* unix, fd: listen ("server" was given) or connect */
	bool wait;   /* server: wait for the first client before the guest starts */
};

/* One -device or -object: its type and options (owned; NULL: the machine has taken them). */
struct config_device {
	const struct prop_type *type;
	void *options;
};

enum qmp_kind { QMP_UNIX, QMP_TCP, QMP_FD };
struct config_qmp {
	enum qmp_kind kind;
	char *path;    /* unix */
	char *host;    /* tcp: a numeric IPv4 or IPv6 address, without brackets */
	uint16_t port; /* never 0 */
	int fd;	       /* QMP_FD: a listening socket that was handed over; qmp_open() takes it */
	bool wait;     /* "wait": the machine starts after the first client connected */
};

/* -global DRIVER.PROPERTY=VALUE, a default for all devices of that type (device_options_new). */
struct config_global {
	char *driver, *property, *value;
};

/* -action panic. */
enum panic_action { PANIC_SHUTDOWN, PANIC_PAUSE, PANIC_EXIT_FAILURE, PANIC_NONE };
extern const char *const panic_action_names[]; /* NULL-terminated */

/* -numa: the guest's nodes. n_nodes 0: nobody asked for any. */
#define CONFIG_NODES_MAX 64
struct config_node {
	bool given;
	char *memdev; /* id of the memory backend that is its memory; NULL: it has none */
};
struct config_numa {
	struct config_node node[CONFIG_NODES_MAX];
	unsigned n_nodes;
	uint8_t *cpu_node; /* of each of config.cpus */
	uint8_t *distance; /* [from * n_nodes + to]; NULL: nothing is known of it */
};

struct config {
	char *name;
	struct uuid uuid;
	unsigned cpus, sockets, cores, threads; /* -smp; cpus 1..4096 */
	uint64_t ram_size;			/* bytes */
	char *mem_path;
	bool mem_prealloc;
	char *memory_backend; /* -machine: id of the one that all memory is made of */
	struct config_numa numa;
	bool cpu_pm; /* -overcommit: idle vCPUs keep their processors */
	char *kernel, *initrd, *append;
	struct config_serial serial;
	struct config_device *objects;
	unsigned n_objects;
	struct config_device *devices;
	unsigned n_devices;
	struct config_qmp *qmp;
	unsigned n_qmp;
	struct config_global *globals;
	unsigned n_globals;
	char *pidfile, *log_file;
	/*
	 * The fds that options of devices and objects name are open and ours (inherited_take());
	 * before that they are numbers, and not to be closed.
	 */
	bool has_fds;
	enum panic_action panic_action;
	bool daemonize, freeze /* -S */, no_reboot, no_shutdown, no_seccomp;
};

void config_init(struct config *config);
void config_release(struct config *config);
/*
 * Prefixes with dir the relative paths of what is removed at the end, for a process that will have
 * left it by then. -ENOMEM.
 */
int config_make_absolute(struct config *config, const char *dir);

/* Of an object that is still the config's. */
const char *config_object_id(const struct config_device *object);
/* The memory backend (memory_backend.h) of that name, and its type (may be NULL); NULL: none. */
struct memory_backend_options *config_memory_backend(
	const struct config *config, const char *id, const struct prop_type **type);

/* Device types known by -device, device_add, device-list-properties; NULL-terminated. */
extern const struct prop_type *const device_types[];
const struct prop_type *device_type_find(const char *name);
/* The same for -object and object-add. */
extern const struct prop_type *const object_types[];
const struct prop_type *object_type_find(const char *name);
/*
 * A new options object of type: its defaults, then the -global ones. The command line and QMP's
 * device_add both start with it. The caller owns *out (prop.h).
 */
int device_options_new(
	const struct config *config, const struct prop_type *type, void **out, struct err *err);

#endif
