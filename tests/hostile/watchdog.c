/* SPDX-License-Identifier: Apache-2.0 */
/*
 * watchdog.c - a thread that looks on: is main held up, is a mailbox whole, does anything move.
 *
 * Time is counted in ticks that this thread could run, so that a machine which stands still or has
 * no processor for us breaks no promise.
 */
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <portcullis/loop.h>
#include <portcullis/vcpu.h>

#include "hostile.h"
#include "threads.h"

#define TICK_MS 10
/* The kernel holds accesses for up to 4 s: main must not wait for one. */
#define MAIN_SLEEPS_MS 1000
#define MAIN_SILENT_MS 20000 /* whatever it does */
#define START_MS 60000
#define END_MS 30000
#define STANDSTILL_MS 20000
#define MAIL_MAX 10000

static struct {
	pthread_t thread;
	pthread_mutex_t lock; /* held while it looks into the machine */
	bool blind;
	atomic_bool stop, pinged;
	_Atomic uint64_t alive_ms;
	struct mail ping;
	uint64_t pinged_at, phase_at;
	unsigned asleep_ms; /* main, since it was pinged */
	enum phase phase;
} dog;

uint64_t watchdog_alive_ms(void)
{
	return atomic_load(&dog.alive_ms);
}

void sleep_ms(unsigned ms)
{
	struct timespec left = { .tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000 };

	while (nanosleep(&left, &left))
		;
}

static void print_log(void)
{
	char path[128], buf[4096];
	FILE *file;
	size_t n;

	snprintf(path, sizeof(path), "%s/log", hostile.directory);
	file = fopen(path, "r");
	if (!file)
		return;
	fseek(file, 0, SEEK_END);
	fseek(file, ftell(file) > 4000 ? -4000 : -ftell(file), SEEK_END);
	n = fread(buf, 1, sizeof(buf), file);
	printf("--- the end of its log\n%.*s", (int)n, buf);
	fclose(file);
}

void violation(const char *fmt, ...)
{
	static atomic_flag once = ATOMIC_FLAG_INIT;
	va_list args;

	while (atomic_flag_test_and_set(&once)) /* somebody else is at it, and ends the process */
		sleep_ms(1000);
	printf("VIOLATION: ");
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	printf("\nrepeat: hostile_machine --seed %llu --machine %u (phase %u)\n",
		(unsigned long long)hostile.plan.seed, hostile.plan.number, phase_now());
	threads_print();
	print_log();
	fflush(stdout);
	_exit(1);
}

/* --- main --- */

static void ping_run(struct mail *mail)
{
	(void)mail;
	atomic_store(&dog.pinged, false);
}

static void ping(uint64_t now)
{
	dog.pinged_at = now;
	dog.asleep_ms = 0;
	atomic_store(&dog.pinged, true);
	dog.ping = (struct mail){ .run = ping_run };
	loop_post(machine_loop(hostile.machine), &dog.ping);
}

/*
 * With mail in its box its loop does not sleep: if main does, it waits for something else. One that
 * could run, but is not let, counts as running.
 */
static void check_main(uint64_t now)
{
	char state;

	if (dog.phase != PHASE_RUN && dog.phase != PHASE_CALM)
		return;
	if (!atomic_load(&dog.pinged)) {
		ping(now);
		return;
	}
	state = thread_state(atomic_load(&hostile.main_tid));
	dog.asleep_ms += state == 'S' || state == 'D' ? TICK_MS : 0;
	if (dog.asleep_ms > MAIN_SLEEPS_MS)
		violation("main waits: no answer for %llu ms, of which it slept %u",
			(unsigned long long)(now - dog.pinged_at), dog.asleep_ms);
	if (now - dog.pinged_at > MAIN_SILENT_MS)
		violation("main does not answer for %llu ms",
			(unsigned long long)(now - dog.pinged_at));
}

/* --- mail --- */

static void check_mail(struct loop *loop, const char *whose)
{
	unsigned n = 0;
	struct mail **end;

	pthread_mutex_lock(&loop->lock);
	end = &loop->head;
	for (struct mail *mail = loop->head; mail && n < MAIL_MAX; mail = mail->next, n++)
		end = &mail->next;
	if (n != loop->count || end != loop->tail)
		violation("the mailbox of %s is broken: %u pieces of mail can be reached of %u, "
			  "and the end is %s",
			whose, n, loop->count, end == loop->tail ? "right" : "elsewhere");
	pthread_mutex_unlock(&loop->lock);
}

static void check_mailboxes(void)
{
	struct worker *workers;
	unsigned n = machine_workers(hostile.machine, &workers);

	check_mail(machine_loop(hostile.machine), "main");
	for (unsigned i = 0; i < n; i++)
		check_mail(&workers[i].loop, "a worker");
}

/* --- progress --- */

static void check_progress(uint64_t now)
{
	static const struct {
		unsigned limit_ms;
		const char *what;
	} limits[] = {
		[PHASE_START] = { START_MS, "the machine does not start" },
		[PHASE_END] = { END_MS, "the machine does not end" },
		[PHASE_FREE] = { END_MS, "what is left is not given back" },
	};
	enum phase phase = phase_now();

	if (phase != dog.phase) {
		dog.phase = phase;
		dog.phase_at = now;
	}
	if (phase < sizeof(limits) / sizeof(limits[0]) && limits[phase].limit_ms &&
		now - dog.phase_at > limits[phase].limit_ms)
		violation("%s", limits[phase].what);
}

static void *watch(void *opaque)
{
	(void)opaque;
	thread_name("watchdog");
	while (!atomic_load(&dog.stop)) {
		uint64_t now;

		sleep_ms(TICK_MS);
		now = atomic_fetch_add(&dog.alive_ms, TICK_MS);
		check_progress(now);
		pthread_mutex_lock(&dog.lock);
		if (!dog.blind) {
			check_mailboxes();
			check_main(now);
		}
		pthread_mutex_unlock(&dog.lock);
	}
	return NULL;
}

void watchdog_start(void)
{
	uint64_t alive = watchdog_alive_ms();

	memset(&dog, 0, sizeof(dog));
	pthread_mutex_init(&dog.lock, NULL);
	atomic_store(&dog.alive_ms, alive);
	if (pthread_create(&dog.thread, NULL, watch, NULL))
		violation("no thread for the watchdog");
}

void watchdog_look_away(void)
{
	pthread_mutex_lock(&dog.lock);
	dog.blind = true;
	pthread_mutex_unlock(&dog.lock);
}

void watchdog_stop(void)
{
	atomic_store(&dog.stop, true);
	pthread_join(dog.thread, NULL);
}
