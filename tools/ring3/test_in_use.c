/* SPDX-License-Identifier: BSD-2-Clause */
/* Who has a target, told by a /proc and a /sys made for it: nothing is mounted here. */
#include "in_use.h"
#include "unit.h"

#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <ring3/error.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static char root[] = "/tmp/ring3-in-use-XXXXXX";

/* A disk and its partitions. */
static struct in_use_target disk[3] = {{.path = "disk"}, {.path = "part1"}, {.path = "part2"}};

/* Write @text into root/path, and make the folders on the way. */
static void put(const char *path, const char *text)
{
	char full[PATH_MAX];
	FILE *file;

	snprintf(full, sizeof(full), "%s%s", root, path);
	for (char *at = full + strlen(root) + 1; (at = strchr(at, '/')); *at++ = '/') {
		*at = '\0';
		mkdir(full, 0700);
	}
	file = fopen(full, "w");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static int teardown(void **state)
{
	nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	strcpy(root + strlen(root) - 6, "XXXXXX");
	return 0;
}

/* A disk 8:0 with the partitions 8:1 and 8:2, and nobody there. */
static int setup(void **state)
{
	char from[PATH_MAX], to[PATH_MAX];

	assert_non_null(mkdtemp(root));
	put("/proc/self/mountinfo", "22 1 0:20 / /proc rw,nosuid shared:5 - proc proc rw\n"
				    "25 1 254:0 / / rw,noatime - ext4 /dev/root rw\n"
				    "a line that is none\n");
	put("/proc/swaps", "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n");
	put("/sys/devices/sda/dev", "8:0\n");
	put("/sys/devices/sda/size", "1000\n");
	put("/sys/devices/sda/sda1/dev", "8:1\n");
	put("/sys/devices/sda/sda1/partition", "1\n");
	put("/sys/devices/sda/sda2/dev", "8:2\n");
	put("/sys/devices/sda/sda2/partition", "2\n");
	put("/sys/devices/sda/other/dev", "8:9\n"); /* no partition, whatever it is */
	put("/sys/devices/dev", "8:9\n");
	put("/sys/block/sda", "");
	put("/sys/dev/block/nothing", "");
	for (unsigned i = 0; i < 3; i++) {
		disk[i].rdev = makedev(8, i);
		snprintf(from, sizeof(from), "%s/sys/dev/block/8:%u", root, i);
		snprintf(to, sizeof(to), i ? "../../devices/sda/sda%u" : "../../devices/sda", i);
		assert_int_equal(symlink(to, from), 0);
	}
	return 0;
}

static void assert_free(const struct in_use_target *target)
{
	assert_int_equal(in_use_check(root, target), 0);
}

static void assert_busy(const struct in_use_target *target, const char *why)
{
	assert_int_equal(in_use_check(root, target), -EBUSY);
	assert_non_null(strstr(r3_error_text(), why));
	assert_non_null(strstr(r3_error_text(), target->path));
}

/* An image file in the root, its target. */
static struct in_use_target image(char *path, size_t len)
{
	struct stat st;

	put("/the image", "data");
	snprintf(path, len, "%s/the image", root);
	assert_int_equal(stat(path, &st), 0);
	return (struct in_use_target){.path = path, .dev = st.st_dev, .ino = st.st_ino};
}

static void nobody(void **state)
{
	char path[PATH_MAX];
	struct in_use_target file = image(path, sizeof(path));

	for (unsigned i = 0; i < 3; i++)
		assert_free(&disk[i]);
	assert_free(&file);
}

static void a_mount(void **state)
{
	put("/proc/self/mountinfo",
	    "30 25 8:1 / /srv/my\\040data rw shared:1 master:2 - ext4 /dev/sda1 rw\n");
	assert_busy(&disk[1], "is mounted on /srv/my data: unmount");
	assert_busy(&disk[0], "is mounted on /srv/my data: unmount"); /* its partition is */
	assert_free(&disk[2]);

	put("/proc/self/mountinfo", "30 25 8:9 / /srv rw - ext4 /dev/sdz rw\n");
	assert_free(&disk[0]);
	put("/proc/self/mountinfo", "30 25 8:0 / /srv rw - ext4 /dev/sda rw\n");
	for (unsigned i = 0; i < 3; i++) /* what they are part of is */
		assert_busy(&disk[i], "is mounted on /srv");
}

/* A file system that was mounted from the file itself, and not by its number. */
static void a_mount_by_its_source(void **state)
{
	char path[PATH_MAX], escaped[PATH_MAX], line[2 * PATH_MAX];
	struct in_use_target file = image(path, sizeof(path));
	char *blank = strchr(path, ' ');

	snprintf(escaped, sizeof(escaped), "%.*s\\040%s", (int)(blank - path), path, blank + 1);
	snprintf(line, sizeof(line), "30 25 0:99 / /mnt rw - erofs %s ro\n", escaped);
	put("/proc/self/mountinfo", line);
	assert_busy(&file, "is mounted on /mnt");
}

static void nothing_is_known(void **state)
{
	char full[PATH_MAX];
	struct in_use_target other = {.path = "other", .rdev = makedev(9, 0)};

	assert_busy(&other, "cannot see who uses it");
	snprintf(full, sizeof(full), "%s/proc/self/mountinfo", root);
	assert_int_equal(unlink(full), 0);
	assert_busy(&disk[0], "cannot see what is mounted");
}

static void swap(void **state)
{
	char path[PATH_MAX], line[2 * PATH_MAX];
	struct in_use_target file = image(path, sizeof(path));
	char *blank = strchr(path, ' ');

	snprintf(line, sizeof(line), "Filename Type Size Used Priority\n%.*s\\040%s file 1 0 -2\n",
		 (int)(blank - path), path, blank + 1);
	put("/proc/swaps", line);
	assert_busy(&file, "is swapped to");
	assert_free(&disk[0]);
}

static void a_device_above(void **state)
{
	put("/sys/devices/sda/sda2/holders/dm-3", "");
	assert_busy(&disk[2], "/dev/dm-3 is built on it");
	assert_busy(&disk[0], "/dev/dm-3 is built on it");
	assert_free(&disk[1]);
}

static void a_loop_device(void **state)
{
	char path[PATH_MAX], line[PATH_MAX + 2];
	struct in_use_target file = image(path, sizeof(path));

	put("/sys/block/loop0/loop/backing_file", "/nonexistent (deleted)\n");
	put("/sys/block/loop1/size", "0\n");
	assert_free(&file);
	snprintf(line, sizeof(line), "%s\n", path);
	put("/sys/block/loop7/loop/backing_file", line);
	assert_busy(&file, "is attached to /dev/loop7: use losetup -d");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(nobody, setup, teardown),
		cmocka_unit_test_setup_teardown(a_mount, setup, teardown),
		cmocka_unit_test_setup_teardown(a_mount_by_its_source, setup, teardown),
		cmocka_unit_test_setup_teardown(nothing_is_known, setup, teardown),
		cmocka_unit_test_setup_teardown(swap, setup, teardown),
		cmocka_unit_test_setup_teardown(a_device_above, setup, teardown),
		cmocka_unit_test_setup_teardown(a_loop_device, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
