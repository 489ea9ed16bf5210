/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Nothing gets out of a driver's sandbox. Each attempt is made in a process of its own, twice:
 * inside, where it must end in SIGSYS or an error, and outside, where it must work, for an
 * attempt that cannot succeed shows nothing.
 */
#include "host/escapes.h"
#include "host/sandbox/parts.h"
#include "host/sandbox/sandbox.h"
#include "unit.h"

#include <ring3/error.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WORKED = 0, FAILED = 1, NO_SANDBOX = 2 }; /* exit codes of an attempt */

static struct escape_aims aims;

static pid_t start_neighbour(void)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	while (pid == 0)
		pause();
	return pid;
}

typedef int enter_fn(const struct sandbox *box, struct sandbox_report *report);

static int stay_outside(const struct sandbox *box, struct sandbox_report *report)
{
	return 0;
}

static void attempt(const struct escape *e, enter_fn *enter, const struct sandbox *box)
{
	struct sandbox_report report;

	if (enter(box, &report) < 0) {
		fprintf(stderr, "%s\n", r3_error_text());
		_exit(NO_SANDBOX);
	}
	_exit(e->attempt(&aims) < 0 ? FAILED : WORKED);
}

/** Returns the status as of wait(). */
static int try_out(const struct escape *e, enter_fn *enter, const struct sandbox *box)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0)
		attempt(e, enter, box);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static bool worked(int status)
{
	return WIFEXITED(status) && WEXITSTATUS(status) == WORKED;
}

static void clean_folder(void)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/made", aims.folder);
	unlink(path);
	snprintf(path, sizeof(path), "%s/link", aims.folder);
	unlink(path);
}

/** With scopes of signals: ABI 6. */
static bool has_landlock(void)
{
	return syscall(SYS_landlock_create_ruleset, NULL, 0, 1) >= 6;
}

static struct sandbox driver_box(void)
{
	bool root = geteuid() == 0;

	return (struct sandbox){.profile = SANDBOX_DRIVER,
				.uid = root ? 54321 : SANDBOX_SAME_ID,
				.gid = SANDBOX_SAME_ID};
}

static void test_nothing_gets_out(void **state)
{
	const struct sandbox box = driver_box();
	unsigned out = 0, killed = 0;

	for (const struct escape *e = escapes; e->name; e++) {
		int status = try_out(e, sandbox_enter, &box);

		clean_folder();
		if (WIFEXITED(status) && WEXITSTATUS(status) == NO_SANDBOX)
			fail_msg("%s: there was no sandbox", e->name);
		if (worked(status))
			print_error("%s: it got out\n", e->name);
		out += worked(status);
		killed += WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;
	}
	assert_int_equal(out, 0);
	assert_true(killed > 20); /* loudly, mostly */
}

/** What the other parts hold by themselves, should the filter have a hole. They need root to
 *  be complete, and a kernel of this decade. */
static void test_the_rest_holds_without_the_filter(void **state)
{
	struct sandbox box = driver_box();
	unsigned out = 0, tried = 0;

	if (geteuid() != 0 || !has_landlock())
		skip();
	for (const struct escape *e = escapes; e->name; e++) {
		if (!e->twice)
			continue;
		int status = try_out(e, sandbox_enter_unfiltered, &box);

		clean_folder();
		assert_true(WIFEXITED(status));
		assert_int_not_equal(WEXITSTATUS(status), NO_SANDBOX);
		if (worked(status))
			print_error("%s: it got out\n", e->name);
		out += worked(status);
		tried++;
	}
	assert_int_equal(out, 0);
	assert_true(tried > 10);
}

static void test_attempts_work_outside(void **state)
{
	unsigned failed = 0, common = 0;

	for (const struct escape *e = escapes; e->name; e++) {
		bool ok = worked(try_out(e, stay_outside, NULL));

		clean_folder();
		if (!ok)
			print_error("%s: does not work %s\n", e->name,
				    e->rare ? "here, so that it shows nothing" : "outside");
		failed += !ok && !e->rare;
		common += !e->rare;
	}
	assert_int_equal(failed, 0);
	assert_true(common > 20);
}

static int set_up(void **state)
{
	strcpy(aims.folder, "/tmp/ring3-escape-XXXXXX");
	if (!mkdtemp(aims.folder))
		return -1;
	chmod(aims.folder, 0777);
	strcpy(aims.secret, "/etc/passwd");
	aims.anywhere = &aims;
	aims.neighbour = start_neighbour();
	return 0;
}

static int tear_down(void **state)
{
	kill(aims.neighbour, SIGKILL);
	waitpid(aims.neighbour, NULL, 0);
	return rmdir(aims.folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_gets_out),
		cmocka_unit_test(test_the_rest_holds_without_the_filter),
		cmocka_unit_test(test_attempts_work_outside),
	};

	if (sandbox_watcher()) {
		printf("skipped: %s, so there is no filter, which is reported\n",
		       sandbox_watcher());
		return 77;
	}
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
