/* SPDX-License-Identifier: Apache-2.0 */
/*
 * schema.h - the one table of commands, events and their types. (private to src/qmp and tests)
 *
 * Layer: L5. Read by: argument checking, query-commands, query-events, query-qmp-schema,
 * docs/qmp.md and the tests that compare every reply with its type.
 *
 * A type is named by "str", "int", "bool", "any", the name of an entry of qmp_types, or "[NAME]"
 * for an array of NAME.
 */
#ifndef PORTCULLIS_QMP_SCHEMA_H
#define PORTCULLIS_QMP_SCHEMA_H

#include <stdbool.h>

#include <portcullis/machine.h>

#include "json.h"
#include "session.h"

struct err;
struct prop_type;

struct qmp_member {
	const char *name, *type;
	bool optional;
	const char *doc; /* may be NULL where the name says all */
};
struct qmp_type {
	const char *name;
	const struct qmp_member *members; /* object: ends with name == NULL; or NULL */
	const char *const *values;	  /* enum: NULL-terminated; or NULL */
};
struct qmp_command {
	const char *name;
	const char *args;    /* object type, NULL: none */
	const char *returns; /* NULL: an empty object */
	/*
	 * Returns 0, QMP_LATER or -errno. args were checked; a value is written with key QMP_RETURN
	 * exactly when `returns` is set.
	 */
	int (*fn)(struct qmp_request *request, struct err *err);
	bool open_args;	   /* members that are not in args go to fn unchecked */
	bool enodev_class; /* ENODEV is class DeviceNotFound */
	const char *doc;
};
struct qmp_event_type {
	enum machine_event_kind kind;
	const char *name;
	const char *data; /* object type, NULL: none */
	const char *doc;
};

extern const struct qmp_type qmp_types[];	 /* ends with name == NULL */
extern const struct qmp_command qmp_commands[];	 /* ends with name == NULL */
extern const struct qmp_event_type qmp_events[]; /* ends with name == NULL */

const struct qmp_type *qmp_type_find(const char *name);
const struct qmp_command *qmp_command_find(const char *name);
const struct qmp_event_type *qmp_event_find(enum machine_event_kind kind);

/* Is value of that type? -EINVAL names the parameter and what was expected. what: its name. */
int qmp_check_value(const char *type, const struct json *value, const char *what, struct err *err);
/* Are these the command's arguments? args may be NULL. */
int qmp_check_args(const struct qmp_command *command, const struct json *args, struct err *err);

/*
 * The command's arguments, `besides` excepted, into options of type (which stay the caller's). An
 * fd among them was the client's, and is theirs now.
 */
int qmp_set_options(struct qmp_request *r, const struct prop_type *type, void *options,
	const char *besides, struct err *err);

/* session.c, commands_*.c */
int qmp_cmd_capabilities(struct qmp_request *r, struct err *err);
int qmp_cmd_query_version(struct qmp_request *r, struct err *err);
int qmp_cmd_query_commands(struct qmp_request *r, struct err *err);
int qmp_cmd_query_events(struct qmp_request *r, struct err *err);
int qmp_cmd_query_schema(struct qmp_request *r, struct err *err);
int qmp_cmd_query_status(struct qmp_request *r, struct err *err) ON_MAIN;
int qmp_cmd_query_name(struct qmp_request *r, struct err *err);
int qmp_cmd_query_uuid(struct qmp_request *r, struct err *err);
int qmp_cmd_query_kvm(struct qmp_request *r, struct err *err);
int qmp_cmd_query_machines(struct qmp_request *r, struct err *err);
int qmp_cmd_query_target(struct qmp_request *r, struct err *err);
int qmp_cmd_query_cpus(struct qmp_request *r, struct err *err) ON_MAIN;
int qmp_cmd_query_cpus_fast(struct qmp_request *r, struct err *err) ON_MAIN;
int qmp_cmd_query_pci(struct qmp_request *r, struct err *err) ON_MAIN;
int qmp_cmd_query_vfio(struct qmp_request *r, struct err *err) ON_MAIN;
int qmp_cmd_query_memdev(struct qmp_request *r, struct err *err) ON_MAIN;
int qmp_cmd_query_vfio_limits(struct qmp_request *r, struct err *err) ON_MAIN;
int qmp_cmd_query_vfio_main_loop(struct qmp_request *r, struct err *err) ON_MAIN;
int qmp_cmd_query_vfio_mappings(struct qmp_request *r, struct err *err) ON_MAIN;
int qmp_cmd_device_list_properties(struct qmp_request *r, struct err *err);
int qmp_cmd_set_action(struct qmp_request *r, struct err *err) ON_MAIN;
int qmp_cmd_stop(struct qmp_request *r, struct err *err) ON_MAIN;
int qmp_cmd_cont(struct qmp_request *r, struct err *err) ON_MAIN;
int qmp_cmd_system_reset(struct qmp_request *r, struct err *err);
int qmp_cmd_system_powerdown(struct qmp_request *r, struct err *err);
int qmp_cmd_quit(struct qmp_request *r, struct err *err);
int qmp_cmd_device_add(struct qmp_request *r, struct err *err) ON_MAIN;
int qmp_cmd_device_del(struct qmp_request *r, struct err *err) ON_MAIN;
int qmp_cmd_object_add(struct qmp_request *r, struct err *err) ON_MAIN;
int qmp_cmd_object_del(struct qmp_request *r, struct err *err) ON_MAIN;
int qmp_cmd_getfd(struct qmp_request *r, struct err *err);
int qmp_cmd_closefd(struct qmp_request *r, struct err *err);
int qmp_cmd_add_fd(struct qmp_request *r, struct err *err);
int qmp_cmd_remove_fd(struct qmp_request *r, struct err *err);
int qmp_cmd_query_fdsets(struct qmp_request *r, struct err *err);

#endif
