/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * nbdkit-ring3-plugin: a block device over NBD. This file is nbdkit's side of it:
 * parameters, what the device can do, one call per request, and the end.
 *
 * nbdkit itself ends only when its last client has left. With an owner (owner.h) we
 * cannot wait for that: the device is shut down first, then nbdkit gets a moment to
 * answer its clients, then the process ends.
 */
#include "confine.h"
#include "owner.h"
#include "printer.h"
#include "reactor.h"
#include "socket.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <ring3/error.h>
#include <ring3/log.h>
#include <ring3/trace.h>
#include <ring3/version.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL

#define MAX_REQUEST     (64u << 20) /* nbdkit refuses longer ones */
#define MAX_SOCKETS     16
#define DRAIN_MS        5000 /* of requests at hand, when asked to end */
#define DRAIN_ORPHAN_MS 500  /* the same when the owner died */
#define NBDKIT_GRACE_MS 200  /* for nbdkit's answers, once the device is closed */
#define PRINTING_MS     300  /* for who reads a trace, then */

static const char *address;
static struct r3_block_opts opts = {.size = sizeof(opts)};
static enum r3_blkq_mode mode = R3_BLKQ_INTERRUPT;
static int owner_fd = -1;
static struct {
	int fd;
	const char *path;
	struct socket_file file;
} sockets[MAX_SOCKETS];
static unsigned nsockets;
static struct reactor *reactor;
static pthread_t watcher; /* of the owner, while `watching` */
static bool watching;

static pthread_mutex_t end_lock = PTHREAD_MUTEX_INITIALIZER; /* for this group, and the files */
static pthread_cond_t end_cond;
static bool cleaning; /* nbdkit has no connection left */
static bool ending;   /* the owner asked, or died */

/* ---- parameters ---- */

static int parse_socket(const char *value)
{
	char *end;
	long fd = strtol(value, &end, 10);

	if (end == value || *end != ':' || fd < 3 || fd > 1023 || !end[1] ||
	    nsockets == MAX_SOCKETS) {
		nbdkit_error("unix=%s: expected FD:PATH, at most %d times", value, MAX_SOCKETS);
		return -1;
	}
	sockets[nsockets].fd = (int)fd;
	sockets[nsockets].path = end + 1;
	sockets[nsockets].file.dir_fd = -1;
	nsockets++;
	return 0;
}

static const char *const log_names[] = {"none", "error", "warn", "info", "debug"};

static void log_line(void *ctx, enum r3_log_level level, const char *text)
{
	dprintf(STDERR_FILENO, "ring3: %s: %s\n", log_names[level], text);
}

static int parse_log(const char *value)
{
	for (unsigned i = 0; i < sizeof(log_names) / sizeof(log_names[0]); i++) {
		if (strcmp(log_names[i], value) == 0) {
			r3_log_sink((enum r3_log_level)i, log_line, NULL);
			return 0;
		}
	}
	nbdkit_error("log=%s: expected none, error, warn, info or debug", value);
	return -1;
}

static int plugin_config(const char *key, const char *value)
{
	int rc;

	if (strcmp(key, "address") == 0) {
		address = value;
	} else if (strcmp(key, "driver") == 0) {
		opts.driver = value;
	} else if (strcmp(key, "namespace") == 0) {
		return nbdkit_parse_uint32_t("namespace", value, &opts.nsid);
	} else if (strcmp(key, "mode") == 0) {
		if (r3_blkq_mode_parse(value, &mode) || mode == R3_BLKQ_POLL) {
			nbdkit_error("mode=%s: expected interrupt or adaptive", value);
			return -1;
		}
	} else if (strcmp(key, "readonly") == 0) {
		rc = nbdkit_parse_bool(value);
		if (rc < 0)
			return -1;
		opts.read_only = rc;
	} else if (strcmp(key, "owner") == 0) {
		rc = nbdkit_parse_int("owner", value, &owner_fd);
		if (rc || fcntl(owner_fd, F_SETFD, FD_CLOEXEC)) {
			nbdkit_error("owner=%s: not an open file descriptor", value);
			return -1;
		}
	} else if (strcmp(key, "unix") == 0) {
		return parse_socket(value);
	} else if (strcmp(key, "log") == 0) {
		return parse_log(value);
	} else {
		rc = confine_config(key, value);
		if (rc == 0)
			nbdkit_error("unknown parameter '%s'", key);
		return rc > 0 ? 0 : -1;
	}
	return 0;
}

static int plugin_config_complete(void)
{
	if (!address) {
		nbdkit_error("address= is missing: which block device?");
		return -1;
	}
	return 0;
}

#define PLUGIN_CONFIG_HELP \
	"address=ADDRESS  (required) The block device: file:PATH, null:SIZE, qemu:nvme, ...\n" \
	"driver=NAME      Its driver, instead of the one that matches best.\n" \
	"namespace=N      Which namespace of it.\n" \
	"mode=MODE        Wait by interrupt, or adaptive: poll while it is busy.\n" \
	"readonly=BOOL    Refuse whatever changes the medium.\n" \
	"log=LEVEL        Print the library's log: none, error, warn, info, debug.\n" \
	"owner=FD         A SOCK_SEQPACKET socket to the program that started nbdkit.\n" \
	"unix=FD:PATH     Bind the inherited listening socket FD to PATH.\n" CONFINE_CONFIG_HELP

/* ---- begin and end ---- */

/** Make the socket files, unless the end came first. */
static int bind_sockets(void)
{
	int rc = 0;

	pthread_mutex_lock(&end_lock);
	if (ending)
		rc = r3_error_set(ESHUTDOWN, "the owner is gone");
	for (unsigned i = 0; rc == 0 && i < nsockets; i++)
		rc = socket_file_bind(&sockets[i].file, sockets[i].fd, sockets[i].path);
	pthread_mutex_unlock(&end_lock);
	return rc;
}

static void remove_sockets(void)
{
	pthread_mutex_lock(&end_lock);
	for (unsigned i = 0; i < nsockets; i++)
		socket_file_remove(&sockets[i].file);
	pthread_mutex_unlock(&end_lock);
}

static void report(int err, const char *text)
{
	struct owner_report msg = {.err = err};
	size_t len = strnlen(text, sizeof(msg.text));

	memcpy(msg.text, text, len);
	if (owner_fd >= 0)
		send(owner_fd, &msg, offsetof(struct owner_report, text) + len, MSG_NOSIGNAL);
	else if (err)
		nbdkit_error("%s", text);
}

/** The kernel ends this process in OWNER_GRACE_MS, whatever hangs in it by then. */
static void arm_last_resort(void)
{
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGKILL};
	struct itimerspec when = {.it_value = {.tv_sec = OWNER_GRACE_MS / 1000,
					       .tv_nsec = OWNER_GRACE_MS % 1000 * 1000000}};
	timer_t timer;

	if (timer_create(CLOCK_MONOTONIC, &event, &timer) == 0)
		timer_settime(timer, 0, &when, NULL);
}

/** From here on there is an end, and no socket file. */
static void begin_end(void)
{
	pthread_mutex_lock(&end_lock);
	ending = true;
	pthread_mutex_unlock(&end_lock);
	remove_sockets();
}

/* The owner's death has a thread of its own: the reactor may hang in the device. */
static void *await_orphanage(void *arg)
{
	struct pollfd owner = {.fd = owner_fd}; /* events 0: the end of file alone */
	int state;

	while (poll(&owner, 1, -1) < 0)
		;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
	arm_last_resort();
	begin_end();
	return NULL;
}

static int watcher_start(void)
{
	sigset_t all, before;
	int rc;

	if (owner_fd < 0)
		return 0;
	sigfillset(&all); /* signals are for nbdkit's own threads */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&watcher, NULL, await_orphanage, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	watching = rc == 0;
	return rc ? r3_error_set(rc, "starting a thread: %s", strerror(rc)) : 0;
}

static void watcher_end(void)
{
	if (!watching)
		return;
	pthread_cancel(watcher);
	pthread_join(watcher, NULL);
	watching = false;
}

static void write_trace(struct reactor *r)
{
	struct r3_device *dev = reactor_device(r);
	int rc = dev ? r3_trace_flush(dev)
		     : r3_error_set(EOPNOTSUPP, "%s: no device is below it to be traced", address);

	if (rc == -ENOENT) /* no file: whoever asks reads what we print */
		rc = printer_start(dev);
	if (rc)
		dprintf(STDERR_FILENO, "ring3: %s\n", r3_error_text());
}

static bool owner_spoke(struct reactor *r, void *ctx)
{
	char word;
	ssize_t n = recv(owner_fd, &word, 1, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (n == 1 && word == OWNER_TRACE)
		write_trace(r);
	if (n == 1 && word != OWNER_END)
		return true;
	begin_end();
	reactor_stop(r, n == 1 ? DRAIN_MS : DRAIN_ORPHAN_MS);
	return n == 1; /* who asked may still die, and then has less patience */
}

static void device_gone(struct reactor *r, void *ctx, const char *text)
{
	report(-ENODEV, text);
	nbdkit_shutdown();
}

static void device_closed(void *ctx)
{
	struct timespec until;

	printer_end(PRINTING_MS);
	pthread_mutex_lock(&end_lock);
	if (!ending)
		goto unlock;
	nbdkit_shutdown();
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += NBDKIT_GRACE_MS * 1000000;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	while (!cleaning) {
		if (pthread_cond_timedwait(&end_cond, &end_lock, &until) == ETIMEDOUT)
			_exit(0);
	}
unlock:
	pthread_mutex_unlock(&end_lock);
}

static void plugin_load(void)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&end_cond, &attr);
	pthread_condattr_destroy(&attr);
}

static void plugin_cleanup(void)
{
	watcher_end();
	if (!reactor)
		return;
	pthread_mutex_lock(&end_lock);
	cleaning = true;
	pthread_cond_signal(&end_cond);
	pthread_mutex_unlock(&end_lock);
	reactor_stop(reactor, DRAIN_MS);
	reactor_join(reactor);
	reactor = NULL;
	remove_sockets();
}

/* The device is opened here, not in get_ready: its thread, and a child process of it,
 * would not survive nbdkit's fork. */
static int plugin_after_fork(void)
{
	static const struct reactor_ops ops = {
		.gone = device_gone, .watch = owner_spoke, .closed = device_closed};
	char sandbox[OWNER_TEXT_MAX];
	int rc;

	rc = confine_enter(sandbox, sizeof(sandbox));
	if (rc == 0)
		rc = watcher_start();
	if (rc == 0)
		rc = reactor_start(address, &opts, mode, owner_fd, &ops, NULL, &reactor);
	if (rc == 0)
		rc = bind_sockets();
	if (rc == 0) {
		report(0, sandbox);
		return 0;
	}
	report(rc, r3_error_text());
	plugin_cleanup();
	return -1;
}

/* ---- what the device is ---- */

static void *plugin_open(int readonly)
{
	return NBDKIT_HANDLE_NOT_NEEDED;
}

static bool has(uint32_t feature)
{
	struct r3_block_limits limits;

	reactor_limits(reactor, &limits);
	return limits.features & feature;
}

static int64_t plugin_get_size(void *handle)
{
	struct r3_block_limits limits;

	reactor_limits(reactor, &limits);
	if (limits.size > INT64_MAX) {
		nbdkit_error("the device says it has %llu bytes", (unsigned long long)limits.size);
		return -1;
	}
	return (int64_t)limits.size;
}

static int plugin_block_size(void *handle, uint32_t *minimum, uint32_t *preferred,
			     uint32_t *maximum)
{
	struct r3_block_limits limits;
	uint32_t physical;

	reactor_limits(reactor, &limits);
	physical = limits.physical_block_size;
	*minimum = limits.block_size;
	/* NBD wants a power of two of at most 32 MiB. */
	*preferred = physical > *minimum && (physical & (physical - 1)) == 0 &&
				     physical <= MAX_REQUEST / 2
			     ? physical
			     : *minimum;
	*maximum = MAX_REQUEST;
	return 0;
}

static int plugin_can_write(void *handle)
{
	return !has(R3_BLOCK_READ_ONLY);
}

static int plugin_can_trim(void *handle)
{
	return has(R3_BLOCK_DISCARD);
}

static int plugin_can_zero(void *handle)
{
	return has(R3_BLOCK_WRITE_ZEROES);
}

static int plugin_can_fua(void *handle)
{
	return NBDKIT_FUA_NATIVE;
}

/* A flush covers the whole device, through whichever connection it comes. */
static int plugin_can_multi_conn(void *handle)
{
	return 1;
}

/* ---- requests ---- */

static int nbd_errno(int err)
{
	switch (err) {
	case EINVAL:
	case ENOSPC:
	case ENOMEM:
	case EPERM:
	case EROFS:
	case EOPNOTSUPP:
	case ESHUTDOWN:
		return err;
	default:
		return EIO;
	}
}

static int request(enum r3_blk_op op, unsigned flags, uint64_t off, void *buf, uint64_t len)
{
	uint32_t detail;
	int rc = reactor_do(reactor, op, flags, off, buf, len, &detail);

	if (rc == 0)
		return 0;
	nbdkit_set_error(nbd_errno(-rc));
	if (rc == -ENODEV || rc == -ESHUTDOWN || rc == -EOPNOTSUPP)
		nbdkit_debug("%s: %s", r3_blk_op_name(op), strerror(-rc));
	else
		nbdkit_error("%s of %llu bytes at %llu: %s (device status 0x%x)",
			     r3_blk_op_name(op), (unsigned long long)len, (unsigned long long)off,
			     strerror(-rc), detail);
	return -1;
}

static unsigned fua(uint32_t flags)
{
	return flags & NBDKIT_FLAG_FUA ? R3_BLK_FUA : 0;
}

static int plugin_pread(void *handle, void *buf, uint32_t count, uint64_t offset, uint32_t flags)
{
	return request(R3_BLK_READ, 0, offset, buf, count);
}

static int plugin_pwrite(void *handle, const void *buf, uint32_t count, uint64_t offset,
			 uint32_t flags)
{
	union {
		const void *in;
		void *out;
	} data = {.in = buf}; /* a WRITE leaves it alone */

	return request(R3_BLK_WRITE, fua(flags), offset, data.out, count);
}

static int plugin_flush(void *handle, uint32_t flags)
{
	return request(R3_BLK_FLUSH, 0, 0, NULL, 0);
}

static int plugin_trim(void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
	return request(R3_BLK_DISCARD, fua(flags), offset, NULL, count);
}

static int plugin_zero(void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
	unsigned unmap = flags & NBDKIT_FLAG_MAY_TRIM ? R3_BLK_MAY_UNMAP : 0;

	return request(R3_BLK_WRITE_ZEROES, fua(flags) | unmap, offset, NULL, count);
}

static struct nbdkit_plugin plugin = {
	.name = "ring3",
	.longname = "ring3 block device",
	.version = R3_VERSION,
	.description = "Serves a device that a user-space driver of ring3 drives.",
	.load = plugin_load,
	.config = plugin_config,
	.config_complete = plugin_config_complete,
	.config_help = PLUGIN_CONFIG_HELP,
	.magic_config_key = "address",
	.after_fork = plugin_after_fork,
	.cleanup = plugin_cleanup,
	.open = plugin_open,
	.get_size = plugin_get_size,
	.block_size = plugin_block_size,
	.can_write = plugin_can_write,
	.can_trim = plugin_can_trim,
	.can_zero = plugin_can_zero,
	.can_fua = plugin_can_fua,
	.can_multi_conn = plugin_can_multi_conn,
	.pread = plugin_pread,
	.pwrite = plugin_pwrite,
	.flush = plugin_flush,
	.trim = plugin_trim,
	.zero = plugin_zero,
};

/* nbdkit's header defines what nbdkit looks up, and does not declare it. */
struct nbdkit_plugin *plugin_init(void);
NBDKIT_REGISTER_PLUGIN(plugin)
