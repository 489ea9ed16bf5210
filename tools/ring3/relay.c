/* SPDX-License-Identifier: BSD-2-Clause */
/* See relay.h. */
#include "relay.h"
#include "util/fd.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <ring3/error.h>
#include <string.h>
#include <unistd.h>

int relay_open(struct relay *relay)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK))
		return r3_error_set(errno, "making a pipe: %s", strerror(errno));
	relay->in = ends[0];
	relay->out = ends[1];
	return 0;
}

void relay_pass(struct relay *relay)
{
	struct pollfd room = {.fd = STDERR_FILENO, .events = POLLOUT};
	char text[2048]; /* less than a pipe that is writable takes without waiting */
	ssize_t n = relay->in < 0 ? 0 : read(relay->in, text, sizeof(text));

	if (n == 0)
		r3_fd_close(&relay->in); /* the last of them has gone */
	for (ssize_t i = 0; i < n; i++) {
		if (iscntrl((unsigned char)text[i]) && text[i] != '\n' && text[i] != '\t')
			text[i] = '?';
	}
	if (n > 0 && poll(&room, 1, 0) == 1 && write(STDERR_FILENO, text, (size_t)n) < 0)
		return; /* there is nobody left to tell */
}

void relay_given(struct relay *relay)
{
	r3_fd_close(&relay->out);
}

void relay_close(struct relay *relay)
{
	r3_fd_close(&relay->out);
	while (relay->in >= 0) {
		struct pollfd more = {.fd = relay->in, .events = POLLIN};

		if (poll(&more, 1, 0) != 1)
			break;
		relay_pass(relay);
	}
	r3_fd_close(&relay->in);
}
