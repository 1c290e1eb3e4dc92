/* SPDX-License-Identifier: Apache-2.0 */
/* fake_vcpu.c - a vCPU of KVM without a kernel. */
#include "fake_vcpu.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define WAIT_TICKS 20000
#define TICK_US 1000

struct fake_vcpu fake_vcpu = { .lock = PTHREAD_MUTEX_INITIALIZER };

void fake_vcpu_clear(void)
{
	memset(fake_vcpu.calls, 0, sizeof(fake_vcpu.calls));
	fake_vcpu.guest = NULL;
}

static void called(char letter)
{
	size_t n;

	pthread_mutex_lock(&fake_vcpu.lock);
	n = strlen(fake_vcpu.calls);
	if (n + 1 < sizeof(fake_vcpu.calls) &&
		!(letter == 'r' && n && fake_vcpu.calls[n - 1] == 'r'))
		fake_vcpu.calls[n] = letter;
	pthread_mutex_unlock(&fake_vcpu.lock);
}

static bool ends_with(const char *end)
{
	size_t n, m = strlen(end);
	bool does;

	pthread_mutex_lock(&fake_vcpu.lock);
	n = strlen(fake_vcpu.calls);
	does = n >= m && !strcmp(fake_vcpu.calls + n - m, end);
	pthread_mutex_unlock(&fake_vcpu.lock);
	return does;
}

void fake_vcpu_wait(const char *end)
{
	for (unsigned i = 0; i < WAIT_TICKS && !ends_with(end); i++)
		usleep(TICK_US);
	if (!ends_with(end))
		fail_msg("calls were '%s', expected at their end: '%s'", fake_vcpu.calls, end);
}

void kvm_vcpu_run(struct kvm_vcpu *vcpu, struct kvm_exit *exit)
{
	*exit = (struct kvm_exit){ .kind = KVM_EXITED_INTERRUPTED };
	called('r');
	if (fake_vcpu.guest)
		fake_vcpu.guest(vcpu, exit);
	else
		usleep(TICK_US);
}

void kvm_vcpu_resumed(struct kvm_vcpu *vcpu)
{
	(void)vcpu;
	called('C');
}

int kvm_vcpu_reset(struct kvm_vcpu *vcpu, const struct kvm_entry *entry)
{
	(void)vcpu, (void)entry;
	called('R');
	return 0;
}

const char *kvm_vcpu_describe(
	struct kvm_vcpu *vcpu, const struct kvm_exit *exit, char *buf, size_t size)
{
	(void)vcpu, (void)exit;
	strncpy(buf, "a fake exit", size);
	return buf;
}
