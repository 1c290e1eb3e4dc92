/* SPDX-License-Identifier: Apache-2.0 */
/* test_numa.c - memory backends and -numa on the command line: what they mean, what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <portcullis/memory.h>
#include <portcullis/memory_backend.h>

#include "cmdline_fixture.h"

#define RAM(id, size) " -object memory-backend-ram,id=" id ",size=" size
#define TWO "-kernel k -m 512" RAM("m0", "384M") RAM("m1", "128M")

static void good(struct cmdline *c, const char *line)
{
	cmdline_parse(c, line);
	if (c->ret != 0)
		fail_msg("%s: %s", line, c->err.text);
}

static void nodes(void **state)
{
	struct cmdline c;
	const struct config_numa *numa = &c.config.numa;

	(void)state;
	good(&c,
		TWO " -smp 6,sockets=2 -numa node,nodeid=1,cpus=0-1,memdev=m1,cpus=4"
		    " -numa node,nodeid=0,cpus=2-3,cpus=5,memdev=m0 -numa dist,src=0,dst=1,val=21");
	assert_int_equal(numa->n_nodes, 2);
	assert_string_equal(numa->node[0].memdev, "m0");
	assert_string_equal(numa->node[1].memdev, "m1");
	assert_memory_equal(numa->cpu_node, "\1\1\0\0\1\0", 6);
	assert_memory_equal(numa->distance, "\12\25\25\12", 4);
	cmdline_release(&c);
	/* One direction differs: all are given. */
	good(&c, TWO " -numa node,memdev=m0 -numa node,memdev=m1 -numa dist,src=0,dst=1,val=21"
		     " -numa dist,src=1,dst=0,val=31");
	assert_memory_equal(numa->distance, "\12\25\37\12", 4);
	cmdline_release(&c);
	/* Sockets take turns when nothing is said of CPUs; a node may be without memory. */
	good(&c, "-kernel k -m 512 -smp 4,sockets=2" RAM("m0", "512M") " -numa node,memdev=m0"
								       " -numa node");
	assert_memory_equal(numa->cpu_node, "\0\0\1\1", 4);
	assert_null(numa->node[1].memdev);
	assert_null(numa->distance);
	cmdline_release(&c);
	good(&c, TWO " -smp 4,sockets=2,cores=1,threads=2 -numa node,memdev=m0 -numa node,memdev=m1"
		     " -numa cpu,node-id=1,socket-id=0,thread-id=1 -numa cpu,node-id=0,socket-id=1"
		     " -numa cpu,node-id=0,socket-id=0,core-id=0,thread-id=0");
	assert_memory_equal(numa->cpu_node, "\0\1\0\0", 4);
	cmdline_release(&c);
}

static void backends(void **state)
{
	const struct memory_backend_options *options;
	const struct prop_type *type;
	struct ram_options ram;
	struct cmdline c;

	(void)state;
	good(&c, "-kernel k -object memory-backend-memfd,id=mem,size=1G,hugetlb=on,hugetlbsize=2M,"
		 "policy=bind,host-nodes=0-1,,3,merge=on,dump=on,reserve=off,prealloc=on,"
		 "prealloc-threads=4,seal=on -machine q35,memory-backend=mem");
	assert_int_equal(c.config.ram_size, 1 << 30); /* -m is not given */
	options = config_memory_backend(&c.config, "mem", &type);
	assert_ptr_equal(type, &memory_backend_memfd_type);
	memory_backend_ram_options(&ram, type, options);
	assert_true(ram.memfd && ram.hugetlb && ram.share && ram.prealloc);
	assert_int_equal(ram.prealloc_threads, 4);
	assert_int_equal(ram.hugetlb_size, 2 << 20);
	assert_int_equal(ram.policy, RAM_POLICY_BIND);
	assert_int_equal(ram.nodes.bits[0], 0xb);
	assert_null(config_memory_backend(&c.config, "other", NULL));
	cmdline_release(&c);
	good(&c, "-kernel k -m 1G -object memory-backend-file,id=mem,size=1G,mem-path=/x,share=on"
		 " -M memory-backend=mem");
	options = config_memory_backend(&c.config, "mem", &type);
	memory_backend_ram_options(&ram, type, options);
	assert_true(ram.named && ram.share && !ram.memfd);
	assert_int_equal(ram.prealloc_threads, 0);
	assert_string_equal(ram.path, "/x");
	cmdline_release(&c);
}

static const struct {
	const char *line, *text, *hint;
} wrong[] = {
	{ "-numa node -numa dist", "it needs 'src'", NULL },
	{ "-numa nod", "'nod' is no kind", "node, dist, cpu" },
	{ "-numa nodeid=0", "begins with node", NULL },
	{ "-numa node,mem=512M", "'mem' is not supported", "memory-backend-ram" },
	{ "-numa node,memdev=x", "memdev=x: there is no such memory backend", "id=x" },
	{ "-numa node,nodeid=64", "nodeid=64 is more than the 64 nodes", NULL },
	{ "-numa node,nodeid=x", "'nodeid' cannot be 'x'", NULL },
	{ "-numa node,nodeid=1", "there is no node 0", "" },
	{ "-numa node,cpu=0", "it has no 'cpu'", "'cpus'" },
	{ "-numa node,val=20", "it has no 'val'", "'-help'" },
	{ "-numa node -numa dist,src=0,dst=0,val=10,cpus=0", "it has no 'cpus'", "'-help'" },
	{ "-numa node -numa cpu,node-id=0,memdev=m", "it has no 'memdev'", NULL },
	{ "-numa node,type=dist", "'type' is given twice", NULL },
	{ "-numa node,cpus=1-0", "'cpus' cannot be '1-0'", NULL },
	{ "-numa node,cpus=x", "'cpus' cannot be 'x'", NULL },
	{ "-numa node,cpus=0-18446744073709551615", "'cpus' cannot be", NULL },
	{ "-numa node -numa node,nodeid=0", "nodeid=0 is used twice", NULL },
	{ "-numa node", "memory of all nodes, 0 bytes, is not the guest's memory (-m), 536870912",
		"memdev=" },
	{ RAM("m0", "256M") " -numa node,memdev=m0",
		"all nodes, 268435456 bytes, is not the guest's memory (-m), 536870912 bytes",
		NULL },
	{ RAM("m0", "256M") " -numa node,memdev=m0 -numa node,memdev=m0",
		"'m0' is used by node 0 and node 1", NULL },
	{ "-numa node,cpus=1", "cpus=1 of node 0: the guest has CPUs 0 to 0", NULL },
	{ "-smp 2 -numa node,cpus=0", "CPU 1 is on no node", NULL },
	{ "-smp 2 -numa node,cpus=0-1 -numa node,cpus=1", "CPU 1 is on node 0 and on node 1",
		NULL },
	{ "-numa node -numa cpu,node-id=1", "there is no node 1", NULL },
	{ "-numa node -numa cpu,node-id=0,socket-id=3", "no CPU is there", NULL },
	{ "-numa cpu,node-id=0", "there is no node", NULL },
	{ "-numa dist,src=0,dst=1,val=20", "there is no node", NULL },
	{ "-numa node -numa dist,src=0,dst=1,val=20", "dist: there is no node 1", NULL },
	{ "-numa node -numa node -numa dist,src=0,dst=1,val=9", "val=9 is not a distance", NULL },
	{ "-numa node -numa dist,src=0,dst=0,val=11", "node 0 to itself is 10", NULL },
	{ "-numa node -numa node -numa node -numa dist,src=0,dst=1,val=20",
		"from node 0 to node 2 is missing", NULL },
	{ "-smp 3,sockets=3 -numa node -numa node -numa node -numa dist,src=0,dst=1,val=20 "
	  "-numa dist,src=1,dst=0,val=21 -numa dist,src=0,dst=2,val=20 "
	  "-numa dist,src=1,dst=2,val=20",
		"from node 2 to node 0 is missing, where another pair's differs", NULL },
	{ RAM("m0", "256M") " -machine memory-backend=m0", NULL, NULL },
	{ "-m 512" RAM("m0", "256M") " -machine memory-backend=m0",
		"'m0' has 268435456 bytes, and the guest's memory (-m) 536870912", NULL },
	{ "-machine memory-backend=m", "memory-backend=m: there is no such", "id=m" },
	{ RAM("m0", "512M") " -machine memory-backend=m0 -numa node,memdev=m0",
		"mutually exclusive", "memdev=" },
	{ RAM("m0", "512M") " -machine memory-backend=m0 -mem-path /tmp",
		"-mem-path cannot be used with memory backends", "memory-backend-file" },
	{ RAM("m0", "512M"), "memory backend 'm0' is not used", "-numa node,memdev=m0" },
	{ RAM("m0", "512M") RAM("m0", "512M"), "id 'm0' is used twice", NULL },
	{ RAM("m0", "512M") " -object iommufd,id=m0", "id 'm0' is used twice", NULL },
	{ "-object memory-backend-ram,id=m", "needs 'size'", NULL },
	{ "-object memory-backend-ram,size=1G", "needs 'id'", NULL },
	{ "-object memory-backend-ram,id=m,size=4097", "multiple of 4096", NULL },
	{ "-object memory-backend-file,id=m,size=1G", "needs 'mem-path'", NULL },
	{ "-object memory-backend-ram,id=m,size=1G,mem-path=/x", "no property 'mem-path'",
		"'-object memory-backend-ram,help'" },
	{ RAM("m", "1G,policy=bind,host-nodes=0,1"), "no property '1'", "written twice: ',,1'" },
	{ "-object memory-backend-memfd,id=m,size=1G,hugetlbsize=2M", "needs hugetlb=on", NULL },
	{ "-object memory-backend-memfd,id=m,size=1G,hugetlb=on,hugetlbsize=3M",
		"3145728 is no page size", NULL },
	{ RAM("m", "1G,prealloc-threads=0"), "'prealloc-threads' cannot be '0'", NULL },
	{ RAM("m", "1G,prealloc-threads=4097"), "'prealloc-threads' cannot be '4097'", NULL },
	{ RAM("m", "1G,host-nodes=0"), "host-nodes=0 needs a policy other than default", NULL },
	{ RAM("m", "1G,policy=bind"), "policy=bind needs host-nodes=", NULL },
	{ RAM("m", "4096") " -machine memory-backend=m", "less than the 128 MiB a guest needs",
		NULL },
	{ RAM("m", "65T") " -machine memory-backend=m", "more than the 64 TiB a guest can have",
		NULL },
	{ RAM("m", "1G,policy=bind,host-nodes=0-"), "'host-nodes' cannot be '0-'", NULL },
	{ RAM("m", "1G,policy=bind,host-nodes=1024"), "a host has nodes 0 to 1023", NULL },
	{ RAM("m", "1G,policy=lend,host-nodes=0"), "'policy' cannot be 'lend'", NULL },
};

static void refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		char line[1024];
		struct cmdline c;

		snprintf(line, sizeof(line), "-kernel k %s",
			wrong[i].line + (*wrong[i].line == ' '));
		cmdline_parse(&c, line);
		if (!c.ret != !wrong[i].text)
			fail_msg("%s: %d, %s", line, c.ret, c.err.text);
		if (wrong[i].text && !strstr(c.err.text, wrong[i].text))
			fail_msg("%s: got '%s', wanted '%s'", line, c.err.text, wrong[i].text);
		if (wrong[i].text && wrong[i].hint && !strstr(c.err.hint, wrong[i].hint))
			fail_msg("%s: hint is '%s', wanted '%s'", line, c.err.hint, wrong[i].hint);
		cmdline_release(&c);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nodes),
		cmocka_unit_test(backends),
		cmocka_unit_test(refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
