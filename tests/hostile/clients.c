/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clients.c - people at the control socket. Every command is answered once, in its session's order,
 * unless its client leaves. One client only listens, and never leaves.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "hostile.h"
#include "promises.h"

#define ASKED_MAX 32
#define ANSWER_MS 20000 /* of its session's first command that waits */
#define REVIVE_MS 20000
#define IN_SIZE (1 << 17)

enum command { DEVICE_ADD, DEVICE_DEL, OTHER };

struct asked {
	unsigned number;
	enum command command;
	char id[16];
	char text[400];
};

struct client {
	pthread_t thread;
	unsigned index;
	int fd;
	struct asked asked[ASKED_MAX];
	unsigned n_asked, number;
	bool guest_is_dead; /* it cannot go on before a reset */
	uint64_t since;	    /* the first of them waits, by the watchdog's clock */
	char out[8192];
	size_t out_used;
	char in[IN_SIZE];
	size_t in_used;
};

static struct client clients[HOSTILE_CLIENTS + 1]; /* the last one listens */
static _Atomic bool stop;
static _Atomic unsigned waiting; /* commands without an answer */

/* --- the connection --- */

static int dial(void)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", hostile.socket);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
		close(fd);
		fd = -1;
	}
	return fd;
}

/* Commands whose answers nobody will read. */
static void forget(struct client *c)
{
	for (unsigned i = 0; i < c->n_asked; i++)
		if (c->asked[i].command == DEVICE_ADD)
			promises_added(c->asked[i].id, OUTCOME_UNKNOWN);
	atomic_fetch_sub(&waiting, c->n_asked);
	c->n_asked = 0;
}

static void leave(struct client *c)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	c->in_used = c->out_used = 0;
	forget(c);
}

/* Only the end of the machine takes a client's session away. */
static void thrown_out(struct client *c, const char *how)
{
	if (phase_now() == PHASE_RUN || phase_now() == PHASE_CALM)
		violation("client %u was thrown out: %s", c->index, how);
	leave(c);
}

static void flush(struct client *c)
{
	if (c->out_used && send(c->fd, c->out, c->out_used, MSG_NOSIGNAL) < 0)
		thrown_out(c, strerror(errno));
	c->out_used = 0;
}

/* --- asking --- */

__attribute__((format(printf, 4, 5))) static void ask(
	struct client *c, enum command command, const char *id, const char *fmt, ...)
{
	struct asked *asked = &c->asked[c->n_asked];
	va_list args;
	int used;

	*asked = (struct asked){ .number = c->number++, .command = command };
	snprintf(asked->id, sizeof(asked->id), "%s", id);
	used = snprintf(
		asked->text, sizeof(asked->text), "{\"id\":\"q%u\",\"execute\":", asked->number);
	va_start(args, fmt);
	used += vsnprintf(asked->text + used, sizeof(asked->text) - (size_t)used, fmt, args);
	va_end(args);
	snprintf(asked->text + used, sizeof(asked->text) - (size_t)used, "}\n");
	if (c->out_used + strlen(asked->text) >= sizeof(c->out))
		return;
	strcpy(c->out + c->out_used, asked->text);
	c->out_used += strlen(asked->text);
	if (!c->n_asked++)
		c->since = watchdog_alive_ms();
	atomic_fetch_add(&waiting, 1);
}

static void ask_add(struct client *c)
{
	static const char *const on_error[] = { "stop", "unplug", "reset", "report", "report",
		"report" };
	char id[16];
	unsigned port = promises_new_id(id, sizeof(id));
	/* Mostly one that is nowhere else. */
	unsigned card = one_in(4) ? chance_below(host_cards()) : port - 1;

	ask(c, DEVICE_ADD, id,
		"\"device_add\",\"arguments\":{\"driver\":\"vfio-pci\",\"id\":\"%s\","
		"\"host\":\"%s\",\"bus\":\"rp%u\",\"unplug-timeout\":1,\"on-error\":\"%s\"%s%s}",
		id, host_card_name(card), port, on_error[chance_below(6)],
		one_in(4) ? ",\"iommufd\":\"iommu\"" : "",
		one_in(8) ? ",\"addr\":\"0.1\",\"multifunction\":true" : "");
}

static void ask_del(struct client *c)
{
	char id[16];

	if (!promises_some_id(id, sizeof(id)) && !one_in(8)) {
		ask_add(c);
		return;
	}
	for (unsigned n = one_in(3) ? 2 : 1; n && c->n_asked < ASKED_MAX; n--)
		ask(c, DEVICE_DEL, id, "\"device_del\",\"arguments\":{\"id\":\"%s\"%s}", id,
			one_in(hostile.plan.force_one_in) ? ",\"force\":true" : "");
}

static void ask_something(struct client *c)
{
	static const char *const others[] = { "\"stop\"", "\"cont\"", "\"query-status\"",
		"\"query-vfio\"", "\"query-pci\"", "\"query-cpus-fast\"", "\"query-vfio-mappings\"",
		"\"no-such-command\"", "\"system_powerdown\"" };

	if (c->guest_is_dead || one_in(hostile.plan.reset_one_in)) {
		ask(c, OTHER, "", "\"system_reset\"");
		c->guest_is_dead = false;
	} else if (one_in(3)) {
		ask(c, OTHER, "", "\"cont\""); /* mostly the guest runs */
	} else if (one_in(4)) {
		ask_add(c);
	} else if (one_in(5)) {
		ask_del(c);
	} else {
		ask(c, OTHER, "", "%s", others[chance_below(sizeof(others) / sizeof(others[0]))]);
	}
}

/* --- answers --- */

static void answered(struct client *c, unsigned number, const char *line)
{
	struct asked *first = &c->asked[0];

	if (!c->n_asked || first->number != number)
		violation("client %u: the answer to q%u comes where that to q%u was due: %.200s",
			c->index, number, c->n_asked ? first->number : c->number, line);
	if (first->command == DEVICE_ADD)
		promises_added(first->id, strstr(line, "\"return\"") ? OUTCOME_OK : OUTCOME_ERROR);
	if (strstr(line, "Resetting the Virtual Machine is required"))
		c->guest_is_dead = true;
	memmove(first, first + 1, --c->n_asked * sizeof(*first));
	c->since = watchdog_alive_ms();
	atomic_fetch_sub(&waiting, 1);
}

static void on_line(struct client *c, const char *line)
{
	const char *at = NULL, *next = line, *device;
	unsigned number;
	char id[16];

	if (!strncmp(line, "{\"QMP\"", 6))
		return;
	if (strstr(line, "\"timestamp\"") && strstr(line, "\"event\"")) {
		device = strstr(line, "\"device\": \"");
		if (c == &clients[HOSTILE_CLIENTS] && strstr(line, "DEVICE_DELETED") && device &&
			sscanf(device, "\"device\": \"%15[^\"]", id) == 1 && strcmp(id, "cold"))
			promises_deleted(id);
		return;
	}
	while ((next = strstr(next, "\"id\": \"q")))
		at = next++;
	if (!at || sscanf(at, "\"id\": \"q%u", &number) != 1)
		violation("client %u: what answers this? %.200s", c->index, line);
	answered(c, number, line);
}

static void on_input(struct client *c)
{
	ssize_t n = recv(c->fd, c->in + c->in_used, sizeof(c->in) - 1 - c->in_used, 0);
	char *line = c->in, *end;

	if (n <= 0) {
		thrown_out(c, n ? strerror(errno) : "end of file");
		return;
	}
	c->in_used += (size_t)n;
	c->in[c->in_used] = '\0';
	while ((end = strchr(line, '\n'))) {
		*end = '\0';
		on_line(c, line);
		line = end + 1;
	}
	c->in_used -= (size_t)(line - c->in);
	memmove(c->in, line, c->in_used);
	if (c->in_used == sizeof(c->in) - 1)
		violation("client %u: a line of more than %d bytes", c->index, IN_SIZE);
}

static void listen_ms(struct client *c, int ms)
{
	struct pollfd fd = { .fd = c->fd, .events = POLLIN };

	while (c->fd >= 0 && poll(&fd, 1, ms) > 0) {
		on_input(c);
		ms = 0;
		fd.fd = c->fd;
	}
	if (c->n_asked && watchdog_alive_ms() - c->since > ANSWER_MS)
		violation("client %u waits %u ms for an answer: %s", c->index, ANSWER_MS,
			c->asked[0].text);
}

/* --- their threads --- */

static bool arrive(struct client *c)
{
	c->fd = dial();
	if (c->fd < 0) {
		sleep_ms(5);
		return false;
	}
	ask(c, OTHER, "", "\"qmp_capabilities\"");
	flush(c);
	return true;
}

static void act(struct client *c)
{
	unsigned n = one_in(4) ? 1 + chance_below(6) : 1;

	if (c->n_asked < ASKED_MAX / 2 && one_in(2)) {
		while (n--)
			ask_something(c);
		flush(c);
	}
	if (c->fd >= 0 && one_in(60))
		leave(c);
	else
		listen_ms(c, (int)chance_below(one_in(10) ? 60 : 8));
}

static void *client(void *opaque)
{
	struct client *c = opaque;
	char name[16];

	snprintf(name, sizeof(name), "client%u", c->index);
	thread_name(name);
	while (!atomic_load(&stop)) {
		if (c->fd < 0 && !arrive(c))
			continue;
		if (c->index == HOSTILE_CLIENTS || phase_now() != PHASE_RUN)
			listen_ms(c, 20);
		else
			act(c);
	}
	leave(c);
	return NULL;
}

/* --- the one who ends it --- */

/* Says something and reads until what is expected comes, or the end. */
static bool talk(int fd, const char *text, const char *expected, char *buf, size_t size)
{
	size_t used = 0;
	ssize_t n;

	buf[0] = '\0';
	if (fd < 0 || send(fd, text, strlen(text), MSG_NOSIGNAL) < 0)
		return false;
	while (!strstr(buf, expected)) {
		if (used > size / 2) /* events */
			used = 0;
		n = recv(fd, buf + used, size - 1 - used, 0);
		if (n <= 0)
			return false;
		used += (size_t)n;
		buf[used] = '\0';
	}
	return true;
}

#define ENTER "{\"execute\":\"qmp_capabilities\",\"id\":\"hello\"}"
#define ANSWER(id) "\"id\": \"" id "\"}"

/* After whatever has happened, a reset brings every vCPU back. */
static void revive(int fd, char *buf, size_t size)
{
	static const char text[] = "{\"execute\":\"system_reset\"}"
				   "{\"execute\":\"cont\",\"id\":\"cont\"}";
	uint64_t start = watchdog_alive_ms();
	bool ok = true;

	for (unsigned i = 0; i < hostile.plan.cpus && ok;) {
		uint64_t before = kvm_exits(i);

		if (watchdog_alive_ms() - start > REVIVE_MS)
			violation("vcpu%u does not run any more", i);
		ok = talk(fd, text, ANSWER("cont"), buf, size);
		sleep_ms(20);
		i += kvm_exits(i) != before;
	}
}

/* Every device is pulled, and nothing may be left of any. */
static void clear(void)
{
	static char buf[IN_SIZE];
	int fd = dial();
	char id[16], text[128], *at;
	bool ok = talk(fd, ENTER, ANSWER("hello"), buf, sizeof(buf));

	while (ok) {
		ok = talk(fd, "{\"execute\":\"query-vfio\",\"id\":\"list\"}", ANSWER("list"), buf,
			sizeof(buf));
		at = ok ? strstr(buf, "{\"id\": \"") : NULL;
		if (!at || sscanf(at, "{\"id\": \"%15[^\"]", id) != 1)
			break;
		snprintf(text, sizeof(text),
			"{\"execute\":\"device_del\",\"id\":\"del\",\"arguments\":{\"id\":\"%s\","
			"\"force\":true}}",
			id);
		ok = talk(fd, text, ANSWER("del"), buf, sizeof(buf));
	}
	if (ok) {
		promises_check_all_gone();
		kvm_check_empty();
		host_check_empty();
		revive(fd, buf, sizeof(buf));
	}
	if (fd >= 0)
		close(fd);
}

static void quit(void)
{
	char buf[512];
	int fd = dial();

	(void)talk(fd, ENTER "{\"execute\":\"quit\"}", "nothing", buf, sizeof(buf));
	if (fd >= 0)
		close(fd);
}

void clients_quit(bool calm)
{
	while (calm && phase_now() == PHASE_CALM && atomic_load(&waiting))
		sleep_ms(5);
	if (calm && phase_now() == PHASE_CALM)
		clear();
	while (phase_now() <= PHASE_CALM)
		quit();
}

void clients_start(void)
{
	atomic_store(&stop, false);
	atomic_store(&waiting, 0);
	for (unsigned i = 0; i <= HOSTILE_CLIENTS; i++) {
		struct client *c = &clients[i];

		c->index = i;
		c->fd = -1;
		c->n_asked = c->number = 0;
		c->in_used = c->out_used = 0;
		if (pthread_create(&c->thread, NULL, client, c))
			violation("no thread for client %u", i);
	}
}

void clients_stop(void)
{
	atomic_store(&stop, true);
	for (unsigned i = 0; i <= HOSTILE_CLIENTS; i++)
		pthread_join(clients[i].thread, NULL);
}
