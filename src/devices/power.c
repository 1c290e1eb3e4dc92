/* SPDX-License-Identifier: Apache-2.0 */
/*
 * power.c - the registers by which a guest ends itself or starts anew. A vCPU only leaves a note
 * for main, once: what else it writes until main stops it changes nothing.
 */
#include <portcullis/devices.h>

#include <stdatomic.h>
#include <stddef.h>

#define SLEEP_ENABLE 0x20 /* SLP_EN; the type (bits 2-4) is not looked at: S5 is all there is */
#define RESET_CPU 0x04	  /* 0xcf9: a write with this bit set resets */
#define RESET_HARD 0x0a	  /* 0xcf9: kind of reset, remembered only */
#define KEYBOARD_COMMAND 4
#define KEYBOARD_PULSE_RESET 0xfe

static void run(struct mail *mail)
{
	struct power *p = container_of(mail, struct power, mail);
	enum power_event event = p->event;

	atomic_store(&p->posted, 0);
	p->on_event(p->opaque, event);
}

static void post(struct power *p, enum power_event event)
{
	if (atomic_exchange(&p->posted, 1))
		return;
	p->event = event;
	loop_post(p->main, &p->mail);
}

void power_init(struct power *power, struct loop *loop, void (*on_event)(void *, enum power_event),
	void *opaque)
{
	*power = (struct power){
		.main = loop,
		.mail.run = run,
		.on_event = on_event,
		.opaque = opaque,
	};
}

void power_reset(struct power *p)
{
	(void)loop_take_back(p->main, &p->mail);
	atomic_store(&p->posted, 0);
	atomic_store(&p->reset_reg, 0);
}

enum io_status power_sleep_access(void *opaque, struct io_access *access)
{
	if (!access->write)
		access->data = 0; /* never woken from sleep, so WAK_STS is clear */
	else if (access->offset == 0 && access->data & SLEEP_ENABLE)
		post(opaque, POWER_OFF);
	return IO_DONE;
}

enum io_status power_reset_access(void *opaque, struct io_access *access)
{
	struct power *p = opaque;

	if (!access->write) {
		access->data = atomic_load(&p->reset_reg);
		return IO_DONE;
	}
	atomic_store(&p->reset_reg, (uint8_t)(access->data & RESET_HARD));
	if (access->data & RESET_CPU)
		post(p, POWER_RESET);
	return IO_DONE;
}

/* No keyboard: the status port says "ready for a command", and one command is known. */
enum io_status power_keyboard_access(void *opaque, struct io_access *access)
{
	if (!access->write)
		access->data = 0;
	else if (access->offset == KEYBOARD_COMMAND &&
		 (access->data & 0xff) == KEYBOARD_PULSE_RESET)
		post(opaque, POWER_RESET);
	return IO_DONE;
}
