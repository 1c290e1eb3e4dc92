/* SPDX-License-Identifier: Apache-2.0 */
/* device_options.c - the words of what all devices have. */
#include <portcullis/device_options.h>

const char *const device_on_error_names[] = { [ON_ERROR_STOP] = "stop",
	[ON_ERROR_UNPLUG] = "unplug",
	[ON_ERROR_RESET] = "reset",
	[ON_ERROR_REPORT] = "report",
	NULL };
