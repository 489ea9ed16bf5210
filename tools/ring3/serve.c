/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ring3 serve: the broker. It alone has the device; one driver at a time has what a device
 * gives. First everything is opened, then the sandbox is entered, then clients are heard, so
 * that whatever they make of us can open nothing any more. That includes the removal of our
 * own socket, which is the keeper's.
 */
#include "serve.h"
#include "command.h"
#include "keeper.h"

#include "host/sandbox/sandbox.h"

#include <errno.h>
#include <json-c/json.h>
#include <limits.h>
#include <ring3/address.h>
#include <ring3/error.h>
#include <ring3/log.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* Memory is a file too: page tables, rings; and there may be a trace. */
#define MAX_FILE (UINT64_C(1) << 40)

#define FDS         512 /* of our own and the device's */
#define DEFAULT_FDS 512 /* of a client: serve.h */

struct broker {
	const char *where; /* --listen */
	int socket;        /* of a path; -1: it was inherited */
	struct socket_file file;
	struct keeper keeper;
	struct r3_device *dev;
	struct r3_serve *serve;
	struct serve_events events;
	struct serve_loop loop;
	int owner;
	uid_t uid; /* that we are in the end */
	bool shut_in;
	bool tells; /* of its sandbox in the line that says that it is ready */
	struct sandbox box;
	struct sandbox_report report;
};

static void on_event(void *ctx, const struct r3_serve_event *event)
{
	struct broker *b = ctx;

	serve_events_tell(&b->events, event);
	serve_loop_tell(&b->loop, event);
}

/* ---- what is asked for ---- */

static int take_fd(const char *option, const char *text, int *out)
{
	char *end;
	long fd = text ? strncmp(text, "fd:", 3) ? -1 : strtol(text + 3, &end, 10) : 0;

	if (!text)
		return 0;
	if (fd < 0 || fd > INT_MAX || end == text + 3 || *end)
		return r3_error_set(EINVAL, "--%s %s: expected fd:N", option, text);
	*out = (int)fd;
	return 0;
}

static int take_size(const struct args *args, const char *name, uint64_t *out)
{
	const struct r3_param param = {.key = name, .value = args_value(args, name)};
	const struct r3_params params = {.head = args->command->name, .param = &param, .nparam = 1};

	return param.value ? r3_params_size(&params, name, 1, INT64_MAX, out) : 0;
}

static int take_serve_opts(const struct args *args, struct r3_serve_opts *opts)
{
	const char *after = args_value(args, "on-disconnect");
	uint64_t maps = 0, fds = 0;
	int rc;

	if (after && !strcmp(after, "retain"))
		opts->on_disconnect = R3_SERVE_ON_DISCONNECT_RETAIN;
	else if (after && strcmp(after, "reset"))
		return r3_error_set(EINVAL, "--on-disconnect %s: expected reset or retain", after);
	rc = args_number(args, "max-maps", 1, UINT16_MAX, &maps);
	if (rc == 0)
		rc = args_number(args, "max-fds", 1, UINT16_MAX, &fds);
	if (rc == 0)
		rc = take_size(args, "max-bytes", &opts->max_bytes);
	opts->max_maps = (uint32_t)maps;
	opts->max_fds = (uint32_t)fds;
	return rc;
}

static int take_identity(const struct args *args, struct sandbox *box)
{
	uint64_t uid = SANDBOX_SAME_ID, gid = uid;
	int rc = args_number(args, "uid", 1, UINT32_MAX - 1, &uid);

	if (rc == 0 && args_has(args, "uid"))
		gid = uid;
	if (rc == 0)
		rc = args_number(args, "gid", 1, UINT32_MAX - 1, &gid);
	if (rc == 0 && args_has(args, "no-sandbox") &&
	    (args_has(args, "uid") || args_has(args, "gid")))
		rc = r3_error_set(EINVAL, "--uid and --gid are for a sandbox");
	if (rc == 0 && geteuid() != 0 && (args_has(args, "uid") || args_has(args, "gid")))
		rc = r3_error_set(EPERM, "--uid and --gid are for root");
	box->uid = (uid_t)uid;
	box->gid = (gid_t)gid;
	return rc;
}

/* ---- the socket ---- */

static int socket_open(struct broker *b)
{
	int fd;

	if (!strncmp(b->where, "fd:", 3))
		return take_fd("listen", b->where, &fd);
	if (strncmp(b->where, "unix:", 5) || !b->where[5])
		return r3_error_set(EINVAL, "--listen %s: expected unix:PATH or fd:N", b->where);
	b->socket = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return b->socket < 0 ? r3_error_set(errno, "making a socket: %s", strerror(errno)) : 0;
}

/** Make the file, for its owner alone: who may connect has the device. */
static int socket_bind(struct broker *b)
{
	struct keeper_job job = {.file = {&b->file}, .nfile = 1, .lock = -1};
	mode_t before;
	int rc;

	if (b->socket < 0)
		return 0;
	before = umask(0177);
	rc = socket_file_bind(&b->file, b->socket, b->where + 5);
	umask(before);
	return rc ? rc : keeper_start(&b->keeper, &job);
}

static int serve_open(struct broker *b, const struct r3_serve_opts *opts)
{
	char where[32];

	snprintf(where, sizeof(where), "fd:%d", b->socket);
	return r3_serve_open(b->dev, b->socket < 0 ? b->where : where, opts, &b->serve);
}

/* ---- ready ---- */

/** How a client says it. The caller's to free. */
static char *client_address(const struct broker *b)
{
	char head[sizeof("unix:") + SOCKET_PATH_MAX];
	struct r3_address address = {.scheme = "vfio-user", .rest.head = head};
	char *text;
	size_t n;

	snprintf(head, sizeof(head), "%s", b->where);
	n = r3_address_print(&address, NULL, 0);
	text = malloc(n + 1);
	if (text)
		r3_address_print(&address, text, n + 1);
	return text;
}

static int print_json(const struct broker *b, const char *address)
{
	struct json_object *line = json_object_new_object();
	const char *text;
	int rc;

	json_object_object_add(line, "schema", json_object_new_string("ring3.serve"));
	json_object_object_add(line, "version", json_object_new_int(1));
	json_object_object_add(line, "address", json_object_new_string(address));
	json_object_object_add(line, "device",
			       json_object_new_string(r3_device_get_info(b->dev)->address));
	json_object_object_add(line, "pid", json_object_new_int((int)getpid()));
	json_object_object_add(line, "uid", json_object_new_int64((int64_t)b->uid));
	json_object_object_add(line, "sandbox",
			       b->shut_in ? sandbox_report_json(&b->box, &b->report) : NULL);
	text = json_object_to_json_string_ext(line, JSON_C_TO_STRING_NOSLASHESCAPE);
	rc = output_write(text, strlen(text));
	json_object_put(line);
	return rc ? rc : output_write("\n", 1);
}

/** The one line by which whoever started us knows that clients are served. */
static int print_ready(const struct broker *b, enum output_format format)
{
	char *address = client_address(b);
	int rc;

	if (!address)
		return r3_error_set(ENOMEM, "out of memory");
	if (format == OUTPUT_JSON) {
		rc = print_json(b, address);
	} else {
		rc = output_write(address, strlen(address));
		rc = rc ? rc : output_write("\n", 1);
	}
	free(address);
	return rc;
}

/* ---- life ---- */

/** Whether the kernel, or our rights, did not give what was asked for. */
static bool lacks(const struct sandbox_report *report)
{
	for (unsigned i = 0; i < SANDBOX_PARTS; i++) {
		if (report->part[i].state == SANDBOX_MISSING ||
		    report->part[i].state == SANDBOX_PARTLY)
			return true;
	}
	return false;
}

static int enter_sandbox(struct broker *b)
{
	char text[1024];
	int rc;

	if (!b->shut_in) {
		r3_log(R3_LOG_INFO, "there is no sandbox: a client that deceives us is as we are");
		return 0;
	}
	rc = sandbox_enter(&b->box, &b->report);
	if (rc == -EBUSY) /* in a device's own; ours has none */
		return r3_error_prefix(rc, "--no-sandbox would do without");
	sandbox_report_text(&b->box, &b->report, text, sizeof(text));
	r3_log(lacks(&b->report) && !b->tells ? R3_LOG_WARN : R3_LOG_DEBUG, "%s", text);
	return rc;
}

static int broker_open(struct broker *b, const struct args *args, const struct r3_serve_opts *opts)
{
	const struct r3_open_opts open = {
		.size = sizeof(open),
		.flags = R3_OPEN_FOREIGN_MEM,
		.child_uid = b->box.uid == SANDBOX_SAME_ID ? 0 : b->box.uid,
		.child_gid = b->box.gid == SANDBOX_SAME_ID ? 0 : b->box.gid,
	};
	int rc;

	if ((rc = socket_open(b)) ||
	    (rc = serve_events_open(&b->events, args_value(args, "events"))) ||
	    (rc = device_open(args->word[0], &open, &b->dev)) || (rc = socket_bind(b)) ||
	    (rc = serve_open(b, opts)) ||
	    (rc = serve_loop_open(&b->loop, b->serve, b->dev, b->owner)))
		return rc;
	return enter_sandbox(b);
}

static void broker_close(struct broker *b)
{
	r3_serve_close(b->serve);
	r3_device_close(b->dev);
	serve_loop_close(&b->loop);
	serve_events_close(&b->events);
	if (b->socket >= 0)
		close(b->socket);
	if (b->file.dir_fd >= 0)
		close(b->file.dir_fd);
	keeper_end(&b->keeper);
}

int serve_run(const struct args *args)
{
	struct broker b = {.where = args_value(args, "listen"),
			   .socket = -1,
			   .file.dir_fd = -1,
			   .keeper = KEEPER_NONE,
			   .events.fd = -1,
			   .owner = -1,
			   .loop.both = -1,
			   .shut_in = !args_has(args, "no-sandbox"),
			   .tells = args->format == OUTPUT_JSON,
			   .box = {.profile = SANDBOX_BROKER, .max_file = MAX_FILE}};
	struct r3_serve_opts opts = {.size = sizeof(opts), .event = on_event, .ctx = &b};
	int rc;

	if (!b.where)
		return r3_error_set(EINVAL, "no --listen is given: try --listen unix:PATH");
	rc = take_serve_opts(args, &opts);
	if (rc == 0)
		rc = take_identity(args, &b.box);
	b.box.max_fds = FDS + (opts.max_fds ? opts.max_fds : DEFAULT_FDS);
	log_without_waiting();
	b.uid = b.box.uid == SANDBOX_SAME_ID ? geteuid() : b.box.uid;
	if (rc == 0)
		rc = take_fd("owner", args_value(args, "owner"), &b.owner);
	if (rc == 0)
		rc = broker_open(&b, args, &opts);
	if (rc == 0)
		rc = print_ready(&b, args->format);
	if (rc == 0)
		rc = serve_loop_run(&b.loop);
	broker_close(&b);
	return rc;
}
