/* SPDX-License-Identifier: BSD-2-Clause */
/* Being reached at a path or at an inherited socket, and leaving nothing behind. */
#include "unit.h"
#include "util/socket.h"

#include <ring3/error.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[] = "/tmp/ring3-socket-XXXXXX";
static char where[64], path[64];

static int make_dir(void **state)
{
	strcpy(strrchr(dir, '-'), "-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(where, sizeof(where), "unix:%s/s", dir);
	snprintf(path, sizeof(path), "%s/s", dir);
	return 0;
}

static int remove_dir(void **state)
{
	unlink(path);
	return rmdir(dir);
}

static void a_path_is_made_and_removed(void **state)
{
	unsigned fds = test_count_fds();
	struct r3_listener door;
	struct stat st;
	int guest, host;

	assert_int_equal(r3_socket_listen(where, &door), 0);
	assert_false(door.connected);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode, S_IFSOCK | 0600);
	assert_int_equal(r3_socket_accept(&door, &host), -EAGAIN);
	assert_int_equal(r3_socket_connect(where, &guest), 0);
	assert_int_equal(r3_socket_accept(&door, &host), 0);
	assert_int_equal(fcntl(host, F_GETFD), FD_CLOEXEC);
	assert_true(fcntl(host, F_GETFL) & O_NONBLOCK);
	assert_int_equal(write(guest, "x", 1), 1);
	assert_int_equal(read(host, (char[1]){0}, 1), 1);
	close(guest);
	close(host);
	r3_socket_unlisten(&door);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(test_count_fds(), fds);
}

static void a_stale_socket_is_replaced_and_a_live_one_is_not(void **state)
{
	unsigned fds = test_count_fds();
	struct r3_listener door, second;

	assert_int_equal(r3_socket_listen(where, &door), 0);
	assert_int_equal(r3_socket_listen(where, &second), -EADDRINUSE);
	assert_int_equal(access(path, F_OK), 0);
	close(door.fd); /* as if killed */
	assert_int_equal(r3_socket_listen(where, &second), 0);
	r3_socket_unlisten(&second);
	assert_int_equal(test_count_fds(), fds);
}

static void only_the_own_file_is_removed(void **state)
{
	struct r3_listener door, second;

	assert_int_equal(r3_socket_listen(where, &door), 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(r3_socket_listen(where, &second), 0);
	r3_socket_unlisten(&door);
	assert_int_equal(access(path, F_OK), 0);
	r3_socket_unlisten(&second);
	assert_int_equal(access(path, F_OK), -1);
}

static void a_file_that_is_no_socket_stays(void **state)
{
	struct r3_listener door;
	int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(r3_socket_listen(where, &door), -EADDRINUSE);
	assert_int_equal(access(path, F_OK), 0);
}

static void inherited_sockets_are_taken_as_they_are(void **state)
{
	unsigned fds = test_count_fds();
	struct r3_listener door;
	char text[16];
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	snprintf(text, sizeof(text), "fd:%d", pair[0]);
	assert_int_equal(r3_socket_listen(text, &door), 0);
	assert_true(door.connected);
	assert_int_not_equal(door.fd, pair[0]);
	r3_socket_unlisten(&door);
	close(pair[0]);
	close(pair[1]);

	int listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(listen(listening, 1), -1); /* not yet bound */
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	strcpy(address.sun_path, path);
	assert_int_equal(bind(listening, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(listening, 1), 0);
	snprintf(text, sizeof(text), "fd:%d", listening);
	assert_int_equal(r3_socket_listen(text, &door), 0);
	assert_false(door.connected);
	r3_socket_unlisten(&door);
	assert_int_equal(access(path, F_OK), 0); /* not ours */
	close(listening);
	assert_int_equal(test_count_fds(), fds);
}

static void what_is_no_socket_is_refused(void **state)
{
	static const struct {
		const char *where;
		int rc;
	} rows[] = {
		{"", -EINVAL},
		{"unix:", -EINVAL},
		{"tcp:1", -EINVAL},
		{"fd:x", -EINVAL},
		{"fd:99999", -EBADF},
		{"unix:/nowhere/at/all", -ENOENT},
		{"unix:/0123456789012345678901234567890123456789012345678901234567890123456789"
		 "01234567890123456789012345678901234567890123456789",
		 -ENAMETOOLONG},
	};
	unsigned fds = test_count_fds();
	struct r3_listener door;
	char text[16];
	int pipes[2];

	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(r3_socket_listen(rows[i].where, &door), rows[i].rc);
		assert_string_not_equal(r3_error_text(), "");
	}
	assert_int_equal(pipe(pipes), 0);
	snprintf(text, sizeof(text), "fd:%d", pipes[0]);
	assert_int_equal(r3_socket_listen(text, &door), -EINVAL);
	close(pipes[0]);
	close(pipes[1]);
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, pipes), 0);
	snprintf(text, sizeof(text), "fd:%d", pipes[0]);
	assert_int_equal(r3_socket_listen(text, &door), -EINVAL);
	close(pipes[0]);
	close(pipes[1]);
	assert_int_equal(test_count_fds(), fds);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_path_is_made_and_removed, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(a_stale_socket_is_replaced_and_a_live_one_is_not,
						make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(only_the_own_file_is_removed, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(a_file_that_is_no_socket_stays, make_dir,
						remove_dir),
		cmocka_unit_test_setup_teardown(inherited_sockets_are_taken_as_they_are, make_dir,
						remove_dir),
		cmocka_unit_test(what_is_no_socket_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
