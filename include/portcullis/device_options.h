/* SPDX-License-Identifier: Apache-2.0 */
/*
 * device_options.h - what every -device has, whatever it is: its id, its place, and what the
 * machine does when it is unplugged or fails.
 *
 * Layer: L0, plain data. A device type's options begin with struct device_options; its property
 *        table has the rows below that the type knows, at their place among its own.
 * Who:   the machine reads it without knowing the type; strings are owned as prop.h says.
 */
#ifndef PORTCULLIS_DEVICE_OPTIONS_H
#define PORTCULLIS_DEVICE_OPTIONS_H

#include <portcullis/prop.h>

/* What happens to the guest when its device reports an error. */
enum device_on_error { ON_ERROR_STOP, ON_ERROR_UNPLUG, ON_ERROR_RESET, ON_ERROR_REPORT };
extern const char *const device_on_error_names[]; /* NULL-terminated */

/* What a type has no row for is zero. */
struct device_options {
	char *id;
	char *bus;    /* "pcie.0" or a root port's id */
	int32_t addr; /* devfn, -1: first free */
	bool multifunction;
	uint64_t unplug_timeout; /* seconds */
	int32_t on_error;	 /* enum device_on_error */
};

/* Of a type's options struct: the rows' offsets are right for it. */
#define DEVICE_OPTIONS_HEAD(type, member)                                                          \
	_Static_assert(offsetof(type, member) == 0 &&                                              \
			       __builtin_types_compatible_p(                                       \
				       __typeof__(((type *)0)->member), struct device_options),    \
		"options of a device begin with struct device_options")

/* Rows of a property table; what differs from type to type (.help, .required) is the argument. */
/* clang-format off */
#define DEVICE_PROP_AT(field) .offset = offsetof(struct device_options, field)
#define DEVICE_PROP_ID(...) \
	{ .name = "id", .kind = PROP_STRING, DEVICE_PROP_AT(id), __VA_ARGS__ }
#define DEVICE_PROP_BUS(...) \
	{ .name = "bus", .kind = PROP_STRING, DEVICE_PROP_AT(bus), .def = "pcie.0", __VA_ARGS__ }
#define DEVICE_PROP_ADDR(...) \
	{ .name = "addr", .kind = PROP_DEVFN, DEVICE_PROP_AT(addr), __VA_ARGS__ }
#define DEVICE_PROP_MULTIFUNCTION(...) \
	{ .name = "multifunction", .kind = PROP_BOOL, DEVICE_PROP_AT(multifunction), \
	  .def = "off", __VA_ARGS__ }
#define DEVICE_PROP_UNPLUG_TIMEOUT \
	{ .name = "unplug-timeout", .kind = PROP_UINT, DEVICE_PROP_AT(unplug_timeout), \
	  .def = "10", .min = 1, .max = 3600, \
	  .help = "seconds the guest has to let go after device_del" }
#define DEVICE_PROP_ON_ERROR \
	{ .name = "on-error", .kind = PROP_CHOICE, DEVICE_PROP_AT(on_error), .def = "stop", \
	  .choices = device_on_error_names, \
	  .help = "when the device reports an error (AER): stop or reset the guest, unplug the device, or only report it" }
/* clang-format on */

#endif
