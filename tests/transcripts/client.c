/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sessions of our client with a foreign server. Each step lets the client do something; the
 * messages written below it are what it must say meanwhile, in any order, and the answers.
 *
 *      open [ERRNO]                    and close
 *      region INDEX SIZE [OFF LEN]     of which so much can be mapped
 *      read INDEX OFF WIDTH VALUE [ERRNO]      write likewise
 *      map IOVA LEN [ERRNO]            memory full of zeroes; unmap IOVA LEN
 *      fill OFF "text"                 write it into that memory; memory OFF "text": look at it
 *      irq TYPE N                      enable vectors; irq-off
 *      reset [ERRNO]
 *      dispatch [EVENT]                the event, or none, and the messages that came
 *      hang-up                         the server does
 *      count, put, holds               see script.c
 */
#include "backend/vfio_user/backend.h"
#include "fake/memory_stream.h"
#include "replay.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <ring3/error.h>
#include <ring3/irq.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct player {
	struct r3_stream stream; /* the client's */
	struct script *script;
	const struct line *step;
	unsigned first, last; /* lines of this step's messages */
	bool seen[SCRIPT_LINES];
	struct r3_stream *ends[2]; /* what the server says goes in at [1] */
	size_t piece;
	int ready; /* an eventfd that always polls so */
	unsigned char said[1 << 17];
	unsigned nsaid;
	struct r3_device *dev;
	struct r3_mem *mem;
	struct r3_irq_set *irq;
};

/* ---- the server ---- */

static void hang_up(struct player *p)
{
	r3_stream_close(p->ends[1]);
	p->ends[1] = NULL;
}

static void say(struct player *p, const struct line *line)
{
	unsigned char bytes[SCRIPT_BYTES];
	struct iovec iov = {.iov_base = bytes, .iov_len = line->len};
	int fds[SCRIPT_WORDS];

	script_fill(p->script, line, bytes);
	for (unsigned i = 0; i < line->nfds; i++)
		fds[i] = script_fd(p->script, line, line->fds[i]);
	if (r3_stream_send(p->ends[1], &iov, 1, fds, line->nfds) < 0)
		script_fail(p->script, line, "the client has hung up");
	if (line->end)
		hang_up(p);
}

/* The client said a whole message: which one is it? */
static void hear(struct player *p, const unsigned char *bytes, unsigned len, const int *fds,
		 unsigned nfds)
{
	const char *why = "nothing was to be said";
	const struct line *at = p->step;
	char other[128];
	unsigned i;

	for (i = p->first; i < p->last; i++) {
		const struct line *line = &p->script->line[i];
		const char *not_it;

		if (line->kind != LINE_EXPECTED || (p->seen[i] && !line->nwords))
			continue;
		not_it = script_mismatch(p->script, line, bytes, len, nfds);
		if (!not_it)
			break;
		if (!memcmp(bytes + 2, line->bytes + 2, 2)) {
			snprintf(other, sizeof(other), "%s", not_it);
			why = other;
			at = line;
		}
	}
	if (i == p->last)
		script_fail(p->script, at, "the client says %s: %s", r3_vfio_user_name(bytes[2]),
			    why);
	p->seen[i] = true;
	for (unsigned f = 0; f < nfds; f++)
		script_keep_fd(p->script, &p->script->line[i], f,
			       fcntl(fds[f], F_DUPFD_CLOEXEC, 0));
	while (++i < p->last && p->script->line[i].kind == LINE_SENT)
		say(p, &p->script->line[i]);
}

static ssize_t player_send(struct r3_stream *stream, const struct iovec *iov, unsigned niov,
			   const int *fds, unsigned nfds)
{
	struct player *p = (struct player *)stream;
	size_t len = 0;
	uint32_t size;

	for (unsigned i = 0; i < niov; i++) {
		if (p->nsaid + iov[i].iov_len > sizeof(p->said))
			script_fail(p->script, p->step, "the client says too much");
		memcpy(p->said + p->nsaid, iov[i].iov_base, iov[i].iov_len);
		p->nsaid += (unsigned)iov[i].iov_len;
		len += iov[i].iov_len;
	}
	while (p->nsaid >= 16) {
		memcpy(&size, p->said + 4, sizeof(size));
		if (size < 16)
			script_fail(p->script, p->step, "the client's message has %u bytes", size);
		if (size > p->nsaid)
			break;
		hear(p, p->said, size, fds, nfds);
		nfds = 0;
		p->nsaid -= size;
		memmove(p->said, p->said + size, p->nsaid);
	}
	return (ssize_t)len;
}

static ssize_t player_recv(struct r3_stream *stream, void *buf, size_t len, int *fds,
			   unsigned *nfds)
{
	struct player *p = (struct player *)stream;

	return r3_stream_recv(p->ends[0], buf, len < p->piece ? len : p->piece, fds, nfds);
}

static int player_fd(const struct r3_stream *stream)
{
	return ((const struct player *)stream)->ready;
}

static void player_close(struct r3_stream *stream)
{
	struct player *p = (struct player *)stream;

	r3_stream_close(p->ends[0]);
	p->ends[0] = NULL;
}

static const struct r3_stream_ops player_ops = {
	.send = player_send,
	.recv = player_recv,
	.fd = player_fd,
	.close = player_close,
};

/* ---- the client ---- */

static const struct {
	const char *name;
	int err;
} errors[] = {
	{"ENODEV", ENODEV}, {"EINVAL", EINVAL},   {"EEXIST", EEXIST}, {"EIO", EIO},
	{"EPERM", EPERM},   {"ENOTSUP", ENOTSUP}, {"ENOSPC", ENOSPC}, {"EACCES", EACCES},
};

/* Did it end as the step's word says, or well where there is none? */
static void must(struct player *p, int rc, unsigned word)
{
	int want = 0;

	if (word < p->step->nwords)
		for (unsigned i = 0; i < sizeof(errors) / sizeof(*errors); i++)
			if (!strcmp(p->step->word[word], errors[i].name))
				want = -errors[i].err;
	if (rc != want)
		script_fail(p->script, p->step, "%d instead of %d: %s", rc, want, r3_error_text());
}

static uint64_t arg(struct player *p, unsigned word)
{
	return script_number(p->script, p->step, word);
}

static void step_region(struct player *p)
{
	struct r3_region *region;
	bool mapped = p->step->nwords > 3;

	must(p, r3_device_region(p->dev, (unsigned)arg(p, 1), &region), 99);
	if (region->size != arg(p, 2))
		script_fail(p->script, p->step, "it has %" PRIu64 " bytes", region->size);
	if (mapped != (region->map != NULL))
		script_fail(p->script, p->step, "it is %smapped", region->map ? "" : "not ");
	if (mapped && (region->map_off != arg(p, 3) || region->map_len != arg(p, 4)))
		script_fail(p->script, p->step, "mapped is 0x%" PRIx64 " at 0x%" PRIx64,
			    region->map_len, region->map_off);
}

static void step_access(struct player *p, bool write)
{
	struct r3_region *region;
	unsigned width = (unsigned)arg(p, 3);
	uint64_t value = arg(p, 4), got = 0,
		 all = width < 8 ? (UINT64_C(1) << 8 * width) - 1 : UINT64_MAX;
	uint8_t v8 = (uint8_t)value;
	uint16_t v16 = (uint16_t)value;
	uint32_t v32 = (uint32_t)value;
	void *data = width == 1   ? (void *)&v8
		     : width == 2 ? (void *)&v16
		     : width == 4 ? (void *)&v32
				  : (void *)&value;

	must(p, r3_device_region(p->dev, (unsigned)arg(p, 1), &region), 99);
	if (write) {
		must(p, r3_region_write(region, arg(p, 2), width, data, 1), 5);
		return;
	}
	must(p, r3_region_read(region, arg(p, 2), width, data, 1), 5);
	got = width == 1 ? v8 : width == 2 ? v16 : width == 4 ? v32 : value;
	if (p->step->nwords < 6 && got != (arg(p, 4) & all))
		script_fail(p->script, p->step, "it reads 0x%" PRIx64, got);
}

static void step_map(struct player *p)
{
	struct r3_dma_extent extent = {.iova = arg(p, 1)};
	unsigned n = 1;

	r3_mem_unref(p->mem);
	must(p, r3_mem_create("transcript", arg(p, 2), 0, &p->mem), 99);
	must(p,
	     p->dev->ops->dma_map(p->dev, p->mem, 0, arg(p, 2),
				  R3_DMA_DEVICE_READ | R3_DMA_DEVICE_WRITE, &extent, &n),
	     3);
}

static void step_memory(struct player *p)
{
	const char *text = p->step->nwords > 2 ? p->step->word[2] + 1 : "";
	char *at = (char *)r3_mem_addr(p->mem) + arg(p, 1);

	if (*p->step->word[0] == 'f')
		memcpy(at, text, strlen(text));
	else if (memcmp(at, text, strlen(text)))
		script_fail(p->script, p->step, "it holds \"%.*s\"", (int)strlen(text), at);
}

static void step_irq(struct player *p)
{
	unsigned type = R3_IRQ_INTX, n = (unsigned)arg(p, 2);

	while (type < R3_IRQ_BEST && strcmp(r3_irq_type_name(type), p->step->word[1]))
		type++;
	must(p, r3_irq_enable(p->dev, type, n, n, &p->irq), 3);
}

static void step_dispatch(struct player *p)
{
	struct r3_event event = {.type = R3_EVENT_NONE};
	const char *want = p->step->nwords > 1 ? p->step->word[1] : r3_event_name(R3_EVENT_NONE);

	want += *want == '"';

	if (r3_device_dispatch(p->dev, &event, 1) < 0)
		script_fail(p->script, p->step, "%s", r3_error_text());
	if (strcmp(want, r3_event_name(event.type)))
		script_fail(p->script, p->step, "the event is %s", r3_event_name(event.type));
}

static void close_all(struct player *p)
{
	r3_irq_disable(p->irq);
	p->irq = NULL;
	r3_device_close(p->dev);
	p->dev = NULL;
	r3_mem_unref(p->mem);
	p->mem = NULL;
}

static void take_step(struct player *p)
{
	const char *what = p->step->word[0];

	if (!strcmp(what, "open")) {
		must(p, r3_vfio_user_open_stream(&p->stream, "foreign", 1000, NULL, &p->dev), 1);
		if (p->dev && r3_device_adopt(p->dev, "vfio-user:fd:99") < 0)
			script_fail(p->script, p->step, "%s", r3_error_text());
	} else if (!strcmp(what, "close")) {
		close_all(p);
	} else if (!strcmp(what, "region")) {
		step_region(p);
	} else if (!strcmp(what, "read") || !strcmp(what, "write")) {
		step_access(p, *what == 'w');
	} else if (!strcmp(what, "map")) {
		step_map(p);
	} else if (!strcmp(what, "unmap")) {
		must(p, p->dev->ops->dma_unmap(p->dev, arg(p, 1), arg(p, 2)), 3);
	} else if (!strcmp(what, "fill") || !strcmp(what, "memory")) {
		step_memory(p);
	} else if (!strcmp(what, "irq")) {
		step_irq(p);
	} else if (!strcmp(what, "irq-off")) {
		r3_irq_disable(p->irq);
		p->irq = NULL;
	} else if (!strcmp(what, "reset")) {
		must(p, r3_device_reset(p->dev, R3_RESET_FUNCTION), 1);
	} else if (!strcmp(what, "dispatch")) {
		step_dispatch(p);
	} else if (!strcmp(what, "hang-up")) {
		hang_up(p);
	} else if (!script_common_step(p->script, p->step)) {
		script_fail(p->script, p->step, "there is no step %s", what);
	}
}

void replay_client(struct script *script, size_t piece)
{
	static struct player p;

	p = (struct player){.stream = {.ops = &player_ops}, .script = script, .piece = piece};
	p.ready = eventfd(1, EFD_CLOEXEC);
	if (p.ready < 0 || !memory_stream_pair(p.ends))
		script_fail(script, NULL, "no descriptors");
	for (unsigned i = 0; i < script->n; i = p.last) {
		p.step = &script->line[i];
		if (p.step->kind != LINE_STEP)
			script_fail(script, p.step, "a session begins with a step");
		p.first = p.last = i + 1;
		while (p.last < script->n && script->line[p.last].kind != LINE_STEP)
			p.last++;
		for (unsigned at = p.first; at < p.last && script->line[at].kind == LINE_SENT; at++)
			say(&p, &script->line[at]);
		take_step(&p);
		for (unsigned at = p.first; at < p.last; at++)
			if (script->line[at].kind == LINE_EXPECTED && !p.seen[at] &&
			    !script->line[at].nwords)
				script_fail(script, &script->line[at], "the client did not say it");
	}
	p.first = p.last = script->n;
	close_all(&p);
	hang_up(&p);
	r3_stream_close(p.ends[0]);
	close(p.ready);
}
