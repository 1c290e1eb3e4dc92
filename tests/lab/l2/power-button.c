/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waits until somebody presses the power button on one of the given input devices, then exits with
 * 0.
 */
#include <fcntl.h>
#include <linux/input.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct pollfd fds[16];
	int count = 0;

	for (int i = 1; i < argc && count < 16; i++) {
		fds[count].fd = open(argv[i], O_RDONLY | O_CLOEXEC);
		fds[count].events = POLLIN;
		if (fds[count].fd >= 0)
			count++;
	}
	while (count > 0 && poll(fds, (nfds_t)count, -1) > 0) {
		for (int i = 0; i < count; i++) {
			struct input_event event;

			if (!(fds[i].revents & POLLIN))
				continue;
			if (read(fds[i].fd, &event, sizeof event) != (ssize_t)sizeof event)
				return 1;
			if (event.type == EV_KEY && event.code == KEY_POWER && event.value == 1)
				return 0;
		}
	}
	return 1;
}
