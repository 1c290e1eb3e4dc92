/* SPDX-License-Identifier: Apache-2.0 */
/* defer.c - accesses that another thread finishes while the vCPU sleeps outside the map. */
#include <portcullis/bus.h>
#include <portcullis/container_of.h>
#include <portcullis/futex.h>

static void run(struct mail *mail)
{
	struct io_request *request = container_of(mail, struct io_request, mail);

	request->finish(request);
}

static void fill(struct io_request *request, const struct io_access *access, struct loop *owner,
	void (*finish)(struct io_request *), void *opaque, uint32_t arg)
{
	request->mail.run = run;
	request->owner = owner;
	request->finish = finish;
	request->opaque = opaque;
	request->offset = access->offset;
	request->data = access->data;
	request->size = access->size;
	request->write = access->write;
	request->arg = arg;
	atomic_store(&request->done, 0);
}

enum io_status io_defer(struct io_access *access, struct loop *owner,
	void (*finish)(struct io_request *), void *opaque, uint32_t arg)
{
	struct io_request own = { 0 };

	if (access->request) {
		fill(access->request, access, owner, finish, opaque, arg);
		return IO_DEFER;
	}
	fill(&own, access, owner, finish, opaque, arg);
	finish(&own);
	io_wait(&own);
	if (!access->write)
		access->data = own.data;
	return IO_DONE;
}

void io_post(struct io_request *request)
{
	loop_post(request->owner, &request->mail);
}

void io_complete(struct io_request *request)
{
	atomic_store(&request->done, 1);
	/* The waiter may have seen done already and be gone: waking nobody is harmless. */
	futex_wake_all(&request->done);
}

void io_wait(struct io_request *request)
{
	/*
	 * A signal (the kick out of KVM_RUN) ends the sleep early; the word decides, not the call.
	 */
	while (!atomic_load(&request->done))
		futex_wait(&request->done, 0);
}
