/* SPDX-License-Identifier: Apache-2.0 */
/*
 * devices.h - the few emulated devices: RTC, power control, event device, debug exit. The serial
 * port has a header of its own.
 *
 * Layer: L3, includes base and bus.
 * Who:   each xxx_access is an io_fn run by vCPUs under the device's leaf lock; the rest is main's.
 * Interrupts are pulses on an eventfd (borrowed) that KVM turns into an edge on the GSI.
 * Cost:  an access posts each of a device's mails at most once, and none while main has nothing to
 *        do for it or will look by itself in time. What main then does takes a bounded number of
 *        steps, whatever a guest wrote: times and counts are computed, never counted up to.
 */
#ifndef PORTCULLIS_DEVICES_H
#define PORTCULLIS_DEVICES_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <portcullis/bus.h>
#include <portcullis/device_options.h>
#include <portcullis/loop.h>
#include <portcullis/prop.h>

/*
 * --- rtc.c: MC146818 clock at 0x70/0x71, UTC, with alarm and update interrupts ---
 * Main is told only of what it would look at too late: writing the same again wakes nobody, nor
 * does a periodic interrupt that the guest never acknowledges.
 */
#define RTC_CENTURY 0x32 /* for FADT */
struct rtc {
	pthread_mutex_t lock;
	int irq_fd;
	struct loop *main;
	struct loop_timer timer; /* main's: the next enabled interrupt */
	struct mail arm;
	bool arm_posted;
	uint8_t index;
	uint8_t cmos[128];    /* time registers are valid only while SET stops the clock */
	int64_t offset_ns;    /* guest wall clock minus host's */
	int64_t checked_ns;   /* guest time up to which register C's flags are right */
	int64_t look_ns;      /* host time for which main has set its timer; INT64_MAX: never */
	int64_t (*now)(void); /* host wall clock in ns; tests put their own here */
};
int rtc_init(struct rtc *rtc, int irq_fd, struct loop *main);
void rtc_release(struct rtc *rtc);
void rtc_reset(struct rtc *rtc);
enum io_status rtc_access(void *rtc, struct io_access *access);

/* --- power.c: sleep control (ACPI 6.4 4.8.3.7), the reset register, the keyboard's reset --- */
enum power_event { POWER_OFF, POWER_RESET };
struct power {
	struct loop *main;
	struct mail mail;
	_Atomic uint32_t posted; /* the first event counts until main has heard of it */
	enum power_event event;
	_Atomic uint8_t reset_reg;
	/* main */
	void (*on_event)(void *opaque, enum power_event event);
	void *opaque;
};
void power_init(struct power *power, struct loop *main, void (*on_event)(void *, enum power_event),
	void *opaque);
/* main, no vCPU runs: what a guest asked for before its reset is void. */
void power_reset(struct power *power);
enum io_status power_sleep_access(void *power, struct io_access *access);
/* 0xcf9 */
enum io_status power_reset_access(void *power, struct io_access *access);
/* 0x60..0x64: command 0xfe resets */
enum io_status power_keyboard_access(void *power, struct io_access *access);

/* --- debug_exit.c: isa-debug-exit, by which test kernels end the program --- */
extern const struct prop_type debug_exit_type;
struct debug_exit_options {
	struct device_options device; /* its id */
	uint64_t iobase, iosize;      /* ports; 1..4 of them */
};
struct debug_exit {
	struct loop *main;
	void (*on_exit)(void *opaque, int status); /* main; status: (value << 1) | 1, 8 bits */
	void *opaque;
};
void debug_exit_init(struct debug_exit *debug_exit, struct loop *main,
	void (*on_exit)(void *opaque, int status), void *opaque);
enum io_status debug_exit_access(void *debug_exit, struct io_access *access);

/* --- ged.c: generic event device (ACPI0013): which events wait; reading clears --- */
#define GED_SIZE 0x1000 /* 4-byte event register */
enum ged_event { GED_POWER_BUTTON = 1u << 0, GED_PCI_HOTPLUG = 1u << 1 };
struct ged {
	_Atomic uint32_t events;
	int irq_fd;
};
void ged_init(struct ged *ged, int irq_fd);
void ged_reset(struct ged *ged);
/* Any thread. events may be 0: pulses again if something still waits. */
void ged_raise(struct ged *ged, uint32_t events);
enum io_status ged_access(void *ged, struct io_access *access);

#endif
