/* SPDX-License-Identifier: BSD-2-Clause */
/* The life of a private QEMU: it starts with what it needs, says why it does not, leaves
 * nothing behind, and never outlives its owner. */
#include "backend/qemu/qemu.h"
#include "qemu_test.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static bool exists(pid_t pid)
{
	return kill(pid, 0) == 0;
}

static void nothing_is_left_of_many_lives(void **state)
{
	static const char *const addresses[] = {"qemu:edu", "qemu:nvme,ns=2", "qemu:nvme,null",
						"qemu:no-such-device", "qemu:nvme,prop.no-such=1"};
	unsigned before = test_count_fds();

	for (unsigned i = 0; i < 25; i++) {
		struct r3_device *dev;

		if (r3_device_open(addresses[i % 5], NULL, &dev) == 0) {
			pid_t pid = r3_qemu_pid(dev);
			assert_true(exists(pid));
			r3_device_close(dev);
			assert_false(exists(pid));
		}
		assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
		assert_int_equal(errno, ECHILD);
	}
	assert_int_equal(test_count_fds(), before);
}

static void two_at_once_do_not_meet(void **state)
{
	struct r3_device *a = open_device("qemu:edu"), *b = open_device("qemu:edu,addr=9");
	struct r3_region *ra = open_region(a, R3_REGION_BAR0), *rb = open_region(b, R3_REGION_BAR0);

	assert_int_equal(r3_pci_enable(a, R3_PCI_MEMORY, 0), 0);
	assert_int_equal(r3_pci_enable(b, R3_PCI_MEMORY, 0), 0);
	/* edu inverts what it is given */
	r3_write32(ra, 4, 0x11111111);
	r3_write32(rb, 4, 0x22222222);
	assert_int_equal(r3_read32(ra, 4), ~0x11111111u);
	r3_device_close(a);
	/* the other one does not hold the first one's tether */
	assert_int_equal(r3_read32(rb, 4), ~0x22222222u);
	r3_device_close(b);
}

/* Whatever kills the owner: here, what cannot be caught. */
static void qemu_dies_with_a_killed_owner(void **state)
{
	int alive[2], status;
	pid_t owner, qemu = 0;

	assert_int_equal(pipe2(alive, O_CLOEXEC), 0);
	owner = fork();
	if (owner == 0) {
		struct r3_device *dev;

		if (r3_device_open("qemu:nvme", NULL, &dev))
			_exit(1);
		qemu = r3_qemu_pid(dev);
		if (write(alive[1], &qemu, sizeof(qemu)) != sizeof(qemu))
			_exit(1);
		for (;;)
			pause();
	}
	close(alive[1]);
	assert_int_equal(read(alive[0], &qemu, sizeof(qemu)), sizeof(qemu));
	close(alive[0]);
	assert_true(exists(qemu));
	kill(owner, SIGKILL);
	assert_int_equal(waitpid(owner, &status, 0), owner);
	/* it is nobody's child that we could wait for: init reaps it */
	struct r3_wait wait = r3_wait_begin(r3_clock_system(), 10 * R3_NSEC_PER_SEC);
	while (exists(qemu) && r3_wait_step(&wait)) {
		char path[64], text[256] = "";
		snprintf(path, sizeof(path), "/proc/%d/stat", qemu);
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
		if (fd >= 0)
			close(fd);
		if (n > 0 && strstr(text, ") Z"))
			return;
	}
	assert_false(exists(qemu));
}

/* Who opens a device as root, and will not stay it, does not leave a root behind. */
static void qemu_is_who_it_is_told_to_be(void **state)
{
	const struct r3_open_opts opts = {
		.size = sizeof(opts), .child_uid = 61234, .child_gid = 61235};
	char image[] = "/tmp/ring3-image-XXXXXX", address[128], path[64], line[128];
	bool uid = false, gid = false, caps = false, groups = false;
	struct r3_device *dev;
	int fd;

	if (geteuid() != 0)
		skip();
	fd = mkstemp(image); /* root's alone */
	assert_int_equal(ftruncate(fd, 1 << 20), 0);
	snprintf(address, sizeof(address), "qemu:nvme,drive=%s", image);
	assert_int_equal(r3_device_open(address, &opts, &dev), 0);
	snprintf(path, sizeof(path), "/proc/%d/status", r3_qemu_pid(dev));
	FILE *status = fopen(path, "re");
	assert_non_null(status);
	while (fgets(line, sizeof(line), status)) {
		uid |= !strcmp(line, "Uid:\t61234\t61234\t61234\t61234\n");
		gid |= !strcmp(line, "Gid:\t61235\t61235\t61235\t61235\n");
		caps |= !strcmp(line, "CapPrm:\t0000000000000000\n");
		groups |= !strcmp(line, "Groups:\t \n");
	}
	fclose(status);
	assert_true(uid && gid && caps && groups);
	r3_device_close(dev);
	close(fd);
	unlink(image);
}

static void qemu_gets_no_signal_of_the_terminals(void **state)
{
	struct r3_device *dev = open_device("qemu:edu");

	assert_int_not_equal(getsid(r3_qemu_pid(dev)), getsid(0));
	r3_device_close(dev);
}

static void what_is_wrong_is_said(void **state)
{
	char image[] = "/tmp/ring3-image-XXXXXX", address[128], path[4096];
	int fd = mkstemp(image);

	refused("qemu:no-such-device", ENODEV, "device help");
	refused("qemu:nvme,prop.no-such=1", EINVAL, "no-such");
	refused("qemu:isa-debug-exit", EINVAL, "rp0");
	refused("qemu:nvme,drive=/nonexistent/image", ENOENT, "/nonexistent/image");
	refused("qemu:nvme,drive=/tmp", EISDIR, "/tmp");
	refused("qemu:nvme,drive=/tmp,readonly", EINVAL, "neither a file");
	refused("qemu:nvme,drive=/dev/zero", EINVAL, "neither a file");
	snprintf(address, sizeof(address), "qemu:nvme,drive=%s", image);
	refused(address, EINVAL, "truncate");
	assert_int_equal(ftruncate(fd, 1 << 20), 0);
	fchmod(fd, 0444);
	if (geteuid() != 0)
		refused(address, EACCES, "readonly");
	strcat(address, ",readonly");
	r3_device_close(open_device(address));
	fchmod(fd, 0644);
	r3_device_close(open_device("qemu:nvme,readonly,ns=2"));

	snprintf(address, sizeof(address), "qemu:nvme,drive=%s", image);
	struct r3_device *holder = open_device(address);
	refused(address, EBUSY, image);
	r3_device_close(holder);
	close(fd);
	unlink(image);

	setenv("R3_QEMU", "/nonexistent/qemu", 1);
	refused("qemu:edu", ENODEV, "install qemu-system-x86");
	setenv("R3_QEMU", "/bin/false", 1);
	refused("qemu:edu", ENODEV, "without a word");
	unsetenv("R3_QEMU");
	snprintf(path, sizeof(path), "%s", getenv("PATH"));
	setenv("PATH", "/nonexistent", 1);
	refused("qemu:edu", ENODEV, "install qemu-system-x86");
	setenv("PATH", path, 1);
}

static bool has_ended(pid_t pid)
{
	siginfo_t info = {.si_pid = 0};

	return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid;
}

/* A QEMU that is there and silent: killed, found at once; stopped, found in time. */
static void a_lost_qemu_is_an_event_and_all_ones(void **state)
{
	for (unsigned how = 0; how < 2; how++) {
		struct r3_device *dev = open_device("qemu:edu");
		struct r3_region *bar = open_region(dev, R3_REGION_BAR0);

		assert_int_equal(r3_pci_enable(dev, R3_PCI_MEMORY, 0), 0);
		no_event(dev);
		if (how == 0) {
			kill(r3_qemu_pid(dev), SIGKILL);
			assert_int_equal(next_event(dev), R3_EVENT_SERVER_LOST);
			assert_int_equal(r3_read32(bar, 0), ~0u);
		} else {
			r3_qemu_of(dev)->link.timeout_ms = 100;
			kill(r3_qemu_pid(dev), SIGSTOP);
			assert_int_equal(r3_read32(bar, 0), ~0u);
			assert_true(has_ended(r3_qemu_pid(dev))); /* and will not write again */
			assert_int_equal(next_event(dev), R3_EVENT_SERVER_LOST);
		}
		assert_true(r3_device_gone(dev));
		eventfd_write(r3_qemu_of(dev)->slot_fd, 1); /* its slot's last word */
		no_event(dev);
		assert_int_equal(r3_device_reset(dev, R3_RESET_ANY), -ENODEV);
		r3_device_close(dev);
	}
}

/* A stopped machine still answers accesses; its devices' time stands still. */
static void a_paused_machine_answers(void **state)
{
	struct r3_device *dev = open_device("qemu:edu");
	struct r3_region *bar = open_region(dev, R3_REGION_BAR0);

	assert_int_equal(r3_pci_enable(dev, R3_PCI_MEMORY, 0), 0);
	assert_int_equal(r3_qemu_execute(dev, "stop", NULL, NULL), 0);
	assert_int_equal(r3_read32(bar, 0), 0x010000ed);
	assert_int_equal(r3_qemu_execute(dev, "cont", NULL, NULL), 0);
	r3_device_close(dev);
}

/* Posted writes of an idle program leave no work, and wake nobody. */
static void replies_owed_wake_nobody(void **state)
{
	struct r3_device *dev = open_device("qemu:edu");
	struct r3_region *bar = open_region(dev, R3_REGION_BAR0);

	assert_int_equal(r3_pci_enable(dev, R3_PCI_MEMORY, 0), 0);
	no_event(dev);
	for (unsigned i = 0; i < 1000; i++)
		r3_write32(bar, 4, i);
	assert_int_equal(r3_read32(bar, 4), ~999u);
	r3_write32(bar, 4, 1);
	assert_false(readable(r3_device_fd(dev), 20));
	r3_device_close(dev);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_left_of_many_lives),
		cmocka_unit_test(two_at_once_do_not_meet),
		cmocka_unit_test(qemu_dies_with_a_killed_owner),
		cmocka_unit_test(qemu_is_who_it_is_told_to_be),
		cmocka_unit_test(qemu_gets_no_signal_of_the_terminals),
		cmocka_unit_test(what_is_wrong_is_said),
		cmocka_unit_test(a_lost_qemu_is_an_event_and_all_ones),
		cmocka_unit_test(a_paused_machine_answers),
		cmocka_unit_test(replies_owed_wake_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
