/* SPDX-License-Identifier: BSD-2-Clause */
/* What the report of a sandbox says is what the kernel says of the process. */
#include "host/sandbox/parts.h"
#include "unit.h"

#include <ring3/error.h>

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <linux/kcmp.h>
#include <pthread.h>
#include <seccomp.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define STRANGER 54321u

static struct sandbox plain_box(void)
{
	return (struct sandbox){.profile = SANDBOX_DRIVER,
				.uid = geteuid() == 0 ? STRANGER : SANDBOX_SAME_ID,
				.gid = SANDBOX_SAME_ID};
}

/** Run @body in a process of its own; @body's result is its exit code. */
static int in_child(int (*body)(void *), void *arg)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0)
		_exit(body(arg));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

/* ---- what the kernel says ---- */

/** A process in a sandbox, which tells its report and waits. */
struct inmate {
	pid_t pid;
	int hold; /* it ends when this is closed */
	struct sandbox_report report;
};

static void begin(struct inmate *in, const struct sandbox *box)
{
	int tell[2], hold[2];
	char byte;

	assert_int_equal(pipe2(tell, O_CLOEXEC), 0);
	assert_int_equal(pipe2(hold, O_CLOEXEC), 0);
	in->pid = fork();
	assert_true(in->pid >= 0);
	if (in->pid == 0) {
		close(hold[1]);
		if (sandbox_enter(box, &in->report) < 0)
			fprintf(stderr, "%s\n", r3_error_text());
		else if (write(tell[1], &in->report, sizeof(in->report)) > 0)
			(void)!read(hold[0], &byte, 1);
		_exit(0);
	}
	close(tell[1]);
	close(hold[0]);
	in->hold = hold[1];
	assert_int_equal(read(tell[0], &in->report, sizeof(in->report)), sizeof(in->report));
	close(tell[0]);
}

static void end(struct inmate *in)
{
	int status;

	close(in->hold);
	assert_int_equal(waitpid(in->pid, &status, 0), in->pid);
	assert_true(WIFEXITED(status));
}

/** The value behind "name:" in /proc/PID/status. */
static void kernel_says(const struct inmate *in, const char *name, char value[64])
{
	char path[64], line[256];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", in->pid);
	file = fopen(path, "re");
	assert_non_null(file);
	value[0] = 0;
	while (fgets(line, sizeof(line), file)) {
		size_t n = strlen(name);

		if (strncmp(line, name, n) == 0 && line[n] == ':')
			sscanf(line + n + 1, "%63s", value);
	}
	fclose(file);
	if (!value[0])
		fail_msg("no %s in %s", name, path);
}

static void assert_kernel_says(const struct inmate *in, const char *name, const char *expected)
{
	char value[64];

	kernel_says(in, name, value);
	if (strcmp(value, expected) != 0)
		fail_msg("%s is %s, not %s", name, value, expected);
}

static bool same_namespace(const struct inmate *in, const char *which)
{
	char path[64], ours[64] = "", theirs[64] = "";

	snprintf(path, sizeof(path), "/proc/self/ns/%s", which);
	assert_true(readlink(path, ours, sizeof(ours) - 1) > 0);
	snprintf(path, sizeof(path), "/proc/%d/ns/%s", in->pid, which);
	if (readlink(path, theirs, sizeof(theirs) - 1) < 0)
		return false; /* it lies in a user namespace that is not ours to look into */
	return strcmp(ours, theirs) == 0;
}

static void test_report_is_true(void **state)
{
	const struct sandbox box = plain_box();
	struct inmate in;

	begin(&in, &box);
	for (unsigned i = 0; i < SANDBOX_PARTS; i++) {
		const char *why = in.report.part[i].why;

		/* a reason stands where something is missing, and nowhere else */
		assert_int_equal(in.report.part[i].state == SANDBOX_FULL, why[0] == 0);
	}
	assert_kernel_says(&in, "CapEff", "0000000000000000");
	assert_kernel_says(&in, "CapPrm", "0000000000000000");
	assert_kernel_says(&in, "CapInh", "0000000000000000");
	assert_kernel_says(&in, "CapAmb", "0000000000000000");
	if (in.report.part[SANDBOX_CAPS].state == SANDBOX_FULL)
		assert_kernel_says(&in, "CapBnd", "0000000000000000");
	assert_kernel_says(&in, "NoNewPrivs",
			   in.report.part[SANDBOX_PRIVS].state == SANDBOX_FULL ? "1" : "0");
	assert_kernel_says(&in, "Seccomp",
			   in.report.part[SANDBOX_SYSCALLS].state == SANDBOX_FULL ? "2" : "0");
	if (in.report.part[SANDBOX_UID].state == SANDBOX_FULL)
		assert_kernel_says(&in, "Uid", "54321");
	if (in.report.part[SANDBOX_NAMESPACES].state == SANDBOX_FULL) {
		assert_false(same_namespace(&in, "net"));
		assert_false(same_namespace(&in, "ipc"));
		assert_false(same_namespace(&in, "mnt"));
	}
	end(&in);
}

static void test_network_can_stay(void **state)
{
	struct sandbox box = plain_box();
	struct inmate in;

	if (geteuid() != 0)
		skip(); /* nobody else can see another's namespaces */
	box.keep_net = true;
	begin(&in, &box);
	assert_true(same_namespace(&in, "net"));
	assert_int_not_equal(in.report.part[SANDBOX_NAMESPACES].state, SANDBOX_FULL);
	end(&in);
}

/* ---- files ---- */

static int reads_what_is_listed(void *arg)
{
	static const char *const list[] = {"/etc/passwd", NULL};
	struct sandbox box = plain_box();
	struct sandbox_report report;
	int listed, other;

	box.may_read = list;
	if (sandbox_enter_unfiltered(&box, &report) < 0)
		return 2;
	listed = open("/etc/passwd", O_RDONLY | O_CLOEXEC);
	other = open("/etc/group", O_RDONLY | O_CLOEXEC);
	if (report.part[SANDBOX_FILES].state != SANDBOX_FULL)
		return 77;
	return listed < 0 || other >= 0 || open("/etc/passwd", O_WRONLY | O_CLOEXEC) >= 0;
}

static void test_files(void **state)
{
	int status = in_child(reads_what_is_listed, NULL);

	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		skip(); /* no Landlock here, and the report says so */
	assert_int_equal(status, 0);
}

static int lists_what_is_not(void *arg)
{
	static const char *const list[] = {"/nowhere/at/all", NULL};
	struct sandbox box = plain_box();
	struct sandbox_report report;

	box.may_read = list;
	int rc = sandbox_enter(&box, &report);
	return report.part[SANDBOX_FILES].state == SANDBOX_MISSING && rc == 0 ? 77 : rc != -ENOENT;
}

static void test_list_of_files_is_checked(void **state)
{
	int status = in_child(lists_what_is_not, NULL);

	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(status, 0);
}

/* ---- two steps ---- */

static int opens_until_shut(void *arg)
{
	static const char *const list[] = {"/etc", NULL};
	struct sandbox box = plain_box();
	struct sandbox_report report;

	box.may_read = list;
	box.loading = true;
	if (sandbox_enter(&box, &report) < 0 || report.part[SANDBOX_SYSCALLS].state == SANDBOX_FULL)
		return 2;
	if (open("/etc/passwd", O_RDONLY | O_CLOEXEC) < 0)
		return 3;
	if (sandbox_shut(&box, &report) < 0)
		return 4;
	if (report.part[SANDBOX_SYSCALLS].state != SANDBOX_FULL)
		return 77;
	return open("/etc/passwd", O_RDONLY | O_CLOEXEC) >= 0;
}

static void test_shut(void **state)
{
	int status = in_child(opens_until_shut, NULL);

	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		skip();
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSYS);
}

static int may_be_debugged(void *arg)
{
	struct sandbox box = plain_box();
	struct sandbox_report report;

	box.debug = true;
	if (sandbox_enter(&box, &report) < 0)
		return 2;
	return report.part[SANDBOX_MEMORY].state != SANDBOX_OFF;
}

static void test_debug(void **state)
{
	assert_int_equal(in_child(may_be_debugged, NULL), 0);
}

#define MOST (UINT64_C(64) << 20)

static int has_no_more_than_that(void *arg)
{
	struct sandbox box = plain_box();
	struct sandbox_report report;
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS;

	box.max_data = MOST;
	if (sandbox_enter(&box, &report) < 0)
		return 2;
	if (mmap(NULL, MOST / 2, PROT_READ | PROT_WRITE, flags, -1, 0) == MAP_FAILED)
		return 3;
	return mmap(NULL, MOST, PROT_READ | PROT_WRITE, flags, -1, 0) != MAP_FAILED;
}

static void test_memory_has_a_bound(void **state)
{
	if (sandbox_watcher()) /* which takes memory of its own */
		skip();
	assert_int_equal(in_child(has_no_more_than_that, NULL), 0);
}

/** It is not alone with its uid where nobody is root. */
static int reaches_for_others(void *arg)
{
	struct sandbox box = plain_box();
	struct sandbox_report report;
	pid_t other = getppid();

	box.profile = SANDBOX_BROKER;
	box.uid = SANDBOX_SAME_ID;
	if (sandbox_enter(&box, &report) < 0)
		return 2;
	if (kill(other, 0) == 0 || errno != EPERM)
		return 3;
	if (syscall(SYS_kcmp, getpid(), getpid(), KCMP_FILE, 2, 2) != 0)
		return 6;
	if (ioctl(STDERR_FILENO, FIOCLEX, 0) == 0 || errno != ENOTTY)
		return 4;
	fcntl(STDERR_FILENO, F_SETOWN, other);
	return 5;
}

static int signals_itself_then_another(void *arg)
{
	struct sandbox box = plain_box();
	struct sandbox_report report;
	pid_t other = getppid();

	box.profile = SANDBOX_EXPORT;
	box.uid = SANDBOX_SAME_ID;
	if (sandbox_enter(&box, &report) < 0)
		return 2;
	if (syscall(SYS_tgkill, getpid(), gettid(), 0) < 0)
		return 3;
	syscall(SYS_tgkill, other, other, 0);
	return 4;
}

static void test_an_export_reaches_nobody(void **state)
{
	if (sandbox_watcher())
		skip();
	assert_int_equal(in_child(signals_itself_then_another, NULL), SIGSYS);
}

static void test_a_broker_reaches_nobody(void **state)
{
	if (sandbox_watcher())
		skip();
	assert_int_equal(in_child(reaches_for_others, NULL), SIGSYS);
}

/* ---- kernels that have less ---- */

/** Have this process' kernel answer so from now on. */
static int pretend(const char *const *call, const int *err)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
	int rc = filter ? 0 : -ENOMEM;

	for (; rc == 0 && *call; call++, err++)
		rc = seccomp_rule_add(filter, SCMP_ACT_ERRNO((uint32_t)*err),
				      seccomp_syscall_resolve_name(*call), 0);
	if (rc == 0)
		rc = seccomp_load(filter);
	seccomp_release(filter);
	return rc;
}

static bool told(const struct sandbox_report *report, enum sandbox_part part, const char *why)
{
	return report->part[part].state == SANDBOX_MISSING && strstr(report->part[part].why, why);
}

static int enters_old_kernel(void *arg)
{
	static const char *const calls[] = {"landlock_create_ruleset", "unshare", "seccomp", NULL};
	static const int errs[] = {ENOSYS, EPERM, EINVAL};
	struct sandbox box = plain_box();
	struct sandbox_report report;

	if (pretend(calls, errs) < 0)
		return 2;
	if (sandbox_enter(&box, &report) < 0) {
		fprintf(stderr, "%s\n", r3_error_text());
		return 3;
	}
	return !told(&report, SANDBOX_FILES, "landlock") ||
	       !told(&report, SANDBOX_NAMESPACES, "CAP_SYS_ADMIN") ||
	       !told(&report, SANDBOX_SYSCALLS, "seccomp") ||
	       report.part[SANDBOX_CAPS].state != SANDBOX_FULL ||
	       sandbox_grade(&report) != SANDBOX_PARTLY;
}

static int requires_of_old_kernel(void *arg)
{
	static const char *const calls[] = {"landlock_create_ruleset", NULL};
	static const int errs[] = {ENOSYS};
	struct sandbox box = plain_box();
	struct sandbox_report report;

	box.require = 1u << SANDBOX_FILES;
	if (pretend(calls, errs) < 0)
		return 2;
	return sandbox_enter(&box, &report) != -EOPNOTSUPP;
}

static void test_old_kernel(void **state)
{
	if (sandbox_watcher() || geteuid() != 0)
		skip(); /* others see other reasons */
	assert_int_equal(in_child(enters_old_kernel, NULL), 0);
	assert_int_equal(in_child(requires_of_old_kernel, NULL), 0);
}

/* ---- refusals ---- */

static int requires(void *arg)
{
	struct sandbox box = plain_box();
	struct sandbox_report report;

	box.debug = true; /* so that one part is off */
	box.require = 1u << SANDBOX_MEMORY;
	return sandbox_enter(&box, &report) != -EOPNOTSUPP || !strstr(r3_error_text(), "memory");
}

static int requires_nothing_missing(void *arg)
{
	struct sandbox box = plain_box();
	struct sandbox_report report;

	box.require = 1u << SANDBOX_PRIVS;
	return sandbox_enter(&box, &report);
}

static void test_required_part(void **state)
{
	assert_int_equal(in_child(requires, NULL), 0);
	assert_int_equal(in_child(requires_nothing_missing, NULL), 0);
}

static int becomes_another(void *arg)
{
	struct sandbox box = plain_box();
	struct sandbox_report report;

	if (geteuid() == 0 && (setgid(STRANGER) < 0 || setuid(STRANGER) < 0))
		return 2;
	box.uid = STRANGER + 1;
	return sandbox_enter(&box, &report) != -EPERM;
}

static void test_only_root_gives_uids(void **state)
{
	assert_int_equal(in_child(becomes_another, NULL), 0);
}

static int unprivileged(void *arg)
{
	struct sandbox box = plain_box();
	struct sandbox_report report;

	if (geteuid() == 0 && (setgid(STRANGER) < 0 || setuid(STRANGER) < 0))
		return 2;
	box.uid = SANDBOX_SAME_ID;
	if (sandbox_enter(&box, &report) < 0)
		return 3;
	return report.part[SANDBOX_UID].state != SANDBOX_OFF ||
	       report.part[SANDBOX_PRIVS].state != SANDBOX_FULL;
}

static void test_unprivileged(void **state)
{
	assert_int_equal(in_child(unprivileged, NULL), 0);
}

static void *idle(void *arg)
{
	pause();
	return NULL;
}

static int has_threads(void *arg)
{
	const struct sandbox box = plain_box();
	struct sandbox_report report;
	pthread_t thread;

	if (pthread_create(&thread, NULL, idle, NULL))
		return 2;
	return sandbox_enter(&box, &report) != -EBUSY;
}

static void test_threads_are_refused(void **state)
{
	assert_int_equal(in_child(has_threads, NULL), 0);
}

/* ---- words ---- */

static void test_words(void **state)
{
	const struct sandbox box = {.profile = SANDBOX_BROKER};
	struct sandbox_report report;
	char text[600];

	for (unsigned i = 0; i < SANDBOX_PARTS; i++)
		sandbox_say(&report, i, SANDBOX_FULL, "%s", "");
	assert_int_equal(sandbox_grade(&report), SANDBOX_FULL);
	sandbox_report_text(&box, &report, text, sizeof(text));
	assert_string_equal(text, "sandbox broker: full");

	sandbox_say(&report, SANDBOX_FILES, SANDBOX_MISSING, "no landlock: %s", "too \"old\"");
	assert_int_equal(sandbox_grade(&report), SANDBOX_PARTLY);
	sandbox_report_text(&box, &report, text, sizeof(text));
	assert_string_equal(text,
			    "sandbox broker: partly; files missing: no landlock: too \"old\"");
	sandbox_report_text(&box, &report, text, 10);
	assert_string_equal(text, "sandbox b");

	struct json_object *json = sandbox_report_json(&box, &report);
	assert_string_equal(
		json_object_to_json_string_ext(json, JSON_C_TO_STRING_PLAIN),
		"{\"profile\":\"broker\",\"grade\":\"partly\",\"full\":[\"uid\",\"capabilities\","
		"\"no_new_privs\",\"namespaces\",\"syscalls\",\"limits\",\"memory\"],\"missing\":"
		"[{\"part\":\"files\",\"state\":\"missing\",\"why\":\"no landlock: too "
		"\\\"old\\\"\"}]}");
	json_object_put(json);

	for (unsigned i = 0; i < SANDBOX_PARTS; i++)
		sandbox_say(&report, i, SANDBOX_OFF, "nobody wants it");
	assert_int_equal(sandbox_grade(&report), SANDBOX_MISSING);
}

/** The promise that is made of drivers. */
static void test_driver_list(void **state)
{
	static const char *const never[] = {
		"open",           "openat",         "openat2",  "socket",   "connect",
		"bind",           "execve",         "execveat", "ioctl",    "fork",
		"clone",          "clone3",         "ptrace",   "kill",     "prctl",
		"io_uring_setup", "io_uring_enter", "pread64",  "pwrite64", "memfd_create"};
	unsigned n = 0;

	for (const char *const *call = sandbox_syscalls(SANDBOX_DRIVER); *call; call++, n++)
		for (unsigned i = 0; i < sizeof(never) / sizeof(never[0]); i++)
			assert_string_not_equal(*call, never[i]);
	assert_in_range(n, 10, 30);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_report_is_true),
		cmocka_unit_test(test_network_can_stay),
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_list_of_files_is_checked),
		cmocka_unit_test(test_shut),
		cmocka_unit_test(test_debug),
		cmocka_unit_test(test_memory_has_a_bound),
		cmocka_unit_test(test_a_broker_reaches_nobody),
		cmocka_unit_test(test_an_export_reaches_nobody),
		cmocka_unit_test(test_old_kernel),
		cmocka_unit_test(test_required_part),
		cmocka_unit_test(test_only_root_gives_uids),
		cmocka_unit_test(test_unprivileged),
		cmocka_unit_test(test_threads_are_refused),
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_driver_list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
