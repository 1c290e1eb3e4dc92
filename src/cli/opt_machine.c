/* SPDX-License-Identifier: Apache-2.0 */
/* opt_machine.c - -machine, -cpu, -accel, -m, -name, -uuid and what only sounds like more of it. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

#define NAME_MAX_BYTES 255

static int machine_type(struct parse *p, const char *type)
{
	if (!strcmp(type, "help")) {
		return copy_string(p, &p->text,
			"Supported machines are:\n"
			"q35                  PCI Express machine for passthrough (default)\n");
	}
	if (!strcmp(type, "q35") || !strncmp(type, "pc-q35-", 7))
		return 0;
	option_error(p, "unknown machine '%s'", type);
	err_hint(p->err, "the machine is 'q35'");
	return -EINVAL;
}

static int machine_pair(struct parse *p, const char *key, const char *value, void *opaque)
{
	static const struct moot table[] = { { "accel", "kvm" }, { "kernel_irqchip", "on" },
		{ "kernel-irqchip", "on" }, { "dump-guest-core", NULL }, { "mem-share", NULL },
		{ "mem-merge", NULL }, { "usb", "off" }, { "vmport", "off|auto" },
		{ "smm", "off|auto" }, { "hpet", "off" }, { "acpi", "on|auto" }, { "sata", "off" },
		{ "smbus", "off" }, { "i8042", "off" }, { "nvdimm", "off" }, { "hmat", "off" },
		{ "graphics", "off" }, { "suppress-vmdesc", NULL },
		{ "default_bus_bypass_iommu", NULL }, { NULL, NULL } };

	(void)opaque;
	if (!strcmp(key, "memory-backend"))
		return copy_string(p, &p->config->memory_backend, value);
	return !strcmp(key, "type") ? machine_type(p, value) : moot_pair(p, key, value, table);
}

int opt_machine(struct parse *p, const char *value)
{
	/* "-machine accel=kvm" names no type and keeps the default. */
	return option_pairs(p, value, "type", machine_pair, NULL);
}

static int cpu_pair(struct parse *p, const char *key, const char *value, void *opaque)
{
	static const struct moot table[] = { { "migratable", NULL }, { "check", NULL },
		{ "enforce", NULL }, { "kvm", "on" }, { "host-phys-bits", "on" }, { NULL, NULL } };

	(void)opaque;
	if (strcmp(key, "model") != 0)
		return moot_pair(p, key, value, table);
	if (!strcmp(value, "help"))
		return copy_string(p, &p->text,
			"Available CPUs:\n"
			"host                 the host's CPU with all features that KVM offers (default)\n"
			"max                  the same\n");
	if (!strcmp(value, "host") || !strcmp(value, "max"))
		return 0;
	option_error(p, "unknown CPU '%s'", value);
	err_hint(p->err, "a guest with physical devices always has the host's CPU: -cpu host");
	return -EINVAL;
}

int opt_cpu(struct parse *p, const char *value)
{
	return option_pairs(p, value, "model", cpu_pair, NULL);
}

static int accel_pair(struct parse *p, const char *key, const char *value, void *opaque)
{
	static const struct moot table[] = { { "accel", "kvm" }, { "kernel-irqchip", "on" },
		{ "kernel_irqchip", "on" }, { NULL, NULL } };

	(void)opaque;
	if (!strcmp(key, "accel") && !strcmp(value, "help"))
		return copy_string(p, &p->text, "Accelerators supported:\nkvm\n");
	return moot_pair(p, key, value, table);
}

int opt_accel(struct parse *p, const char *value)
{
	return option_pairs(p, value, "accel", accel_pair, NULL);
}

static int memory_pair(struct parse *p, const char *key, const char *value, void *opaque)
{
	static const char *const keys[] = { "size", NULL };
	uint64_t size, page = (uint64_t)sysconf(_SC_PAGESIZE);
	int ret;

	(void)opaque;
	if (!strcmp(key, "maxmem") || !strcmp(key, "slots")) {
		option_error(p, "'%s' is for memory hot plug, which does not exist here", key);
		err_hint(p->err, "give the guest all its memory with -m SIZE");
		return -EINVAL;
	}
	if (strcmp(key, "size") != 0)
		return unknown_key(p, key, keys);
	ret = parse_size(value, 1 << 20, &size);
	if (ret == -EINVAL)
		return option_error(p,
			"'%s' is not a size: a number of MiB, or one with suffix K, M, G or T",
			value);
	if (ret < 0 || size > RAM_MAX)
		return option_error(p, "'%s' is more than the 64 TiB a guest can have", value);
	if (size < RAM_MIN)
		return option_error(p, "'%s' is less than the 128 MiB a guest needs", value);
	if (size % page)
		return option_error(p, "'%s' is not a multiple of the page size, %" PRIu64 " bytes",
			value, page);
	p->config->ram_size = size;
	return 0;
}

int opt_memory(struct parse *p, const char *value)
{
	return option_pairs(p, value, "size", memory_pair, NULL);
}

static int name_pair(struct parse *p, const char *key, const char *value, void *opaque)
{
	/* Threads have names of their own in any case. */
	static const struct moot table[] = { { "debug-threads", NULL }, { "guest", NULL },
		{ NULL, NULL } };

	(void)opaque;
	if (strcmp(key, "guest") != 0)
		return moot_pair(p, key, value, table);
	if (strlen(value) > NAME_MAX_BYTES)
		return option_error(p, "the name is longer than %d bytes", NAME_MAX_BYTES);
	for (const char *c = value; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			return option_error(p, "the name contains a control character");
	return copy_string(p, &p->config->name, value);
}

int opt_name(struct parse *p, const char *value)
{
	return option_pairs(p, value, "guest", name_pair, NULL);
}

int opt_uuid(struct parse *p, const char *value)
{
	if (parse_uuid(value, &p->config->uuid))
		return option_error(p,
			"'%s' is not a UUID such as 12345678-1234-1234-1234-123456789abc", value);
	return 0;
}

static int overcommit_pair(struct parse *p, const char *key, const char *value, void *opaque)
{
	/* Memory is pinned for DMA in any case. */
	static const struct moot table[] = { { "mem-lock", "on|off" }, { "cpu-pm", "on|off" },
		{ "mlock", "on|off" }, { NULL, NULL } };
	int ret = moot_pair(p, key, value, table);

	(void)opaque;
	if (!ret && !strcmp(key, "cpu-pm"))
		p->config->cpu_pm = !strcmp(value, "on");
	return ret;
}

int opt_overcommit(struct parse *p, const char *value)
{
	return option_pairs(p, value, NULL, overcommit_pair, NULL);
}

static int rtc_pair(struct parse *p, const char *key, const char *value, void *opaque)
{
	static const struct moot table[] = { { "base", "utc" }, { "clock", "host" },
		{ "driftfix", "none" }, { NULL, NULL } };

	(void)opaque;
	return moot_pair(p, key, value, table);
}

int opt_rtc(struct parse *p, const char *value)
{
	return option_pairs(p, value, NULL, rtc_pair, NULL);
}
