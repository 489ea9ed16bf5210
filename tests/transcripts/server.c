/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sessions of a foreign client with our server, over a socket, with the tests' device behind.
 *
 *      raise TYPE VECTOR       the device interrupts ("intx", "msi", "msix")
 *      reads IOVA "text"       the device reads that there; "writes" writes it
 *      unmapped IOVA           it can reach nothing there
 *      resets N                so often it was reset
 *      areas BAR OFF LEN ...   only that of a BAR can be mapped
 *      count, put, holds       see script.c
 *      hang-up                 the client does; only as the last line
 *      hung-up                 the server has; likewise
 */
#include "fake/fake_device.h"
#include "replay.h"
#include "util/stream.h"

#include <errno.h>
#include <poll.h>
#include <ring3/error.h>
#include <ring3/irq.h>
#include <ring3/serve.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PATIENCE_MS 20000

struct bed {
	struct script *script;
	const struct line *line;
	struct fake_device *fake;
	struct r3_serve *serve;
	struct r3_stream *stream; /* the client's end */
	size_t piece;
	unsigned char got[SCRIPT_BYTES + 8192];
	unsigned ngot;
	int fds[R3_STREAM_FDS];
	unsigned nfds;
	bool hung_up;
};

static void listen_to(void *ctx, const struct r3_serve_event *event)
{
	struct bed *bed = ctx;

	if (event->type == R3_SERVE_DISCONNECTED && event->err)
		fprintf(stderr, "%s: the server hangs up: %s\n", bed->script->path, event->text);
}

static void begin(struct bed *bed)
{
	struct r3_serve_opts opts = {.size = sizeof(opts), .event = listen_to, .ctx = bed};
	char where[16];
	int ends[2];

	bed->fake = fake_device_new(NULL);
	if (!bed->fake || fake_device_adopt(bed->fake) < 0 ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		script_fail(bed->script, NULL, "no device, or no sockets");
	snprintf(where, sizeof(where), "fd:%d", ends[1]);
	if (r3_stream_open(ends[0], &bed->stream) < 0 ||
	    r3_serve_open(&bed->fake->base, where, &opts, &bed->serve) < 0)
		script_fail(bed->script, NULL, "%s", r3_error_text());
	close(ends[1]);
}

/* Let the server do what is due, until @fd has something or it is through with all of it. */
static void serve_until(struct bed *bed, bool something)
{
	struct pollfd fds[2] = {{.fd = r3_stream_fd(bed->stream), .events = POLLIN},
				{.fd = r3_serve_fd(bed->serve), .events = POLLIN}};

	for (;;) {
		int n = poll(fds, 2, something ? PATIENCE_MS : 0);

		if (n == 0 && something)
			script_fail(bed->script, bed->line, "the server says nothing");
		if (n <= 0 || (something && fds[0].revents))
			return;
		if (!fds[1].revents)
			return;
		if (r3_serve_dispatch(bed->serve) < 0)
			script_fail(bed->script, bed->line, "%s", r3_error_text());
	}
}

static void send_line(struct bed *bed)
{
	unsigned char bytes[SCRIPT_BYTES];
	int fds[SCRIPT_WORDS];
	unsigned nfds = bed->line->nfds;

	script_fill(bed->script, bed->line, bytes);
	for (unsigned i = 0; i < nfds; i++)
		fds[i] = script_fd(bed->script, bed->line, bed->line->fds[i]);
	for (size_t at = 0, n; at < bed->line->len; at += n) {
		struct iovec iov = {.iov_base = bytes + at};

		n = bed->line->len - at;
		iov.iov_len = n = n < bed->piece ? n : bed->piece;
		if (r3_stream_send(bed->stream, &iov, 1, fds, nfds) != (ssize_t)n)
			script_fail(bed->script, bed->line, "the server takes no more");
		nfds = 0;
		if (bed->piece < SCRIPT_BYTES)
			serve_until(bed, false);
	}
}

/* Bytes of the server's until there are @want; false: it has hung up. */
static bool receive(struct bed *bed, unsigned want)
{
	while (bed->ngot < want) {
		unsigned n = R3_STREAM_FDS - bed->nfds;
		ssize_t got;

		serve_until(bed, true);
		got = r3_stream_recv(bed->stream, bed->got + bed->ngot,
				     want - bed->ngot, /* no more: what follows is another's */
				     bed->fds + bed->nfds, &n);
		if (got == 0)
			bed->hung_up = true;
		if (got <= 0)
			return false;
		bed->ngot += (unsigned)got;
		bed->nfds += n;
	}
	return true;
}

static void expect_line(struct bed *bed)
{
	const char *why;
	uint32_t size;

	if (!receive(bed, 16))
		script_fail(bed->script, bed->line, "the server has hung up");
	memcpy(&size, bed->got + 4, sizeof(size));
	if (size < 16 || size > sizeof(bed->got) || !receive(bed, size))
		script_fail(bed->script, bed->line, "a message of %u bytes", size);
	why = script_mismatch(bed->script, bed->line, bed->got, size, bed->nfds);
	if (why)
		script_fail(bed->script, bed->line, "%s", why);
	for (unsigned i = 0; i < bed->nfds; i++)
		script_keep_fd(bed->script, bed->line, i, bed->fds[i]);
	bed->ngot = bed->nfds = 0;
}

/* ---- steps ---- */

static void step_raise(struct bed *bed)
{
	const char *type = bed->line->word[1];
	unsigned t = R3_IRQ_INTX;

	while (t < R3_IRQ_BEST && strcmp(r3_irq_type_name(t), type))
		t++;
	fake_device_raise(bed->fake, t, (unsigned)script_number(bed->script, bed->line, 2));
	serve_until(bed, false);
}

/* "reads", "writes", "unmapped" */
static void step_reach(struct bed *bed, bool write, bool reachable)
{
	const char *text = reachable && bed->line->nwords > 2 ? bed->line->word[2] + 1 : "";
	uint64_t iova = script_number(bed->script, bed->line, 1);
	size_t len = reachable ? strlen(text) : 1;
	void *at = fake_device_reach(bed->fake, iova, len,
				     write ? R3_DMA_DEVICE_WRITE : R3_DMA_DEVICE_READ);

	if ((at != NULL) != reachable)
		script_fail(bed->script, bed->line, "the device %s",
			    at ? "reaches it" : "cannot reach it");
	if (reachable && write)
		memcpy(at, text, len);
	else if (reachable && memcmp(at, text, len))
		script_fail(bed->script, bed->line, "it reads something else");
}

static void step_areas(struct bed *bed)
{
	struct fake_bar *bar = &bed->fake->bar[script_number(bed->script, bed->line, 1) % 6];

	for (bar->nareas = 0; 3 + 2 * bar->nareas < bed->line->nwords; bar->nareas++) {
		unsigned at = 2 + 2 * bar->nareas;

		bar->area[bar->nareas].off = script_number(bed->script, bed->line, at);
		bar->area[bar->nareas].len = script_number(bed->script, bed->line, at + 1);
	}
}

static void step_hung_up(struct bed *bed)
{
	if (receive(bed, bed->ngot + 1) || !bed->hung_up)
		script_fail(bed->script, bed->line, "the server goes on");
}

static void step(struct bed *bed)
{
	const char *what = bed->line->word[0];

	if (!strcmp(what, "raise"))
		step_raise(bed);
	else if (!strcmp(what, "reads") || !strcmp(what, "writes"))
		step_reach(bed, *what == 'w', true);
	else if (!strcmp(what, "unmapped"))
		step_reach(bed, false, false);
	else if (!strcmp(what, "areas"))
		step_areas(bed);
	else if (!strcmp(what, "hung-up"))
		step_hung_up(bed);
	else if (!strcmp(what, "hang-up"))
		bed->hung_up = true;
	else if (!strcmp(what, "resets")) {
		if (bed->fake->resets != script_number(bed->script, bed->line, 1))
			script_fail(bed->script, bed->line, "%u", bed->fake->resets);
	} else if (!script_common_step(bed->script, bed->line))
		script_fail(bed->script, bed->line, "there is no step %s", what);
}

static void end(struct bed *bed)
{
	bed->line = NULL;
	serve_until(bed, false);
	if (!bed->hung_up) {
		unsigned n = 0;
		unsigned char byte;

		if (r3_stream_recv(bed->stream, &byte, 1, bed->fds, &n) != -EAGAIN)
			script_fail(bed->script, NULL, "the server says more at the end");
	}
	r3_stream_close(bed->stream);
	while (r3_serve_dispatch(bed->serve) > 0)
		poll(&(struct pollfd){.fd = r3_serve_fd(bed->serve), .events = POLLIN}, 1,
		     PATIENCE_MS);
	for (unsigned i = 0; i < FAKE_MAPS; i++)
		if (bed->fake->map[i].len)
			script_fail(bed->script, NULL, "memory is mapped when the client has gone");
	r3_serve_close(bed->serve);
	r3_device_close(&bed->fake->base);
}

void replay_server(struct script *script, size_t piece)
{
	static struct bed bed;

	bed = (struct bed){.script = script, .piece = piece};
	begin(&bed);
	for (unsigned i = 0; i < script->n; i++) {
		bed.line = &script->line[i];
		if (bed.line->kind == LINE_SENT)
			send_line(&bed);
		else if (bed.line->kind == LINE_EXPECTED)
			expect_line(&bed);
		else
			step(&bed);
	}
	end(&bed);
}
