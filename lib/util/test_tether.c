/* SPDX-License-Identifier: BSD-2-Clause */
/* A tethered process, or its group, ends with its owner; nothing else ends it. */
#include "unit.h"
#include "util/tether.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* Processes that live hold `alive`; when the last of them ends, its reader sees it. */
static int alive[2];

static void wait_all_dead(void)
{
	struct pollfd end = {.fd = alive[0]};

	close(alive[1]);
	assert_int_equal(poll(&end, 1, 10000), 1);
	assert_true(end.revents & POLLHUP);
	close(alive[0]);
}

static void pass_through(void)
{
	static const char one = 1;

	if (write(alive[1], &one, 1) != 1)
		_exit(1);
	for (;;)
		pause();
}

/* An owner with one tethered child; returns once the child is tethered. */
static pid_t start_owner(bool group)
{
	char byte;

	assert_int_equal(pipe2(alive, O_CLOEXEC), 0);
	pid_t owner = fork();
	assert_true(owner >= 0);
	if (owner == 0) {
		struct r3_tether tether;

		if (r3_tether_make(&tether) < 0)
			_exit(1);
		if (fork() == 0) {
			if (group)
				setpgid(0, 0);
			if (r3_tether_child(&tether, group) < 0)
				_exit(1);
			if (group && fork() == 0) {
				/* not the one that holds the pipe's signal, but in the group */
				r3_tether_cut(&tether);
				pass_through();
			}
			pass_through();
		}
		r3_tether_owner(&tether);
		for (;;)
			pause();
	}
	for (int n = 0; n < (group ? 2 : 1); n++)
		assert_int_equal(read(alive[0], &byte, 1), 1);
	return owner;
}

static void child_dies_with_a_killed_owner(void **state)
{
	pid_t owner = start_owner(false);
	int status;

	kill(owner, SIGKILL);
	assert_int_equal(waitpid(owner, &status, 0), owner);
	wait_all_dead();
}

static void group_dies_with_a_killed_owner(void **state)
{
	pid_t owner = start_owner(true);
	int status;

	kill(owner, SIGKILL);
	assert_int_equal(waitpid(owner, &status, 0), owner);
	wait_all_dead();
}

static void cutting_kills_and_exec_keeps_the_tether(void **state)
{
	struct r3_tether tether;
	int status;
	char byte;

	assert_int_equal(pipe2(alive, O_CLOEXEC), 0);
	assert_int_equal(r3_tether_make(&tether), 0);
	assert_true(tether.feel > 2 && tether.hold > 2);
	pid_t child = fork();
	if (child == 0) {
		if (r3_tether_child(&tether, false) < 0)
			_exit(1);
		/* the pipe ends with the exec: then it is somebody else who is tethered */
		execl("/bin/sleep", "sleep", "60", (char *)NULL);
		_exit(1);
	}
	r3_tether_owner(&tether);
	close(alive[1]);
	assert_int_equal(read(alive[0], &byte, 1), 0);
	close(alive[0]);
	assert_int_equal(waitpid(child, &status, WNOHANG), 0);
	r3_tether_cut(&tether);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGKILL);
}

static void a_child_too_late_is_told(void **state)
{
	struct r3_tether tether;

	assert_int_equal(r3_tether_make(&tether), 0);
	assert_int_equal(r3_tether_child(&tether, false), -EPIPE);
	r3_tether_cut(&tether);
	assert_int_equal(tether.feel, -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(child_dies_with_a_killed_owner),
		cmocka_unit_test(group_dies_with_a_killed_owner),
		cmocka_unit_test(cutting_kills_and_exec_keeps_the_tether),
		cmocka_unit_test(a_child_too_late_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
