/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * block_suite ADDRESS [--mode interrupt|poll|adaptive] [--seed N] [--nsid N]
 *             [--forgets] [--persistent] [--effort PERCENT] [--only TEST] [--image MIB]
 *
 * With --image the address's first @ becomes the path of a new sparse file of that size.
 */
#include "suite.h"

#include <ring3/error.h>
#include <ring3/log.h>

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

struct suite suite = {.opts = {.size = sizeof(suite.opts)}, .effort = 100};

void suite_open(void)
{
	suite_expect(r3_block_open(suite.address, &suite.opts, &suite.block), 0, suite.address);
	suite.limits = r3_block_get_limits(suite.block);
}

void suite_close(void)
{
	r3_block_close(suite.block);
	suite.block = NULL;
	suite.limits = NULL;
}

struct r3_blkq *suite_queue(unsigned depth)
{
	const struct r3_blkq_opts opts = {
		.size = sizeof(opts),
		.depth = depth,
		.mode = suite.mode,
	};
	struct r3_blkq *queue = NULL;

	suite_expect(r3_blkq_open(suite.block, &opts, &queue), 0, "r3_blkq_open");
	return queue;
}

unsigned suite_rounds(unsigned n)
{
	unsigned scaled = (unsigned)((uint64_t)n * suite.effort / 100);
	return scaled ? scaled : 1;
}

void suite_expect(int rc, int want, const char *what)
{
	if (rc != want)
		fail_msg("%s: returned %d, not %d: %s", what, rc, want, r3_error_text());
}

void suite_do(struct r3_blkq *queue, enum r3_blk_op op, unsigned flags, uint64_t off, void *buf,
	      uint64_t len)
{
	int rc = r3_blkq_do(queue, op, flags, off, buf, len, PATIENCE_NS);

	suite_expect(rc, 0, r3_blk_op_name(op));
	assert_int_equal(r3_blkq_inflight(queue), 0);
}

bool suite_sleep(struct r3_blkq *queue, bool dispatch)
{
	struct r3_clock *clock = r3_clock_system();
	uint64_t end = r3_clock_now(clock) + PATIENCE_NS;
	struct pollfd fds[2] = {
		{.fd = r3_blkq_fd(queue), .events = POLLIN},
		{.fd = dispatch ? r3_block_fd(suite.block) : -1, .events = POLLIN},
	};

	while (r3_clock_now(clock) < end) {
		if (r3_blkq_arm(queue))
			return true;
		/* A queue that is polled is looked at again and again. */
		int n = poll(fds, 2, suite.mode == R3_BLKQ_POLL ? 0 : PATIENCE_MS);
		if (n > 0 && fds[1].revents) {
			struct r3_block_event events[4];
			(void)r3_block_dispatch(suite.block, events, 4);
		}
		if (n > 0 && fds[0].revents)
			return true;
	}
	return false;
}

void suite_run_all(struct r3_blkq *queue, struct r3_blk_req *reqs, unsigned n)
{
	struct r3_blk_req *list[64], *done[64];
	unsigned sent = 0, reaped = 0;

	while (reaped < n) {
		unsigned batch = 0;
		for (; batch < 64 && sent + batch < n; batch++)
			list[batch] = &reqs[sent + batch];
		int rc = batch ? r3_blkq_submit(queue, list, batch) : 0;
		if (rc < 0 && rc != -EAGAIN)
			suite_expect(rc, 0, "r3_blkq_submit");
		sent += rc > 0 ? (unsigned)rc : 0;
		suite_expect(r3_blkq_kick(queue), 0, "r3_blkq_kick");

		rc = r3_blkq_reap(queue, done, 64);
		if (!rc && !suite_sleep(queue, true))
			fail_msg("%u of %u requests did not complete", n - reaped, n);
		for (int i = 0; i < rc; i++) {
			assert_true(done[i] >= reqs && done[i] < reqs + n);
			suite_expect(done[i]->err, 0, r3_blk_op_name(done[i]->op));
			/* Once is once: the mark would be found the second time. */
			assert_ptr_not_equal(done[i]->user, &suite);
			done[i]->user = &suite;
		}
		reaped += (unsigned)rc;
	}
	assert_int_equal(r3_blkq_inflight(queue), 0);
	assert_int_equal(r3_blkq_reap(queue, done, 64), 0);
}

void suite_fill(void *buf, size_t len, uint64_t seed)
{
	unsigned char *at = buf;

	for (; len >= sizeof(uint64_t); at += sizeof(uint64_t), len -= sizeof(uint64_t)) {
		uint64_t word = test_random(&seed);
		memcpy(at, &word, sizeof(word));
	}
	while (len--)
		*at++ = (unsigned char)test_random(&seed);
}

static void say(void *ctx, enum r3_log_level level, const char *text)
{
	fprintf(stderr, "log: %s\n", text);
}

static void usage(const char *why)
{
	fprintf(stderr,
		"block_suite: %s\n"
		"Usage: block_suite ADDRESS [--mode interrupt|poll|adaptive] [--seed N]\n"
		"       [--nsid N] [--forgets] [--persistent] [--effort PERCENT]\n"
		"       [--only TEST] [--image MIB]\n",
		why);
	exit(2);
}

/* No name that anybody would have to remove: the file goes when this process does. */
static void make_image(unsigned long mib)
{
	static char address[512];
	const char *at = strchr(suite.address, '@');
	int fd = open(P_tmpdir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd < 0 || ftruncate(fd, (off_t)mib << 20) < 0)
		usage("cannot make the image");
	if (!at)
		usage("--image needs an @ in the address");
	snprintf(address, sizeof(address), "%.*s/proc/self/fd/%d%s", (int)(at - suite.address),
		 suite.address, fd, at + 1);
	suite.address = address;
}

static void parse(int argc, char **argv)
{
	static const struct option options[] = {
		{"mode", required_argument, NULL, 'm'},
		{"seed", required_argument, NULL, 's'},
		{"nsid", required_argument, NULL, 'n'},
		{"forgets", no_argument, NULL, 'f'},
		{"persistent", no_argument, NULL, 'p'},
		{"effort", required_argument, NULL, 'e'},
		{"only", required_argument, NULL, 'o'},
		{"image", required_argument, NULL, 'i'},
		{NULL, 0, NULL, 0},
	};
	unsigned long image = 0;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'm':
			if (r3_blkq_mode_parse(optarg, &suite.mode))
				usage(r3_error_text());
			break;
		case 's':
			setenv("R3_SEED", optarg, 1);
			break;
		case 'n':
			suite.opts.nsid = (uint32_t)strtoul(optarg, NULL, 0);
			break;
		case 'f':
			suite.forgets = true;
			break;
		case 'p':
			suite.persistent = true;
			break;
		case 'e':
			suite.effort = (unsigned)strtoul(optarg, NULL, 0);
			break;
		case 'o':
			cmocka_set_test_filter(optarg);
			break;
		case 'i':
			image = strtoul(optarg, NULL, 0);
			break;
		default:
			usage("unknown option");
		}
	}
	if (optind != argc - 1)
		usage("needs one address");
	suite.address = argv[optind];
	if (image)
		make_image(image);
}

static int setup(void **state)
{
	suite_open();
	return 0;
}

static int teardown(void **state)
{
	suite_close();
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_limits),          cmocka_unit_test(test_each_operation),
		cmocka_unit_test(test_long_requests),   cmocka_unit_test(test_zeroes_and_discard),
		cmocka_unit_test(test_flush_and_fua),   cmocka_unit_test(test_integrity),
		cmocka_unit_test(test_several_queues),  cmocka_unit_test(test_threads),
		cmocka_unit_test(test_depth),           cmocka_unit_test(test_wake_ups),
		cmocka_unit_test(test_close_in_flight), cmocka_unit_test(test_requests_at_fault),
		cmocka_unit_test(test_read_only),       cmocka_unit_test(test_life),
	};

	parse(argc, argv);
	/* Where each instruction costs fifty, a part of the rounds has to do. */
	if (getenv("R3_EFFORT"))
		suite.effort = suite.effort * (unsigned)strtoul(getenv("R3_EFFORT"), NULL, 0) / 100;
	suite.random = test_seed();
	r3_log_sink(R3_LOG_WARN, say, NULL);
	return cmocka_run_group_tests_name(suite.address, tests, setup, teardown);
}
