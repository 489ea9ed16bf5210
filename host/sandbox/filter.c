/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * seccomp: the calls of a profile and no others. What is not listed is not done, and the
 * process dies of SIGSYS. Death may be ours to arrange, for the name of the call is worth
 * more to whoever looks for the reason than a number in an audit log that he may not read:
 * a handler writes one line, and what happens to it or in it changes nothing about the call.
 */
#include "host/sandbox/parts.h"

#include <ring3/error.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MAX_ARGS 3

/* In a list: this process, which the list cannot know. No number is that large. */
#define SELF UINT64_MAX

struct rule {
	const char *call;
	const char *otherwise; /* on machines that do not have it; NULL: nothing */
	uint32_t action;
	unsigned nargs;
	struct scmp_arg_cmp arg[MAX_ARGS];
};

#include "host/sandbox/syscalls.h"

static const struct {
	const struct rule *rules;
	const char *const *calls;
} profiles[SANDBOX_PROFILES] = {
	[SANDBOX_DRIVER] = {driver_rules, driver_calls},
	[SANDBOX_BROKER] = {broker_rules, broker_calls},
	[SANDBOX_EXPORT] = {export_rules, export_calls},
};

const char *const *sandbox_syscalls(enum sandbox_profile profile)
{
	return profiles[profile].calls;
}

/* ---- naming the call ---- */

#define NCALLS 512

/* Looked up before, because to look up is to allocate, and the call may be the heap's. */
static char call_name[NCALLS][28];

static void name_calls(void)
{
	for (int i = 0; i < NCALLS; i++) {
		char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, i);

		snprintf(call_name[i], sizeof(call_name[i]), "%s", name ? name : "");
		free(name);
	}
}

static size_t append(char *text, size_t used, size_t size, const char *more)
{
	while (*more && used < size)
		text[used++] = *more++;
	return used;
}

/** Signal handler, so: no stdio. */
static void say_and_die(int sig, siginfo_t *info, void *context)
{
	int call = info->si_syscall;
	char text[160], digits[12], *digit = digits + sizeof(digits) - 1;
	size_t used;

	*digit = 0;
	unsigned left = call < 0 ? 0 : (unsigned)call;
	do
		*--digit = (char)('0' + left % 10);
	while (left /= 10);
	used = append(text, 0, sizeof(text), "sandbox: killed for the system call ");
	if (call >= 0 && call < NCALLS && call_name[call][0]) {
		used = append(text, used, sizeof(text), call_name[call]);
		used = append(text, used, sizeof(text), ", number ");
	}
	used = append(text, used, sizeof(text), digit);
	used = append(text, used, sizeof(text), ", which its profile does not allow\n");
	(void)!write(STDERR_FILENO, text, used);
	/* The signal is blocked here, so the next call that is not listed really kills. */
	syscall(SYS_ptrace, -1, 0, 0, 0);
	_exit(128 + sig);
}

static int install_handler(void)
{
	struct sigaction action = {.sa_sigaction = say_and_die, .sa_flags = SA_SIGINFO};

	name_calls();
	sigemptyset(&action.sa_mask);
	return sigaction(SIGSYS, &action, NULL) < 0 ? -errno : 0;
}

/* ---- the filter ---- */

static int add_rules(scmp_filter_ctx filter, const struct rule *rule)
{
	for (; rule->call; rule++) {
		int call = seccomp_syscall_resolve_name(rule->call), rc;
		struct scmp_arg_cmp arg[MAX_ARGS];

		if (call < 0 && rule->otherwise)
			call = seccomp_syscall_resolve_name(rule->otherwise);
		if (call < 0) /* of another machine, or of a later kernel than libseccomp's */
			continue;
		memcpy(arg, rule->arg, sizeof(arg));
		for (unsigned i = 0; i < rule->nargs; i++) {
			if (arg[i].op == SCMP_CMP_EQ && arg[i].datum_a == SELF)
				arg[i].datum_a = (scmp_datum_t)getpid();
		}
		rc = seccomp_rule_add_array(filter, rule->action, call, rule->nargs, arg);
		if (rc < 0)
			return r3_error_set(-rc, "seccomp: %s: %s", rule->call, strerror(-rc));
	}
	return 0;
}

static int load(const struct sandbox *box, bool loading)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_TRAP);
	int rc;

	if (!filter)
		return r3_error_set(ENOMEM, "seccomp: no memory for a filter");
	rc = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	if (rc == 0) /* it is set, and if it could not be, that has been told */
		rc = seccomp_attr_set(filter, SCMP_FLTATR_CTL_NNP, 0);
	if (rc == 0)
		rc = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (rc < 0)
		r3_error_set(-rc, "seccomp: %s", strerror(-rc));
	if (rc == 0)
		rc = add_rules(filter, profiles[box->profile].rules);
	if (rc == 0 && loading)
		rc = add_rules(filter, loading_rules);
	if (rc == 0 && (rc = seccomp_load(filter)) < 0)
		r3_error_set(-rc, "seccomp: loading the filter: %s", strerror(-rc));
	seccomp_release(filter);
	return rc;
}

int sandbox_filter(const struct sandbox *box, bool loading, struct sandbox_report *report)
{
	const char *watcher = sandbox_watcher();
	int rc;

	if (watcher) {
		sandbox_say(report, SANDBOX_SYSCALLS, SANDBOX_MISSING,
			    "%s, whose own calls no profile lists", watcher);
		return 0;
	}
	if (report->part[SANDBOX_SYSCALLS].state == SANDBOX_MISSING) { /* the first of two */
		rc = install_handler();
		if (rc < 0)
			return r3_error_set(-rc, "seccomp: no handler: %s", strerror(-rc));
	}
	rc = load(box, loading);
	if (rc == -EINVAL || rc == -ENOSYS || rc == -ECANCELED) {
		sandbox_say(report, SANDBOX_SYSCALLS, SANDBOX_MISSING, "%s", r3_error_text());
		return 0;
	}
	if (rc < 0)
		return rc;
	if (loading)
		sandbox_say(report, SANDBOX_SYSCALLS, SANDBOX_PARTLY, "a driver is being loaded");
	else
		sandbox_say(report, SANDBOX_SYSCALLS, SANDBOX_FULL, "%s", "");
	return 0;
}
