/* SPDX-License-Identifier: BSD-2-Clause */
/* When a client has gone: what is done to the device and in which order, what of it the next
 * one finds, and what a device that cannot be made harmless leaves behind. */
#include "bus/filter.h"
#include "serve/vfio_user/test_rig.h"
#include "util/socket.h"

#include <linux/pci_regs.h>

#define IOVA UINT64_C(0x100000)

/* A client with all that one can have: interrupts, memory at two places, bus mastering. */
struct busy {
	int sock, memory;
	int fds[2];
};

static struct busy busy_client(struct rig *rig)
{
	const unsigned char command[2] = {PCI_COMMAND_MASTER | PCI_COMMAND_MEMORY, 0};
	struct busy b = {.sock = rig_ring3(rig), .memory = rig_memfd(RIG_PAGE, F_SEAL_SHRINK)};

	rig_bind(rig, b.sock, b.fds, 2);
	assert_int_equal(rig_map(rig, b.sock, b.memory, 0, IOVA, RIG_PAGE), 0);
	assert_int_equal(rig_map(rig, b.sock, b.memory, 0, IOVA + RIG_PAGE, RIG_PAGE), 0);
	assert_int_equal(rig_write(rig, b.sock, 7, PCI_COMMAND, command, 2), 0);
	assert_int_equal(rig->fake->config[PCI_COMMAND], command[0]);
	return b;
}

static void forget(struct busy *b)
{
	close(b->memory);
	close(b->fds[0]);
	close(b->fds[1]);
}

static const unsigned in_order[] = {R3_SERVE_DISCONNECTED, R3_SERVE_IRQ_OFF,
				    R3_SERVE_MASTER_OFF,   R3_SERVE_QUIESCED,
				    R3_SERVE_RESET,        R3_SERVE_UNMAPPED,
				    R3_SERVE_UNMAPPED,     R3_SERVE_FREED,
				    R3_SERVE_READY,        0};

static void everything_is_done_in_order(void **state)
{
	struct rig *rig = *state;
	struct busy b = busy_client(rig);
	unsigned from = rig->nevents;

	close(b.sock);
	rig->clock.now += 5000;
	rig_run(rig);
	rig_expect(rig, from, in_order);
	for (unsigned i = from; i < rig->nevents; i++) {
		assert_int_equal(rig->event[i].err, 0);
		assert_int_equal(rig->event[i].time_ns, 6000);
		assert_int_equal(rig->event[i].client, i == rig->nevents - 1 ? 0 : 1);
	}
	assert_int_equal(rig->event[from + 5].iova, IOVA);
	assert_int_equal(rig->event[from + 6].iova, IOVA + RIG_PAGE);
	assert_int_equal(rig->fake->resets, 1);
	assert_int_equal(rig->fake->nirqs, 0);
	assert_int_equal(rig->fake->config[PCI_COMMAND], 0);
	assert_null(fake_device_reach(rig->fake, IOVA, 1, R3_DMA_DEVICE_READ));
	forget(&b);
}

/* The device at each step, seen from inside of it. */
struct witness {
	struct rig *rig;
	bool master_seen, wrong;
};

static void look(void *ctx, const struct r3_serve_event *event)
{
	struct witness *w = ctx;
	const struct fake_device *fake = w->rig->fake;
	bool master = fake->config[PCI_COMMAND] & PCI_COMMAND_MASTER;
	bool mapped = fake->map[0].len || fake->map[1].len;

	switch (event->type) {
	case R3_SERVE_DISCONNECTED:
		w->master_seen = master;
		w->wrong |= !fake->nirqs || !mapped;
		break;
	case R3_SERVE_IRQ_OFF:
		w->wrong |= fake->nirqs || !master || !mapped;
		break;
	case R3_SERVE_MASTER_OFF:
		w->wrong |= fake->quiesces || master || !mapped;
		break;
	case R3_SERVE_QUIESCED:
		w->wrong |= fake->quiesces != 1 || fake->resets || !mapped;
		break;
	case R3_SERVE_RESET:
		w->wrong |= fake->resets != 1 || !mapped;
		break;
	case R3_SERVE_FREED:
		w->wrong |= mapped;
		break;
	default:
		break;
	}
}

static void what_is_told_is_so(void **state)
{
	struct rig *rig = rig_new();
	struct witness w = {.rig = rig};
	struct busy b;

	rig->opts.event = look;
	rig->opts.ctx = &w;
	rig_serve(rig);
	b = busy_client(rig);
	close(b.sock);
	rig_run(rig);
	assert_true(w.master_seen);
	assert_false(w.wrong);
	forget(&b);
	rig_free(rig);
}

static void retain_keeps_the_registers(void **state)
{
	static const unsigned steps[] = {
		R3_SERVE_DISCONNECTED, R3_SERVE_IRQ_OFF,  R3_SERVE_MASTER_OFF,
		R3_SERVE_QUIESCED,     R3_SERVE_UNMAPPED, R3_SERVE_UNMAPPED,
		R3_SERVE_FREED,        R3_SERVE_READY,    0};
	struct rig *rig = rig_new();
	struct busy b;
	unsigned from;

	rig->opts.on_disconnect = R3_SERVE_ON_DISCONNECT_RETAIN;
	rig_serve(rig);
	b = busy_client(rig);
	assert_int_equal(rig_write(rig, b.sock, 4, 0x10, "left", 4), 0);
	from = rig->nevents;
	close(b.sock);
	rig_run(rig);
	rig_expect(rig, from, steps);
	assert_int_equal(rig->fake->resets, 0);
	forget(&b);
	b.sock = rig_client(rig);
	assert_int_equal(rig_read(rig, b.sock, 4, 0x10, 4), 0);
	assert_memory_equal(rig->payload + 16, "left", 4);
	assert_int_equal(rig_read(rig, b.sock, 7, PCI_COMMAND, 2), 0);
	assert_int_equal(rig->payload[16], PCI_COMMAND_MEMORY);
	close(b.sock);
	rig_free(rig);
}

static void the_next_comes_at_once_many_times(void **state)
{
	static const struct vfio_user_version version = {.minor = 1};
	struct rig *rig = *state;
	unsigned fds = test_count_fds();

	for (unsigned i = 0; i < 100; i++) {
		struct busy b;
		int next;

		rig->nevents = 0;
		b = busy_client(rig);
		unsigned from = rig->nevents;
		/* whomever the server looks at first this time */
		for (unsigned k = 0; k < i % 16; k++)
			r3_serve_dispatch(rig->serve);
		rig_run(rig);
		/* it speaks before the other dies, and the server sees both at once */
		assert_int_equal(r3_socket_connect(rig->where, &next), 0);
		rig_request(rig, next, VFIO_USER_VERSION, &version, sizeof(version), NULL, 0);
		close(b.sock);
		rig_run(rig);
		assert_int_equal(rig_receive(rig, next), 0);
		close(next);
		rig_run(rig);
		for (unsigned k = 0; in_order[k]; k++)
			assert_int_equal(rig->event[from + k].type, in_order[k]);
		assert_int_equal(rig_told(rig, R3_SERVE_REFUSED), 0);
		forget(&b);
		assert_int_equal(test_count_fds(), fds);
	}
}

static void a_death_in_the_midst_of_a_message(void **state)
{
	struct rig *rig = *state;
	struct busy b = busy_client(rig);
	struct vfio_user_header half = {.cmd = VFIO_USER_DEVICE_SET_IRQS, .msg_size = 36};
	unsigned from = rig->nevents;

	/* with descriptors under way */
	rig_send(rig, b.sock, &half, sizeof(half), b.fds, 2);
	rig_run(rig);
	close(b.sock);
	rig_run(rig);
	rig_expect(rig, from, in_order);
	assert_int_equal(rig->event[from].err, -EPIPE);
	forget(&b);
}

static void the_servers_own_end_is_the_same(void **state)
{
	struct rig *rig = *state;
	struct busy b = busy_client(rig);
	unsigned from = rig->nevents;

	r3_serve_close(rig->serve);
	rig->serve = NULL;
	assert_int_equal(rig->nevents, from + 8);
	for (unsigned k = 0; k < 8; k++)
		assert_int_equal(rig->event[from + k].type, in_order[k]);
	assert_int_equal(read(b.sock, &(char){0}, 1), 0);
	close(b.sock);
	forget(&b);
}

static void full_eventfds_are_emptied(void **state)
{
	struct rig *rig = *state;
	struct busy b = busy_client(rig);
	eventfd_t count;

	/* whoever writes there, in whichever process, would wait for good */
	assert_int_equal(fcntl(b.fds[1], F_SETFL, 0), 0);
	assert_int_equal(eventfd_write(b.fds[1], UINT64_MAX - 1), 0);
	assert_int_equal(eventfd_write(b.fds[0], 3), 0);
	close(b.sock);
	rig_run(rig);
	assert_int_equal(fcntl(b.fds[1], F_SETFL, O_NONBLOCK), 0);
	assert_int_equal(eventfd_read(b.fds[1], &count), -1);
	assert_int_equal(eventfd_read(b.fds[0], &count), 0);
	assert_int_equal(count, 3);
	forget(&b);
}

/* ---- devices that do not obey ---- */

static void refused_for_good(struct rig *rig, const char *why)
{
	int sock = rig_connect(rig);

	assert_int_equal(rig_version(rig, sock, "{}"), -ENOTRECOVERABLE);
	assert_int_equal(rig_receive(rig, sock), -EPIPE);
	assert_non_null(strstr(rig_last(rig, R3_SERVE_REFUSED)->text, why));
	assert_non_null(strstr(r3_serve_dead(rig->serve), why));
	close(sock);
}

static void a_device_that_cannot_be_reset_is_dead(void **state)
{
	static const unsigned steps[] = {R3_SERVE_DISCONNECTED,
					 R3_SERVE_IRQ_OFF,
					 R3_SERVE_MASTER_OFF,
					 R3_SERVE_QUIESCED,
					 R3_SERVE_RESET,
					 R3_SERVE_DEAD,
					 0};
	struct rig *rig = *state;
	struct busy b = busy_client(rig);
	unsigned from = rig->nevents;
	unsigned char *its = fake_device_reach(rig->fake, IOVA, RIG_PAGE, R3_DMA_DEVICE_WRITE);

	assert_null(r3_serve_dead(rig->serve));
	rig->fake->fail_reset = -ETIMEDOUT;
	close(b.sock);
	rig_run(rig);
	rig_expect(rig, from, steps);
	assert_int_equal(rig_last(rig, R3_SERVE_RESET)->err, -ETIMEDOUT);
	refused_for_good(rig, "reset was told to fail");
	/* what it may still write to is not somebody else's */
	its[7] = 1;
	rig->fds += 2; /* of the memory, for good */
	forget(&b);
	rig->fake->fail_reset = 0;
}

static void one_that_does_not_fall_quiet_is_asked_again(void **state)
{
	static const unsigned steps[] = {
		R3_SERVE_DISCONNECTED, R3_SERVE_IRQ_OFF,  R3_SERVE_MASTER_OFF, R3_SERVE_QUIESCED,
		R3_SERVE_RESET,        R3_SERVE_QUIESCED, R3_SERVE_DEAD,       0};
	struct rig *rig = *state;
	struct busy b = busy_client(rig);
	unsigned from = rig->nevents;

	rig->fake->fail_quiesce = -EIO;
	close(b.sock);
	rig_run(rig);
	rig_expect(rig, from, steps);
	refused_for_good(rig, "quiesce was told to fail");
	rig->fds += 2;
	forget(&b);
}

static void retain_needs_the_proof(void **state)
{
	struct rig *rig = rig_new();
	struct busy b;

	rig->opts.on_disconnect = R3_SERVE_ON_DISCONNECT_RETAIN;
	rig_serve(rig);
	b = busy_client(rig);
	rig->fake->fail_quiesce = -EIO;
	close(b.sock);
	rig_run(rig);
	assert_int_equal(rig_told(rig, R3_SERVE_RESET), 0);
	refused_for_good(rig, "quiesce was told to fail");
	rig->fds += 2;
	forget(&b);
	rig_free(rig);
}

static void one_that_has_no_reset_must_be_quiet(void **state)
{
	struct rig *rig = *state;
	struct busy b = busy_client(rig);

	rig->fake->base.info.caps &= ~(unsigned)(R3_CAP_FLR | R3_CAP_BUS_RESET);
	close(b.sock);
	rig_run(rig);
	assert_int_equal(rig_last(rig, R3_SERVE_RESET)->err, -EOPNOTSUPP);
	assert_int_equal(rig_last(rig, R3_SERVE_READY)->err, 0);
	assert_null(r3_serve_dead(rig->serve));
	forget(&b);
}

static void memory_that_cannot_be_taken_back_is_kept(void **state)
{
	struct rig *rig = *state;
	struct busy b = busy_client(rig);

	rig->fake->fail_dma_unmap = -EIO;
	close(b.sock);
	rig_run(rig);
	assert_int_equal(rig_last(rig, R3_SERVE_UNMAPPED)->err, -EIO);
	refused_for_good(rig, "cannot be taken");
	rig->fds += 2;
	forget(&b);
}

/* ---- the device's own news ---- */

static unsigned signalled(int fd)
{
	eventfd_t count = 0;

	eventfd_read(fd, &count);
	return (unsigned)count;
}

static void bind_notices(struct rig *rig, int sock, int fds[2])
{
	for (unsigned i = 0; i < 2; i++) {
		fds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		assert_int_equal(rig_irqs(rig, sock,
					  VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
					  VFIO_PCI_ERR_IRQ_INDEX + i, 0, 1, &fds[i], 1),
				 0);
	}
}

static void a_device_that_goes_is_told_of(void **state)
{
	struct rig *rig = *state;
	struct busy b = busy_client(rig);
	int notice[2];
	unsigned from;

	bind_notices(rig, b.sock, notice);
	from = rig->nevents;
	fake_device_remove(rig->fake);
	rig_run(rig);
	rig_expect(rig, from, (unsigned[]){R3_SERVE_REMOVED, 0});
	assert_int_equal(signalled(notice[0]), 1);
	assert_int_equal(signalled(notice[1]), 0);
	assert_int_equal(rig_read(rig, b.sock, 7, 0, 4), -ENODEV);
	assert_int_equal(rig_write(rig, b.sock, 4, 0, "x", 1), -ENODEV);
	assert_int_equal(rig_map(rig, b.sock, b.memory, 0, IOVA + 0x10000, RIG_PAGE), -ENODEV);
	assert_int_equal(rig_call(rig, b.sock, VFIO_USER_DEVICE_RESET, NULL, 0, NULL, 0), -ENODEV);
	assert_int_equal(rig_told(rig, R3_SERVE_REMOVED), 1);
	from = rig->nevents;
	close(b.sock);
	rig_run(rig);
	/* nobody is there to be quietened */
	rig_expect(rig, from,
		   (unsigned[]){R3_SERVE_DISCONNECTED, R3_SERVE_IRQ_OFF, R3_SERVE_UNMAPPED,
				R3_SERVE_UNMAPPED, R3_SERVE_FREED, 0});
	b.sock = rig_connect(rig);
	assert_int_equal(rig_version(rig, b.sock, "{}"), -ENODEV);
	assert_non_null(r3_serve_dead(rig->serve));
	close(b.sock);
	close(notice[0]);
	close(notice[1]);
	forget(&b);
}

static void a_device_that_goes_unasked_is_noticed(void **state)
{
	struct rig *rig = *state;
	int notice[2], sock = rig_client(rig);

	bind_notices(rig, sock, notice);
	rig->fake->removed = true; /* without an event */
	assert_int_equal(rig_read(rig, sock, 7, 0, 4), -ENODEV);
	assert_int_equal(signalled(notice[0]), 1);
	assert_int_equal(rig_told(rig, R3_SERVE_REMOVED), 1);
	close(notice[0]);
	close(notice[1]);
	close(sock);
}

static void requests_faults_and_errors_are_told(void **state)
{
	struct rig *rig = *state;
	int notice[2], sock = rig_client(rig);

	bind_notices(rig, sock, notice);
	fake_device_event(rig->fake, R3_EVENT_REMOVE_REQUEST, 0);
	rig_run(rig);
	assert_int_equal(signalled(notice[1]), 1);
	assert_int_equal(rig_told(rig, R3_SERVE_REMOVE_REQUEST), 1);
	fake_device_event(rig->fake, R3_EVENT_DMA_FAULT, 0xabc000);
	fake_device_event(rig->fake, R3_EVENT_ERROR, 5);
	rig_run(rig);
	assert_int_equal(rig_last(rig, R3_SERVE_DMA_FAULT)->iova, 0xabc000);
	assert_non_null(strstr(rig_last(rig, R3_SERVE_DMA_FAULT)->text, "fake"));
	assert_non_null(strstr(rig_last(rig, R3_SERVE_DMA_FAULT)->text, "0xabc000"));
	assert_int_equal(rig_told(rig, R3_SERVE_ERROR), 1);
	/* which is not to say that the device is lost */
	assert_int_equal(signalled(notice[0]), 0);
	assert_int_equal(signalled(notice[1]), 0);
	assert_int_equal(rig_read(rig, sock, 7, 0, 4), 0);
	rig->fake->fail_dispatch = -EIO;
	fake_device_event(rig->fake, R3_EVENT_ERROR, 5);
	rig_run(rig); /* and does not spin */
	assert_int_equal(rig_last(rig, R3_SERVE_ERROR)->err, -EIO);
	close(notice[0]);
	close(notice[1]);
	close(sock);
}

static void a_client_fills_nobodys_log_with_faults(void **state)
{
	struct rig *rig = *state;

	for (unsigned client = 0; client < 2; client++) {
		int sock = rig_client(rig);
		unsigned told = rig_told(rig, R3_SERVE_DMA_FAULT);

		for (unsigned i = 0; i < 200; i++) {
			fake_device_event(rig->fake, R3_EVENT_DMA_FAULT, i);
			rig_run(rig);
		}
		assert_int_equal(rig_told(rig, R3_SERVE_DMA_FAULT) - told, 64);
		close(sock);
		rig_run(rig);
	}
}

/* ---- filters ---- */

static void never_mapped(struct rig *rig)
{
	struct vfio_region_info info = {.argsz = sizeof(info)};
	int sock;

	rig_serve(rig);
	sock = rig_client(rig);
	assert_int_equal(
		rig_call(rig, sock, VFIO_USER_DEVICE_GET_REGION_INFO, &info, sizeof(info), NULL, 0),
		0);
	memcpy(&info, rig->payload, sizeof(info));
	assert_int_equal(info.flags, VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE);
	assert_int_equal(rig->nfds, 0);
	close(sock);
}

static void a_filters_region_is_never_mapped(void **state)
{
	struct rig *rig = rig_new();
	static const struct r3_params none = {.head = "trace"};

	assert_int_equal(fake_device_adopt(rig->fake), 0);
	assert_int_equal(r3_filter_trace.wrap(&rig->fake->base, &none, &rig->dev), 0);
	assert_int_equal(r3_device_adopt(rig->dev, "trace+fake:test"), 0);
	never_mapped(rig);
	rig_free(rig);
}

static void nor_is_one_of_a_filter_that_says_it_can_be(void **state)
{
	struct rig *rig = rig_new();
	struct r3_device lower = {.ops = NULL};

	rig->fake->base.lower = &lower;
	never_mapped(rig);
	rig->fake->base.lower = NULL;
	rig_free(rig);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(everything_is_done_in_order),
		cmocka_unit_test(what_is_told_is_so),
		cmocka_unit_test(retain_keeps_the_registers),
		TEST(the_next_comes_at_once_many_times),
		TEST(a_death_in_the_midst_of_a_message),
		TEST(the_servers_own_end_is_the_same),
		TEST(full_eventfds_are_emptied),
		TEST(a_device_that_cannot_be_reset_is_dead),
		TEST(one_that_does_not_fall_quiet_is_asked_again),
		cmocka_unit_test(retain_needs_the_proof),
		TEST(one_that_has_no_reset_must_be_quiet),
		TEST(memory_that_cannot_be_taken_back_is_kept),
		TEST(a_device_that_goes_is_told_of),
		TEST(a_device_that_goes_unasked_is_noticed),
		TEST(requests_faults_and_errors_are_told),
		TEST(a_client_fills_nobodys_log_with_faults),
		cmocka_unit_test(a_filters_region_is_never_mapped),
		cmocka_unit_test(nor_is_one_of_a_filter_that_says_it_can_be),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
