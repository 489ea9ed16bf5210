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
	rc = r3_qemu_options_parse(&address->rest, NULL, &options);
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
		rc = r3_qemu_options_parse(&address->rest, NULL, &options);
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
	struct r3_open_opts opts = {.size = sizeof(opts), .arena_size = UINT64_C(1) << 30};

	assert_int_equal(r3_address_parse("qemu:edu", &address), 0);
	assert_int_equal(r3_qemu_options_parse(&address->rest, &opts, &options), 0);
	assert_true(options.mem >= (UINT64_C(1) << 30) + (16 << 20));
	opts.arena_size = UINT64_C(1) << 40;
	assert_int_equal(r3_qemu_options_parse(&address->rest, &opts, &options), -EINVAL);
	/* an arena behind an IOMMU is not in QEMU's RAM */
	opts.flags = R3_OPEN_FOREIGN_MEM;
	assert_int_equal(r3_qemu_options_parse(&address->rest, &opts, &options), 0);
	assert_int_equal(options.mem, UINT64_C(256) << 20);
	r3_address_free(address);
}

/* ---- with an IOMMU ---- */

static void an_iommu_comes_with_slots_for_memory(void **state)
{
	make("qemu:edu,mem=128M,iommu");
	assert_string_equal(argument("-m", 0), "128M,slots=256,maxmem=524288M");
	assert_string_equal(argument("-device", 0), "intel-iommu,aw-bits=48,intremap=off");
	assert_string_equal(last("-device"), "edu,id=dev0,bus=rp0");
	drop();
	make("qemu:virtio-blk,iommu=on,null");
	assert_non_null(strstr(last("-device"), ",iommu_platform=on"));
	drop();
	make("qemu:virtio-net-pci,iommu=on,prop.iommu_platform=on");
	assert_non_null(strstr(last("-device"), ",iommu_platform=on"));
	assert_null(strstr(strstr(last("-device"), "iommu_platform") + 1, "iommu_platform"));
	drop();
	make("qemu:virtio-blk,iommu=off,null");
	assert_null(strstr(last("-device"), "iommu"));
	drop();
}

static void whoever_opens_asks_for_it_and_the_address_decides(void **state)
{
	const struct r3_open_opts opts = {.size = sizeof(opts), .flags = R3_OPEN_FOREIGN_MEM};
	const struct {
		const char *text;
		bool with, without; /* the flag */
	} rows[] = {
		{"qemu:edu", true, false},
		{"qemu:edu,iommu=on", true, true},
		{"qemu:edu,iommu=off", false, false},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(parse(rows[i].text), 0);
		assert_int_equal(options.iommu, rows[i].without);
		assert_int_equal(r3_qemu_options_parse(&address->rest, &opts, &options), 0);
		assert_int_equal(options.iommu, rows[i].with);
		r3_address_free(address);
	}
}

static void what_would_pass_by_it_is_refused(void **state)
{
	static const char *const texts[] = {
		"qemu:virtio-blk-pci-transitional,iommu=on",
		"qemu:virtio-blk,iommu=on,prop.iommu_platform=off",
		"qemu:edu,iommu=maybe",
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_int_equal(parse(texts[i]), -EINVAL);
	assert_int_equal(parse("qemu:virtio-blk-pci-non-transitional,iommu=on"), 0);
	assert_true(options.access_platform);
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
		cmocka_unit_test(an_iommu_comes_with_slots_for_memory),
		cmocka_unit_test(whoever_opens_asks_for_it_and_the_address_decides),
		cmocka_unit_test(what_would_pass_by_it_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
