/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The order of things: open what is needed, enter the sandbox, load the driver, shut the
 * sandbox, and only then attach and serve. What stands above sandbox_enter() in run() is the
 * part of this process that has to be trusted.
 */
#include "host/exit_code.h"
#include "host/host.h"
#include "util/socket.h"

#include <ring3/device.h>
#include <ring3/error.h>

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

/** With one write: stdio makes more calls of it than a driver has. */
static void log_line(void *ctx, enum r3_log_level level, const char *text)
{
	char line[1024];
	int len = snprintf(line, sizeof(line) - 1, "r3-host: %s", text);

	if (len < 0)
		return;
	if ((size_t)len > sizeof(line) - 2)
		len = sizeof(line) - 2;
	line[len++] = '\n';
	(void)!write(STDERR_FILENO, line, (size_t)len);
}

/** Those on the command line have been duplicated. */
static void close_given(const struct host_opts *opts)
{
	int fds[HOST_NAMED_FDS];
	unsigned n = host_named_fds(opts, fds);

	for (unsigned i = 0; i < n; i++)
		if (fds[i] != opts->owner)
			close(fds[i]);
}

/** With all that could not be had later: registers mapped, memory made and given to it. */
static int open_device(const struct host_opts *opts, struct r3_device **out)
{
	struct r3_device *dev = NULL;
	struct r3_region *region;
	struct r3_arena *arena;
	int rc;

	rc = r3_device_open(opts->device, NULL, &dev);
	if (rc < 0)
		return rc;
	for (unsigned i = 0; rc == 0 && i < r3_device_get_info(dev)->nregions; i++) {
		rc = r3_device_region(dev, i, &region);
		if (rc == -ENOENT)
			rc = 0;
	}
	if (rc == 0)
		rc = r3_device_arena(dev, &arena);
	if (rc < 0)
		r3_device_close(dev);
	else
		*out = dev;
	return rc;
}

static int find_driver(struct host *host, struct r3_device *dev, struct host_driver *file,
		       const struct r3_driver_v1 **out)
{
	int rc;

	if (!host->opts.driver_file)
		return r3_driver_find(dev, host->opts.driver, out);
	rc = host_driver_find(host->opts.driver_file, file);
	if (rc < 0)
		return rc;
	host->opts.sandbox.may_read = file->may_read;
	host->opts.sandbox.loading = true;
	return 0;
}

static int load_driver(struct host *host, struct host_driver *file,
		       const struct r3_driver_v1 **driver)
{
	int rc;

	if (!host->opts.driver_file)
		return 0;
	rc = host_driver_load(file, driver);
	return rc < 0 ? rc : sandbox_shut(&host->opts.sandbox, &host->report);
}

static void tell_grade(const struct host *host)
{
	char text[1024];

	sandbox_report_text(&host->opts.sandbox, &host->report, text, sizeof(text));
	r3_log(R3_LOG_INFO, "%s", text);
}

static int run(struct host *host)
{
	const struct host_opts *opts = &host->opts;
	const struct r3_driver_v1 *driver = NULL;
	struct host_driver file;
	struct r3_listener door = {.fd = -1};
	struct r3_device *dev = NULL;
	struct r3_block *block;
	int rc;

	manifest_name(&host->manifest, opts->owner, "owner");
	rc = host_loop_open(&host->loop, opts->owner);
	manifest_enter(&host->manifest, "event loop");
	if (rc == 0)
		rc = r3_socket_listen(opts->serve, &door);
	manifest_enter(&host->manifest, "server");
	if (rc == 0)
		rc = open_device(opts, &dev);
	if (rc < 0) {
		if (door.fd >= 0) /* its file, too, as long as we can */
			r3_socket_unlisten(&door);
		return rc;
	}
	manifest_enter(&host->manifest, "device");
	close_given(opts);

	rc = find_driver(host, dev, &file, &driver);
	if (rc == 0)
		rc = sandbox_enter(&host->opts.sandbox, &host->report);
	if (rc == 0)
		rc = load_driver(host, &file, &driver);
	if (rc < 0) {
		r3_device_close(dev);
		return rc;
	}
	tell_grade(host);
	rc = r3_block_attach(dev, driver, &opts->block, &block);
	if (rc < 0)
		return rc;
	manifest_enter(&host->manifest, "driver");
	rc = host_loop_run(host, block, door.fd);
	r3_block_close(block);
	return rc;
}

int main(int argc, char **argv)
{
	static struct host host;
	int fds[HOST_NAMED_FDS], code, rc;

	if (host_parse(argc, argv, &host.opts, &code) < 0)
		return code;
	r3_log_sink(host.opts.log, log_line, NULL);
	rc = manifest_open(&host.manifest, fds, host_named_fds(&host.opts, fds));
	if (rc == 0)
		rc = run(&host);
	if (rc < 0)
		log_line(NULL, R3_LOG_ERROR, r3_error_text());
	manifest_close(&host.manifest);
	return rc < 0 ? (int)exit_code_of(-rc) : EXIT_OK;
}
