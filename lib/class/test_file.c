/* SPDX-License-Identifier: BSD-2-Clause */
/* What file: and null: accept, refuse and say; their data path is the block suite's. */
#include "unit.h"

#include <ring3/block.h>
#include <ring3/error.h>
#include <ring3/log.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[] = "/tmp/ring3-file-XXXXXX";

static int setup(void **state)
{
	return mkdtemp(dir) && chmod(dir, 0755) == 0 ? 0 : -1;
}

static int teardown(void **state)
{
	return rmdir(dir);
}

static void make(const char *name, off_t size, mode_t mode)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	int fd = open(path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, size), 0);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static void drop(const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	assert_int_equal(remove(path), 0);
}

/* Open file:DIR/@rest. */
static int try(const char *rest, bool read_only, struct r3_block **out)
{
	struct r3_block_opts opts = {.size = sizeof(opts), .read_only = read_only};
	char address[256];

	snprintf(address, sizeof(address), "file:%s/%s", dir, rest);
	*out = NULL;
	return r3_block_open(address, &opts, out);
}

static void refuse(const char *rest, int rc, const char *text)
{
	struct r3_block *block;

	assert_int_equal(try(rest, false, &block), rc);
	assert_null(block);
	if (!strstr(r3_error_text(), text))
		fail_msg("'%s' has no '%s'", r3_error_text(), text);
}

static void test_refused(void **state)
{
	char fifo[128];

	make("small", 511, 0600);
	make("empty", 0, 0600);
	make("ok", 8192, 0600);
	snprintf(fifo, sizeof(fifo), "%s/fifo", dir);
	assert_int_equal(mkfifo(fifo, 0600), 0);

	refuse("missing", -ENOENT, "missing");
	refuse("", -EINVAL, "directory");
	refuse("fifo", -EINVAL, "neither a file nor a block device");
	refuse("small", -EINVAL, "511 bytes");
	refuse("empty", -EINVAL, "0 bytes");
	refuse("ok,lba=513", -EINVAL, "lba");
	refuse("ok,lba=1024", -EINVAL, "512 or 4096");
	refuse("ok,size=1G", -EINVAL, "size");
	refuse("ok,readonly=perhaps", -EINVAL, "readonly");

	struct r3_block_opts opts = {.size = sizeof(opts), .nsid = 2};
	struct r3_block *block;
	assert_int_equal(r3_block_open("null:1M", &opts, &block), -ENODEV);
	opts.nsid = 1;
	opts.driver = "nvme";
	assert_int_equal(r3_block_open("null:1M", &opts, &block), -EINVAL);
	opts.size = 8;
	assert_int_equal(r3_block_open("null:1M", &opts, &block), -EINVAL);
	assert_int_equal(r3_block_open("file:", NULL, &block), -EINVAL);
	assert_int_equal(r3_block_open("delay,read=5us+null:1M", NULL, &block), -EINVAL);
	assert_int_equal(r3_block_open("no-such-scheme:", NULL, &block), -ENODEV);
	assert_non_null(strstr(r3_error_text(), "no-such-scheme"));
	assert_non_null(strstr(r3_error_text(), "file null"));
	drop("small");
	drop("empty");
	drop("ok");
	drop("fifo");
}

static void count_line(void *ctx, enum r3_log_level level, const char *text)
{
	if (level == R3_LOG_WARN && strstr(text, "left out"))
		++*(unsigned *)ctx;
}

static void test_geometry(void **state)
{
	const struct r3_block_limits *limits;
	struct r3_block *block;
	unsigned lines = 0;

	make("odd", 3 * 4096 + 777, 0600);
	r3_log_sink(R3_LOG_WARN, count_line, &lines);
	assert_int_equal(try("odd", false, &block), 0);
	limits = r3_block_get_limits(block);
	assert_int_equal(limits->size, 3 * 4096 + 512);
	assert_int_equal(limits->block_size, 512);
	assert_int_equal(limits->features & R3_BLOCK_READ_ONLY, 0);
	assert_non_null(strstr(r3_block_name(block), "file:"));
	r3_block_close(block);
	assert_int_equal(lines, 1);

	assert_int_equal(try("odd,lba=4096,readonly", false, &block), 0);
	limits = r3_block_get_limits(block);
	assert_int_equal(limits->size, 3 * 4096);
	assert_int_equal(limits->block_size, 4096);
	assert_true(limits->features & R3_BLOCK_READ_ONLY);
	r3_block_close(block);
	assert_int_equal(lines, 2);
	r3_log_sink(R3_LOG_NONE, NULL, NULL);
	drop("odd");
}

static void test_read_only_file(void **state)
{
	struct r3_block *block;

	make("image", 8192, 0444);
	/* Root may write any file: look at this one as somebody else. */
	int before = setfsuid(65534);
	int rc = try("image", false, &block);
	setfsuid((uid_t)before);
	assert_int_equal(rc, -EROFS);
	assert_non_null(strstr(r3_error_text(), "image"));

	assert_int_equal(try("image", true, &block), 0);
	assert_true(r3_block_get_limits(block)->features & R3_BLOCK_READ_ONLY);
	r3_block_close(block);
	drop("image");
}

static void test_truncated_behind(void **state)
{
	static char buf[8192];
	struct r3_block *block;
	struct r3_blkq *queue;
	char path[128];

	make("image", 65536, 0600);
	snprintf(path, sizeof(path), "%s/image", dir);
	assert_int_equal(try("image", false, &block), 0);
	assert_int_equal(r3_blkq_open(block, NULL, &queue), 0);
	assert_int_equal(truncate(path, 4096), 0);
	assert_int_equal(r3_blkq_do(queue, R3_BLK_READ, 0, 0, buf, 4096, R3_NSEC_PER_SEC), 0);
	assert_int_equal(r3_blkq_do(queue, R3_BLK_READ, 0, 0, buf, 8192, R3_NSEC_PER_SEC), -EIO);
	assert_int_equal(r3_blkq_do(queue, R3_BLK_READ, 0, 8192, buf, 4096, R3_NSEC_PER_SEC), -EIO);
	r3_blkq_close(queue);
	r3_block_close(block);
	drop("image");
}

static void test_null(void **state)
{
	static const char *const bad[] = {"null:",           "null:12x",  "null:0",
					  "null:1M,lba=3",   "null:1000", "null:8M,size=1",
					  "null:9999999999T"};
	static char buf[65536];
	struct r3_block *block;
	struct r3_blkq *queue;

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (r3_block_open(bad[i], NULL, &block) != -EINVAL)
			fail_msg("%s was taken", bad[i]);

	assert_int_equal(r3_block_open("null:3T,lba=4096", NULL, &block), 0);
	assert_int_equal(r3_block_get_limits(block)->size, UINT64_C(3) << 40);
	assert_int_equal(r3_block_get_limits(block)->block_size, 4096);
	assert_int_equal(r3_block_fd(block), -1);
	assert_int_equal(r3_block_dispatch(block, NULL, 0), 0);
	assert_int_equal(r3_blkq_open(block, NULL, &queue), 0);
	memset(buf, 0x5a, sizeof(buf));
	assert_int_equal(r3_blkq_do(queue, R3_BLK_WRITE, R3_BLK_FUA, 0, buf, sizeof(buf), 0), 0);
	assert_int_equal(r3_blkq_do(queue, R3_BLK_READ, 0, 0, buf, sizeof(buf), 0), 0);
	for (size_t i = 0; i < sizeof(buf); i++)
		assert_int_equal(buf[i], 0);
	assert_int_equal(r3_blkq_do(queue, R3_BLK_DISCARD, 0, 0, NULL, UINT64_C(3) << 40, 0), 0);
	r3_blkq_close(queue);
	r3_block_close(block);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused),        cmocka_unit_test(test_geometry),
		cmocka_unit_test(test_read_only_file), cmocka_unit_test(test_truncated_behind),
		cmocka_unit_test(test_null),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
