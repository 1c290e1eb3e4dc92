/* SPDX-License-Identifier: Apache-2.0 */
/* machine_config.c - the config object: what it is before any option, and its end. */
#include <portcullis/config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <portcullis/memory_backend.h>

/* A Debian kernel with its initrd boots in it. */
#define RAM_DEFAULT (512ull << 20)

const char *const panic_action_names[] = { [PANIC_SHUTDOWN] = "shutdown",
	[PANIC_PAUSE] = "pause",
	[PANIC_EXIT_FAILURE] = "exit-failure",
	[PANIC_NONE] = "none",
	NULL };

void config_init(struct config *config)
{
	*config = (struct config){
		.cpus = 1,
		.sockets = 1,
		.cores = 1,
		.threads = 1,
		.ram_size = RAM_DEFAULT,
	};
}

static void release_devices(struct config_device *devices, unsigned n, bool has_fds)
{
	for (unsigned i = 0; i < n; i++) {
		void *options = devices[i].options;
		int *fd = options ? props_fd(devices[i].type, options) : NULL;

		if (fd && !has_fds)
			*fd = -1;
		props_free(devices[i].type, options, NULL);
	}
	free(devices);
}

void config_release(struct config *config)
{
	char *strings[] = { config->name, config->mem_path, config->kernel, config->initrd,
		config->append, config->serial.path, config->pidfile, config->log_file,
		config->memory_backend, (char *)config->numa.cpu_node,
		(char *)config->numa.distance };

	for (size_t i = 0; i < sizeof(strings) / sizeof(strings[0]); i++)
		free(strings[i]);
	release_devices(config->objects, config->n_objects, config->has_fds);
	release_devices(config->devices, config->n_devices, config->has_fds);
	for (unsigned i = 0; i < config->n_qmp; i++) {
		free(config->qmp[i].path);
		free(config->qmp[i].host);
	}
	free(config->qmp);
	for (unsigned i = 0; i < config->n_globals; i++) {
		free(config->globals[i].driver);
		free(config->globals[i].property);
		free(config->globals[i].value);
	}
	free(config->globals);
	for (unsigned i = 0; i < CONFIG_NODES_MAX; i++)
		free(config->numa.node[i].memdev);
	memset(config, 0, sizeof(*config));
}

/* Every type of object has one. */
const char *config_object_id(const struct config_device *object)
{
	const struct prop *prop = prop_find(object->type, "id");

	return *(char *const *)((const char *)object->options + prop->offset);
}

struct memory_backend_options *config_memory_backend(
	const struct config *config, const char *id, const struct prop_type **type)
{
	for (unsigned i = 0; i < config->n_objects; i++) {
		struct memory_backend_options *options = config->objects[i].options;

		if (!memory_backend_type(config->objects[i].type) || strcmp(options->id, id))
			continue;
		if (type)
			*type = config->objects[i].type;
		return options;
	}
	return NULL;
}

static int make_absolute(char **path, const char *dir)
{
	char *whole;

	if (!*path || **path == '/')
		return 0;
	if (asprintf(&whole, "%s%s%s", dir, strcmp(dir, "/") ? "/" : "", *path) < 0)
		return -ENOMEM;
	free(*path);
	*path = whole;
	return 0;
}

int config_make_absolute(struct config *config, const char *dir)
{
	char **paths[] = { &config->serial.path, &config->pidfile };
	int ret = 0;

	for (size_t i = 0; !ret && i < sizeof(paths) / sizeof(paths[0]); i++)
		ret = make_absolute(paths[i], dir);
	for (unsigned i = 0; !ret && i < config->n_qmp; i++)
		ret = make_absolute(&config->qmp[i].path, dir);
	return ret;
}
