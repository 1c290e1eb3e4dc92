/* SPDX-License-Identifier: Apache-2.0 */
/* closer.c - a set of fds between main, which adds, and the closer, which empties it. */
#include <sys/socket.h>

#include <portcullis/closer.h>

#define WORDS (sizeof(((struct closer *)0)->fds) / sizeof(((struct closer *)0)->fds[0]))

static void close_all(struct closer *closer, unsigned word)
{
	uint64_t bits = atomic_exchange(&closer->fds[word], 0);

	for (; bits; bits &= bits - 1) {
		sys_close((int)(word * 64) + __builtin_ctzll(bits));
		atomic_fetch_sub(&closer->left, 1);
	}
}

/* On the closer. */
static void run(struct mail *mail)
{
	struct closer *closer = container_of(mail, struct closer, mail);

	/* Before it looks: what comes after that is posted again. */
	atomic_store(&closer->posted, false);
	for (unsigned i = 0; i < WORDS; i++)
		close_all(closer, i);
}

int closer_init(struct closer *closer)
{
	*closer = (struct closer){ .mail.run = run };
	return loop_init(&closer->loop);
}

void closer_release(struct closer *closer)
{
	loop_release(&closer->loop);
}

void closer_close(struct closer *closer, int fd)
{
	if (fd < 0)
		return;
	if (!closer || !closer->served || fd >= FD_ZONE_EVENT) {
		sys_close(fd);
		return;
	}
	atomic_fetch_add(&closer->left, 1);
	atomic_fetch_or(&closer->fds[fd / 64], 1ull << (fd % 64));
	if (!atomic_exchange(&closer->posted, true))
		loop_post(&closer->loop, &closer->mail);
}

void closer_closep(struct closer *closer, int *fd)
{
	closer_close(closer, *fd);
	*fd = -1;
}

void closer_hang_up(struct closer *closer, int *fd)
{
	if (*fd >= 0)
		(void)shutdown(*fd, SHUT_RDWR);
	closer_closep(closer, fd);
}

bool closer_busy(const struct closer *closer)
{
	return atomic_load(&closer->left) > 0;
}

bool closer_full(const struct closer *closer)
{
	return closer && atomic_load(&closer->left) > CLOSER_ENOUGH;
}
