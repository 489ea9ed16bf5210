/* SPDX-License-Identifier: BSD-2-Clause */
/* What passes for an eventfd. */
#include "unit.h"
#include "util/eventfd.h"

#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

static void an_eventfd_is_one_and_stays_as_it_is(void **state)
{
	for (unsigned full = 0; full < 2; full++) {
		int fd = eventfd(3, EFD_CLOEXEC);
		eventfd_t count = 0;

		assert_true(fd >= 0);
		if (full)
			assert_int_equal(eventfd_write(fd, UINT64_MAX - 4), 0);
		assert_true(r3_is_eventfd(fd)); /* and does not wait */
		assert_int_equal(eventfd_read(fd, &count), 0);
		assert_int_equal(count, full ? UINT64_MAX - 1 : 3);
		close(fd);
	}
}

static void what_could_be_harmed_is_none(void **state)
{
	int pipes[2], pair[2], file = memfd_create("file", MFD_CLOEXEC);
	char byte;

	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	close(pipes[0]); /* to write there would end the process */
	assert_false(r3_is_eventfd(pipes[1]));
	close(pipes[1]);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_false(r3_is_eventfd(pair[0]));
	assert_int_equal(recv(pair[1], &byte, 1, MSG_DONTWAIT), -1);
	close(pair[0]);
	close(pair[1]);
	assert_false(r3_is_eventfd(file));
	assert_int_equal(lseek(file, 0, SEEK_END), 0);
	close(file);
	assert_false(r3_is_eventfd(-1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_eventfd_is_one_and_stays_as_it_is),
		cmocka_unit_test(what_could_be_harmed_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
