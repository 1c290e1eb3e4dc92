/* SPDX-License-Identifier: Apache-2.0 */
/* test_qmp_session.c - greeting, negotiation, requests, ids, errors, held replies, events. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include <fcntl.h>
#include <unistd.h>

#include "qmp_fixture.h"
#include "qmp_talk.h"

static struct machine machine;
static struct qmp_context context;
static struct talk talk, other;

static int setup(void **state)
{
	(void)state;
	machine_setup(&machine);
	assert_int_equal(qmp_context_init(&context), 0);
	context.machine = &machine;
	talk_open(&talk, &context);
	talk_open(&other, &context);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	if (context.sessions) {
		session_close(&talk.session);
		session_close(&other.session);
	}
	qmp_context_release(&context);
	machine_teardown(&machine);
	return 0;
}

static void negotiate(struct talk *who)
{
	talk_take(who);
	assert_string_equal(
		talk_say(who, "{\"execute\": \"qmp_capabilities\"}"), "{\"return\": {}}");
}

static void says(const char *message, const char *reply)
{
	const char *got = talk_say(&talk, message);
	if (strcmp(got, reply) != 0)
		fail_msg("%s\n  answered %s\n  not      %s", message, got, reply);
}

#define ERROR(class, desc) "{\"error\": {\"class\": \"" class "\", \"desc\": \"" desc "\"}}"

static void test_greeting(void **state)
{
	(void)state;
	assert_string_equal(talk_take(&talk),
		"{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 0, \"minor\": 1, \"major\": 0}, "
		"\"package\": \"portcullis-0.1.0\"}, \"capabilities\": []}}");
}

static void test_negotiation(void **state)
{
	(void)state;
	talk_take(&talk);
	says("{\"execute\": \"query-status\"}",
		ERROR("CommandNotFound",
			"Expecting capabilities negotiation with 'qmp_capabilities'"));
	says("{\"execute\": \"nonsense\"}",
		ERROR("CommandNotFound",
			"Expecting capabilities negotiation with 'qmp_capabilities'"));
	says("{\"execute\": \"qmp_capabilities\", \"arguments\": {\"enable\": [\"oob\"]}}",
		ERROR("GenericError", "Capability 'oob' is not available"));
	says("{\"execute\": \"qmp_capabilities\", \"arguments\": {\"enable\": []}}",
		"{\"return\": {}}");
	says("{\"execute\": \"qmp_capabilities\"}",
		ERROR("CommandNotFound",
			"Capabilities negotiation is already complete, command ignored"));
	says("{\"execute\": \"query-kvm\"}",
		"{\"return\": {\"enabled\": true, \"present\": true}}");
	/* each client on its own */
	talk_take(&other);
	assert_non_null(strstr(talk_say(&other, "{\"execute\": \"query-kvm\"}"), "negotiation"));
}

static void test_ids(void **state)
{
	static const char *const ids[] = { "1", "-1.50", "\"x\\n\"", "null", "true",
		"[1, {\"a\": []}]", "{\"k\": \"\\u00E9\\uD83D\\uDE00\"}",
		"123456789012345678901234567890" };
	char message[256], reply[256];
	(void)state;

	negotiate(&talk);
	for (unsigned i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		snprintf(message, sizeof(message), "{\"execute\": \"stop\", \"id\": %s}", ids[i]);
		snprintf(reply, sizeof(reply), "{\"return\": {}, \"id\": %s}", ids[i]);
		says(message, reply);
	}
	/* Asked in UTF-8 and single quotes, answered in ASCII and double ones. */
	says("{'execute': 'stop', 'id': '\xc3\xa9\xf0\x9f\x98\x80\"'}",
		"{\"return\": {}, \"id\": \"\\u00E9\\uD83D\\uDE00\\\"\"}");
	says("{\"id\": 7, \"execute\": \"nope\"}",
		"{\"error\": {\"class\": \"CommandNotFound\", \"desc\": "
		"\"The command nope has not been found\"}, \"id\": 7}");
	says("{\"id\": 7, \"execute\": 1}",
		"{\"error\": {\"class\": \"GenericError\", \"desc\": "
		"\"QMP input member 'execute' must be a string\"}, \"id\": 7}");
}

static void test_bad_requests(void **state)
{
	(void)state;
	negotiate(&talk);
	says("[1]", ERROR("GenericError", "QMP input must be a JSON object"));
	says("{}", ERROR("GenericError", "QMP input lacks member 'execute'"));
	says("{\"execute\": \"stop\", \"argument\": {}}",
		ERROR("GenericError", "QMP input member 'argument' is unexpected"));
	says("{\"execute\": \"stop\", \"arguments\": []}",
		ERROR("GenericError", "QMP input member 'arguments' must be an object"));
	says("{\"exec-oob\": \"stop\"}",
		ERROR("GenericError", "QMP input member 'exec-oob' is unexpected"));
	says("{\"execute\": \"stop\", \"arguments\": {\"x\": 1}}",
		ERROR("GenericError", "Parameter 'x' is unexpected"));
	says("{\"execute\": \"device_del\"}", ERROR("GenericError", "Parameter 'id' is missing"));
	says("{\"execute\": \"device_del\", \"arguments\": {\"id\": 1}}",
		ERROR("GenericError", "Invalid parameter type for 'id', expected: string"));
	says("{\"execute\": \"device_del\", \"arguments\": {\"id\": \"a\", \"force\": 1}}",
		ERROR("GenericError", "Invalid parameter type for 'force', expected: boolean"));
	assert_string_equal(machine.calls, "");
	talk_take(&talk);
	session_bad_input(&talk.session, "it is too large");
	assert_string_equal(
		talk_take(&talk), ERROR("GenericError", "JSON parse error, it is too large"));
	assert_non_null(strstr(talk_say(&talk, "{nope}"), "\"desc\": \"JSON parse error, "));
}

static void test_set_action(void **state)
{
	(void)state;
	negotiate(&talk);
	says("{\"execute\": \"set-action\", \"arguments\": {\"panic\": \"exit-failure\", \"reboot\": \"shutdown\", \"watchdog\": \"none\"}}",
		"{\"return\": {}}");
	assert_int_equal(machine.actions.panic, PANIC_EXIT_FAILURE);
	assert_true(machine.actions.no_reboot && !machine.actions.no_shutdown);
	/* What is left out stays. */
	says("{\"execute\": \"set-action\", \"arguments\": {\"shutdown\": \"pause\"}}",
		"{\"return\": {}}");
	says("{\"execute\": \"set-action\"}", "{\"return\": {}}");
	assert_int_equal(machine.actions.panic, PANIC_EXIT_FAILURE);
	assert_true(machine.actions.no_reboot && machine.actions.no_shutdown);
	says("{\"execute\": \"set-action\", \"arguments\": {\"reboot\": \"reset\", \"shutdown\": \"poweroff\", \"panic\": \"shutdown\"}}",
		"{\"return\": {}}");
	assert_int_equal(machine.actions.panic, PANIC_SHUTDOWN);
	assert_false(machine.actions.no_reboot || machine.actions.no_shutdown);
	assert_non_null(strstr(
		talk_say(&talk,
			"{\"execute\": \"set-action\", \"arguments\": {\"panic\": \"burn\"}}"),
		"does not accept value 'burn'"));
}

static void test_control(void **state)
{
	(void)state;
	negotiate(&talk);
	says("{\"execute\": \"cont\"}", "{\"return\": {}}");
	assert_string_equal(machine.calls, "");
	says("{\"execute\": \"stop\"}", "{\"return\": {}}");
	says("{\"execute\": \"stop\"}", "{\"return\": {}}");
	says("{\"execute\": \"query-status\"}", "{\"return\": {\"running\": false, \"singlestep\": "
						"false, \"status\": \"paused\"}}");
	says("{\"execute\": \"cont\"}", "{\"return\": {}}");
	says("{\"execute\": \"system_reset\"}", "{\"return\": {}}");
	says("{\"execute\": \"system_powerdown\"}", "{\"return\": {}}");
	assert_string_equal(machine.calls, "pause run reset powerdown ");
	machine.state = RUNSTATE_SHUTDOWN;
	says("{\"execute\": \"cont\"}",
		ERROR("GenericError", "Resetting the Virtual Machine is required"));
	machine.state = RUNSTATE_PAUSED;
	machine.run_error = EIO;
	says("{\"execute\": \"cont\"}", ERROR("GenericError", "cannot run"));
}

static void on_quit_reply(struct qmp_session *session, const char *data, size_t len)
{
	machine_note(&machine, "reply");
	talk_send(session, data, len);
}

/* The client hears that quit was understood before everything ends. */
static void test_quit_replies_first(void **state)
{
	(void)state;
	negotiate(&talk);
	talk.session.send = on_quit_reply;
	says("{\"execute\": \"quit\"}", "{\"return\": {}}");
	assert_string_equal(machine.calls, "reply quit ");
}

static const char add_words[] =
	"{\"execute\": \"device_add\", \"id\": [1], \"arguments\": {\"driver\": \"vfio-pci\", "
	"\"id\": \"vfio-0\", \"bus\": \"pcie.1\", \"addr\": \"0x0\", \"host\": \"0000:1a:00.3\"}}";

static void test_device_add(void **state)
{
	(void)state;
	negotiate(&talk);
	says(add_words, "");
	assert_true(session_busy(&talk.session));
	assert_ptr_equal(machine.type, &vfio_pci_type);
	assert_string_equal(machine.options->device.id, "vfio-0");
	assert_string_equal(machine.options->device.bus, "pcie.1");
	assert_int_equal(machine.options->device.addr, 0);
	assert_int_equal(machine.options->host.bus, 0x1a);
	/* another client is served meanwhile */
	negotiate(&other);
	assert_string_equal(talk_say(&other, "{\"execute\": \"query-target\"}"),
		"{\"return\": {\"arch\": \"x86_64\"}}");
	machine_answer(&machine, 0);
	assert_string_equal(talk_take(&talk), "{\"return\": {}, \"id\": [1]}");
	assert_int_equal(talk.resumed, 1);
	assert_false(session_busy(&talk.session));
}

static void test_device_add_fails(void **state)
{
	(void)state;
	negotiate(&talk);
	says(add_words, "");
	machine_answer(&machine, EBUSY);
	assert_string_equal(talk_take(&talk),
		"{\"error\": {\"class\": \"GenericError\", \"desc\": \"device 'x' says no\"}, "
		"\"id\": [1]}");
	machine.answer_at_once = true;
	machine.answer = ENODEV; /* not DeviceNotFound: that is for device_del */
	assert_non_null(strstr(talk_say(&talk, add_words), "\"GenericError\""));
	assert_false(session_busy(&talk.session));
}

/* Every JSON kind that a property understands. */
static void test_device_add_kinds(void **state)
{
	(void)state;
	machine.answer_at_once = true;
	negotiate(&talk);
	says("{\"execute\": \"device_add\", \"arguments\": {\"driver\": \"vfio-pci\", \"id\": "
	     "\"a\", \"host\": \"1a:00.0\", \"multifunction\": true, \"addr\": 9, "
	     "\"unplug-timeout\": 3}}",
		"{\"return\": {}}");
	assert_true(machine.options->device.multifunction);
	assert_int_equal(machine.options->device.addr, 9);
	assert_int_equal(machine.options->device.unplug_timeout, 3);
	says("{\"execute\": \"device_add\", \"arguments\": {\"driver\": \"vfio-pci\", \"id\": "
	     "\"a\", \"host\": \"1a:00.0\", \"multifunction\": \"on\", \"unplug-timeout\": "
	     "\"4\"}}",
		"{\"return\": {}}");
	assert_true(machine.options->device.multifunction);
	assert_int_equal(machine.options->device.unplug_timeout, 4);
}

static void refuses(const char *arguments, const char *word)
{
	char message[512];
	const char *got;

	snprintf(message, sizeof(message), "{\"execute\": \"device_add\", \"arguments\": %s}",
		arguments);
	got = talk_say(&talk, message);
	if (!strstr(got, "\"GenericError\"") || !strstr(got, word))
		fail_msg("%s\n  answered %s\n  without '%s'", message, got, word);
	assert_string_equal(machine.calls, "");
	assert_false(session_busy(&talk.session));
}

static void test_device_add_bad(void **state)
{
	(void)state;
	negotiate(&talk);
	refuses("{}", "'driver' is missing");
	refuses("{\"driver\": 3}", "'driver', expected: string");
	refuses("{\"driver\": \"vfio\"}", "'vfio' is not a valid device model name");
	refuses("{\"driver\": \"vfio-pcie\"}", "did you mean 'vfio-pci'?");
	refuses("{\"driver\": \"vfio-pci\", \"id\": \"a\", \"hots\": \"1a:0.0\"}", "'hots'");
	refuses("{\"driver\": \"vfio-pci\", \"id\": \"a\", \"host\": \"zz\"}", "'zz'");
	refuses("{\"driver\": \"vfio-pci\", \"id\": \"a\", \"host\": []}", "'host', expected");
	refuses("{\"driver\": \"vfio-pci\", \"id\": \"a\", \"multifunction\": 1.5}", "'1.5'");
	refuses("{\"driver\": \"vfio-pci\", \"id\": \"a\", \"host\": \"1a:0.0\", \"fd\": \"3\"}",
		"handed over");
}

static void test_device_del(void **state)
{
	(void)state;
	machine.answer_at_once = true;
	negotiate(&talk);
	says("{\"execute\": \"device_del\", \"arguments\": {\"id\": \"vfio-0\"}}",
		"{\"return\": {}}");
	says("{\"execute\": \"device_del\", \"arguments\": {\"id\": "
	     "\"/machine/peripheral/vfio-1\", \"force\": true}}",
		"{\"return\": {}}");
	assert_string_equal(machine.calls, "del vfio-0 force-del vfio-1 ");
	machine.answer = ENODEV;
	says("{\"execute\": \"device_del\", \"arguments\": {\"id\": \"x\"}}",
		ERROR("DeviceNotFound", "device 'x' says no"));
	machine.answer = ETIMEDOUT;
	says("{\"execute\": \"device_del\", \"arguments\": {\"id\": \"x\"}}",
		ERROR("GenericError", "device 'x' says no"));
}

/* The client goes away in the middle: the operation ends, nobody is told, nothing leaks. */
static void test_client_gone(void **state)
{
	(void)state;
	negotiate(&talk);
	says(add_words, "");
	session_close(&talk.session);
	machine_answer(&machine, EIO);
	assert_string_equal(talk_take(&talk), "");
	assert_int_equal(talk.resumed, 0);
	assert_ptr_equal(context.sessions, &other.session);
	session_close(&other.session);
	assert_null(context.sessions);
}

static void emit(const struct machine_event *event)
{
	qmp_on_machine_event(&context, event);
}

/* Without the timestamp, whose shape is checked. */
static const char *event_of(struct talk *who)
{
	char *text = (char *)(uintptr_t)talk_take(who), *stamp = strstr(text, ", \"timestamp\": {");
	long seconds, micro;
	int end = 0;

	if (!*text)
		return text;
	assert_non_null(stamp);
	assert_int_equal(
		sscanf(stamp, ", \"timestamp\": {\"seconds\": %ld, \"microseconds\": %ld}}%n",
			&seconds, &micro, &end),
		2);
	assert_int_equal(stamp[end], 0);
	assert_true(seconds > 1600000000 && micro >= 0 && micro < 1000000);
	*stamp = '\0';
	return text;
}

static void test_events(void **state)
{
	(void)state;
	talk_take(&other);
	emit(&(struct machine_event){ .kind = MACHINE_STOP });
	assert_string_equal(event_of(&other), ""); /* has not negotiated */
	negotiate(&talk);
	negotiate(&other);
	emit(&(struct machine_event){ .kind = MACHINE_STOP });
	assert_string_equal(event_of(&talk), "{\"event\": \"STOP\"");
	assert_string_equal(event_of(&other), "{\"event\": \"STOP\"");
	emit(&(struct machine_event){
		.kind = MACHINE_DEVICE_DELETED, .device = "vfio-0", .path = "vfio-0" });
	assert_string_equal(event_of(&talk),
		"{\"event\": \"DEVICE_DELETED\", \"data\": {\"device\": \"vfio-0\", \"path\": "
		"\"vfio-0\"}");
	emit(&(struct machine_event){
		.kind = MACHINE_SHUTDOWN, .guest = true, .reason = "guest-shutdown" });
	assert_string_equal(event_of(&talk),
		"{\"event\": \"SHUTDOWN\", \"data\": {\"guest\": true, "
		"\"reason\": \"guest-shutdown\"}");
	emit(&(struct machine_event){ .kind = MACHINE_DEVICE_UNPLUG_GUEST_ERROR,
		.device = "d",
		.path = "d",
		.reason = "requested" });
	assert_string_equal(event_of(&talk),
		"{\"event\": \"DEVICE_UNPLUG_GUEST_ERROR\", \"data\": {\"device\": \"d\", "
		"\"path\": \"d\", \"stage\": \"requested\"}");
	emit(&(struct machine_event){ .kind = MACHINE_VFIO_DEVICE_ERROR,
		.device = "d",
		.path = "d",
		.reason = "fatal",
		.action = "stop" });
	assert_string_equal(event_of(&talk), "{\"event\": \"VFIO_DEVICE_ERROR\", \"data\": "
					     "{\"device\": \"d\", \"path\": \"d\", \"severity\": "
					     "\"fatal\", \"action\": \"stop\"}");
	emit(&(struct machine_event){ .kind = MACHINE_MEMORY_FAILURE,
		.recipient = "guest",
		.action = "inject",
		.action_required = true });
	assert_string_equal(event_of(&talk),
		"{\"event\": \"MEMORY_FAILURE\", \"data\": {\"recipient\": \"guest\", \"action\": "
		"\"inject\", \"flags\": {\"action-required\": true, \"recursive\": false}}");
}

static int dev_null(void)
{
	return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static void test_named_fds(void **state)
{
	int fd = dev_null(), second = dev_null();
	char name[FD_NAME_MAX + 1] = "", text[FD_NAME_MAX + 100];
	(void)state;

	negotiate(&talk);
	says("{\"execute\": \"getfd\", \"arguments\": {\"fdname\": \"a\"}}",
		ERROR("GenericError", "No file descriptor supplied via SCM_RIGHTS"));
	named_fds_received(&talk.session.fds, fd);
	assert_non_null(strstr(
		talk_say(&talk, "{\"execute\": \"getfd\", \"arguments\": {\"fdname\": \"3a\"}}"),
		"not starting with a digit"));
	assert_false(is_open(fd)); /* or the next name would be its */
	memset(name, 'a', sizeof(name) - 1);
	snprintf(text, sizeof(text),
		"{\"execute\": \"getfd\", \"arguments\": {\"fdname\": \"%s\"}}", name);
	fd = dev_null();
	named_fds_received(&talk.session.fds, fd);
	assert_non_null(strstr(talk_say(&talk, text), "at most 255 bytes"));
	assert_false(is_open(fd));
	fd = dev_null();
	named_fds_received(&talk.session.fds, fd);
	says("{\"execute\": \"getfd\", \"arguments\": {\"fdname\": \"a\"}}", "{\"return\": {}}");
	named_fds_received(&talk.session.fds, second);
	says("{\"execute\": \"getfd\", \"arguments\": {\"fdname\": \"a\"}}", "{\"return\": {}}");
	assert_false(is_open(fd)); /* replaced */
	assert_true(is_open(second));
	says("{\"execute\": \"closefd\", \"arguments\": {\"fdname\": \"a\"}}", "{\"return\": {}}");
	assert_false(is_open(second));
	says("{\"execute\": \"closefd\", \"arguments\": {\"fdname\": \"a\"}}",
		ERROR("GenericError", "File descriptor named 'a' not found"));
}

/* More than there is room for is closed, and the rest still comes in order. */
static void test_too_many_fds(void **state)
{
	int fds[FDS_MAX + 1];
	(void)state;

	for (unsigned i = 0; i <= FDS_MAX; i++) {
		fds[i] = dev_null();
		named_fds_received(&talk.session.fds, fds[i]);
	}
	assert_int_equal(talk.session.fds.n_received, FDS_MAX);
	assert_false(is_open(fds[FDS_MAX]));
	for (unsigned i = 0; i < FDS_MAX; i++) {
		assert_int_equal(named_fds_pop(&talk.session.fds), fds[i]);
		close(fds[i]);
	}
	assert_int_equal(named_fds_pop(&talk.session.fds), -1);
}

static void test_fds_end_with_client(void **state)
{
	int named = dev_null(), waiting = dev_null();
	(void)state;

	negotiate(&talk);
	named_fds_received(&talk.session.fds, named);
	says("{\"execute\": \"getfd\", \"arguments\": {\"fdname\": \"a\"}}", "{\"return\": {}}");
	named_fds_received(&talk.session.fds, waiting);
	session_close(&talk.session);
	assert_false(is_open(named));
	assert_false(is_open(waiting));
	session_close(&other.session);
}

static void test_fdsets(void **state)
{
	int a = dev_null(), b = dev_null();
	char want[256];
	(void)state;

	negotiate(&talk);
	named_fds_received(&talk.session.fds, a);
	named_fds_received(&talk.session.fds, b);
	snprintf(want, sizeof(want), "{\"return\": {\"fdset-id\": 0, \"fd\": %d}}", a);
	says("{\"execute\": \"add-fd\"}", want);
	snprintf(want, sizeof(want), "{\"return\": {\"fdset-id\": 7, \"fd\": %d}}", b);
	says("{\"execute\": \"add-fd\", \"arguments\": {\"fdset-id\": 7, \"opaque\": \"x\"}}",
		want);
	snprintf(want, sizeof(want),
		"{\"return\": [{\"fdset-id\": 0, \"fds\": [{\"fd\": %d}]}, {\"fdset-id\": 7, "
		"\"fds\": [{\"fd\": %d, \"opaque\": \"x\"}]}]}",
		a, b);
	says("{\"execute\": \"query-fdsets\"}", want);
	says("{\"execute\": \"remove-fd\", \"arguments\": {\"fdset-id\": 3}}",
		ERROR("GenericError", "File descriptor named 'fdset-id:3' not found"));
	says("{\"execute\": \"remove-fd\", \"arguments\": {\"fdset-id\": -1}}",
		ERROR("GenericError", "File descriptor named 'fdset-id:-1' not found"));
	says("{\"execute\": \"remove-fd\", \"arguments\": {\"fdset-id\": 7, \"fd\": 99}}",
		ERROR("GenericError", "File descriptor named 'fdset-id:7, fd:99' not found"));
	says("{\"execute\": \"remove-fd\", \"arguments\": {\"fdset-id\": 7}}", "{\"return\": {}}");
	assert_false(is_open(b));
	assert_true(is_open(a));
	says("{\"execute\": \"add-fd\"}",
		ERROR("GenericError", "No file descriptor supplied via SCM_RIGHTS"));
}

/* A device takes an fd by the name or number that the client gave it, and no other. */
static void test_device_fd(void **state)
{
	int a = dev_null(), b = dev_null();
	char message[256];
	(void)state;

	machine.answer_at_once = true;
	negotiate(&talk);
	named_fds_received(&talk.session.fds, a);
	named_fds_received(&talk.session.fds, b);
	says("{\"execute\": \"getfd\", \"arguments\": {\"fdname\": \"cdev\"}}", "{\"return\": {}}");
	talk_say(&talk, "{\"execute\": \"add-fd\"}");
	says("{\"execute\": \"device_add\", \"arguments\": {\"driver\": \"vfio-pci\", \"id\": "
	     "\"a\", \"iommufd\": \"i\", \"host\": \"1a:0.0\", \"fd\": \"cdev\"}}",
		"{\"return\": {}}");
	assert_int_equal(machine.device_fd, a);
	snprintf(message, sizeof(message),
		"{\"execute\": \"device_add\", \"arguments\": {\"driver\": \"vfio-pci\", \"id\": "
		"\"a\", \"iommufd\": \"i\", \"host\": \"1a:0.0\", \"fd\": %d}}",
		b);
	says(message, "{\"return\": {}}");
	says("{\"execute\": \"query-fdsets\"}", "{\"return\": []}");
	assert_true(is_open(a) && is_open(b)); /* the device's now */
	close(a);
	close(b);
}

/* Only the very number that was given, not what begins with it or is cut down to it. */
static void test_device_fd_number(void **state)
{
	int fd = dev_null();
	char wrong[3][32], message[256];
	(void)state;

	machine.answer_at_once = true;
	negotiate(&talk);
	named_fds_received(&talk.session.fds, fd);
	talk_say(&talk, "{\"execute\": \"add-fd\"}");
	snprintf(wrong[0], sizeof(wrong[0]), "\"%dx\"", fd);
	snprintf(wrong[1], sizeof(wrong[1]), "%lld", fd + (1ll << 32));
	snprintf(wrong[2], sizeof(wrong[2]), "%d.0", fd);
	for (unsigned i = 0; i < 3; i++) {
		snprintf(message, sizeof(message),
			"{\"execute\": \"device_add\", \"arguments\": {\"driver\": "
			"\"vfio-pci\", \"id\": \"a\", \"iommufd\": \"i\", \"host\": "
			"\"1a:0.0\", \"fd\": %s}}",
			wrong[i]);
		assert_non_null(strstr(talk_say(&talk, message), "handed over"));
	}
	assert_true(is_open(fd));
}

static const char object_words[] = "{\"execute\": \"object-add\", \"arguments\": {\"qom-type\": "
				   "\"iommufd\", \"id\": \"i0\"}}";

static void test_objects(void **state)
{
	(void)state;
	negotiate(&talk);
	says(object_words, "{\"return\": {}}");
	assert_string_equal(machine.calls, "iommufd i0 ");
	assert_int_equal(machine.object_fd, -1);
	says("{\"execute\": \"object-del\", \"arguments\": {\"id\": \"i0\"}}", "{\"return\": {}}");
	assert_string_equal(machine.calls, "iommufd i0 object-del i0 ");
	machine.answer = EEXIST;
	says(object_words, ERROR("GenericError", "object 'x' says no"));
	machine.answer = ENODEV; /* DeviceNotFound is for device_del alone */
	says("{\"execute\": \"object-del\", \"arguments\": {\"id\": \"i0\"}}",
		ERROR("GenericError", "object 'x' says no"));
}

static void test_objects_bad(void **state)
{
	static const struct {
		const char *arguments, *word;
	} rows[] = {
		{ "{\"id\": \"i0\"}", "'qom-type' is missing" },
		{ "{\"qom-type\": \"iommufd\"}", "'id' is missing" },
		{ "{\"qom-type\": \"rng-random\", \"id\": \"i0\"}",
			"'qom-type' does not accept value 'rng-random'" },
		{ "{\"qom-type\": \"iommufd\", \"id\": \"0i\"}", "'0i'" },
		{ "{\"qom-type\": \"iommufd\", \"id\": \"i0\", \"props\": {}}", "'props'" },
		{ "{\"qom-type\": \"iommufd\", \"id\": \"i0\", \"fd\": \"7\"}", "handed over" },
	};
	char message[256];

	(void)state;
	negotiate(&talk);
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *got;

		snprintf(message, sizeof(message),
			"{\"execute\": \"object-add\", \"arguments\": %s}", rows[i].arguments);
		got = talk_say(&talk, message);
		if (!strstr(got, "\"GenericError\"") || !strstr(got, rows[i].word))
			fail_msg("%s\n  answered %s\n  without '%s'", message, got, rows[i].word);
	}
	assert_string_equal(machine.calls, "");
}

/* An object takes an fd as a device does; nobody's after a failure, so it is closed. */
static void test_object_fd(void **state)
{
	static const char words[] =
		"{\"execute\": \"object-add\", \"arguments\": {\"qom-type\": \"iommufd\", \"id\": "
		"\"i0\", \"fd\": \"iommu\"}}";
	int a = dev_null(), b = dev_null();

	(void)state;
	negotiate(&talk);
	named_fds_received(&talk.session.fds, a);
	says("{\"execute\": \"getfd\", \"arguments\": {\"fdname\": \"iommu\"}}",
		"{\"return\": {}}");
	says(words, "{\"return\": {}}");
	assert_int_equal(machine.object_fd, a);
	assert_true(is_open(a)); /* the object's now */
	close(a);
	named_fds_received(&talk.session.fds, b);
	says("{\"execute\": \"getfd\", \"arguments\": {\"fdname\": \"iommu\"}}",
		"{\"return\": {}}");
	machine.answer = EEXIST;
	says(words, ERROR("GenericError", "object 'x' says no"));
	assert_false(is_open(b));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_greeting, setup, teardown),
		cmocka_unit_test_setup_teardown(test_negotiation, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ids, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_requests, setup, teardown),
		cmocka_unit_test_setup_teardown(test_set_action, setup, teardown),
		cmocka_unit_test_setup_teardown(test_control, setup, teardown),
		cmocka_unit_test_setup_teardown(test_quit_replies_first, setup, teardown),
		cmocka_unit_test_setup_teardown(test_objects, setup, teardown),
		cmocka_unit_test_setup_teardown(test_objects_bad, setup, teardown),
		cmocka_unit_test_setup_teardown(test_object_fd, setup, teardown),
		cmocka_unit_test_setup_teardown(test_device_add, setup, teardown),
		cmocka_unit_test_setup_teardown(test_device_add_fails, setup, teardown),
		cmocka_unit_test_setup_teardown(test_device_add_kinds, setup, teardown),
		cmocka_unit_test_setup_teardown(test_device_add_bad, setup, teardown),
		cmocka_unit_test_setup_teardown(test_device_del, setup, teardown),
		cmocka_unit_test_setup_teardown(test_client_gone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_events, setup, teardown),
		cmocka_unit_test_setup_teardown(test_named_fds, setup, teardown),
		cmocka_unit_test_setup_teardown(test_too_many_fds, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fds_end_with_client, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fdsets, setup, teardown),
		cmocka_unit_test_setup_teardown(test_device_fd, setup, teardown),
		cmocka_unit_test_setup_teardown(test_device_fd_number, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
