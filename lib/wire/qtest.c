/* SPDX-License-Identifier: BSD-2-Clause */
/* The qtest protocol: see qtest.h. */
#include "wire/qtest.h"

#include <errno.h>
#include <string.h>

static char *put_text(char *at, const char *text)
{
	size_t len = strlen(text);

	memcpy(at, text, len);
	return at + len;
}

/* printf would do; this is on the way of every doorbell. */
static char *put_hex(char *at, uint64_t value)
{
	int shift = 60;

	at = put_text(at, " 0x");
	while (shift > 0 && (value >> shift) == 0)
		shift -= 4;
	for (; shift >= 0; shift -= 4)
		*at++ = "0123456789abcdef"[value >> shift & 0xf];
	return at;
}

static const char *const verbs[2][2][4] = {
	[R3_QTEST_MEMORY] = {{"readb", "readw", "readl", "readq"},
			     {"writeb", "writew", "writel", "writeq"}},
	[R3_QTEST_PORT] = {{"inb", "inw", "inl", NULL}, {"outb", "outw", "outl", NULL}},
};

static const char *verb(enum r3_qtest_space space, uint64_t address, unsigned width, bool write)
{
	unsigned log = width == 1 ? 0 : width == 2 ? 1 : width == 4 ? 2 : 3;
	uint64_t last = space == R3_QTEST_PORT ? 0xffff : UINT64_MAX;

	if ((space != R3_QTEST_MEMORY && space != R3_QTEST_PORT) || width != 1u << log ||
	    address > last - (width - 1))
		return NULL;
	return verbs[space][write][log];
}

size_t r3_qtest_encode_read(char out[R3_QTEST_COMMAND_MAX], enum r3_qtest_space space,
			    uint64_t address, unsigned width)
{
	const char *name = verb(space, address, width, false);
	char *at = out;

	if (!name)
		return 0;
	at = put_hex(put_text(at, name), address);
	*at++ = '\n';
	return (size_t)(at - out);
}

size_t r3_qtest_encode_write(char out[R3_QTEST_COMMAND_MAX], enum r3_qtest_space space,
			     uint64_t address, unsigned width, uint64_t value)
{
	const char *name = verb(space, address, width, true);
	char *at = out;

	if (!name)
		return 0;
	if (width < 8)
		value &= (UINT64_C(1) << 8 * width) - 1;
	at = put_hex(put_hex(put_text(at, name), address), value);
	*at++ = '\n';
	return (size_t)(at - out);
}

/* ---- decoding ---- */

struct cursor {
	const char *at, *end;
};

static bool take(struct cursor *c, const char *word)
{
	size_t len = strlen(word);

	if ((size_t)(c->end - c->at) < len || memcmp(c->at, word, len) != 0)
		return false;
	c->at += len;
	return true;
}

static int digit(char ch)
{
	if (ch >= '0' && ch <= '9')
		return ch - '0';
	if (ch >= 'a' && ch <= 'f')
		return ch - 'a' + 10;
	if (ch >= 'A' && ch <= 'F')
		return ch - 'A' + 10;
	return -1;
}

/* Digits up to the end of the line, at least one, without overflow. */
static bool take_number(struct cursor *c, unsigned base, uint64_t *out)
{
	uint64_t value = 0;

	if (c->at == c->end)
		return false;
	for (; c->at < c->end; c->at++) {
		int d = digit(*c->at);
		if (d < 0 || (unsigned)d >= base || value > (UINT64_MAX - (unsigned)d) / base)
			return false;
		value = value * base + (unsigned)d;
	}
	*out = value;
	return true;
}

int r3_qtest_decode(const char *text, size_t len, struct r3_qtest_line *out)
{
	struct cursor c = {text, text + len};
	uint64_t number;

	*out = (struct r3_qtest_line){0};
	if (take(&c, "IRQ ")) {
		out->kind = R3_QTEST_IRQ;
		out->raised = take(&c, "raise ");
		if ((!out->raised && !take(&c, "lower ")) || !take_number(&c, 10, &number) ||
		    number > UINT16_MAX)
			return -EPROTO;
		out->line = (unsigned)number;
		return 0;
	}
	if (take(&c, "FAIL") || take(&c, "ERR")) {
		out->kind = R3_QTEST_FAILED;
		return 0;
	}
	if (!take(&c, "OK"))
		return -EPROTO;
	out->kind = R3_QTEST_OK;
	if (c.at == c.end)
		return 0;
	if (!take(&c, " 0x") || !take_number(&c, 16, &out->value))
		return -EPROTO;
	out->has_value = true;
	return 0;
}

char *r3_qtest_stream_room(struct r3_qtest_stream *stream, size_t *room)
{
	if (stream->begin > 0) {
		memmove(stream->bytes, stream->bytes + stream->begin, stream->end - stream->begin);
		stream->end -= stream->begin;
		stream->begin = 0;
	}
	*room = sizeof(stream->bytes) - stream->end;
	return stream->bytes + stream->end;
}

void r3_qtest_stream_add(struct r3_qtest_stream *stream, size_t n)
{
	stream->end += n;
}

int r3_qtest_stream_next(struct r3_qtest_stream *stream, struct r3_qtest_line *out)
{
	const char *line = stream->bytes + stream->begin;
	size_t have = stream->end - stream->begin;
	const char *newline = memchr(line, '\n', have);

	if (!newline)
		return have == sizeof(stream->bytes) ? -EPROTO : 0;
	size_t len = (size_t)(newline - line);
	stream->begin += len + 1;
	int rc = r3_qtest_decode(line, len, out);
	return rc < 0 ? rc : 1;
}
