/* SPDX-License-Identifier: Apache-2.0 */
/*
 * irqchip.c - the interrupt controllers and timer that KVM emulates, PICs, IOAPIC, LAPICs and PIT:
 * creation, their pins' routes, and the machine-wide part of a reset.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>

#include <portcullis/err.h>
#include <portcullis/sys.h>

#include "x86.h"

#define PIC_PINS 16

_Static_assert(KVM_PIN_ROUTES == PIC_PINS + KVM_GSI_PINS, "every pin has its route");

#define IRQCHIPS 3 /* PIC master, PIC slave, IOAPIC */

struct kvm_vm_state {
	struct kvm_irqchip irqchip[IRQCHIPS];
	struct kvm_pit_state2 pit;
};

static void set_pin(struct kvm_irq_routing_entry *e, uint32_t gsi, uint32_t chip, uint32_t pin)
{
	*e = (struct kvm_irq_routing_entry){
		.gsi = gsi,
		.type = KVM_IRQ_ROUTING_IRQCHIP,
		.u.irqchip = { .irqchip = chip, .pin = pin },
	};
}

void kvm_pin_routes(struct kvm_irq_routing_entry pins[KVM_PIN_ROUTES])
{
	for (uint32_t i = 0; i < PIC_PINS; i++)
		set_pin(&pins[i], i, i < 8 ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE, i % 8);
	for (uint32_t i = 0; i < KVM_GSI_PINS; i++)
		set_pin(&pins[PIC_PINS + i], i, KVM_IRQCHIP_IOAPIC, i);
}

static int create_chips(struct kvm_vm *vm, struct err *err)
{
	/* The speaker's port is polled by kernels that calibrate clocks with the PIT. */
	struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };
	struct kvm_reinject_control no_reinject = { .pit_reinject = 0 };
	struct kvm_irq_routing_entry pins[KVM_PIN_ROUTES];
	long r = sys_ioctl_int(vm->vm_fd, KVM_CREATE_IRQCHIP, 0);
	int ret;

	if (r < 0)
		return err_set_errno(err, (int)-r, "KVM_CREATE_IRQCHIP");
	r = sys_ioctl(vm->vm_fd, KVM_CREATE_PIT2, &pit);
	if (r < 0)
		return err_set_errno(err, (int)-r, "KVM_CREATE_PIT2");
	/*
	 * Ticks that a busy host lost are not made up for: guests with devices have clocks of their
	 * own, and while KVM would do it, AMD's AVIC is off, and with it posted interrupts.
	 */
	(void)sys_ioctl(vm->vm_fd, KVM_REINJECT_CONTROL, &no_reinject);
	kvm_pin_routes(pins);
	ret = kvm_routes_init(vm, pins);
	if (ret < 0)
		return err_set_errno(err, -ret, "setting the interrupt routes");
	return 0;
}

void kvm_pic_power_on(struct kvm_pic_state *pic, bool slave)
{
	*pic = (struct kvm_pic_state){
		.imr = 0xff,
		.irq_base = slave ? 0x70 : 0x08,
		.init4 = 1,
		.elcr_mask = pic->elcr_mask,
	};
}

/* What machine reset puts back, from now on. */
static int save_chips(struct kvm_vm *vm, struct err *err) ON_MAIN
{
	struct kvm_vm_state *state = calloc(1, sizeof(*state));
	long r = 0;

	if (!state)
		return err_set_errno(err, ENOMEM, "saving the interrupt controllers");
	vm->arch.initial = state;
	for (unsigned i = 0; i < IRQCHIPS && r >= 0; i++) {
		state->irqchip[i].chip_id = i;
		r = sys_ioctl(vm->vm_fd, KVM_GET_IRQCHIP, &state->irqchip[i]);
	}
	if (r >= 0)
		r = sys_ioctl(vm->vm_fd, KVM_GET_PIT2, &state->pit);
	if (r >= 0) {
		kvm_pic_power_on(&state->irqchip[KVM_IRQCHIP_PIC_MASTER].chip.pic, false);
		kvm_pic_power_on(&state->irqchip[KVM_IRQCHIP_PIC_SLAVE].chip.pic, true);
		r = kvm_vm_reset(vm);
	}
	if (r < 0)
		return err_set_errno(err, (int)-r, "setting up the interrupt controllers");
	return 0;
}

int kvm_irqchip_create(struct kvm_vm *vm, struct err *err)
{
	int ret = create_chips(vm, err);

	return ret ? ret : save_chips(vm, err);
}

int kvm_vm_reset(struct kvm_vm *vm)
{
	/* The slave first: restoring the master hands on to it what the slave still has. */
	static const unsigned order[IRQCHIPS] = { KVM_IRQCHIP_PIC_SLAVE, KVM_IRQCHIP_PIC_MASTER,
		KVM_IRQCHIP_IOAPIC };

	for (unsigned i = 0; i < IRQCHIPS; i++) {
		struct kvm_irqchip chip = vm->arch.initial->irqchip[order[i]];
		long r = sys_ioctl(vm->vm_fd, KVM_SET_IRQCHIP, &chip);

		if (r < 0)
			return (int)r;
	}
	return (int)sys_ioctl(vm->vm_fd, KVM_SET_PIT2, &vm->arch.initial->pit);
}
