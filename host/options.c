/* SPDX-License-Identifier: BSD-2-Clause */
/* The command line. */
#include "host/host.h"

#include <ring3/address.h>
#include <ring3/error.h>

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A driver has queues and their requests; what it moves lies in memory of others. */
#define MAX_DATA (UINT64_C(512) << 20)

static const char usage[] =
	"usage: r3-host --device ADDRESS --serve vhost-user:SOCKET [OPTION...]\n"
	"Run a driver, alone and in a sandbox, and serve the block device that it makes.\n"
	"\n"
	"  --device vfio-user:SOCKET  the device; SOCKET is fd:N or unix:PATH\n"
	"  --serve vhost-user:SOCKET  where the block device is served\n"
	"  --driver NAME              of those that are linked; else which fits best\n"
	"  --driver-file FILE         a shared object that exports r3_driver\n"
	"  --namespace N              of an NVMe device; else the first\n"
	"  --read-only                refuse what changes the medium\n"
	"  --mode MODE                interrupt (the default), poll or adaptive\n"
	"  --uid N, --gid N           what to become; needs root\n"
	"  --owner fd:N               end when the other end of this is closed\n"
	"  --require PART             of the sandbox, or end: uid, capabilities, no_new_privs,\n"
	"                             namespaces, files, syscalls, limits, memory\n"
	"  --debug                    let a debugger of the same uid in\n"
	"  --log-level LEVEL          none, error, warn (the default), info or debug\n"
	"\n"
	"Once it serves, it prints which descriptors it has, and what stands of the sandbox, as\n"
	"one line of JSON; and again for SIGUSR1. SIGTERM ends it.\n";

enum {
	DEVICE = 256,
	SERVE,
	DRIVER,
	DRIVER_FILE,
	NAMESPACE,
	READ_ONLY,
	MODE,
	UID,
	GID,
	OWNER,
	REQUIRE,
	DEBUG,
	LOG_LEVEL,
	HELP,
};

static const struct option options[] = {
	{"device", required_argument, NULL, DEVICE},
	{"serve", required_argument, NULL, SERVE},
	{"driver", required_argument, NULL, DRIVER},
	{"driver-file", required_argument, NULL, DRIVER_FILE},
	{"namespace", required_argument, NULL, NAMESPACE},
	{"read-only", no_argument, NULL, READ_ONLY},
	{"mode", required_argument, NULL, MODE},
	{"uid", required_argument, NULL, UID},
	{"gid", required_argument, NULL, GID},
	{"owner", required_argument, NULL, OWNER},
	{"require", required_argument, NULL, REQUIRE},
	{"debug", no_argument, NULL, DEBUG},
	{"log-level", required_argument, NULL, LOG_LEVEL},
	{"help", no_argument, NULL, HELP},
	{0},
};

static int parse_number(const char *what, const char *text, uint32_t most, uint32_t *out)
{
	unsigned long long value;
	char *end;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno || end == text || *end || text[0] == '-' || value > most)
		return r3_error_set(EINVAL, "--%s: expected a number up to %u, found '%s'", what,
				    most, text);
	*out = (uint32_t)value;
	return 0;
}

int host_fd_of(const char *where)
{
	uint32_t fd = 0;

	if (strncmp(where, "fd:", 3) != 0 || parse_number("", where + 3, MANIFEST_FDS - 1, &fd) < 0)
		return -1;
	return (int)fd;
}

static int parse_owner(const char *text, int *out)
{
	*out = host_fd_of(text);
	if (*out < 0)
		return r3_error_set(EINVAL, "--owner: expected fd:N, found '%s'", text);
	return 0;
}

static int parse_serve(const char *text, const char **out)
{
	static const char scheme[] = "vhost-user:";

	if (strncmp(text, scheme, sizeof(scheme) - 1) != 0)
		return r3_error_set(EINVAL,
				    "--serve: expected vhost-user:fd:N or vhost-user:unix:PATH, "
				    "found '%s'",
				    text);
	*out = text + sizeof(scheme) - 1;
	return 0;
}

static int parse_part(const char *text, unsigned *require)
{
	for (unsigned i = 0; i < SANDBOX_PARTS; i++) {
		if (strcmp(text, sandbox_part_name(i)) == 0) {
			*require |= 1u << i;
			return 0;
		}
	}
	return r3_error_set(EINVAL, "--require: a sandbox has no part '%s'", text);
}

static int parse_level(const char *text, enum r3_log_level *out)
{
	static const char *const levels[] = {"none", "error", "warn", "info", "debug"};

	for (unsigned i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
		if (strcmp(text, levels[i]) == 0) {
			*out = (enum r3_log_level)i;
			return 0;
		}
	}
	return r3_error_set(
		EINVAL, "log level '%s' is unknown: use none, error, warn, info or debug", text);
}

static int parse_option(int option, struct host_opts *opts)
{
	switch (option) {
	case DEVICE:
		opts->device = optarg;
		return 0;
	case SERVE:
		return parse_serve(optarg, &opts->serve);
	case DRIVER:
		opts->driver = optarg;
		return 0;
	case DRIVER_FILE:
		opts->driver_file = optarg;
		return 0;
	case NAMESPACE:
		return parse_number("namespace", optarg, UINT_MAX, &opts->block.nsid);
	case READ_ONLY:
		opts->block.read_only = true;
		return 0;
	case MODE:
		return r3_blkq_mode_parse(optarg, &opts->mode);
	case UID:
		return parse_number("uid", optarg, UINT_MAX - 1, &opts->sandbox.uid);
	case GID:
		return parse_number("gid", optarg, UINT_MAX - 1, &opts->sandbox.gid);
	case OWNER:
		return parse_owner(optarg, &opts->owner);
	case REQUIRE:
		return parse_part(optarg, &opts->sandbox.require);
	case DEBUG:
		opts->sandbox.debug = true;
		return 0;
	case LOG_LEVEL:
		return parse_level(optarg, &opts->log);
	default:
		return -EINVAL; /* getopt_long() has said what */
	}
}

/** The calls that are left know a device that messages bring, and no other. */
static int check_device(const struct host_opts *opts)
{
	struct r3_address *address;
	int rc;

	if (!opts->device || !opts->serve)
		return r3_error_set(EINVAL, "--device and --serve are needed; see --help");
	if (opts->driver && opts->driver_file)
		return r3_error_set(EINVAL, "--driver or --driver-file, not both");
	rc = r3_address_parse(opts->device, &address);
	if (rc < 0)
		return rc;
	if (strcmp(address->scheme, "vfio-user") != 0)
		rc = r3_error_set(
			EINVAL,
			"--device: a driver in a sandbox reaches vfio-user: devices only, "
			"not %s: ones; let 'ring3 serve' offer it",
			address->scheme);
	r3_address_free(address);
	return rc;
}

int host_parse(int argc, char **argv, struct host_opts *opts, int *code)
{
	int option, rc = 0;

	*opts = (struct host_opts){
		.owner = -1,
		.log = R3_LOG_WARN,
		.block = {.size = sizeof(opts->block)},
		.sandbox = {.profile = SANDBOX_DRIVER,
			    .uid = SANDBOX_SAME_ID,
			    .gid = SANDBOX_SAME_ID,
			    .max_data = MAX_DATA},
	};
	*code = 2;
	while (rc == 0 && (option = getopt_long(argc, argv, "h", options, NULL)) >= 0) {
		if (option == HELP || option == 'h') {
			fputs(usage, stdout);
			*code = 0;
			return -1;
		}
		rc = parse_option(option, opts);
		if (option == '?')
			return -1;
	}
	if (rc == 0 && optind < argc)
		rc = r3_error_set(EINVAL, "there are no operands, but '%s'", argv[optind]);
	if (rc == 0)
		rc = check_device(opts);
	if (rc == 0)
		return 0;
	fprintf(stderr, "r3-host: %s\n", r3_error_text());
	return -1;
}

/** The descriptor at the end of a device's address. */
static int device_fd(const char *device)
{
	struct r3_address *address;
	int fd = -1;

	if (r3_address_parse(device, &address) == 0) {
		fd = host_fd_of(address->rest.head);
		r3_address_free(address);
	}
	return fd;
}

static int compare(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

unsigned host_named_fds(const struct host_opts *opts, int fds[HOST_NAMED_FDS])
{
	const int named[HOST_NAMED_FDS] = {device_fd(opts->device), host_fd_of(opts->serve),
					   opts->owner};
	unsigned n = 0;

	for (unsigned i = 0; i < HOST_NAMED_FDS; i++)
		if (named[i] >= 0)
			fds[n++] = named[i];
	qsort(fds, n, sizeof(fds[0]), compare);
	return n;
}
