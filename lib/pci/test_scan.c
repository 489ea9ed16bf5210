/* SPDX-License-Identifier: BSD-2-Clause */
/* The scan over a sysfs made of files, with all that can be wrong with it. */
#include "unit.h"
#include <ring3/error.h>
#include <ring3/pci.h>

#include <errno.h>
#include <ftw.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[] = "/tmp/ring3-sysfs-XXXXXX";

static const char *in_root(const char *rest)
{
	static char path[256];

	snprintf(path, sizeof(path), "%s/%s", root, rest);
	return path;
}

static void put(const char *device, const char *file, const char *text)
{
	char rest[128];
	FILE *f;

	snprintf(rest, sizeof(rest), "bus/pci/devices/%s/%s", device, file);
	f = fopen(in_root(rest), "w");
	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
}

static void make(const char *device, const char *vendor, const char *class_code)
{
	char rest[128];

	snprintf(rest, sizeof(rest), "bus/pci/devices/%s", device);
	assert_int_equal(mkdir(in_root(rest), 0755), 0);
	if (vendor == NULL)
		return;
	put(device, "vendor", vendor);
	put(device, "device", "0x11e8\n");
	put(device, "class", class_code);
}

static void aim(const char *device, const char *link, const char *target)
{
	char rest[128];

	snprintf(rest, sizeof(rest), "bus/pci/devices/%s/%s", device, link);
	assert_int_equal(symlink(target, in_root(rest)), 0);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static int setup(void **state)
{
	strcpy(root + strlen(root) - 6, "XXXXXX");
	if (mkdtemp(root) == NULL)
		return -1;
	return mkdir(in_root("bus"), 0755) || mkdir(in_root("bus/pci"), 0755) ||
	       mkdir(in_root("bus/pci/devices"), 0755);
}

static int teardown(void **state)
{
	return nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void test_list(void **state)
{
	struct r3_pci_entry *list;
	unsigned n;

	make("0000:00:1f.2", "0x8086\n", "0x010601\n");
	make("10000:01:00.0", "0x144d\n", "0x010802\n");
	make("0000:00:02.0", "0x1234\n", "0x00ff00\n");
	put("0000:00:02.0", "subsystem_vendor", "0x1af4\n");
	put("0000:00:02.0", "subsystem_device", "0x1100\n");
	put("0000:00:02.0", "revision", "0x10\n");
	put("0000:00:02.0", "config", "1234567890123\x7f\x81xyz");
	aim("0000:00:02.0", "driver", "../../../bus/pci/drivers/uio_pci_generic");
	aim("0000:00:02.0", "iommu_group", "../../../kernel/iommu_groups/12");
	assert_int_equal(r3_pci_scan(root, &list, &n), 0);
	assert_int_equal(n, 3);
	assert_string_equal(list[0].address, "pci:0000:00:02.0");
	assert_int_equal(list[0].slot, 2);
	assert_int_equal(list[0].id.vendor, 0x1234);
	assert_int_equal(list[0].id.device, 0x11e8);
	assert_int_equal(list[0].id.class_code, 0x00ff00);
	assert_int_equal(list[0].id.subsystem_vendor, 0x1af4);
	assert_int_equal(list[0].id.subsystem, 0x1100);
	assert_int_equal(list[0].id.revision, 0x10);
	assert_int_equal(list[0].id.header_type, 0x81);
	assert_string_equal(list[0].driver, "uio_pci_generic");
	assert_int_equal(list[0].iommu_group, 12);
	assert_string_equal(list[1].address, "pci:0000:00:1f.2");
	assert_int_equal(list[1].function, 2);
	assert_string_equal(list[1].driver, "");
	assert_int_equal(list[1].iommu_group, -1);
	assert_string_equal(list[2].address, "pci:10000:01:00.0");
	assert_int_equal(list[2].domain, 0x10000);
	free(list);
}

/* What a sleeping device is, its class tells; nobody wakes it. */
static void test_sleeping(void **state)
{
	struct r3_pci_entry *list;
	unsigned n;

	make("0000:00:01.0", "0x8086\n", "0x060400\n");
	put("0000:00:01.0", "config", "1234567890123\x7f\x7fxyz");
	assert_int_equal(mkdir(in_root("bus/pci/devices/0000:00:01.0/power"), 0755), 0);
	put("0000:00:01.0", "power/runtime_status", "suspended\n");
	assert_int_equal(r3_pci_scan(root, &list, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(list[0].id.header_type, 1);
	free(list);
	put("0000:00:01.0", "power/runtime_status", "active\n");
	assert_int_equal(r3_pci_scan(root, &list, &n), 0);
	assert_int_equal(list[0].id.header_type, 0x7f);
	free(list);
}

static void test_garbage(void **state)
{
	static const char *const values[] = {"",
					     "\n",
					     "zzz\n",
					     "-1\n",
					     "0x10000\n",
					     "0x12 4\n",
					     "99999999999999999999999999\n",
					     " 1\n"};
	static const char *const names[] = {"0000:00:00",  "0000:00:20.0",  "0000:00:01.8",
					    "x",           "0000:00:01.0x", "00000000000:00:01.0",
					    "+000:00:00.0"};
	struct r3_pci_entry *list;
	unsigned n;

	make("0000:00:01.0", "0x1234\n", "0x020000\n");
	for (unsigned i = 0; i < sizeof(names) / sizeof(*names); i++)
		make(names[i], "0x1234\n", "0x020000\n");
	make("0000:00:03.0", NULL, NULL); /* on its way out */
	aim(".", "0000:00:04.0", "/nonexistent");
	put(".", "0000:00:05.0", "a file\n");
	assert_int_equal(r3_pci_scan(root, &list, &n), 0);
	assert_int_equal(n, 1);
	free(list);

	for (unsigned i = 0; i < sizeof(values) / sizeof(*values); i++) {
		put("0000:00:01.0", "revision", values[i]);
		assert_int_equal(r3_pci_scan(root, &list, &n), 0);
		assert_int_equal(n, 1);
		assert_int_equal(list[0].id.revision, 0);
		free(list);
	}
	for (unsigned i = 0; i < sizeof(values) / sizeof(*values); i++) {
		put("0000:00:01.0", "vendor", values[i]);
		assert_int_equal(r3_pci_scan(root, &list, &n), 0);
		assert_int_equal(n, 0);
		assert_null(list);
	}
}

static void test_odd_files(void **state)
{
	char name[200];
	struct r3_pci_entry *list;
	unsigned n;

	make("0000:00:01.0", "0x1234\n", "0x020000\n");
	memset(name, 'd', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	aim("0000:00:01.0", "driver", name);
	aim("0000:00:01.0", "iommu_group", "x/99999999999");
	assert_int_equal(mkfifo(in_root("bus/pci/devices/0000:00:01.0/revision"), 0644), 0);
	assert_int_equal(mkdir(in_root("bus/pci/devices/0000:00:01.0/config"), 0755), 0);
	assert_int_equal(r3_pci_scan(root, &list, &n), 0);
	assert_int_equal(n, 1);
	assert_string_equal(list[0].driver, "");
	assert_int_equal(list[0].iommu_group, -1);
	assert_int_equal(list[0].id.revision, 0);
	free(list);
}

static void test_none(void **state)
{
	struct r3_pci_entry *list;
	char path[5000];
	unsigned n = 1;

	assert_int_equal(r3_pci_scan("/nonexistent", &list, &n), 0);
	assert_int_equal(n, 0);
	assert_null(list);
	memset(path, 'x', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	assert_int_equal(r3_pci_scan(path, &list, &n), -ENAMETOOLONG);
}

/* Whatever this machine has. */
static void test_here(void **state)
{
	struct r3_pci_entry *list;
	unsigned n;

	assert_int_equal(r3_pci_scan(NULL, &list, &n), 0);
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(strncmp(list[i].address, "pci:", 4), 0);
	free(list);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_list, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sleeping, setup, teardown),
		cmocka_unit_test_setup_teardown(test_garbage, setup, teardown),
		cmocka_unit_test_setup_teardown(test_odd_files, setup, teardown),
		cmocka_unit_test(test_none),
		cmocka_unit_test(test_here),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
