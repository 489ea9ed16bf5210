/* SPDX-License-Identifier: BSD-2-Clause */
/* pci.ids: what is found, and that no file, however broken, does harm. */
#include "unit.h"
#include <ring3/error.h>
#include <ring3/pci.h>

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char sample[] = "# a comment\n"
			     "\n"
			     "1234  Technical Corp.\n"
			     "\t1111  Virtual VGA Controller\n"
			     "\t\t1af4 1100  QEMU Virtual Machine\n"
			     "\t11e8  Educational device\r\n"
			     "8086  Intel Corporation\n"
			     "\t10d3  82574L Gigabit Network Connection\n"
			     "C 01  Mass storage controller\n"
			     "\t08  Non-Volatile memory controller\n"
			     "\t\t01  NVMHCI\n"
			     "\t\t02  NVM Express\n"
			     "C 02  Network controller\n"
			     "\t00  Ethernet controller\n";

static char path[] = "/tmp/ring3-names-XXXXXX";

static void put(const void *bytes, size_t len)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, len, file), len);
	assert_int_equal(fclose(file), 0);
}

static struct r3_pci_names *names_of(const void *bytes, size_t len)
{
	struct r3_pci_names *names = NULL;

	put(bytes, len);
	assert_int_equal(r3_pci_names_open(path, &names), 0);
	assert_non_null(names);
	return names;
}

static void test_lookup(void **state)
{
	struct r3_pci_names *names = names_of(sample, strlen(sample));

	assert_string_equal(r3_pci_vendor_name(names, 0x1234), "Technical Corp.");
	assert_string_equal(r3_pci_vendor_name(names, 0x8086), "Intel Corporation");
	assert_null(r3_pci_vendor_name(names, 0x1235));
	assert_string_equal(r3_pci_device_name(names, 0x1234, 0x11e8), "Educational device");
	assert_string_equal(r3_pci_device_name(names, 0x8086, 0x10d3),
			    "82574L Gigabit Network Connection");
	assert_null(r3_pci_device_name(names, 0x8086, 0x11e8));
	assert_null(r3_pci_device_name(names, 0x1234, 0x1af4)); /* a subsystem */
	assert_string_equal(r3_pci_class_name(names, 0x010802), "NVM Express");
	assert_string_equal(r3_pci_class_name(names, 0x010803), "Non-Volatile memory controller");
	assert_string_equal(r3_pci_class_name(names, 0x010900), "Mass storage controller");
	assert_string_equal(r3_pci_class_name(names, 0x020000), "Ethernet controller");
	assert_null(r3_pci_class_name(names, 0x030000));
	assert_null(r3_pci_vendor_name(NULL, 0x1234));
	assert_null(r3_pci_class_name(NULL, 0x010802));
	r3_pci_names_close(names);
	r3_pci_names_close(NULL);
}

/* Out of order, twice, and without the end of the last line. */
static void test_disorder(void **state)
{
	static const char text[] = "\t0001  nobody's device\n"
				   "\t\t01  nobody's interface\n"
				   "8086  Second\n"
				   "\t0002  Two\n"
				   "\t0001  One\n"
				   "zzzz  Broken vendor\n"
				   "\t0003  Device of a broken vendor\n"
				   "8086  Later\n"
				   "\t0001  Later one\n"
				   "1234\n"
				   "C 0g  Broken class\n"
				   "\t01  Of a broken class\n"
				   "0001  First";
	struct r3_pci_names *names = names_of(text, strlen(text));

	assert_string_equal(r3_pci_vendor_name(names, 0x8086), "Second");
	assert_string_equal(r3_pci_device_name(names, 0x8086, 1), "One");
	assert_string_equal(r3_pci_device_name(names, 0x8086, 2), "Two");
	assert_string_equal(r3_pci_vendor_name(names, 1), "First");
	assert_null(r3_pci_device_name(names, 0x8086, 3));
	assert_null(r3_pci_vendor_name(names, 0x1234));
	assert_null(r3_pci_class_name(names, 0x000100));
	r3_pci_names_close(names);
	names = names_of("", 0);
	assert_null(r3_pci_vendor_name(names, 0));
	r3_pci_names_close(names);
	names = names_of("0001  \x1b[31mred\n", 15);
	assert_string_equal(r3_pci_vendor_name(names, 1), "?[31mred");
	r3_pci_names_close(names);
}

static void test_errors(void **state)
{
	struct r3_pci_names *names = NULL;

	assert_int_equal(r3_pci_names_open("/nonexistent/pci.ids", &names), -ENOENT);
	assert_non_null(strstr(r3_error_text(), "/nonexistent/pci.ids"));
	assert_int_equal(r3_pci_names_open("/", &names), -EINVAL);
	assert_null(names);
}

static void check_text(const char *name)
{
	if (name == NULL)
		return;
	assert_int_not_equal(*name, '\0');
	for (; *name; name++)
		assert_true((unsigned char)*name >= ' ' || *name == '\t');
}

static void test_mutations(void **state)
{
	uint64_t random = test_seed();

	for (unsigned round = 0; round < 1000; round++) {
		char text[sizeof(sample)];
		struct r3_pci_names *names;
		unsigned n = 1 + test_random_below(&random, 20);

		memcpy(text, sample, sizeof(text));
		while (n--) {
			unsigned at = test_random_below(&random, sizeof(text));

			if (test_random_below(&random, 2))
				text[at] = "\n\t #C0f\0"[test_random_below(&random, 8)];
			else
				text[at] = (char)test_random(&random);
		}
		names = names_of(text, test_random_below(&random, sizeof(text)));
		check_text(r3_pci_vendor_name(names, 0x1234));
		check_text(r3_pci_vendor_name(names, 0x8086));
		for (unsigned i = 0; i < 64; i++) {
			uint32_t id = (uint32_t)test_random(&random);

			check_text(r3_pci_device_name(names, 0x1234, (uint16_t)id));
			check_text(r3_pci_class_name(names, id));
		}
		check_text(r3_pci_class_name(names, 0x010802));
		r3_pci_names_close(names);
	}
}

/* The real one, where it is installed. */
static void test_installed(void **state)
{
	struct r3_pci_names *names = NULL;
	int rc = r3_pci_names_open(NULL, &names);

	if (rc == -ENOENT)
		skip();
	assert_int_equal(rc, 0);
	assert_non_null(strstr(r3_pci_vendor_name(names, 0x8086), "Intel"));
	assert_non_null(r3_pci_device_name(names, 0x8086, 0x10d3));
	assert_string_equal(r3_pci_class_name(names, 0x010802), "NVM Express");
	r3_pci_names_close(names);
}

static int make_file(void **state)
{
	int fd = mkstemp(path);

	if (fd < 0)
		return -1;
	return close(fd);
}

static int remove_file(void **state)
{
	return unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lookup),    cmocka_unit_test(test_disorder),
		cmocka_unit_test(test_errors),    cmocka_unit_test(test_mutations),
		cmocka_unit_test(test_installed),
	};

	return cmocka_run_group_tests(tests, make_file, remove_file);
}
