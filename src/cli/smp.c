/* SPDX-License-Identifier: Apache-2.0 */
/*
 * smp.c - -smp: how many vCPUs, and how they look to the guest.
 *
 * What is left out is computed as QEMU's machines since 6.2 do: cores fill up first, then sockets,
 * then threads. There is no CPU hot plug, so maxcpus is what cpus is.
 */
#include <inttypes.h>
#include <string.h>

#include <portcullis/machine.h>

#include "cli.h"

enum { CPUS, SOCKETS, DIES, CLUSTERS, CORES, THREADS, MAXCPUS, KEYS };

static const char *const keys[] = { "cpus", "sockets", "dies", "clusters", "cores", "threads",
	"maxcpus", NULL };

struct smp {
	uint64_t value[KEYS]; /* 0: not given */
};

static int smp_pair(struct parse *p, const char *key, const char *value, void *opaque)
{
	struct smp *smp = opaque;
	uint64_t number;

	for (unsigned i = 0; i < KEYS; i++) {
		if (strcmp(key, keys[i]) != 0)
			continue;
		if (parse_u64(value, &number) < 0 || !number || number > UINT32_MAX)
			return option_error(
				p, "'%s' cannot be '%s': it is a number from 1 up", key, value);
		if ((i == DIES || i == CLUSTERS) && number != 1)
			return option_error(p, "'%s' can only be 1 here, not '%s'", key, value);
		smp->value[i] = number;
		return 0;
	}
	return unknown_key(p, key, keys);
}

static void at_least_one(uint64_t *value)
{
	if (!*value)
		*value = 1;
}

static void complete(uint64_t *v)
{
	uint64_t total = v[MAXCPUS] ? v[MAXCPUS] : v[CPUS];

	if (!total) {
		at_least_one(&v[SOCKETS]);
		at_least_one(&v[CORES]);
		at_least_one(&v[THREADS]);
	} else if (!v[CORES]) {
		at_least_one(&v[SOCKETS]);
		at_least_one(&v[THREADS]);
		v[CORES] = total / v[SOCKETS] / v[THREADS];
	} else if (!v[SOCKETS]) {
		at_least_one(&v[THREADS]);
		v[SOCKETS] = total / v[CORES] / v[THREADS];
	} else if (!v[THREADS]) {
		v[THREADS] = total / v[SOCKETS] / v[CORES];
	}
}

int opt_smp(struct parse *p, const char *value)
{
	struct smp smp = { 0 };
	uint64_t *v = smp.value, product;
	int ret = option_pairs(p, value, "cpus", smp_pair, &smp);

	if (ret < 0)
		return ret;
	complete(v);
	/* Each is at most 2^32 - 1, so only the second product can overflow. */
	if (__builtin_mul_overflow(v[SOCKETS] * v[CORES], v[THREADS], &product))
		product = UINT64_MAX;
	if (!v[MAXCPUS])
		v[MAXCPUS] = v[CPUS] ? v[CPUS] : product;
	if (!v[CPUS])
		v[CPUS] = v[MAXCPUS];
	if (v[CPUS] > MACHINE_CPUS_MAX || v[MAXCPUS] > MACHINE_CPUS_MAX)
		return option_error(p, "%" PRIu64 " CPUs are more than the %d a guest can have",
			v[CPUS] > v[MAXCPUS] ? v[CPUS] : v[MAXCPUS], MACHINE_CPUS_MAX);
	if (v[MAXCPUS] != v[CPUS]) {
		ret = option_error(p,
			"maxcpus (%" PRIu64 ") must be the number of CPUs (%" PRIu64 ")",
			v[MAXCPUS], v[CPUS]);
		err_hint(p->err, "CPUs cannot be hot-plugged; leave maxcpus out");
		return ret;
	}
	if (product != v[CPUS])
		return option_error(p,
			"sockets (%llu) * cores (%llu) * threads (%llu) must be the number of CPUs (%llu)",
			(unsigned long long)v[SOCKETS], (unsigned long long)v[CORES],
			(unsigned long long)v[THREADS], (unsigned long long)v[CPUS]);
	p->config->cpus = (unsigned)v[CPUS];
	p->config->sockets = (unsigned)v[SOCKETS];
	p->config->cores = (unsigned)v[CORES];
	p->config->threads = (unsigned)v[THREADS];
	return 0;
}
