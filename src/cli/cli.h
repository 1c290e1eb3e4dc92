/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli.h - what the parts of the option parser share. (private to src/cli)
 *
 * One table (table.c) holds every option: its name, argument, help and handler. A handler puts what
 * it read into the config, or into struct parse when it can be judged only once all options are
 * known (options_finish).
 */
#ifndef PORTCULLIS_CLI_H
#define PORTCULLIS_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <portcullis/config.h>
#include <portcullis/err.h>

struct option;

/* -chardev socket and the address part of -qmp and -serial unix:. Strings are owned. */
struct socket_spec {
	char *path; /* unix */
	char *host; /* tcp */
	char *port;
	int fd; /* has_fd: a socket that is handed over */
	bool has_fd, server, wait, has_wait;
};

struct chardev_spec {
	char *id;
	struct socket_spec socket;
	bool is_socket, used;
};

/* -numa node,cpus= and -numa cpu: which CPUs a node has; UINT64_MAX: any socket, core, thread. */
struct numa_cpus {
	unsigned node;
	uint64_t first, last; /* by number */
	uint64_t socket, core, thread;
};

/* -numa dist */
struct numa_distance {
	unsigned from, to;
	uint8_t value;
};
#define NUMA_LOCAL 10 /* of a node to itself (ACPI 6.4, 5.2.17) */

/* What a guest's memory can be: 46 address bits, less than any host's that has as much. */
#define RAM_MIN (128ull << 20)
#define RAM_MAX (64ull << 40)

struct parse {
	struct config *config;
	struct err *err;
	const struct option *option; /* being handled */
	char *text;		     /* what to print instead of running; ends the parsing */
	uint64_t given[2];	     /* bit set of options, by index in the table */
	bool nographic;
	char **devices; /* -device, built when every -global is known */
	unsigned n_devices;
	struct chardev_spec *chardevs;
	unsigned n_chardevs;
	struct numa_cpus *numa_cpus;
	unsigned n_numa_cpus;
	struct numa_distance *numa_distances;
	unsigned n_numa_distances;
	char **monitors; /* ids of chardevs */
	unsigned n_monitors;
};

enum option_group {
	GROUP_MACHINE,
	GROUP_BOOT,
	GROUP_DEVICE,
	GROUP_CONSOLE,
	GROUP_QMP,
	GROUP_PROCESS,
	GROUP_HELP,
	GROUP_IGNORED,
	GROUPS,
};

struct option {
	const char *name; /* without the dash */
	const char *arg;  /* placeholder of the argument, NULL: takes none */
	enum option_group group;
	bool many; /* may be given more than once */
	int (*handle)(struct parse *p, const char *value);
	const char *help;	   /* sentences; NULL: an alias, not listed */
	size_t offset;		   /* of the config's field, for opt_string and opt_flag */
	const char *const *values; /* opt_ignore: the only values without meaning here; NULL: any */
	bool may_be_empty;	   /* its argument, and values in it (option_pairs) */
	const char *repeats;	   /* a key in it that may be given more than once */
};
extern const struct option options[]; /* ends with name == NULL; at most 128 */
extern const char *const group_titles[GROUPS];
const struct option *option_find(const char *name);

/* Options of QEMU that mean something this machine does not have: an error that says so. */
struct refused {
	const char *name, *why;
};
extern const struct refused refused_options[];

bool option_given(const struct parse *p, const char *name);
/* "option '-NAME': TEXT", -EINVAL. */
int option_error(struct parse *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int out_of_memory(struct parse *p);
/* Grows an array by one zeroed element; NULL: out of memory, told. */
void *array_grow(struct parse *p, void *array, unsigned *n, size_t size);
/* strdup() that tells. */
int copy_string(struct parse *p, char **out, const char *text);

/*
 * "implied,key=value,flag": calls fn for each pair. The first word, when bare, is the value of
 * `implied` (NULL: none); a bare word is WORD=on, "nowait" and "noserver" are WORD=off. A key given
 * twice and an empty key are errors, and so is an empty value unless the option may_be_empty.
 */
typedef int (*pair_fn)(struct parse *p, const char *key, const char *value, void *opaque);
int option_pairs(struct parse *p, const char *text, const char *implied, pair_fn fn, void *opaque);
/* Error for a key that no handler knows; list names those that exist. */
int unknown_key(struct parse *p, const char *key, const char *const *list);

/* A sub-option that only says what is the case here anyway: ignored with these values. */
struct moot {
	const char *key;
	const char *values; /* "|"-separated; NULL: any */
};
int moot_pair(struct parse *p, const char *key, const char *value, const struct moot *table);

/* The types of -device or -object. */
struct type_list {
	const char *noun; /* "device" */
	const struct prop_type *const *types;
};
extern const struct type_list device_list, object_list;
/* Is it "help" or "TYPE,help"? Then p->text answers. Also finds out whether the type exists. */
int type_help(struct parse *p, const struct type_list *list, const char *value);
/* "TYPE[,properties]" or "driver=TYPE[,properties]": *rest is the properties, "" if none. */
int split_type(struct parse *p, const struct type_list *list, const char *value,
	const struct prop_type **type, const char **rest);
int unknown_type(struct parse *p, const struct type_list *list, const char *name);

/* Handlers. */
int opt_string(struct parse *p, const char *value);
int opt_flag(struct parse *p, const char *value);
int opt_ignore(struct parse *p, const char *value);
int opt_nographic(struct parse *p, const char *value);
int opt_machine(struct parse *p, const char *value);
int opt_cpu(struct parse *p, const char *value);
int opt_accel(struct parse *p, const char *value);
int opt_smp(struct parse *p, const char *value);
int opt_memory(struct parse *p, const char *value);
int opt_numa(struct parse *p, const char *value);
int opt_name(struct parse *p, const char *value);
int opt_uuid(struct parse *p, const char *value);
int opt_action(struct parse *p, const char *value);
int opt_overcommit(struct parse *p, const char *value);
int opt_rtc(struct parse *p, const char *value);
int opt_serial(struct parse *p, const char *value);
int opt_qmp(struct parse *p, const char *value);
int opt_chardev(struct parse *p, const char *value);
int opt_mon(struct parse *p, const char *value);
int opt_device(struct parse *p, const char *value);
int opt_object(struct parse *p, const char *value);
int opt_global(struct parse *p, const char *value);
int opt_help(struct parse *p, const char *value);
int opt_help_man(struct parse *p, const char *value);
int opt_help_markdown(struct parse *p, const char *value);
int opt_version(struct parse *p, const char *value);

/* Once all options were read. */
int finish_devices(struct parse *p);
int finish_numa(struct parse *p);
int finish_memory(struct parse *p);
int finish_monitors(struct parse *p);
/* One pair of a socket's (opaque: struct socket_spec), and whether all of them make a socket. */
int socket_pair(struct parse *p, const char *key, const char *value, void *opaque);
int check_socket(struct parse *p, struct socket_spec *spec);
/*
 * "unix:PATH,...", "unix:fd=N,..." or "tcp:HOST:PORT,..." (allow_tcp) into spec; release it in
 * every case.
 */
int parse_socket(struct parse *p, const char *value, bool allow_tcp, struct socket_spec *spec);
void socket_spec_release(struct socket_spec *spec);

#endif
