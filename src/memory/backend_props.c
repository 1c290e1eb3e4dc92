/* SPDX-License-Identifier: Apache-2.0 */
/* backend_props.c - the properties of -object memory-backend-ram, -memfd and -file. */
#include <errno.h>
#include <stddef.h>

#include <portcullis/err.h>
#include <portcullis/memory.h>
#include <portcullis/memory_backend.h>

const char *const ram_policy_names[] = { [RAM_POLICY_DEFAULT] = "default",
	[RAM_POLICY_PREFERRED] = "preferred",
	[RAM_POLICY_BIND] = "bind",
	[RAM_POLICY_INTERLEAVE] = "interleave",
	NULL };

#define INERT "accepted, and changes nothing: "

/* clang-format off */
#define AT(field) .offset = offsetof(struct memory_backend_options, field)
/* What all three have; of share, the default. */
#define COMMON_ROWS(share_default)                                                                 \
	{ .name = "id", .kind = PROP_STRING, AT(id), .required = true,                             \
	  .help = "name of the object, for -numa node,memdev= or -machine memory-backend=" },      \
	{ .name = "size", .kind = PROP_SIZE, AT(size),                                             \
	  .help = "bytes of guest memory (required)" },                                            \
	{ .name = "share", .kind = PROP_BOOL, AT(share), .def = share_default,                     \
	  .help = "other processes that have it mapped see what the guest writes" },               \
	{ .name = "prealloc", .kind = PROP_BOOL, AT(prealloc), .def = "off",                       \
	  .help = "all of it is there before the guest starts, as with -mem-prealloc" },           \
	{ .name = "prealloc-threads", .kind = PROP_UINT, AT(prealloc_threads), .min = 1,           \
	  .max = 4096, .help = "at most so many threads for it (not given: 16, or processors)" }, \
	{ .name = "host-nodes", .kind = PROP_STRING, AT(host_nodes),                               \
	  .help = "NUMA nodes of the host, such as 0 or 0-1,,3, for policy" },                     \
	{ .name = "policy", .kind = PROP_CHOICE, AT(policy), .def = "default",                     \
	  .choices = ram_policy_names,                                                             \
	  .help = "memory comes from host-nodes: if possible, only, or in turn" },                 \
	{ .name = "merge", .kind = PROP_BOOL, AT(merge), .def = "off",                             \
	  .help = INERT "guest memory is not merged" },                                            \
	{ .name = "dump", .kind = PROP_BOOL, AT(dump), .def = "off",                               \
	  .help = INERT "guest memory is not in core dumps" },                                     \
	{ .name = "reserve", .kind = PROP_BOOL, AT(reserve), .def = "on",                          \
	  .help = INERT "huge pages are reserved, others are not" }

static const struct prop ram_props[] = {
	COMMON_ROWS("off"),
	{ .name = NULL },
};

static const struct prop memfd_props[] = {
	COMMON_ROWS("on"),
	{ .name = "hugetlb", .kind = PROP_BOOL, AT(hugetlb), .def = "off",
	  .help = "of huge pages, which the host must have set aside" },
	{ .name = "hugetlbsize", .kind = PROP_SIZE, AT(hugetlbsize), .def = "0",
	  .help = "their size in bytes; the host's default if not given" },
	{ .name = "seal", .kind = PROP_BOOL, AT(seal), .def = "on",
	  .help = INERT "nobody else has the memfd" },
	{ .name = NULL },
};

static const struct prop file_props[] = {
	COMMON_ROWS("off"),
	{ .name = "mem-path", .kind = PROP_STRING, AT(mem_path), .required = true,
	  .help = "a directory, such as a hugetlbfs mount, or a file, made where there is none" },
	{ .name = "discard-data", .kind = PROP_BOOL, AT(discard_data), .def = "off",
	  .help = INERT "a file keeps what the guest wrote" },
	{ .name = NULL },
};
/* clang-format on */

#define TYPE(type_name, text, rows)                                                                \
	{                                                                                          \
		.name = (type_name), .help = (text), .option = "-object",                          \
		.size = sizeof(struct memory_backend_options), .props = (rows)                     \
	}

const struct prop_type memory_backend_ram_type =
	TYPE("memory-backend-ram", "guest memory, anonymous", ram_props);
const struct prop_type memory_backend_memfd_type = TYPE(
	"memory-backend-memfd", "guest memory in a memfd, of huge pages if wanted", memfd_props);
const struct prop_type memory_backend_file_type =
	TYPE("memory-backend-file", "guest memory in a file", file_props);

bool memory_backend_type(const struct prop_type *type)
{
	return type == &memory_backend_ram_type || type == &memory_backend_memfd_type ||
	       type == &memory_backend_file_type;
}

static int check_nodes(
	const struct prop_type *type, const struct memory_backend_options *options, struct err *err)
{
	struct host_nodes nodes;
	int ret;

	if (!options->host_nodes && options->policy != RAM_POLICY_DEFAULT)
		return err_set(err, EINVAL,
			"%s '%s': policy=%s needs host-nodes=, the host's nodes that memory comes from",
			type->name, options->id, ram_policy_names[options->policy]);
	if (!options->host_nodes)
		return 0;
	if (options->policy == RAM_POLICY_DEFAULT)
		return err_set(err, EINVAL,
			"%s '%s': host-nodes=%s needs a policy other than default: bind, preferred or interleave",
			type->name, options->id, options->host_nodes);
	ret = host_nodes_parse(&nodes, options->host_nodes);
	if (ret == -ERANGE)
		return err_set(err, EINVAL, "%s '%s': host-nodes '%s': a host has nodes 0 to %d",
			type->name, options->id, options->host_nodes, HOST_NODES_MAX - 1);
	if (ret < 0)
		return err_set(err, EINVAL,
			"%s '%s': property 'host-nodes' cannot be '%s': it takes node numbers, such as 0 or 0-1,,3",
			type->name, options->id, options->host_nodes);
	return 0;
}

int memory_backend_check(
	const struct prop_type *type, const struct memory_backend_options *options, struct err *err)
{
	const uint64_t huge = options->hugetlbsize;

	if (!options->size)
		return err_set(err, EINVAL, "%s '%s' needs 'size' (bytes of guest memory)",
			type->name, options->id);
	if (options->size % 4096)
		return err_set(err, EINVAL, "%s '%s': size=%llu is not a multiple of 4096",
			type->name, options->id, (unsigned long long)options->size);
	if (huge && !options->hugetlb)
		return err_set(err, EINVAL, "%s '%s': hugetlbsize needs hugetlb=on", type->name,
			options->id);
	if (huge & (huge - 1) || (huge && huge < 4096))
		return err_set(err, EINVAL,
			"%s '%s': hugetlbsize=%llu is no page size: 2M and 1G are", type->name,
			options->id, (unsigned long long)huge);
	return check_nodes(type, options, err);
}

void memory_backend_ram_options(struct ram_options *out, const struct prop_type *type,
	const struct memory_backend_options *options)
{
	*out = (struct ram_options){
		.id = options->id,
		.path = options->mem_path,
		.named = type == &memory_backend_file_type,
		.prealloc = options->prealloc,
		.prealloc_threads = (unsigned)options->prealloc_threads,
		.share = options->share,
		.memfd = type == &memory_backend_memfd_type,
		.hugetlb = options->hugetlb,
		.hugetlb_size = options->hugetlbsize,
		.policy = (enum ram_policy)options->policy,
	};
	if (options->host_nodes)
		(void)host_nodes_parse(&out->nodes, options->host_nodes);
}
