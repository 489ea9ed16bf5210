/* SPDX-License-Identifier: BSD-2-Clause */
/* The QEMU process: see spawn.h. */
#include "backend/qemu/spawn.h"

#include "mem/poison.h"
#include "util/fd.h"

#include <ring3/clock.h>
#include <ring3/error.h>
#include <ring3/log.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define FDS_MAX 80

/* A killed process ends at once, unless a disk holds it. */
#define KILL_MS 10000

int r3_qemu_find_program(const char *name, char *path, size_t size)
{
	const char *search = getenv("PATH");
	size_t len;

	if (strchr(name, '/'))
		search = "";
	for (const char *dir = search ? search : "/usr/bin:/bin"; dir; dir += len + 1) {
		len = strcspn(dir, ":");
		int n = len ? snprintf(path, size, "%.*s/%s", (int)len, dir, name)
			    : snprintf(path, size, "%s", name);
		if (n > 0 && (size_t)n < size && access(path, X_OK) == 0)
			return 0;
		if (dir[len] == '\0')
			break;
	}
	return r3_error_set(ENODEV, "cannot find the program %s: install qemu-system-x86", name);
}

static int by_number(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

struct child {
	const char *path;
	char *const *argv;
	struct r3_tether tether;
	int keep[FDS_MAX + 1]; /* sorted */
	unsigned nkeep;
	long most_fds;
	int null, messages;
	uid_t uid;
	gid_t gid;
};

/* Capabilities go with uid 0. */
static int change_identity(uid_t uid, gid_t gid)
{
	if (gid && (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0))
		return -1;
	return uid ? setresuid(uid, uid, uid) : 0;
}

/* Between fork and exec: async-signal-safe calls only. */
static _Noreturn void become_qemu(struct child *c)
{
	sigset_t none;

	for (int sig = 1; sig < NSIG; sig++)
		signal(sig, SIG_DFL);
	/* It needs no network, and its core would hold what the device's owner wrote. Who cannot
	 * part it from the network has no privilege that it could use there. */
	unshare(CLONE_NEWNET | CLONE_NEWIPC);
	setrlimit(RLIMIT_CORE, &(struct rlimit){0});
	if (setsid() < 0 || change_identity(c->uid, c->gid) < 0 ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		_exit(126);
	if (dup2(c->null, STDIN_FILENO) < 0 || dup2(c->null, STDOUT_FILENO) < 0 ||
	    dup2(c->messages, STDERR_FILENO) < 0)
		_exit(126);
	r3_fd_close_others(c->keep, c->nkeep, c->most_fds);
	for (unsigned i = 0; i < c->nkeep; i++)
		fcntl(c->keep[i], F_SETFD, 0);
	if (r3_tether_child(&c->tether, false) < 0)
		_exit(126);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execv(c->path, c->argv);
	_exit(127);
}

int r3_qemu_process_start(struct r3_qemu_process *process, const char *path, char *const argv[],
			  const int *fds, unsigned nfds, uid_t uid, gid_t gid)
{
	struct child c = {.path = path, .argv = argv, .null = -1, .uid = uid, .gid = gid};
	int messages[2] = {-1, -1}, rc;
	sigset_t all, old;

	*process = R3_QEMU_PROCESS_NONE;
	if (nfds > FDS_MAX)
		return r3_error_set(EINVAL, "too many files for QEMU");
	rc = r3_tether_make(&process->tether);
	if (rc < 0)
		return rc;
	/* Non-blocking at both ends: QEMU must not stop because nobody reads it. */
	c.null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (c.null < 0 || pipe2(messages, O_CLOEXEC | O_NONBLOCK) < 0) {
		rc = r3_error_set(errno, "cannot start QEMU: %s", strerror(errno));
		goto out_close;
	}
	c.messages = messages[1];
	c.tether = process->tether;
	memcpy(c.keep, fds, nfds * sizeof(*fds));
	c.keep[nfds] = process->tether.feel;
	c.nkeep = nfds + 1;
	qsort(c.keep, c.nkeep, sizeof(*c.keep), by_number);
	c.most_fds = sysconf(_SC_OPEN_MAX);

	/* A handler of the owner's must not run in the child. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	process->pid = fork();
	if (process->pid == 0)
		become_qemu(&c);
	int err = errno;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (process->pid < 0) {
		process->pid = 0;
		rc = r3_error_set(err, "cannot start QEMU: %s", strerror(err));
		goto out_close;
	}
	/* valgrind complains of the call; what it watches is in no sandbox */
	if (!r3_poison_watched())
		process->fd = (int)syscall(SYS_pidfd_open, process->pid, 0);
	r3_tether_owner(&process->tether);
	close(c.null);
	close(messages[1]);
	process->messages = messages[0];
	return 0;

out_close:
	r3_fd_close(&messages[0]);
	r3_fd_close(&messages[1]);
	r3_fd_close(&c.null);
	r3_tether_cut(&process->tether);
	return rc;
}

void r3_qemu_process_says(struct r3_qemu_process *process, char *buf, size_t size)
{
	ssize_t n = process->messages < 0 ? 0 : read(process->messages, buf, size - 1);

	buf[n > 0 ? n : 0] = '\0';
	for (char *at = buf; *at; at++)
		if ((unsigned char)*at < ' ')
			*at = ' ';
	for (size_t len = strlen(buf); len > 0 && buf[len - 1] == ' '; len--)
		buf[len - 1] = '\0';
}

/* Whether it ended within @ms. Somebody else's wait() may have reaped it: it ended. */
static bool has_ended(struct r3_qemu_process *process, unsigned ms)
{
	struct r3_wait wait = r3_wait_begin(r3_clock_system(), ms * R3_NSEC_PER_MSEC);

	do {
		pid_t pid = waitpid(process->pid, NULL, WNOHANG);
		if (pid == process->pid || (pid < 0 && errno == ECHILD))
			return true;
	} while (r3_wait_step(&wait));
	return false;
}

bool r3_qemu_process_kill(struct r3_qemu_process *process)
{
	struct r3_wait wait = r3_wait_begin(r3_clock_system(), KILL_MS * R3_NSEC_PER_MSEC);
	/* The tether kills this process and no other, whoever has reaped it meanwhile. */
	int hold = __atomic_exchange_n(&process->tether.hold, -1, __ATOMIC_SEQ_CST);

	r3_fd_close(&hold);
	if (process->pid <= 0)
		return true;
	do {
		siginfo_t info = {.si_pid = 0};
		int rc = waitid(P_PID, (id_t)process->pid, &info, WEXITED | WNOHANG | WNOWAIT);

		if (rc == 0 ? info.si_pid != 0 : errno == ECHILD)
			return true;
	} while (r3_wait_step(&wait));
	return false;
}

/* By its descriptor: in a sandbox that is all that can be signalled. */
static void send_signal(const struct r3_qemu_process *process, int sig)
{
	if (process->fd >= 0)
		syscall(SYS_pidfd_send_signal, process->fd, sig, NULL, 0);
	else
		kill(process->pid, sig);
}

void r3_qemu_process_stop(struct r3_qemu_process *process, unsigned grace_ms)
{
	/* a process that was reaped already must not be signalled: its id may be another's */
	bool alive = process->pid > 0 && !has_ended(process, 0);

	if (alive && grace_ms > 0) {
		send_signal(process, SIGTERM);
		alive = !has_ended(process, grace_ms);
	}
	if (alive) {
		send_signal(process, SIGKILL);
		r3_tether_cut(&process->tether);
		if (!has_ended(process, KILL_MS))
			r3_log(R3_LOG_WARN, "QEMU, process %d, does not end", process->pid);
	}
	process->pid = 0;
	r3_fd_close(&process->fd);
	r3_tether_cut(&process->tether);
	r3_fd_close(&process->messages);
}
