/* SPDX-License-Identifier: BSD-2-Clause */
/* The scheme "qtest:": a QEMU that somebody else started, with and without firmware. */
#include "backend/qemu/qemu.h"
#include "qemu_test.h"
#include "util/socket.h"
#include "util/tether.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[64], ram[80], qtest[80], qmp[80], rom[80];
static pid_t qemu;
static struct r3_tether tether;

static void make_file(const char *path, off_t size)
{
	int fd = open(path, O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, size), 0);
	close(fd);
}

/* The CPU must do nothing: the ROM is all 0xf4, hlt, and no interrupt wakes it. */
static void make_rom(void)
{
	static unsigned char hlt[65536];
	int fd = open(rom, O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600);

	memset(hlt, 0xf4, sizeof(hlt));
	hlt[0xfff0] = 0xfa; /* cli */
	assert_int_equal(write(fd, hlt, sizeof(hlt)), sizeof(hlt));
	close(fd);
}

/* A socket is there before anybody listens on it. */
static void wait_for_socket(const char *path)
{
	struct r3_wait wait = r3_wait_begin(r3_clock_system(), 30 * R3_NSEC_PER_SEC);
	char where[128];
	int fd;

	snprintf(where, sizeof(where), "unix:%s", path);
	while (r3_socket_connect(where, &fd))
		assert_true(r3_wait_step(&wait));
	close(fd);
}

static void start_qemu(const char *bios)
{
	char backend[200], qtest_arg[128], qmp_arg[128];

	snprintf(backend, sizeof(backend),
		 "memory-backend-file,id=ram0,mem-path=%s,share=on,size=128M", ram);
	snprintf(qtest_arg, sizeof(qtest_arg), "unix:%s,server=on,wait=off", qtest);
	snprintf(qmp_arg, sizeof(qmp_arg), "unix:%s,server=on,wait=off", qmp);
	make_file(ram, 128 << 20);
	assert_int_equal(r3_tether_make(&tether), 0);
	qemu = fork();
	if (qemu == 0) {
		if (r3_tether_child(&tether, false) < 0)
			_exit(1);
		execlp("qemu-system-x86_64", "qemu", "-machine",
		       "q35,accel=tcg,memory-backend=ram0", "-m", "128M", "-object", backend,
		       "-nodefaults", "-no-user-config", "-display", "none", "-qtest", qtest_arg,
		       "-qtest-log", "none", "-qmp", qmp_arg, "-global",
		       "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off", "-device",
		       "pcie-root-port,id=rp0,chassis=1,slot=1", "-device", "edu,id=foo,bus=rp0",
		       "-device", "edu,id=root", bios ? "-bios" : NULL, bios, (char *)NULL);
		_exit(127);
	}
	r3_tether_owner(&tether);
	wait_for_socket(qtest);
	wait_for_socket(qmp);
}

static int setup(void **state)
{
	strcpy(dir, "/tmp/ring3-join-XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(ram, sizeof(ram), "%s/ram", dir);
	snprintf(qtest, sizeof(qtest), "%s/qtest", dir);
	snprintf(qmp, sizeof(qmp), "%s/qmp", dir);
	snprintf(rom, sizeof(rom), "%s/rom", dir);
	make_rom();
	start_qemu(rom);
	return 0;
}

static void end_qemu(void)
{
	r3_tether_cut(&tether);
	assert_int_equal(waitpid(qemu, NULL, 0), qemu);
	unlink(qtest);
	unlink(qmp);
}

static int teardown(void **state)
{
	end_qemu();
	unlink(ram);
	unlink(rom);
	assert_int_equal(rmdir(dir), 0);
	return 0;
}

static const char *join_as(const char *more)
{
	static char address[512];

	snprintf(address, sizeof(address), "qtest:unix:%s,%s", qtest, more);
	return address;
}

static const char *join_all(void)
{
	char more[256];

	snprintf(more, sizeof(more), "device=foo,mem=%s,qmp=unix:%s", ram, qmp);
	return join_as(more);
}

static void drive(struct r3_device *dev)
{
	struct r3_region *bar = open_region(dev, R3_REGION_BAR0);
	struct r3_irq_set *irq;

	assert_int_equal(r3_pci_enable(dev, R3_PCI_MEMORY | R3_PCI_MASTER, 0), 0);
	assert_int_equal(r3_read32(bar, 0), 0x010000ed);
	assert_int_equal(r3_device_get_info(dev)->nirqs[R3_IRQ_MSI], 0);
	assert_int_equal(r3_irq_enable(dev, R3_IRQ_BEST, 1, 1, &irq), 0);
	assert_int_equal(r3_irq_get_type(irq), R3_IRQ_INTX);
	for (unsigned i = 0; i < 3; i++) {
		r3_write32(bar, 0x60, 1);
		assert_int_equal(r3_irq_wait(irq, 0, 30 * R3_NSEC_PER_SEC), 1);
		r3_write32(bar, 0x64, 1);
		r3_irq_ack(irq, 0);
	}
	r3_irq_disable(irq);
}

static void with_all_that_can_be_had(void **state)
{
	struct r3_device *dev = open_device(join_all());
	struct r3_arena *arena;
	uint64_t iova, left;
	uint32_t *word;
	void *at;
	uint32_t value = 0;

	drive(dev);
	assert_int_equal(r3_device_arena(dev, &arena), 0);
	assert_int_equal(r3_arena_alloc(arena, 4096, 4096, &at), 0);
	word = at;
	*word = 0x12345678;
	assert_true(r3_device_iova(dev, at, &iova, &left));
	assert_int_equal(r3_qemu_rw(r3_qemu_of(dev), R3_QTEST_MEMORY, iova, &value, 4, 1, 0), 0);
	assert_int_equal(value, 0x12345678);
	assert_int_equal(r3_device_reset(dev, R3_RESET_BUS), 0);
	assert_int_equal(r3_qemu_pid(dev), 0);
	assert_int_equal(r3_qemu_surprise_remove(dev), 0);
	assert_int_equal(next_event(dev), R3_EVENT_REMOVED);
	r3_device_close(dev);
	/* it is not ours to end */
	assert_int_equal(kill(qemu, 0), 0);
}

static void again_and_with_little(void **state)
{
	for (unsigned i = 0; i < 3; i++) {
		struct r3_device *dev = open_device(join_as("addr=01:00.0"));
		struct r3_arena *arena;

		drive(dev);
		assert_int_equal(r3_device_arena(dev, &arena), -EOPNOTSUPP);
		assert_int_equal(r3_qemu_execute(dev, "stop", NULL, NULL), -EOPNOTSUPP);
		r3_device_close(dev);
	}
}

static void a_device_on_the_root_bus(void **state)
{
	char more[256];

	snprintf(more, sizeof(more), "device=root,qmp=unix:%s", qmp);
	struct r3_device *dev = open_device(join_as(more));
	drive(dev);
	assert_int_equal(r3_device_reset(dev, R3_RESET_ANY), -EOPNOTSUPP);
	r3_device_close(dev);
}

/* SeaBIOS has numbered the bus behind the port, and then has mapped the BAR there. */
static bool firmware_is_through(struct r3_qmp *monitor)
{
	struct json_object *buses;
	const char *foo;
	bool through;

	if (r3_qmp_execute(monitor, "query-pci", NULL, &buses))
		fail_msg("%s", r3_error_text());
	foo = strstr(json_object_to_json_string(buses), "\"qdev_id\": \"foo\"");
	through = foo && !strstr(foo, "\"address\": -1");
	json_object_put(buses);
	return through;
}

static void where_firmware_ran(void **state)
{
	struct r3_wait wait = r3_wait_begin(r3_clock_system(), 60 * R3_NSEC_PER_SEC);
	struct r3_qmp *monitor;
	char where[128];
	int fd;

	end_qemu();
	start_qemu(NULL);
	snprintf(where, sizeof(where), "unix:%s", qmp);
	assert_int_equal(r3_socket_connect(where, &fd), 0);
	assert_int_equal(r3_qmp_open(fd, SOON_MS, NULL, NULL, &monitor), 0);
	while (!firmware_is_through(monitor))
		assert_true(r3_wait_step(&wait));
	r3_qmp_close(monitor);

	struct r3_device *dev = open_device(join_as("addr=01:00.0"));
	drive(dev);
	r3_device_close(dev);
}

static void what_is_wrong_is_said(void **state)
{
	struct r3_device *dev;
	char more[256];

	refused(join_as("addr=01:01.0"), ENODEV, "01:01.0");
	refused(join_as("addr=01:20.0"), EINVAL, "addr=01:20.0");
	refused(join_as("addr=1"), EINVAL, "addr=1");
	refused(join_as("mem=x"), EINVAL, "device=ID");
	refused(join_as("addr=01:00.0,device=foo"), EINVAL, "either");
	refused(join_as("device=foo"), EINVAL, "qmp=");
	refused(join_as("device=foo,qmp=tcp:x"), EINVAL, "unix:PATH");
	refused(join_as("addr=01:00.0,frob"), EINVAL, "frob");
	refused(join_as("addr=01:00.0,mem=/nonexistent"), ENOENT, "/nonexistent");
	snprintf(more, sizeof(more), "addr=01:00.0,mem=%s", rom);
	refused(join_as(more), EINVAL, "80M");
	snprintf(more, sizeof(more), "device=bar,qmp=unix:%s", qmp);
	refused(join_as(more), ENODEV, "bar");
	make_file(rom, 128 << 20);
	snprintf(more, sizeof(more), "addr=01:00.0,mem=%s", rom);
	refused(join_as(more), EINVAL, "not that machine's RAM");
	assert_int_equal(r3_device_open("qtest:unix:/nonexistent/x,addr=01:00.0", NULL, &dev),
			 -ENOENT);
	assert_int_equal(r3_device_open("qtest:fd:999,addr=01:00.0", NULL, &dev), -EBADF);
	assert_int_equal(r3_device_open("qtest:,addr=01:00.0", NULL, &dev), -EINVAL);
}

#define JOIN_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		JOIN_TEST(with_all_that_can_be_had), JOIN_TEST(again_and_with_little),
		JOIN_TEST(a_device_on_the_root_bus), JOIN_TEST(where_firmware_ran),
		JOIN_TEST(what_is_wrong_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
