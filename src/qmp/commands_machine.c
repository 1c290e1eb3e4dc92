/* SPDX-License-Identifier: Apache-2.0 */
/* commands_machine.c - the machine as a whole: what it is, whether it runs, and making it so. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <portcullis/err.h>
#include <portcullis/machine_query.h>

#include "schema.h"

static const char arch[] = "x86_64";

int qmp_cmd_query_status(struct qmp_request *r, struct err *err)
{
	enum runstate state = machine_runstate(r->context->machine);

	(void)err;
	json_begin_object(r->out, QMP_RETURN);
	json_put_bool(r->out, "running", state == RUNSTATE_RUNNING);
	json_put_bool(r->out, "singlestep", false);
	json_put_string(r->out, "status", runstate_name(state));
	json_end_object(r->out);
	return 0;
}

int qmp_cmd_query_name(struct qmp_request *r, struct err *err)
{
	const struct config *config = machine_config(r->context->machine);

	(void)err;
	json_begin_object(r->out, QMP_RETURN);
	if (config->name)
		json_put_string(r->out, "name", config->name);
	json_end_object(r->out);
	return 0;
}

int qmp_cmd_query_uuid(struct qmp_request *r, struct err *err)
{
	char text[UUID_STRLEN];

	(void)err;
	uuid_format(machine_config(r->context->machine)->uuid.byte, text);
	json_begin_object(r->out, QMP_RETURN);
	json_put_string(r->out, "UUID", text);
	json_end_object(r->out);
	return 0;
}

int qmp_cmd_query_kvm(struct qmp_request *r, struct err *err)
{
	(void)err;
	json_begin_object(r->out, QMP_RETURN);
	json_put_bool(r->out, "enabled", true);
	json_put_bool(r->out, "present", true);
	json_end_object(r->out);
	return 0;
}

int qmp_cmd_query_machines(struct qmp_request *r, struct err *err)
{
	(void)err;
	json_begin_array(r->out, QMP_RETURN);
	json_begin_object(r->out, NULL);
	json_put_string(r->out, "name", "q35");
	json_put_bool(r->out, "is-default", true);
	json_put_int(r->out, "cpu-max", MACHINE_CPUS_MAX);
	json_put_bool(r->out, "hotpluggable-cpus", false);
	json_put_bool(r->out, "numa-mem-supported", false);
	json_put_bool(r->out, "deprecated", false);
	json_end_object(r->out);
	json_end_array(r->out);
	return 0;
}

int qmp_cmd_query_target(struct qmp_request *r, struct err *err)
{
	(void)err;
	json_begin_object(r->out, QMP_RETURN);
	json_put_string(r->out, "arch", arch);
	json_end_object(r->out);
	return 0;
}

/* --- vCPUs --- */

static void put_props(struct json_writer *w, const struct machine_cpu *cpu)
{
	json_begin_object(w, "props");
	json_put_int(w, "socket-id", cpu->socket);
	json_put_int(w, "core-id", cpu->core);
	json_put_int(w, "thread-id", cpu->thread);
	json_end_object(w);
}

static void put_path(struct json_writer *w, const char *key, unsigned index)
{
	char path[48];

	snprintf(path, sizeof(path), "/machine/unattached/device[%u]", index);
	json_put_string(w, key, path);
}

static void put_cpu(struct json_writer *w, const struct machine_cpu *cpu)
{
	json_begin_object(w, NULL);
	json_put_int(w, "CPU", cpu->index);
	json_put_bool(w, "current", cpu->index == 0);
	json_put_bool(w, "halted", cpu->halted);
	put_path(w, "qom_path", cpu->index);
	json_put_int(w, "thread_id", cpu->tid);
	json_put_string(w, "arch", "x86");
	put_props(w, cpu);
	json_end_object(w);
}

static void put_cpu_fast(struct json_writer *w, const struct machine_cpu *cpu)
{
	json_begin_object(w, NULL);
	json_put_int(w, "cpu-index", cpu->index);
	put_path(w, "qom-path", cpu->index);
	json_put_int(w, "thread-id", cpu->tid);
	put_props(w, cpu);
	json_put_string(w, "target", arch);
	json_end_object(w);
}

static int put_cpus(struct qmp_request *r,
	void (*put)(struct json_writer *w, const struct machine_cpu *cpu)) ON_MAIN
{
	struct vcpu *vcpus;
	unsigned n = machine_vcpus(r->context->machine, &vcpus);

	json_begin_array(r->out, QMP_RETURN);
	for (unsigned i = 0; i < n; i++) {
		struct machine_cpu cpu;

		machine_query_cpu(r->context->machine, i, &cpu);
		put(r->out, &cpu);
	}
	json_end_array(r->out);
	return 0;
}

int qmp_cmd_query_cpus(struct qmp_request *r, struct err *err)
{
	(void)err;
	return put_cpus(r, put_cpu);
}

int qmp_cmd_query_cpus_fast(struct qmp_request *r, struct err *err)
{
	(void)err;
	return put_cpus(r, put_cpu_fast);
}

/* --- control --- */

int qmp_cmd_stop(struct qmp_request *r, struct err *err)
{
	struct machine_op *op = qmp_hold(r);

	if (!op)
		return err_set(err, ENOMEM, "out of memory");
	machine_pause(r->context->machine, op);
	return QMP_LATER;
}

int qmp_cmd_cont(struct qmp_request *r, struct err *err)
{
	return machine_run(r->context->machine, err);
}

/* The argument's text; NULL: left out. */
static const char *word(const struct qmp_request *r, const char *name)
{
	const struct json *value = r->args ? json_get(r->args, name) : NULL;

	return value ? value->text : NULL;
}

int qmp_cmd_set_action(struct qmp_request *r, struct err *err)
{
	struct machine_actions actions = machine_actions(r->context->machine);
	const char *reboot = word(r, "reboot"), *shutdown = word(r, "shutdown"),
		   *panic = word(r, "panic");

	(void)err;
	if (reboot)
		actions.no_reboot = !strcmp(reboot, "shutdown");
	if (shutdown)
		actions.no_shutdown = !strcmp(shutdown, "pause");
	for (unsigned i = 0; panic && panic_action_names[i]; i++)
		if (!strcmp(panic, panic_action_names[i]))
			actions.panic = (enum panic_action)i;
	machine_set_actions(r->context->machine, &actions);
	return 0;
}

static void do_reset(struct qmp_context *context)
{
	role_enter_main();
	machine_reset(context->machine, SHUTDOWN_HOST_RESET);
}

int qmp_cmd_system_reset(struct qmp_request *r, struct err *err)
{
	(void)err;
	r->after = do_reset;
	return 0;
}

static void do_powerdown(struct qmp_context *context)
{
	role_enter_main();
	machine_powerdown(context->machine);
}

int qmp_cmd_system_powerdown(struct qmp_request *r, struct err *err)
{
	(void)err;
	r->after = do_powerdown;
	return 0;
}

static void do_quit(struct qmp_context *context)
{
	role_enter_main();
	machine_shutdown(context->machine, SHUTDOWN_HOST_QUIT);
}

int qmp_cmd_quit(struct qmp_request *r, struct err *err)
{
	(void)err;
	r->after = do_quit;
	return 0;
}
