/* SPDX-License-Identifier: BSD-2-Clause */
/* From an address to QEMU's command line. */
#include "backend/qemu/command.h"
#include "unit.h"
#include <ring3/error.h>

#include <errno.h>
#include <string.h>

static struct r3_address *address;
static struct r3_qemu_options options;
static struct r3_qemu_command command;

static int parse(const char *text)
{
	int rc = r3_address_parse(text, &address);

	assert_int_equal(rc, 0);
	rc = r3_qemu_options_parse(&address->rest, 0, &options);
	if (rc < 0)
		r3_address_free(address);
	return rc;
}

static void make(const char *text)
{
	struct r3_qemu_files files = {3, 4, 5, 6, 7, {8, 9, 10}, .ndisks = 0};

	if (parse(text))
		fail_msg("%s", r3_error_text());
	if (options.storage != R3_QEMU_NO_STORAGE)
		files.ndisks = options.namespaces ? options.namespaces : 1;
	assert_int_equal(r3_qemu_command_make(&command, "qemu", &options, &files), 0);
}

static void drop(void)
{
	r3_qemu_command_free(&command);
	r3_address_free(address);
}

/* The argument after the @nth @option, counted from 0; "" when there is none. */
static const char *argument(const char *option, unsigned nth)
{
	for (unsigned i = 0; i + 1 < command.n; i++)
		if (!strcmp(command.argv[i], option) && nth-- == 0)
			return command.argv[i + 1];
	return "";
}

static const char *last(const char *option)
{
	unsigned n = 0;

	while (*argument(option, n))
		n++;
	assert_true(n > 0);
	return argument(option, n - 1);
}

static void a_device_sits_behind_the_root_port(void **state)
{
	make("qemu:edu,addr=7,mem=128M");
	assert_string_equal(last("-device"), "edu,id=dev0,bus=rp0");
	assert_string_equal(argument("-device", 1),
			    "pcie-root-port,id=rp0,chassis=1,slot=1,addr=7.0");
	assert_string_equal(argument("-m", 0), "128M");
	assert_string_equal(argument("-blockdev", 0), "");
	assert_null(command.argv[command.n]);
	drop();
}

static void storage_is_a_node_with_a_name(void **state)
{
	make("qemu:nvme,size=64M,lba=4096,vectors=3");
	assert_string_equal(last("-device"),
			    "nvme,id=dev0,bus=rp0,serial=ring3,drive=disk0,"
			    "logical_block_size=4096,physical_block_size=4096,msix_qsize=3");
	assert_string_equal(argument("-add-fd", 0), "fd=8,set=0");
	assert_non_null(strstr(argument("-blockdev", 0), "\"node-name\":\"disk0\""));
	assert_non_null(strstr(argument("-blockdev", 0), "/dev/fdset/0"));
	drop();
	make("qemu:virtio-blk,null,size=1G,readonly");
	assert_non_null(strstr(argument("-blockdev", 0), "null-co"));
	assert_non_null(strstr(argument("-blockdev", 0), "\"read-only\":true"));
	drop();
	make("qemu:nvme,blkdebug");
	assert_non_null(strstr(argument("-blockdev", 0), "\"driver\":\"blkdebug\""));
	assert_null(strstr(argument("-blockdev", 0), "\"config\""));
	drop();
}

static void namespaces_have_a_disk_each(void **state)
{
	make("qemu:nvme,ns=3,size=16M,lba=512");
	assert_string_equal(argument("-device", 2), "nvme,id=dev0,bus=rp0,serial=ring3");
	assert_string_equal(last("-device"), "nvme-ns,bus=dev0,nsid=3,drive=disk2,"
					     "logical_block_size=512,physical_block_size=512");
	assert_string_equal(last("-add-fd"), "fd=10,set=2");
	drop();
}

/* What QEMU would split, it gets whole. */
static void properties_keep_their_commas(void **state)
{
	make("qemu:nvme,prop.serial=a%2Cb%2C%2C,prop.mdts=3,prop.x-y=\"q");
	assert_string_equal(last("-device"),
			    "nvme,id=dev0,bus=rp0,drive=disk0,serial=a,,b,,,,,mdts=3,"
			    "x-y=\"q");
	drop();
	make("qemu:nvme,blkdebug=/a \"b\"%2Cc");
	assert_non_null(strstr(argument("-blockdev", 0), "a \\\"b\\\",c\""));
	drop();
}

static void what_makes_no_sense_is_refused(void **state)
{
	static const char *const bad[] = {
		"qemu:",
		"qemu:a b",
		"qemu:nvme%2Cbus=x",
		"qemu:nvme,frob",
		"qemu:nvme,size=100",
		"qemu:nvme,size=1000000",
		"qemu:nvme,size=0",
		"qemu:nvme,size=99999999T",
		"qemu:edu,size=1M",
		"qemu:edu,null",
		"qemu:virtio-blk,ns=2",
		"qemu:nvme,ns=0",
		"qemu:nvme,ns=65",
		"qemu:nvme,drive",
		"qemu:nvme,drive=x,size=1M",
		"qemu:nvme,drive=x,null",
		"qemu:nvme,drive=x,ns=2",
		"qemu:nvme,lba=1024",
		"qemu:nvme,lba=8192",
		"qemu:nvme,vectors=0",
		"qemu:nvme,vectors=65",
		"qemu:nvme,addr=0",
		"qemu:nvme,addr=25",
		"qemu:nvme,mem=16M",
		"qemu:nvme,mem=4G",
		"qemu:nvme,mem=100000001",
	};

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (parse(bad[i]) != -EINVAL)
			fail_msg("%s was taken", bad[i]);

	static const char *const bad_props[] = {"qemu:edu,prop.=1", "qemu:edu,prop.a%2Cb=1"};
	for (unsigned i = 0; i < 2; i++) {
		struct r3_qemu_files files = {.ndisks = 0};
		int rc = r3_address_parse(bad_props[i], &address);
		if (rc)
			continue;
		rc = r3_qemu_options_parse(&address->rest, 0, &options);
		if (rc == 0) {
			rc = r3_qemu_command_make(&command, "qemu", &options, &files);
			r3_qemu_command_free(&command);
		}
		assert_int_equal(rc, -EINVAL);
		r3_address_free(address);
	}
}

static void memory_grows_with_the_arena_asked_for(void **state)
{
	assert_int_equal(r3_address_parse("qemu:edu", &address), 0);
	assert_int_equal(r3_qemu_options_parse(&address->rest, UINT64_C(1) << 30, &options), 0);
	assert_true(options.mem >= (UINT64_C(1) << 30) + (16 << 20));
	assert_int_equal(r3_qemu_options_parse(&address->rest, UINT64_C(1) << 40, &options),
			 -EINVAL);
	r3_address_free(address);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_device_sits_behind_the_root_port),
		cmocka_unit_test(storage_is_a_node_with_a_name),
		cmocka_unit_test(namespaces_have_a_disk_each),
		cmocka_unit_test(properties_keep_their_commas),
		cmocka_unit_test(what_makes_no_sense_is_refused),
		cmocka_unit_test(memory_grows_with_the_arena_asked_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
