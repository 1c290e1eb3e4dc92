/* SPDX-License-Identifier: Apache-2.0 */
/* test_loop_threads.c - mail from many threads at once (the thread sanitizer watches). */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <portcullis/loop.h>
#include <portcullis/sys.h>

#define POSTERS 4
#define POSTS 5000

struct poster {
	struct loop *loop;
	struct count {
		struct mail mail;
		_Atomic bool busy;
		struct total *total;
	} mails[8];
	pthread_t thread;
};

struct total {
	struct loop *loop;
	unsigned handled; /* the loop's thread alone */
};

static void count(struct mail *mail)
{
	struct count *c = (struct count *)mail;

	if (++c->total->handled == POSTERS * POSTS)
		c->total->loop->stop = true;
	atomic_store(&c->busy, false);
}

static void *post_many(void *opaque)
{
	struct poster *p = opaque;

	for (unsigned i = 0; i < POSTS; i++) {
		struct count *c = &p->mails[i % 8];

		while (atomic_load(&c->busy))
			sched_yield();
		atomic_store(&c->busy, true);
		loop_post(p->loop, &c->mail);
	}
	return NULL;
}

static void many_posters(void **state)
{
	struct loop loop;
	struct total total = { .loop = &loop };
	static struct poster posters[POSTERS];

	(void)state;
	assert_int_equal(loop_init(&loop), 0);
	for (unsigned i = 0; i < POSTERS; i++) {
		posters[i] = (struct poster){ .loop = &loop };
		for (unsigned j = 0; j < 8; j++) {
			posters[i].mails[j].mail.run = count;
			posters[i].mails[j].total = &total;
		}
		assert_int_equal(
			pthread_create(&posters[i].thread, NULL, post_many, &posters[i]), 0);
	}
	loop_run(&loop);
	for (unsigned i = 0; i < POSTERS; i++)
		pthread_join(posters[i].thread, NULL);
	assert_int_equal(total.handled, POSTERS * POSTS);
	loop_release(&loop);
}

struct ender {
	struct mail mail;
	struct loop *loop;
};

static void stop(struct mail *mail)
{
	((struct ender *)mail)->loop->stop = true;
}

static void *post_stop(void *opaque)
{
	struct ender *ender = opaque;

	loop_post(ender->loop, &ender->mail);
	return NULL;
}

/* The poster may still be inside loop_post() when the mail it posted ends the loop. */
static void loop_ends_under_its_poster(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 200; i++) {
		struct loop loop;
		struct ender ender = { { .run = stop }, &loop };
		pthread_t thread;

		assert_int_equal(loop_init(&loop), 0);
		assert_int_equal(pthread_create(&thread, NULL, post_stop, &ender), 0);
		loop_run(&loop);
		loop_release(&loop);
		pthread_join(thread, NULL);
	}
}

static int raise_limit(void **state)
{
	(void)state;
	return sys_fd_limit();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(many_posters),
		cmocka_unit_test(loop_ends_under_its_poster),
	};

	return cmocka_run_group_tests(tests, raise_limit, NULL);
}
