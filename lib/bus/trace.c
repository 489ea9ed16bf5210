/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The `trace` filter: what passes between driver and device, see <ring3/trace.h>.
 *
 *      trace,ring=1M,file=PATH,format=json,stream+SCHEME:REST
 *
 * A write is put into the ring before the device gets it, so that what it causes comes
 * behind it; everything else when its result is known. Interrupts are seen when somebody
 * takes them, not when they are delivered: an eventfd is the caller's own and goes to the
 * carrier as it is, and whoever stood between would delay wake-ups.
 */
#include "bus/filter.h"
#include "bus/regs.h"
#include "bus/trace_write.h"
#include "util/item.h"

#include <ring3/error.h>
#include <ring3/log.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RING_LEAST   (UINT64_C(4) << 10)
#define RING_DEFAULT (UINT64_C(1) << 20)
#define RING_MOST    (UINT64_C(1) << 30)

struct trace {
	struct r3_device base;
	struct r3_bus_ops ops;
	struct r3_trace_ring *ring;
	bool stream;       /* each record goes to the file at once */
	unsigned decoding; /* as PCI_COMMAND was last written */

	pthread_mutex_t names_lock; /* not held while anything is written */
	struct r3_reg_map *names;

	pthread_mutex_t file_lock; /* for the rest; the file is one that does not block */
	int fd;                    /* -1: no file */
	enum r3_trace_format format;
	uint64_t written; /* records before this one are in the file */
	bool told;        /* that a stream cannot be written */
};

static struct trace *trace_of(struct r3_device *dev)
{
	return (struct trace *)dev;
}

/* ---- writing ---- */

static struct r3_reg_map *names_now(struct trace *trace)
{
	struct r3_reg_map *names;

	pthread_mutex_lock(&trace->names_lock);
	names = r3_reg_map_ref(trace->names);
	pthread_mutex_unlock(&trace->names_lock);
	return names;
}

/* Write records from *from on, in order. @wait: stop at one that its thread is still
 * putting; else it counts as lost. */
static int write_records(struct trace *trace, int fd, enum r3_trace_format format, uint64_t *from,
			 bool wait)
{
	const struct r3_trace_span span = r3_trace_ring_span(trace->ring);
	struct r3_reg_map *names = names_now(trace);
	struct r3_trace_writer writer = {
		.fd = fd, .format = format, .dev = trace->base.info.name, .names = names};
	struct r3_trace_record record;
	uint64_t lost = 0;
	int rc;

	if (*from < span.first) {
		lost = span.first - *from;
		*from = span.first;
	}
	for (; *from < span.end; ++*from) {
		enum r3_trace_got got = r3_trace_ring_get(trace->ring, *from, &record);

		if (got == R3_TRACE_PENDING && wait)
			break;
		if (got != R3_TRACE_GOT) {
			lost++;
			continue;
		}
		if (lost)
			r3_trace_write_lost(&writer, lost, &record);
		lost = 0;
		r3_trace_write(&writer, &record);
	}
	if (lost)
		r3_trace_write_lost(&writer, lost, NULL);
	rc = r3_trace_write_end(&writer);
	r3_reg_map_unref(names);
	return rc;
}

static int flush(struct trace *trace, bool wait)
{
	int rc;

	pthread_mutex_lock(&trace->file_lock);
	rc = write_records(trace, trace->fd, trace->format, &trace->written, wait);
	pthread_mutex_unlock(&trace->file_lock);
	return rc;
}

static int failed(const struct trace *trace, int rc)
{
	return rc ? r3_error_set(-rc, "%s: writing the trace: %s", trace->base.info.name,
				 strerror(-rc))
		  : 0;
}

/* ---- recording ---- */

/* Asked of the kernel once only. */
static uint32_t this_thread(void)
{
	static _Thread_local uint32_t id;

	if (!id)
		id = (uint32_t)gettid();
	return id;
}

/* What a stream cannot write now is missing from its file. */
static void stream(struct trace *trace)
{
	int rc = flush(trace, true);

	if (rc && !__atomic_exchange_n(&trace->told, true, __ATOMIC_RELAXED))
		r3_log(R3_LOG_WARN, "%s: the trace has gaps: %s", trace->base.info.name,
		       strerror(-rc));
}

static void put(struct trace *trace, struct r3_trace_record *record)
{
	record->ts_ns = r3_clock_now(trace->base.clock);
	record->thread = this_thread();
	r3_trace_ring_put(trace->ring, record);
	if (trace->stream)
		stream(trace);
}

static uint32_t errno_of(int rc)
{
	return rc < 0 ? (uint32_t)-rc : 0;
}

static int done(struct r3_device *dev, enum r3_trace_op op, uint64_t a, uint64_t b, uint64_t c,
		int rc)
{
	struct r3_trace_record record = {.op = (uint8_t)op, .arg = {a, b, c}, .err = errno_of(rc)};

	put(trace_of(dev), &record);
	return rc;
}

/* Some registers can be asked where others are only once the device decodes: when a write
 * turns that on, names are looked for again. */
static void learn_names(struct trace *trace)
{
	struct r3_reg_map *names;

	pthread_mutex_lock(&trace->names_lock);
	if (r3_reg_map_create(trace->base.lower, &names) == 0) {
		r3_reg_map_unref(trace->names);
		trace->names = names;
	}
	pthread_mutex_unlock(&trace->names_lock);
}

static bool turns_on_decoding(struct trace *trace, unsigned index, uint64_t off, const void *data,
			      uint8_t width)
{
	unsigned now, before;

	if (index != R3_REGION_CONFIG || off != PCI_COMMAND ||
	    !(trace->base.info.caps & R3_CAP_PCI))
		return false;
	now = (unsigned)r3_item_get(data, width) & (PCI_COMMAND_MEMORY | PCI_COMMAND_IO);
	before = __atomic_exchange_n(&trace->decoding, now, __ATOMIC_RELAXED);
	return now & ~before;
}

static void put_item(struct trace *trace, enum r3_trace_op op, unsigned index, uint64_t off,
		     uint64_t value, uint8_t width, int rc)
{
	struct r3_trace_record record = {.op = (uint8_t)op,
					 .region = (uint8_t)index,
					 .width = width,
					 .arg = {off, value},
					 .err = errno_of(rc)};

	put(trace, &record);
}

static int trace_rw(struct r3_device *dev, unsigned index, uint64_t off, void *data, uint8_t width,
		    uint32_t count, unsigned flags)
{
	const bool write = flags & R3_RW_WRITE;
	struct trace *trace = trace_of(dev);
	const unsigned char *item = data;
	int rc = 0;

	if (!write)
		rc = r3_filter_ops.rw(dev, index, off, data, width, count, flags);
	for (uint32_t i = 0; i < count; i++, item += width)
		put_item(trace, write ? R3_TRACE_WRITE : R3_TRACE_READ, index,
			 off + (uint64_t)i * width,
			 rc ? UINT64_MAX >> (64 - 8 * width) : r3_item_get(item, width), width, rc);
	if (!write)
		return rc;
	rc = r3_filter_ops.rw(dev, index, off, data, width, count, flags);
	if (rc)
		put_item(trace, R3_TRACE_WRITE_FAILED, index, off, r3_item_get(data, width), width,
			 rc);
	else if (turns_on_decoding(trace, index, off, data, width))
		learn_names(trace);
	return rc;
}

static int trace_irq_alloc(struct r3_device *dev, unsigned type, unsigned n)
{
	return done(dev, R3_TRACE_IRQ_ALLOC, type, n, 0, r3_filter_ops.irq_alloc(dev, type, n));
}

static int trace_irq_bind(struct r3_device *dev, unsigned type, unsigned first, unsigned n,
			  const int *fds)
{
	int rc = r3_filter_ops.irq_bind(dev, type, first, n, fds);

	for (unsigned i = 0; i < n; i++)
		done(dev, R3_TRACE_IRQ_BIND, type, first + i, (uint64_t)(int64_t)fds[i], rc);
	return rc;
}

static int trace_irq_mask(struct r3_device *dev, unsigned type, unsigned vector, bool mask)
{
	return done(dev, mask ? R3_TRACE_IRQ_MASK : R3_TRACE_IRQ_UNMASK, type, vector, 0,
		    r3_filter_ops.irq_mask(dev, type, vector, mask));
}

static void trace_irq_taken(struct r3_device *dev, unsigned type, unsigned vector, uint64_t count)
{
	done(dev, R3_TRACE_IRQ_TAKEN, type, vector, count, 0);
	r3_filter_ops.irq_taken(dev, type, vector, count);
}

static int trace_dma_memory(struct r3_device *dev, uint64_t want, struct r3_mem **mem,
			    uint64_t *off, uint64_t *len)
{
	int rc = r3_filter_ops.dma_memory(dev, want, mem, off, len);

	return done(dev, R3_TRACE_DMA_MEMORY, rc ? want : *len, 0, 0, rc);
}

static int trace_dma_map(struct r3_device *dev, struct r3_mem *mem, uint64_t off, uint64_t len,
			 unsigned prot, struct r3_dma_extent *extent, unsigned *n)
{
	int rc = r3_filter_ops.dma_map(dev, mem, off, len, prot, extent, n);

	if (rc)
		return done(dev, R3_TRACE_DMA_MAP, extent[0].iova, len, prot, rc);
	for (unsigned i = 0; i < *n; i++)
		done(dev, R3_TRACE_DMA_MAP, extent[i].iova, extent[i].len, prot, 0);
	return 0;
}

static int trace_dma_unmap(struct r3_device *dev, uint64_t iova, uint64_t len)
{
	return done(dev, R3_TRACE_DMA_UNMAP, iova, len, 0, r3_filter_ops.dma_unmap(dev, iova, len));
}

static int trace_dma_sync(struct r3_device *dev, uint64_t iova, uint64_t len,
			  enum r3_dma_direction direction)
{
	return done(dev, R3_TRACE_DMA_SYNC, iova, len, direction,
		    r3_filter_ops.dma_sync(dev, iova, len, direction));
}

static int trace_reset(struct r3_device *dev, enum r3_reset how)
{
	return done(dev, R3_TRACE_RESET, how, 0, 0, r3_filter_ops.reset(dev, how));
}

static int trace_quiesce(struct r3_device *dev, unsigned want, unsigned *proved)
{
	int rc = r3_filter_ops.quiesce(dev, want, proved);

	return done(dev, R3_TRACE_QUIESCE, want, *proved, 0, rc);
}

static int trace_dispatch(struct r3_device *dev, struct r3_event *events, unsigned max)
{
	int n = r3_filter_ops.dispatch(dev, events, max);

	for (int i = 0; i < n; i++)
		done(dev, R3_TRACE_EVENT, events[i].type, events[i].code, events[i].detail, 0);
	return n;
}

/* ---- life ---- */

static void trace_free(struct trace *trace)
{
	if (trace->fd >= 0)
		close(trace->fd);
	r3_reg_map_unref(trace->names);
	r3_trace_ring_free(trace->ring);
	pthread_mutex_destroy(&trace->names_lock);
	pthread_mutex_destroy(&trace->file_lock);
	free(trace);
}

static void trace_close(struct r3_device *dev)
{
	struct trace *trace = trace_of(dev);
	struct r3_device *lower = dev->lower;

	if (trace->fd >= 0 && failed(trace, flush(trace, false)))
		r3_log(R3_LOG_ERROR, "%s", r3_error_text());
	trace_free(trace);
	r3_device_close(lower);
}

/* A file that standard output or error go to: what they have written there stays, and what
 * they write later comes behind ours, because the position is theirs. */
static int share_own_output(const char *path)
{
	struct stat st, own;

	if (stat(path, &st) || !S_ISREG(st.st_mode))
		return -1;
	for (int fd = STDOUT_FILENO; fd <= STDERR_FILENO; fd++)
		if (!fstat(fd, &own) && own.st_dev == st.st_dev && own.st_ino == st.st_ino)
			return fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	return -1;
}

static int open_file(struct trace *trace, const struct r3_params *params)
{
	const char *path;

	if (!r3_params_get(params, "file", &path))
		return trace->stream ? r3_error_set(EINVAL, "trace: stream needs file=PATH") : 0;
	if (!path || !*path)
		return r3_error_set(EINVAL, "trace: file= needs a path");
	trace->fd = share_own_output(path);
	/* a reader that is slow or absent must not stop the device */
	if (trace->fd < 0)
		trace->fd = open(path,
				 O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NONBLOCK |
					 O_NOCTTY,
				 0666);
	if (trace->fd < 0 && errno == ENXIO)
		return r3_error_set(ENXIO, "trace: %s: nobody reads it: begin with the reader",
				    path);
	if (trace->fd < 0)
		return r3_error_set(errno, "trace: %s: %s", path, strerror(errno));
	return 0;
}

static int read_params(struct trace *trace, const struct r3_params *params, uint64_t *ring)
{
	static const char *const known[] = {"file", "format", "ring", "stream", NULL};
	const char *format;
	int rc = r3_params_check(params, "trace", known);

	if (rc)
		return rc;
	if (r3_params_get(params, "format", &format)) {
		if (!format || (strcmp(format, "text") && strcmp(format, "json")))
			return r3_error_set(EINVAL, "trace: format=%s: it is text or json",
					    format ? format : "");
		trace->format = *format == 'j' ? R3_TRACE_JSON : R3_TRACE_TEXT;
	}
	rc = r3_params_flag(params, "stream", &trace->stream);
	return rc ? rc : r3_params_size(params, "ring", RING_LEAST, RING_MOST, ring);
}

static int trace_wrap(struct r3_device *lower, const struct r3_params *params,
		      struct r3_device **out)
{
	uint64_t ring = RING_DEFAULT;
	struct trace *trace = calloc(1, sizeof(*trace));
	int rc;

	if (!trace)
		return r3_error_set(ENOMEM, "trace: out of memory");
	trace->fd = -1;
	pthread_mutex_init(&trace->names_lock, NULL);
	pthread_mutex_init(&trace->file_lock, NULL);
	trace->ops = r3_filter_ops;
	trace->ops.close = trace_close;
	trace->ops.rw = trace_rw;
	trace->ops.irq_alloc = trace_irq_alloc;
	trace->ops.irq_bind = trace_irq_bind;
	trace->ops.irq_mask = trace_irq_mask;
	trace->ops.irq_taken = trace_irq_taken;
	trace->ops.dma_memory = trace_dma_memory;
	trace->ops.dma_map = trace_dma_map;
	trace->ops.dma_unmap = trace_dma_unmap;
	trace->ops.dma_sync = trace_dma_sync;
	trace->ops.reset = trace_reset;
	trace->ops.quiesce = trace_quiesce;
	trace->ops.dispatch = trace_dispatch;
	r3_filter_init(&trace->base, &trace->ops, lower);

	rc = read_params(trace, params, &ring);
	if (rc)
		goto free_trace;
	if (r3_trace_ring_create(ring, &trace->ring)) {
		rc = r3_error_set(ENOMEM, "trace: no memory for ring=%ju", (uintmax_t)ring);
		goto free_trace;
	}
	rc = r3_reg_map_create(lower, &trace->names);
	if (rc)
		goto free_trace;
	rc = open_file(trace, params);
	if (rc)
		goto free_trace;
	*out = &trace->base;
	return 0;

free_trace:
	trace_free(trace);
	return rc;
}

const struct r3_filter r3_filter_trace = {
	.name = "trace",
	.summary = "writes each access down: trace,ring=1M,file=PATH,format=json",
	.wrap = trace_wrap,
};

/* ---- asked for ---- */

static struct trace *trace_before(struct r3_device *dev)
{
	for (struct r3_device *at = dev; at; at = at->lower)
		if (at->ops->close == trace_close)
			return trace_of(at);
	r3_error_set(ENOENT, "%s: nothing traces it: open it with trace+ in front", dev->info.name);
	return NULL;
}

int r3_trace_dump(struct r3_device *dev, int fd, enum r3_trace_format format)
{
	struct trace *trace = trace_before(dev);
	uint64_t from = 0;

	return trace ? failed(trace, write_records(trace, fd, format, &from, false)) : -ENOENT;
}

int r3_trace_flush(struct r3_device *dev)
{
	struct trace *trace = trace_before(dev);

	if (!trace)
		return -ENOENT;
	if (trace->fd < 0)
		return r3_error_set(ENOENT,
				    "%s: its trace has no file: open it with trace,file=PATH",
				    dev->info.name);
	return failed(trace, flush(trace, true));
}
