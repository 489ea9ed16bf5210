/* SPDX-License-Identifier: BSD-2-Clause */
/* How long to wait for a server: see patience.h. */
#include "backend/vfio_user/patience.h"

#include <ring3/clock.h>

#include <errno.h>
#include <limits.h>
#include <stdbool.h>

static uint64_t now_ms(void)
{
	return r3_clock_now(r3_clock_system()) / R3_NSEC_PER_MSEC;
}

uint64_t r3_patience_left(struct r3_patience *patience)
{
	uint64_t now = now_ms();

	if (!patience->deadline)
		patience->deadline = now + patience->time_ms;
	return now < patience->deadline ? patience->deadline - now : 0;
}

struct timespec r3_patience_end(struct r3_patience *patience)
{
	r3_patience_left(patience);
	return (struct timespec){
		.tv_sec = (time_t)(patience->deadline / 1000),
		.tv_nsec = (long)(patience->deadline % 1000 * R3_NSEC_PER_MSEC),
	};
}

int r3_patience_poll(struct r3_patience *patience, struct pollfd *fds, nfds_t n)
{
	bool any = false;
	int rc;

	for (nfds_t i = 0; i < n; i++)
		any |= fds[i].fd >= 0;
	if (!any)
		return 0;
	do {
		uint64_t left = r3_patience_left(patience);

		rc = poll(fds, n, left < INT_MAX ? (int)left : INT_MAX);
	} while (rc < 0 && errno == EINTR);
	return rc;
}
