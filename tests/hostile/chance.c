/* SPDX-License-Identifier: Apache-2.0 */
/* chance.c - a stream of random numbers per thread: splitmix64 from seed, machine and name. */
#include <string.h>
#include <sys/prctl.h>

#include "hostile.h"

static _Atomic unsigned generation = 1;
static _Thread_local uint64_t state;
static _Thread_local unsigned state_of;

static uint64_t step(uint64_t *at)
{
	uint64_t z = *at += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

void chance_restart(void)
{
	atomic_fetch_add(&generation, 1);
}

void chance_name(const char *name)
{
	uint64_t hash = hostile.plan.seed;

	hash = step(&hash) ^ hostile.plan.number;
	for (; *name; name++)
		hash = step(&hash) ^ (uint8_t)*name;
	state = hash;
	state_of = atomic_load(&generation);
}

void thread_name(const char *name)
{
	prctl(PR_SET_NAME, name);
	chance_name(name);
}

uint64_t chance(void)
{
	if (state_of != atomic_load(&generation)) {
		char name[16] = "";

		prctl(PR_GET_NAME, name);
		chance_name(name);
	}
	return step(&state);
}

unsigned chance_below(unsigned n)
{
	return (unsigned)(chance() >> 32) % n;
}

bool one_in(unsigned n)
{
	return n && chance_below(n) == 0;
}
