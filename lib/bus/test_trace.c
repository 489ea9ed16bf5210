/* SPDX-License-Identifier: BSD-2-Clause */
/* The trace filter in front of the fake device: what is recorded, how it reads, and that
 * nothing else is different. */
#include "bus/filter.h"
#include "fake/fake_clock.h"
#include "fake/fake_device.h"
#include "unit.h"

#include <ring3/error.h>
#include <ring3/irq.h>
#include <ring3/log.h>
#include <ring3/trace.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define DUMP_MAX (1u << 20)

static struct fake_clock the_clock;
static char text[DUMP_MAX + 1];
static char path[64];

static struct fake_device *fake_new(struct r3_clock *clock)
{
	const struct r3_open_opts opts = {.size = sizeof(opts), .clock = clock};
	struct fake_device *fake = fake_device_new(&opts);

	assert_non_null(fake);
	fake->base.info.name = "fa\"ke";
	return fake;
}

/* @address, in front of @fake; the leftmost filter first, as r3_device_open() does it. */
static int wrap(struct fake_device *fake, const char *address, struct r3_device **out)
{
	struct r3_address *parsed;
	int rc;

	assert_int_equal(r3_address_parse(address, &parsed), 0);
	rc = r3_device_wrap(&fake->base, parsed, out);
	r3_address_free(parsed);
	return rc;
}

static struct r3_device *traced(struct fake_device **fake, const char *address)
{
	struct r3_device *dev;

	the_clock = fake_clock(7 * R3_NSEC_PER_SEC + 42);
	*fake = fake_new(&the_clock.base);
	assert_int_equal(wrap(*fake, address, &dev), 0);
	return dev;
}

static void slurp(int fd)
{
	ssize_t n = pread(fd, text, DUMP_MAX, 0);

	assert_in_range(n, 0, DUMP_MAX - 1);
	text[n] = '\0';
}

static const char *dump(struct r3_device *dev, enum r3_trace_format format)
{
	int fd = memfd_create("trace", MFD_CLOEXEC);

	assert_int_equal(r3_trace_dump(dev, fd, format), 0);
	slurp(fd);
	close(fd);
	return text;
}

static const char *read_file(void)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	slurp(fd);
	close(fd);
	return text;
}

static unsigned lines(const char *of)
{
	unsigned n = 0;

	for (; *of; of++)
		n += *of == '\n';
	return n;
}

/* @format has one %d, for this thread. */
static void is(const char *got, const char *want)
{
	char line[8192], *to = line;

	for (; *want; want++) {
		if (*want == '@')
			to += sprintf(to, "%d", gettid());
		else
			*to++ = *want;
	}
	*to = '\0';
	assert_string_equal(got, line);
}

static struct r3_region *region_of(struct r3_device *dev, unsigned index)
{
	struct r3_region *region;

	assert_int_equal(r3_device_region(dev, index, &region), 0);
	return region;
}

static void accesses(void **state)
{
	struct fake_device *fake;
	struct r3_device *dev = traced(&fake, "trace+fake:test");
	struct r3_region *bar = region_of(dev, R3_REGION_BAR4), *config;
	uint16_t two[2];

	config = region_of(dev, R3_REGION_CONFIG);
	assert_int_equal(bar->map_len, 0);
	assert_string_equal(dump(dev, R3_TRACE_TEXT), "");
	r3_write32(bar, 8, 0x1234);
	the_clock.now += 5;
	assert_int_equal(r3_read32(bar, 8), 0x1234);
	r3_write8(bar, 0xfff, 0xab);
	r3_write64(bar, 0x800, UINT64_C(0x8000000000000001));
	assert_int_equal(r3_region_read(config, PCI_VENDOR_ID, 2, two, 2), 0);
	is(dump(dev, R3_TRACE_TEXT),
	   "7.000000042 fa\"ke [@] write bar4+0x8/4 0x00001234 MSIX0_DATA\n"
	   "7.000000047 fa\"ke [@] read  bar4+0x8/4 0x00001234 MSIX0_DATA\n"
	   "7.000000047 fa\"ke [@] write bar4+0xfff/1 0xab\n"
	   "7.000000047 fa\"ke [@] write bar4+0x800/8 0x8000000000000001\n"
	   "7.000000047 fa\"ke [@] read  config+0x0/2 0x1b36 PCI_VENDOR_ID\n"
	   "7.000000047 fa\"ke [@] read  config+0x2/2 0xfa4e PCI_DEVICE_ID\n");
	dump(dev, R3_TRACE_JSON);
	strchr(strchr(text, '\n') + 1, '\n')[1] = '\0';
	is(text,
	   "{\"ts_ns\":7000000042,\"dev\":\"fa\\\"ke\",\"region\":\"bar4\",\"offset\":\"0x8\","
	   "\"width\":4,\"op\":\"write\",\"value\":\"0x00001234\",\"reg\":\"MSIX0_DATA\","
	   "\"thread\":@}\n"
	   "{\"ts_ns\":7000000047,\"dev\":\"fa\\\"ke\",\"region\":\"bar4\",\"offset\":\"0x8\","
	   "\"width\":4,\"op\":\"read\",\"value\":\"0x00001234\",\"reg\":\"MSIX0_DATA\","
	   "\"thread\":@}\n");
	r3_device_close(dev);
}

static void everything_else(void **state)
{
	struct fake_device *fake;
	struct r3_device *dev = traced(&fake, "trace+fake:test");
	struct r3_mem *mem;
	struct r3_dma_extent extent = {.iova = 0x100000};
	struct r3_event event;
	const int fds[2] = {-1, 99};
	unsigned n = 1, proved;

	assert_int_equal(r3_mem_create("test", 8192, 0, &mem), 0);
	assert_int_equal(dev->ops->irq_alloc(dev, 2, 2), 0);
	assert_int_equal(dev->ops->irq_bind(dev, 2, 0, 2, fds), 0);
	assert_int_equal(dev->ops->irq_mask(dev, 2, 1, true), 0);
	assert_int_equal(dev->ops->irq_mask(dev, 2, 1, false), 0);
	assert_int_equal(dev->ops->dma_map(dev, mem, 0, 8192,
					   R3_DMA_DEVICE_READ | R3_DMA_DEVICE_WRITE, &extent, &n),
			 0);
	assert_int_equal(dev->ops->dma_sync(dev, 0x100000, 64, R3_DMA_FOR_CPU), 0);
	assert_int_equal(dev->ops->dma_unmap(dev, 0x100000, 8192), 0);
	assert_int_equal(r3_device_reset(dev, R3_RESET_FUNCTION), 0);
	assert_int_equal(r3_device_quiesce(dev, R3_QUIESCE_DMA | R3_QUIESCE_MEDIA, &proved), 0);
	fake_device_event(fake, R3_EVENT_ERROR, 0x55);
	assert_int_equal(r3_device_dispatch(dev, &event, 1), 1);
	fake->fail_reset = -ETIMEDOUT;
	assert_int_equal(r3_device_reset(dev, R3_RESET_BUS), -ETIMEDOUT);
	is(dump(dev, R3_TRACE_TEXT),
	   "7.000000042 fa\"ke [@] irq_alloc type=msix vectors=2\n"
	   "7.000000042 fa\"ke [@] irq_bind type=msix vector=0 fd=-1\n"
	   "7.000000042 fa\"ke [@] irq_bind type=msix vector=1 fd=99\n"
	   "7.000000042 fa\"ke [@] irq_mask type=msix vector=1\n"
	   "7.000000042 fa\"ke [@] irq_unmask type=msix vector=1\n"
	   "7.000000042 fa\"ke [@] dma_map iova=0x100000 len=8192 prot=read,write\n"
	   "7.000000042 fa\"ke [@] dma_sync iova=0x100000 len=64 direction=for_cpu\n"
	   "7.000000042 fa\"ke [@] dma_unmap iova=0x100000 len=8192\n"
	   "7.000000042 fa\"ke [@] reset how=function\n"
	   "7.000000042 fa\"ke [@] quiesce want=dma,media proved=dma\n"
	   "7.000000042 fa\"ke [@] event event=error code=0 detail=0x55\n"
	   "7.000000042 fa\"ke [@] reset how=bus failed: errno 110\n");
	dump(dev, R3_TRACE_JSON);
	assert_non_null(strstr(text,
			       ",\"op\":\"irq_bind\",\"type\":\"msix\",\"vector\":0,\"fd\":-1,"
			       "\"thread\":"));
	assert_non_null(
		strstr(text, ",\"op\":\"quiesce\",\"want\":\"dma,media\",\"proved\":\"dma\","));
	assert_non_null(strstr(text, ",\"err\":110}\n"));
	r3_device_close(dev);
	r3_mem_unref(mem);
}

static void interrupts_are_seen_when_they_are_taken(void **state)
{
	struct fake_device *fake;
	struct r3_device *dev = traced(&fake, "delay+trace+delay+fake:test");
	struct r3_irq_set *irq;

	assert_int_equal(r3_irq_enable(dev, R3_IRQ_MSIX, 2, 2, &irq), 0);
	fake_device_raise(fake, R3_IRQ_MSIX, 1);
	fake_device_raise(fake, R3_IRQ_MSIX, 1);
	assert_null(strstr(dump(dev, R3_TRACE_TEXT), " irq type"));
	assert_int_equal(r3_irq_ack(irq, 0), 0);
	assert_int_equal(r3_irq_ack(irq, 1), 2);
	assert_int_equal(r3_irq_ack(irq, 1), 0);
	assert_non_null(strstr(dump(dev, R3_TRACE_TEXT), "] irq type=msix vector=1 count=2\n"));
	assert_null(strstr(text, "irq type=msix vector=0"));
	fake_device_raise(fake, R3_IRQ_MSIX, 0);
	assert_int_equal(r3_irq_wait(irq, 0, R3_NSEC_PER_SEC), 1);
	assert_non_null(strstr(dump(dev, R3_TRACE_TEXT), "] irq type=msix vector=0 count=1\n"));
	r3_irq_disable(irq);
	r3_device_close(dev);
}

static void failures_are_seen(void **state)
{
	struct fake_device *fake;
	struct r3_device *dev = traced(&fake, "trace+fake:test");
	struct r3_region *bar = region_of(dev, R3_REGION_BAR4);

	fake->fail_rw = -EIO;
	r3_write32(bar, 0x800, 1);
	assert_int_equal(r3_read32(bar, 0x800), UINT32_MAX);
	is(dump(dev, R3_TRACE_TEXT),
	   "7.000000042 fa\"ke [@] write bar4+0x800/4 0x00000001\n"
	   "7.000000042 fa\"ke [@] write_failed bar4+0x800/4 0x00000001 failed: errno 5\n"
	   "7.000000042 fa\"ke [@] read  bar4+0x800/4 0xffffffff failed: errno 5\n");
	fake->fail_rw = 0;
	fake_device_remove(fake);
	assert_int_equal(r3_read32(bar, 0), UINT32_MAX);
	assert_true(r3_device_gone(dev));
	assert_non_null(strstr(dump(dev, R3_TRACE_TEXT), "failed: errno 19\n"));
	r3_device_close(dev);
}

/* ---- the ring, the file ---- */

static void what_is_overwritten_is_counted(void **state)
{
	struct fake_device *fake;
	struct r3_device *dev = traced(&fake, "trace,ring=4K+fake:test");
	struct r3_region *bar = region_of(dev, R3_REGION_BAR4);

	for (unsigned i = 0; i < 64; i++)
		r3_write32(bar, 0x800, i);
	assert_int_equal(lines(dump(dev, R3_TRACE_TEXT)), 64);
	for (unsigned i = 64; i < 100; i++)
		r3_write32(bar, 0x800, i);
	dump(dev, R3_TRACE_TEXT);
	assert_int_equal(lines(text), 65);
	assert_ptr_equal(strstr(text, "7.000000042 fa\"ke lost records=36\n"), text);
	assert_non_null(strstr(text, " 0x00000024\n"));
	assert_null(strstr(text, " 0x00000023\n"));
	assert_non_null(strstr(text, " 0x00000063\n"));
	dump(dev, R3_TRACE_JSON);
	assert_ptr_equal(strstr(text, "{\"ts_ns\":7000000042,\"dev\":\"fa\\\"ke\",\"op\":\"lost\","
				      "\"records\":36}\n"),
			 text);
	r3_device_close(dev);
}

static const char *address_with_file(const char *keys)
{
	static char address[128];

	sprintf(path, P_tmpdir "/ring3-test-trace-%d", getpid());
	sprintf(address, "trace,file=%s%s+fake:test", path, keys);
	return address;
}

static void a_file_gets_each_record_once(void **state)
{
	struct fake_device *fake;
	struct r3_device *dev = traced(&fake, address_with_file(",ring=4K"));
	struct r3_region *bar = region_of(dev, R3_REGION_BAR4);

	assert_string_equal(read_file(), "");
	r3_write32(bar, 0x800, 1);
	assert_string_equal(read_file(), "");
	assert_int_equal(r3_trace_flush(dev), 0);
	assert_int_equal(lines(read_file()), 1);
	assert_int_equal(r3_trace_flush(dev), 0);
	assert_int_equal(lines(read_file()), 1);
	for (unsigned i = 0; i < 66; i++)
		r3_write32(bar, 0x800, i);
	assert_int_equal(r3_trace_flush(dev), 0);
	assert_int_equal(lines(read_file()), 1 + 1 + 64);
	assert_non_null(strstr(text, "lost records=2\n"));
	r3_write32(bar, 0x800, 0xcafe);
	r3_device_close(dev);
	read_file();
	assert_non_null(strstr(text, "0x0000cafe\n"));
	assert_non_null(strstr(text, "irq_alloc type=intx vectors=0\n")); /* closing it */
	assert_non_null(strstr(text, "quiesce want=dma proved=dma\n"));
	unlink(path);
}

/* As "trace,file=/dev/stderr" where standard error goes to a file with something in it. */
static void what_we_have_written_stays(void **state)
{
	int old = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	struct r3_device *dev;
	struct fake_device *fake;
	int fd;

	address_with_file("");
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_int_equal(dup2(fd, STDERR_FILENO), STDERR_FILENO);
	assert_int_equal(write(STDERR_FILENO, "before\n", 7), 7);
	dev = traced(&fake, "trace,file=/proc/self/fd/2+fake:test");
	r3_write32(region_of(dev, R3_REGION_BAR4), 0x800, 0xcafe);
	r3_device_close(dev);
	assert_int_equal(write(STDERR_FILENO, "after\n", 6), 6);
	assert_int_equal(dup2(old, STDERR_FILENO), STDERR_FILENO);
	slurp(fd);
	assert_ptr_equal(strstr(text, "before\n"), text);
	assert_non_null(strstr(text, "0x0000cafe\n"));
	assert_string_equal(text + strlen(text) - 7, "\nafter\n");
	close(old);
	close(fd);
	unlink(path);
}

static void a_stream_is_there_at_once(void **state)
{
	struct fake_device *fake;
	struct r3_device *dev = traced(&fake, address_with_file(",stream,format=json,ring=4K"));
	struct r3_region *bar = region_of(dev, R3_REGION_BAR4);

	for (unsigned i = 1; i < 300; i++) {
		r3_write32(bar, 0x800, i);
		if (i % 50 == 1)
			assert_int_equal(lines(read_file()), i);
	}
	read_file();
	assert_null(strstr(text, "lost"));
	r3_device_close(dev);
	unlink(path);
}

static unsigned warnings;

static void count_log(void *ctx, enum r3_log_level level, const char *line)
{
	warnings++;
}

static void a_full_disk_is_told_of_and_survived(void **state)
{
	struct fake_device *fake;
	struct r3_device *dev;
	struct r3_region *bar;

	dev = traced(&fake, "trace,file=/dev/full+fake:test");
	bar = region_of(dev, R3_REGION_BAR4);
	r3_write32(bar, 0x800, 1);
	assert_int_equal(r3_trace_flush(dev), -ENOSPC);
	assert_non_null(strstr(r3_error_text(), "fa\"ke: writing the trace: No space left"));
	r3_write32(bar, 0x800, 2);
	r3_log_sink(R3_LOG_WARN, count_log, NULL);
	r3_device_close(dev);
	assert_int_equal(warnings, 1);

	dev = traced(&fake, "trace,stream,file=/dev/full+fake:test");
	bar = region_of(dev, R3_REGION_BAR4);
	for (unsigned i = 0; i < 10; i++)
		r3_write32(bar, 0x800, i);
	assert_int_equal(r3_read32(bar, 0x800), 9);
	assert_int_equal(warnings, 2); /* once, not ten times */
	r3_log_sink(R3_LOG_NONE, NULL, NULL);
	r3_device_close(dev);
}

/* A pipe that nobody empties must not hold the device up. */
static void a_slow_reader_is_not_waited_for(void **state)
{
	struct fake_device *fake;
	struct r3_device *dev;
	struct r3_region *bar;
	char address[80];
	int pipe_fds[2];

	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
	sprintf(address, "trace,stream,file=/proc/self/fd/%d+fake:test", pipe_fds[1]);
	dev = traced(&fake, address);
	bar = region_of(dev, R3_REGION_BAR4);
	for (unsigned i = 0; i < 5000; i++)
		r3_write32(bar, 0x800, i);
	assert_int_equal(r3_read32(bar, 0x800), 4999);
	r3_device_close(dev);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

/* ---- keys, and finding the filter ---- */

static void refused(const char *address, int rc, const char *why)
{
	unsigned fds = test_count_fds();
	struct fake_device *fake = fake_new(NULL);
	struct r3_device *dev;

	assert_int_equal(wrap(fake, address, &dev), rc);
	if (!strstr(r3_error_text(), why))
		fail_msg("%s: no \"%s\" in: %s", address, why, r3_error_text());
	assert_int_equal(test_count_fds(), fds);
}

static void keys(void **state)
{
	refused("trace,flie=x+fake:test", -EINVAL, "unknown key \"flie\"; it knows: file, format");
	refused("trace,format=xml+fake:test", -EINVAL, "format=xml: it is text or json");
	refused("trace,format+fake:test", -EINVAL, "text or json");
	refused("trace,ring=1+fake:test", -EINVAL, "ring=1");
	refused("trace,ring=2T+fake:test", -EINVAL, "ring=2T");
	refused("trace,stream+fake:test", -EINVAL, "stream needs file=");
	address_with_file("");
	assert_int_equal(mkfifo(path, 0600), 0);
	refused(address_with_file(""), -ENXIO, "nobody reads it");
	unlink(path);
	refused("trace,stream=yes,file=x+fake:test", -EINVAL, "stream=yes");
	refused("trace,file+fake:test", -EINVAL, "needs a path");
	refused("trace,file=+fake:test", -EINVAL, "needs a path");
	refused("trace,file=/nonexistent/x+fake:test", -ENOENT, "/nonexistent/x: No such file");
	refused("trace,file=/+fake:test", -EISDIR, "/: Is a directory");
}

static void found_in_a_stack(void **state)
{
	struct fake_device *fake;
	struct r3_device *dev = traced(&fake, "delay,read=1us+trace+delay,write=1us+fake:test");

	r3_read32(region_of(dev, R3_REGION_BAR4), 0x800);
	assert_int_equal(lines(dump(dev, R3_TRACE_TEXT)), 1);
	assert_int_equal(r3_trace_flush(dev), -ENOENT);
	assert_non_null(strstr(r3_error_text(), "has no file"));
	r3_device_close(dev);

	dev = traced(&fake, "delay+fake:test");
	assert_int_equal(r3_trace_dump(dev, 1, R3_TRACE_TEXT), -ENOENT);
	assert_non_null(strstr(r3_error_text(), "nothing traces it"));
	assert_int_equal(r3_trace_flush(dev), -ENOENT);
	r3_device_close(dev);
}

/* ---- threads ---- */

#define THREADS  3u
#define ACCESSES 3000u

struct accessor {
	pthread_t thread;
	struct r3_region *bar;
	uint64_t off; /* of its own: the fake's memory is no device's */
};

static void *access_much(void *arg)
{
	const struct accessor *accessor = arg;

	for (unsigned i = 0; i < ACCESSES; i++)
		r3_write32(accessor->bar, accessor->off, i);
	return NULL;
}

static void threads_write_while_others_dump(const char *address, bool file)
{
	struct fake_device *fake = fake_new(NULL);
	struct r3_device *dev;
	struct r3_region *bar;
	struct accessor accessor[THREADS];
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	assert_int_equal(wrap(fake, address, &dev), 0);
	bar = region_of(dev, R3_REGION_BAR4);
	for (unsigned i = 0; i < THREADS; i++) {
		accessor[i] = (struct accessor){.bar = bar, .off = 0x800 + 4 * i};
		assert_int_equal(
			pthread_create(&accessor[i].thread, NULL, access_much, &accessor[i]), 0);
	}
	for (unsigned i = 0; i < 10; i++) {
		assert_int_equal(r3_trace_dump(dev, null, i % 2 ? R3_TRACE_JSON : R3_TRACE_TEXT),
				 0);
		/* the device's thread lives on meanwhile, and names are learnt again */
		r3_write16(region_of(dev, R3_REGION_CONFIG), PCI_COMMAND, PCI_COMMAND_MEMORY);
		if (file)
			assert_int_equal(r3_trace_flush(dev), 0);
	}
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(accessor[i].thread, NULL);
	if (!file)
		assert_int_equal(lines(dump(dev, R3_TRACE_TEXT)), 65); /* 64 and what is lost */
	r3_device_close(dev);
	close(null);
}

static void threads(void **state)
{
	threads_write_while_others_dump("trace,ring=4K+fake:test", false);
	threads_write_while_others_dump(address_with_file(",ring=4M"), true);
	assert_null(strstr(read_file(), "lost"));
	assert_true(lines(text) >= THREADS * ACCESSES);
	threads_write_while_others_dump(address_with_file(",stream,ring=4M"), true);
	assert_null(strstr(read_file(), "lost"));
	assert_true(lines(text) >= THREADS * ACCESSES);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(accesses),
		cmocka_unit_test(everything_else),
		cmocka_unit_test(interrupts_are_seen_when_they_are_taken),
		cmocka_unit_test(failures_are_seen),
		cmocka_unit_test(what_is_overwritten_is_counted),
		cmocka_unit_test(a_file_gets_each_record_once),
		cmocka_unit_test(what_we_have_written_stays),
		cmocka_unit_test(a_stream_is_there_at_once),
		cmocka_unit_test(a_full_disk_is_told_of_and_survived),
		cmocka_unit_test(a_slow_reader_is_not_waited_for),
		cmocka_unit_test(keys),
		cmocka_unit_test(found_in_a_stack),
		cmocka_unit_test(threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
