/* SPDX-License-Identifier: BSD-2-Clause */
/* Ways out: see escapes.h. Raw calls, so that no library is in the way. */
#include "host/escapes.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/io_uring.h>
#include <linux/perf_event.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif

static int answer(long rc)
{
	return rc < 0 ? -errno : 0;
}

/* ---- files ---- */

static int open_at(const char *path, int flags)
{
	return answer(syscall(SYS_openat, AT_FDCWD, path, flags, 0600));
}

static int open_file(const struct escape_aims *aims)
{
	return open_at(aims->secret, O_RDONLY);
}

static int make_file(const struct escape_aims *aims)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/made", aims->folder);
	return open_at(path, O_CREAT | O_WRONLY);
}

static int open_proc_mem(const struct escape_aims *aims)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/mem", aims->neighbour);
	return open_at(path, O_RDWR);
}

static int open_proc_environ(const struct escape_aims *aims)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/environ", aims->neighbour);
	return open_at(path, O_RDONLY);
}

static int map_dev_mem(const struct escape_aims *aims)
{
	int fd = (int)syscall(SYS_openat, AT_FDCWD, "/dev/mem", O_RDWR);

	if (fd < 0)
		return -errno;
	return mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED ? -errno : 0;
}

static int open_folder_above(const struct escape_aims *aims)
{
	return open_at("..", O_RDONLY | O_DIRECTORY);
}

static int make_link(const struct escape_aims *aims)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/link", aims->folder);
	return answer(syscall(SYS_symlinkat, aims->secret, AT_FDCWD, path));
}

/* ---- the network ---- */

static int make_tcp(const struct escape_aims *aims)
{
	return answer(syscall(SYS_socket, AF_INET, SOCK_STREAM, 0));
}

static int make_unix(const struct escape_aims *aims)
{
	return answer(syscall(SYS_socket, AF_UNIX, SOCK_STREAM, 0));
}

static int make_pair(const struct escape_aims *aims)
{
	int fds[2];

	return answer(syscall(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, fds));
}

/* ---- code ---- */

static int run_program(const struct escape_aims *aims)
{
	char *const argv[] = {(char[]){"true"}, NULL};

	/* only a failure returns; the program's exit tells of success */
	syscall(SYS_execve, "/bin/true", argv, NULL);
	return -errno;
}

static int make_code(const struct escape_aims *aims)
{
	void *at = (void *)syscall(SYS_mmap, NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return at == MAP_FAILED ? -errno : 0;
}

static int turn_into_code(const struct escape_aims *aims)
{
	void *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED)
		return -errno;
	return answer(syscall(SYS_mprotect, at, 4096, PROT_READ | PROT_EXEC));
}

static int make_file_of_memory(const struct escape_aims *aims)
{
	return answer(syscall(SYS_memfd_create, "code", 0));
}

static int make_memory_that_no_limit_counts(const struct escape_aims *aims)
{
	void *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return at == MAP_FAILED ? -errno : 0;
}

static int wait_for(pid_t pid)
{
	return pid < 0 ? -errno : answer(waitpid(pid, NULL, 0));
}

static int make_process(const struct escape_aims *aims)
{
	pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);

	if (pid == 0)
		_exit(0);
	return wait_for(pid);
}

static int make_process3(const struct escape_aims *aims)
{
	uint64_t args[8] = {[4] = SIGCHLD};
	pid_t pid = (pid_t)syscall(SYS_clone3, args, sizeof(args));

	if (pid == 0)
		_exit(0);
	return wait_for(pid);
}

/* ---- other processes ---- */

static int kill_neighbour(const struct escape_aims *aims)
{
	return answer(syscall(SYS_kill, aims->neighbour, 0));
}

static int kill_thread_of_neighbour(const struct escape_aims *aims)
{
	return answer(syscall(SYS_tgkill, aims->neighbour, aims->neighbour, 0));
}

static int queue_signal(const struct escape_aims *aims)
{
	siginfo_t info = {.si_code = SI_QUEUE};

	return answer(syscall(SYS_rt_sigqueueinfo, aims->neighbour, 0, &info));
}

static int signal_by_owner(const struct escape_aims *aims)
{
	return answer(syscall(SYS_fcntl, STDERR_FILENO, F_SETOWN, aims->neighbour));
}

static int trace_neighbour(const struct escape_aims *aims)
{
	return answer(syscall(SYS_ptrace, PTRACE_SEIZE, aims->neighbour, 0, 0));
}

static int read_memory_of_neighbour(const struct escape_aims *aims)
{
	char byte;
	struct iovec ours = {&byte, 1}, theirs = {aims->anywhere, 1};

	return answer(syscall(SYS_process_vm_readv, aims->neighbour, &ours, 1, &theirs, 1, 0));
}

static int take_fd_of_neighbour(const struct escape_aims *aims)
{
	int fd = (int)syscall(SYS_pidfd_open, aims->neighbour, 0);

	return fd < 0 ? -errno : answer(syscall(SYS_pidfd_getfd, fd, 0, 0));
}

static int limit_neighbour(const struct escape_aims *aims)
{
	struct rlimit limit;

	return answer(syscall(SYS_prlimit64, aims->neighbour, RLIMIT_CPU, NULL, &limit));
}

static int share_memory(const struct escape_aims *aims)
{
	int id = (int)syscall(SYS_shmget, IPC_PRIVATE, 4096, 0600);

	return id < 0 ? -errno : answer(syscall(SYS_shmctl, id, IPC_RMID, NULL));
}

/* ---- the kernel ---- */

static int ask_by_ioctl(const struct escape_aims *aims)
{
	return answer(syscall(SYS_ioctl, STDERR_FILENO, FIOCLEX, 0));
}

static int make_ring(const struct escape_aims *aims)
{
	struct io_uring_params params = {0};

	return answer(syscall(SYS_io_uring_setup, 1, &params));
}

static int load_program_into_kernel(const struct escape_aims *aims)
{
	union bpf_attr attr = {
		.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1};

	return answer(syscall(SYS_bpf, BPF_MAP_CREATE, &attr, sizeof(attr)));
}

static int watch_cpu(const struct escape_aims *aims)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE, .size = sizeof(attr), .exclude_kernel = 1};

	return answer(syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0));
}

static int handle_page_faults(const struct escape_aims *aims)
{
	return answer(syscall(SYS_userfaultfd, 1 /* UFFD_USER_MODE_ONLY */));
}

static int become_root(const struct escape_aims *aims)
{
	return answer(syscall(SYS_setresuid, 0, 0, 0));
}

static int mount_something(const struct escape_aims *aims)
{
	if (syscall(SYS_mount, "none", aims->folder, "tmpfs", 0, NULL) < 0)
		return -errno;
	return answer(umount2(aims->folder, MNT_DETACH));
}

static int new_namespace(const struct escape_aims *aims)
{
	return answer(syscall(SYS_unshare, CLONE_NEWUSER));
}

static int be_dumpable(const struct escape_aims *aims)
{
	return answer(syscall(SYS_prctl, PR_SET_DUMPABLE, 1, 0, 0, 0));
}

static int raise_limit(const struct escape_aims *aims)
{
	struct rlimit limit = {256, 256};

	return answer(syscall(SYS_prlimit64, 0, RLIMIT_NPROC, &limit, NULL));
}

static int handle_death(const struct escape_aims *aims)
{
	return signal(SIGSYS, SIG_IGN) == SIG_ERR ? -errno : 0;
}

#ifdef __x86_64__
/** The calls of another ABI have other numbers. */
static int call_as_i386(const struct escape_aims *aims)
{
	long rc = 20; /* getpid */

	__asm__ volatile("int $0x80" : "+a"(rc) : : "memory", "r8", "r9", "r10", "r11");
	return rc > 0 ? 0 : (int)rc;
}
#endif

#if defined(__x86_64__)
#define X32_BIT 0x40000000 /* of a call's number; where the kernel has that ABI */

static int call_as_x32(const struct escape_aims *aims)
{
	return answer(syscall(X32_BIT | SYS_getpid));
}
#endif

const struct escape escapes[] = {
	{"open a file", open_file, false, true},
	{"make a file", make_file, false, true},
	{"make a link", make_link, false, true},
	{"open ..", open_folder_above, false, true},
	{"open /proc/PID/mem", open_proc_mem, false, true},
	{"open /proc/PID/environ", open_proc_environ, false, true},
	{"map /dev/mem", map_dev_mem, true, true},
	{"make a TCP socket", make_tcp, false, false},
	{"make a UNIX socket", make_unix, false, false},
	{"make a pair of sockets", make_pair, false, false},
	{"execute a program", run_program, false, false},
	{"map memory as code", make_code, false, false},
	{"turn memory into code", turn_into_code, false, false},
	{"make memory that no limit counts", make_memory_that_no_limit_counts, false, false},
	{"make a file of memory", make_file_of_memory, false, false},
	{"fork", make_process, false, true},
	{"fork by clone3", make_process3, false, true},
	{"kill", kill_neighbour, false, true},
	{"tgkill", kill_thread_of_neighbour, false, true},
	{"queue a signal", queue_signal, false, true},
	{"own a descriptor's signals", signal_by_owner, false, false},
	{"ptrace", trace_neighbour, true, true},
	{"read another's memory", read_memory_of_neighbour, true, true},
	{"take another's descriptor", take_fd_of_neighbour, true, true},
	{"look at another's limits", limit_neighbour, false, true},
	{"share memory by System V", share_memory, false, false},
	{"ioctl", ask_by_ioctl, false, false},
	{"io_uring", make_ring, true, false},
	{"bpf", load_program_into_kernel, true, true},
	{"perf", watch_cpu, true, false},
	{"userfaultfd", handle_page_faults, true, false},
	{"become root", become_root, true, true},
	{"mount", mount_something, true, true},
	{"a user namespace", new_namespace, true, false},
	{"be dumpable", be_dumpable, false, false},
	{"raise a limit", raise_limit, false, false},
	{"survive SIGSYS", handle_death, false, false},
#ifdef __x86_64__
	{"calls of i386", call_as_i386, true, false},
	{"calls of x32", call_as_x32, true, false},
#endif
	{0},
};
