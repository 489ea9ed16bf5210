/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * back_end BLOCK WHERE [--mode MODE] [--queues N] [--unsealed] [--hide FEATURE]...
 *
 * Serves a block device to vhost-user front-ends, says so on its standard output, and ends
 * with its standard input, or with the front-end of a connected socket.
 */
#include <getopt.h>
#include <poll.h>
#include <ring3/error.h>
#include <ring3/log.h>
#include <ring3/mem.h>
#include <ring3/serve_block.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct r3_serve_block_opts opts = {.size = sizeof(opts)};

static void say(void *ctx, enum r3_log_level level, const char *text)
{
	fprintf(stderr, "back-end: %s\n", text);
}

static void event(void *ctx, const struct r3_serve_block_event *what)
{
	fprintf(stderr, "back-end: event %u, code %u: %s\n", what->type, what->code, what->text);
}

static int fail(const char *what)
{
	fprintf(stderr, "back-end: %s: %s\n", what, r3_error_text());
	return 1;
}

static int serve_all(struct r3_serve_block *serve)
{
	struct pollfd fds[] = {{.fd = r3_serve_block_fd(serve), .events = POLLIN},
			       {.fd = STDIN_FILENO, .events = POLLIN}};
	int rc = 1;

	while (rc > 0 && !fds[1].revents) {
		if (poll(fds, 2, -1) < 0)
			break;
		rc = r3_serve_block_dispatch(serve);
	}
	return rc;
}

static void parse(int argc, char **argv)
{
	static const struct option options[] = {
		{"mode", required_argument, NULL, 'm'}, {"queues", required_argument, NULL, 'q'},
		{"hide", required_argument, NULL, 'h'}, /* by its number */
		{"unsealed", no_argument, NULL, 'u'},   {NULL, 0, NULL, 0},
	};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'm' && r3_blkq_mode_parse(optarg, &opts.mode) == 0)
			continue;
		if (option == 'q')
			opts.queues = (uint32_t)strtoul(optarg, NULL, 0);
		else if (option == 'h')
			opts.hide |= UINT64_C(1) << (strtoul(optarg, NULL, 0) & 63);
		else if (option == 'u')
			(void)r3_sigbus_enable();
		else
			exit(2);
	}
	if (argc - optind != 2)
		exit(2);
}

int main(int argc, char **argv)
{
	struct r3_serve_block *serve;
	struct r3_block *block;
	int rc;

	parse(argc, argv);
	r3_log_sink(R3_LOG_WARN, say, NULL);
	opts.event = event;
	if (r3_block_open(argv[optind], NULL, &block) < 0)
		return fail(argv[optind]);
	if (r3_serve_block_open(block, argv[optind + 1], &opts, &serve) < 0) {
		r3_block_close(block);
		return fail(argv[optind + 1]);
	}
	printf("vhost-user:%s\n", argv[optind + 1]);
	fflush(stdout);
	rc = serve_all(serve);
	r3_serve_block_close(serve);
	r3_block_close(block);
	return rc < 0 ? fail("serving") : 0;
}
