/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_requests.c - the guest turns itself off or resets itself, by a register or because a vCPU
 * cannot go on. What is asked for while the machine is being reset is void.
 */
#include <portcullis/log.h>

#include "plug.h"

void guest_power_event(void *opaque, enum power_event event)
{
	struct machine *m = opaque;

	role_enter_main();
	if (m->resetting)
		return;
	if (event == POWER_OFF)
		machine_shutdown(m, SHUTDOWN_GUEST_POWEROFF);
	else
		machine_reset(m, SHUTDOWN_GUEST_RESET);
}

/* A vCPU cannot go on: on main, posted by vcpu_report(). */
void guest_vcpu_reported(struct mail *mail)
{
	struct vcpu *v = container_of(mail, struct vcpu, stopped);
	struct machine *m = v->machine;

	role_enter_main();
	if (m->resetting)
		return;
	if (v->exit_kind == KVM_EXITED_POWEROFF)
		return machine_shutdown(m, SHUTDOWN_GUEST_POWEROFF);
	if (v->exit_kind == KVM_EXITED_RESET)
		return machine_reset(m, SHUTDOWN_GUEST_RESET);
	/* As often as the guest likes: it may go through this in a loop. */
	log_guest("vcpu%u: %s", v->kvm.index, v->why);
	if (v->exit_kind == KVM_EXITED_SHUTDOWN)
		return machine_reset(m, SHUTDOWN_GUEST_RESET);
	machine_stop(m, RUNSTATE_INTERNAL_ERROR, NULL);
}
