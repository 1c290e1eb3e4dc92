/* SPDX-License-Identifier: Apache-2.0 */
/*
 * layout.c - where RAM lies. Pure arithmetic on ranges: everything that blocks an address is asked
 * in turn how far it reaches, so ranges need be neither sorted nor disjoint.
 */
#include <errno.h>
#include <string.h>

#include <portcullis/err.h>
#include <portcullis/memory.h>

#define MIB 0x100000ull
#define HUGE (2 * MIB)
#define PAGE 0x1000ull
#define COUNT(array) ((unsigned)(sizeof(array) / sizeof((array)[0])))
/* No processor has more; keeps the arithmetic clear of 2^64. */
#define GPA_BITS_MAX 52

struct plan {
	const struct range *hole; /* the board's */
	const struct dma_limits *dma;
	uint64_t limit; /* exclusive */
};

static uint64_t round_down(uint64_t x)
{
	return x & ~(HUGE - 1);
}

static uint64_t round_up(uint64_t x)
{
	return (x + HUGE - 1) & ~(HUGE - 1);
}

/* [start, end), end exclusive and clipped to the limit. */
struct span {
	uint64_t start, end;
};

static struct span clip(const struct plan *plan, const struct range *r)
{
	struct span s = { r->start, r->end < plan->limit ? r->end + 1 : plan->limit };

	if (s.start > s.end)
		s.start = s.end;
	return s;
}

static struct span hole_span(const struct plan *plan, const struct range *r)
{
	struct span s = clip(plan, r);

	if (s.start == s.end)
		return s;
	/* Rounding must not cost the first MiB, which is where every kernel looks for memory. */
	s.start = s.start >= MIB && s.start < HUGE ? MIB : round_down(s.start);
	s.end = round_up(s.end);
	return s;
}

static struct span usable_span(const struct plan *plan, const struct range *r)
{
	struct span s = clip(plan, r);

	s.start = round_up(s.start);
	s.end = round_down(s.end);
	return s;
}

/* Where the block that pos lies in ends; pos itself when it lies in none. */
static uint64_t leave_holes(const struct plan *plan, uint64_t pos)
{
	struct span s = hole_span(plan, plan->hole);

	if (pos >= s.start && pos < s.end)
		return s.end;
	for (unsigned i = 0; i < plan->dma->n_reserved; i++) {
		s = hole_span(plan, &plan->dma->reserved[i]);
		if (pos >= s.start && pos < s.end)
			return s.end;
	}
	return pos;
}

/* pos when it is usable, else the next address that is, else the limit. */
static uint64_t enter_usable(const struct plan *plan, uint64_t pos)
{
	uint64_t next = plan->limit;

	if (plan->dma->n_usable == 0)
		return pos;
	for (unsigned i = 0; i < plan->dma->n_usable; i++) {
		struct span s = usable_span(plan, &plan->dma->usable[i]);

		if (pos >= s.start && pos < s.end)
			return pos;
		if (s.start < s.end && s.start > pos && s.start < next)
			next = s.start;
	}
	return next;
}

/* The first address at or above pos where RAM may lie, or the limit. */
static uint64_t find_start(const struct plan *plan, uint64_t pos)
{
	while (pos < plan->limit) {
		uint64_t next = enter_usable(plan, leave_holes(plan, pos));

		if (next == pos)
			return pos;
		pos = next;
	}
	return plan->limit;
}

static uint64_t nearer(uint64_t end, uint64_t start, uint64_t candidate)
{
	return candidate > start && candidate < end ? candidate : end;
}

/* How far RAM that starts at start (an address from find_start()) may reach, exclusive. */
static uint64_t find_end(const struct plan *plan, uint64_t start)
{
	uint64_t end = nearer(plan->limit, start, hole_span(plan, plan->hole).start), reach = start;
	bool grown;

	for (unsigned i = 0; i < plan->dma->n_reserved; i++) {
		struct span s = hole_span(plan, &plan->dma->reserved[i]);

		if (s.start < s.end)
			end = nearer(end, start, s.start);
	}
	if (plan->dma->n_usable == 0)
		return end;
	/* Ranges that touch count as one: go on as long as one of them reaches further. */
	do {
		grown = false;
		for (unsigned i = 0; i < plan->dma->n_usable; i++) {
			struct span s = usable_span(plan, &plan->dma->usable[i]);

			if (s.start > reach || s.end <= reach)
				continue;
			reach = s.end;
			grown = true;
		}
	} while (grown);
	return reach < end ? reach : end;
}

static int refuse_low(const struct plan *plan, struct err *err)
{
	for (unsigned i = 0; i < plan->dma->n_reserved; i++) {
		struct span s = hole_span(plan, &plan->dma->reserved[i]);

		if (s.start < MIB && s.start < s.end)
			return err_set(err, ERANGE,
				"guest RAM needs addresses 0x0-0xfffff, but a device reserves 0x%llx-0x%llx",
				(unsigned long long)plan->dma->reserved[i].start,
				(unsigned long long)plan->dma->reserved[i].end);
	}
	if (plan->dma->n_usable == 0)
		return err_set(err, ERANGE, "guest addresses end below 1 MiB");
	return err_set(err, ERANGE,
		"guest RAM needs addresses 0x0-0xfffff, but the IOMMU's first usable range is 0x%llx-0x%llx",
		(unsigned long long)plan->dma->usable[0].start,
		(unsigned long long)plan->dma->usable[0].end);
}

static int refuse_size(
	const struct plan *plan, const struct ram_layout *l, uint64_t size, struct err *err)
{
	int ret = err_set(err, ERANGE,
		"guest RAM of %llu MiB does not fit: below address 0x%llx there is room for %llu MiB",
		(unsigned long long)(size / MIB), (unsigned long long)plan->limit,
		(unsigned long long)(l->size / MIB));

	for (unsigned i = 0; err && i < plan->dma->n_usable; i++)
		err_append(err, "%s0x%llx-0x%llx", i ? ", " : "; the IOMMU can use ",
			(unsigned long long)plan->dma->usable[i].start,
			(unsigned long long)plan->dma->usable[i].end);
	return ret;
}

int ram_layout(struct ram_layout *out, uint64_t size, const struct range *hole,
	const struct dma_limits *limits, uint64_t gpa_limit, struct err *err)
{
	const uint64_t max = 1ull << GPA_BITS_MAX;
	struct plan plan = { hole, limits, gpa_limit < max ? round_down(gpa_limit) : max };
	uint64_t pos = 0;

	memset(out, 0, sizeof(*out));
	if (size == 0 || size % PAGE)
		return err_set(err, EINVAL, "RAM size %llu is not a multiple of 4096",
			(unsigned long long)size);
	if (limits->disjoint)
		return err_set(err, ERANGE,
			"the IOMMUs of the given devices have no usable address in common");
	if (find_start(&plan, 0) != 0 || find_end(&plan, 0) < MIB)
		return refuse_low(&plan, err);
	while (out->size < size) {
		uint64_t start = find_start(&plan, pos), room;
		struct ram_segment *s = &out->segment[out->count];

		if (start >= plan.limit)
			return refuse_size(&plan, out, size, err);
		if (out->count == RAM_SEGMENTS_MAX)
			return err_set(err, E2BIG,
				"reserved addresses cut guest RAM into more than %d pieces",
				RAM_SEGMENTS_MAX);
		pos = find_end(&plan, start);
		room = pos - start;
		s->gpa = start;
		s->offset = out->size;
		s->size = room < size - out->size ? room : size - out->size;
		out->size += s->size;
		out->top = s->gpa + s->size;
		out->count++;
	}
	if (out->top <= hole->end)
		out->top = hole->end + 1;
	return 0;
}

int ram_layout_split(struct ram_layout *layout, const uint64_t sizes[], unsigned n, struct err *err)
{
	const struct ram_layout whole = *layout;
	uint64_t left = n ? sizes[0] : 0, used = 0;
	unsigned backend = 0;

	layout->count = 0;
	for (unsigned i = 0; i < whole.count; i++) {
		struct ram_segment rest = whole.segment[i];

		while (rest.size) {
			struct ram_segment *s = &layout->segment[layout->count];

			if (!left && backend + 1 < n) {
				left = sizes[++backend];
				used = 0;
			}
			if (layout->count == RAM_SEGMENTS_MAX || !left)
				return err_set(err, E2BIG,
					"reserved addresses and NUMA nodes cut guest RAM into more than %d pieces",
					RAM_SEGMENTS_MAX);
			layout->count++;
			*s = rest;
			s->backend = backend;
			s->offset = used;
			s->size = rest.size < left ? rest.size : left;
			rest.gpa += s->size;
			rest.size -= s->size;
			left -= s->size;
			used += s->size;
		}
	}
	return 0;
}

static void intersect(struct dma_limits *limits, const struct range *with, unsigned n)
{
	struct range out[COUNT(limits->usable)];
	unsigned count = 0;

	if (n == 0 || limits->disjoint)
		return;
	if (limits->n_usable == 0) {
		memcpy(limits->usable, with, n * sizeof(*with));
		limits->n_usable = n;
		return;
	}
	for (unsigned i = 0; i < limits->n_usable; i++) {
		for (unsigned j = 0; j < n && count < COUNT(out); j++) {
			struct range a = limits->usable[i], b = with[j];
			struct range r = { a.start > b.start ? a.start : b.start,
				a.end < b.end ? a.end : b.end };

			if (r.start <= r.end)
				out[count++] = r;
		}
	}
	memcpy(limits->usable, out, count * sizeof(*out));
	limits->n_usable = count;
	limits->disjoint = count == 0;
}

void dma_limits_join(struct dma_limits *limits, const struct dma_limits *with)
{
	intersect(limits, with->usable, with->n_usable);
	for (unsigned i = 0; i < with->n_reserved && limits->n_reserved < COUNT(limits->reserved);
		i++)
		limits->reserved[limits->n_reserved++] = with->reserved[i];
}
