/* SPDX-License-Identifier: BSD-2-Clause */
/* A peer that does not read, and a sender that signals interrupt. */
#include "unit.h"
#include "wire/ivshmem.h"

#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

static int ends[2];
static volatile sig_atomic_t interruptions;

/* What waits too long is let go, to fail. */
static void interrupt(int signal)
{
	if (++interruptions == 500)
		shutdown(ends[0], SHUT_RDWR);
}

static void signals_do_not_prolong_the_wait(void **state)
{
	const struct sigaction action = {.sa_handler = interrupt};
	const struct timeval often = {.tv_usec = 2000};
	const struct itimerval on = {often, often}, off = {{0, 0}, {0, 0}};
	int rc;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends),
			 0);
	do
		rc = r3_ivshmem_send(ends[0], 0, -1, 0);
	while (rc == 0);
	assert_int_equal(rc, -ETIMEDOUT);
	assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
	assert_int_equal(setitimer(ITIMER_REAL, &on, NULL), 0);
	rc = r3_ivshmem_send(ends[0], 0, -1, 50);
	assert_int_equal(setitimer(ITIMER_REAL, &off, NULL), 0);
	assert_int_equal(rc, -ETIMEDOUT);
	close(ends[0]);
	close(ends[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(signals_do_not_prolong_the_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
