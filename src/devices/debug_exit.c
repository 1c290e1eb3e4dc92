/* SPDX-License-Identifier: Apache-2.0 */
/* debug_exit.c - ports by which a test kernel ends the program and chooses its exit status. */
#include <portcullis/devices.h>

#define STATUS_MASK 0xffu /* what a parent process gets to see */

#define AT(field) offsetof(struct debug_exit_options, field)
DEVICE_OPTIONS_HEAD(struct debug_exit_options, device);

/* clang-format off */
static const struct prop props[] = {
	DEVICE_PROP_ID(.help = "name of the device"),
	{ .name = "iobase", .kind = PROP_UINT, .offset = AT(iobase), .def = "0x501", .max = 0xffff,
	  .help = "first I/O port" },
	{ .name = "iosize", .kind = PROP_UINT, .offset = AT(iosize), .def = "2", .min = 1, .max = 4,
	  .help = "number of I/O ports" },
	{ .name = NULL },
};
/* clang-format on */

const struct prop_type debug_exit_type = {
	.name = "isa-debug-exit",
	.help = "a guest that writes VALUE there ends the program with status (VALUE << 1) | 1",
	.size = sizeof(struct debug_exit_options),
	.props = props,
};

void debug_exit_init(struct debug_exit *debug_exit, struct loop *main,
	void (*on_exit)(void *opaque, int status), void *opaque)
{
	*debug_exit = (struct debug_exit){ .main = main, .on_exit = on_exit, .opaque = opaque };
}

/* On main. */
static void finish(struct io_request *request)
{
	struct debug_exit *d = request->opaque;

	d->on_exit(d->opaque, (int)((request->data << 1 | 1) & STATUS_MASK));
	io_complete(request);
}

enum io_status debug_exit_access(void *opaque, struct io_access *access)
{
	struct debug_exit *d = opaque;

	if (access->write)
		return io_defer(access, d->main, finish, d, 0);
	access->data = 0;
	return IO_DONE;
}
