/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main.c - hostile machines one after the other, until the time is over. Each is a process of its
 * own, as every machine is; what it leaks is found at its end.
 *
 *   hostile_machine --help
 */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <portcullis/sys.h>

#include "machine.h"
#include "promises.h"

struct options {
	unsigned seconds;
	uint64_t seed;
	long machine; /* -1: from 0 on */
	bool verbose;
};

static unsigned pick(const unsigned *from, unsigned n)
{
	return from[chance_below(n)];
}

#define PICK(...)                                                                                  \
	pick((const unsigned[]){ __VA_ARGS__ },                                                    \
		sizeof((const unsigned[]){ __VA_ARGS__ }) / sizeof(unsigned))

static struct plan make_plan(uint64_t seed, unsigned number)
{
	hostile.plan = (struct plan){ .seed = seed, .number = number };
	chance_restart();
	chance_name("plan");
	return (struct plan){
		.seed = seed,
		.number = number,
		.life_ms = 200 + chance_below(3000),
		.ending = one_in(2) ? END_QUIT : (enum ending)chance_below(ENDINGS),
		.cpus = one_in(5) ? 1 : HOSTILE_CPUS,
		.native = one_in(3),
		.no_reboot = one_in(12),
		.no_shutdown = one_in(6),
		.polite = one_in(2),
		.fail_one_in = PICK(0, 1000, 200, 60),
		.delay_one_in = PICK(0, 100, 20),
		.hold_one_in = PICK(0, 400, 100),
		.access_one_in = PICK(0, 200, 20),
		.resets = PICK(0, 1, 4, 200),
		.power = PICK(0, 0, 0, 1),
		.force_one_in = PICK(0, 0, 4, 20),
		.reset_one_in = PICK(0, 0, 400, 40),
		.pull_one_in = PICK(0, 2000, 200),
	};
}

static void print_plan(const struct plan *p)
{
	static const char *const endings[] = { "quit", "quit at once", "SIGTERM", "guest" };

	printf("machine %u: %u CPUs, %u ms, then %s;%s%s%s%s fails 1/%u, delays 1/%u, holds 1/%u, "
	       "accesses "
	       "1/%u, resets "
	       "%u, "
	       "power %u, force 1/%u, resets 1/%u, pulls 1/%u\n",
		p->number, p->cpus, p->life_ms, endings[p->ending], p->native ? " native" : "",
		p->no_reboot ? " no-reboot" : "", p->no_shutdown ? " no-shutdown" : "",
		p->polite ? " polite" : "", p->fail_one_in, p->delay_one_in, p->hold_one_in,
		p->access_one_in, p->resets, p->power, p->force_one_in, p->reset_one_in,
		p->pull_one_in);
}

static const char help[] =
	"hostile_machine [--seconds N] [--seed S] [--machine N] [--verbose]\n"
	"\n"
	"  --seconds N  one machine after the other, for N seconds (30)\n"
	"  --seed S     everything random comes from it; without, another in each run\n"
	"  --machine N  only the Nth machine of that seed, as a failure names it\n"
	"  --verbose    tell each machine's plan, and what it did\n";

static unsigned long long number(const char *text)
{
	char *end;
	unsigned long long value = strtoull(text, &end, 0);

	if (!*text || *end) {
		fprintf(stderr, "hostile_machine: '%s' is no number\n%s", text, help);
		exit(2);
	}
	return value;
}

static void parse(struct options *o, int argc, char *argv[])
{
	static const struct option longs[] = { { "help", no_argument, NULL, 'h' },
		{ "seconds", required_argument, NULL, 's' },
		{ "seed", required_argument, NULL, 'r' },
		{ "machine", required_argument, NULL, 'm' }, { "verbose", no_argument, NULL, 'v' },
		{ 0 } };
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) >= 0)
		if (c == 's')
			o->seconds = (unsigned)number(optarg);
		else if (c == 'r')
			o->seed = number(optarg);
		else if (c == 'm')
			o->machine = (long)number(optarg);
		else if (c == 'v')
			o->verbose = true;
		else {
			fputs(help, c == 'h' ? stdout : stderr);
			exit(c == 'h' ? 0 : 2);
		}
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void block_signals(void)
{
	sigset_t set;

	/* In every thread of ours: SIGTERM is for the machine's signalfd. */
	sigfillset(&set);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
}

/*
 * The sanitizers' own options: the first fault is one too many, and a broken rule shows its place.
 */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "handle_abort=1";
}

const char *__ubsan_default_options(void);
const char *__ubsan_default_options(void)
{
	return "print_stacktrace=1";
}

const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
	return "halt_on_error=1:second_deadlock_stack=1:handle_abort=1";
}

static void print_counts(void)
{
	uint64_t exits = 0;

	for (unsigned i = 0; i < HOSTILE_CPUS; i++)
		exits += kvm_exits(i);
	printf("  %llu exits, %u devices asked for, %u added, %u deleted,",
		(unsigned long long)exits, promises_count(PROMISE_ASKED),
		promises_count(PROMISE_KEPT), promises_count(PROMISE_DELETED));
}

static bool run(const struct plan *plan, bool verbose)
{
	pid_t child = fork();
	int status = 0;

	if (child == 0) {
		/* Whoever ends us ends it: nothing else reaches it. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		block_signals();
		machine_life(plan);
		if (verbose)
			print_counts();
		exit(0);
	}
	if (child < 0 || waitpid(child, &status, 0) != child || status) {
		printf("FAILED: machine %u, wait status 0x%x\nrepeat: hostile_machine --seed %llu "
		       "--machine %u\n",
			plan->number, (unsigned)status, (unsigned long long)plan->seed,
			plan->number);
		return false;
	}
	return true;
}

int main(int argc, char *argv[])
{
	struct options o = { .seconds = 30, .machine = -1 };
	unsigned number;
	double start = now();

	if (getrandom(&o.seed, sizeof(o.seed), 0) != sizeof(o.seed))
		o.seed = (uint64_t)(start * 1e6);
	o.seed >>= 32;
	parse(&o, argc, argv);
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (sys_fd_limit())
		return 2;
	printf("hostile_machine --seed %llu\n", (unsigned long long)o.seed);
	number = o.machine < 0 ? 0 : (unsigned)o.machine;
	do {
		struct plan plan = make_plan(o.seed, number);
		double began = now();

		if (o.verbose)
			print_plan(&plan);
		if (!run(&plan, o.verbose))
			return 1;
		if (o.verbose)
			printf(" %.2f s\n", now() - began);
		number++;
	} while (o.machine < 0 && now() - start < o.seconds);
	printf("%u machines, no promise broken, %.0f s\n", number, now() - start);
	return 0;
}
