/* SPDX-License-Identifier: BSD-2-Clause */
/* Addresses: text to struct and back. "+" separates filters from each other and "," their
 * parameters; both are escaped elsewhere, so cutting comes first and decoding after it, in
 * place in a copy of the text. */
#include <ring3/address.h>
#include <ring3/error.h>

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX 4096

struct parsed {
	struct r3_address base;
	struct r3_param *param; /* the next free ones */
	char *copy;             /* position 0 of the text, for messages */
};

static int bad(const struct parsed *p, const char *at, const char *what)
{
	return r3_error_set(EINVAL, "malformed address: %s at character %d", what,
			    (int)(at - p->copy) + 1);
}

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Names of filters and schemes: a letter, then letters, digits and "-"; small letters. */
static size_t name_length(const char *text)
{
	size_t n = 0;

	while ((text[n] >= 'a' && text[n] <= 'z') ||
	       (n && (text[n] == '-' || (text[n] >= '0' && text[n] <= '9'))))
		n++;
	return n;
}

static size_t hex_length(const char *text, size_t max)
{
	size_t n = 0;

	while (n < max && hex(text[n]) >= 0)
		n++;
	return n;
}

/* [domain:]bus:slot.function, alone. */
static bool is_bdf(const char *text)
{
	size_t n = hex_length(text, 8);

	if (n >= 4 && text[n] == ':')
		text += n + 1;
	if (hex_length(text, 3) != 2 || text[2] != ':')
		return false;
	text += 3;
	return hex_length(text, 3) == 2 && hex(text[0]) <= 1 && text[2] == '.' && text[3] >= '0' &&
	       text[3] <= '7' && !text[4];
}

/* Decode in place. */
static int decode(const struct parsed *p, char *text)
{
	char *to = text;

	for (const char *from = text; *from; from++, to++) {
		if (*from != '%') {
			*to = *from;
			continue;
		}
		if (hex(from[1]) < 0 || hex(from[2]) < 0)
			return bad(p, from, "\"%\" without two hexadecimal digits");
		*to = (char)(hex(from[1]) << 4 | hex(from[2]));
		if (!*to)
			return bad(p, from, "%00");
		from += 2;
	}
	*to = '\0';
	return 0;
}

static int parse_param(const struct parsed *p, char *text, struct r3_param *param)
{
	char *value = strchr(text, '=');

	if (value)
		*value++ = '\0';
	if (!*text)
		return bad(p, text, "a parameter without a key");
	for (const char *at = text; *at; at++)
		if (!isalnum((unsigned char)*at) && !strchr("._-", *at))
			return bad(p, at,
				   "a key with a character other than letters, digits, "
				   "\".\", \"_\" and \"-\"");
	param->key = text;
	param->value = value;
	return value ? decode(p, value) : 0;
}

/* Cut a head and its parameters apart and decode them; @text ends with a NUL. */
static int parse_params(struct parsed *p, char *text, struct r3_params *params)
{
	char *next = strchr(text, ',');

	params->head = text;
	params->param = p->param;
	while (next) {
		char *at = next + 1;

		*next = '\0';
		next = strchr(at, ',');
		if (next)
			*next = '\0';

		int rc = parse_param(p, at, p->param);
		if (rc)
			return rc;
		p->param++;
		params->nparam++;
	}
	return decode(p, text);
}

static int parse_filter(struct parsed *p, char *text, struct r3_params *filter)
{
	size_t n = name_length(text);
	const char *colon = strchr(text, ':');

	if (!n || (text[n] && text[n] != ','))
		return bad(p, text + n,
			   "not the name of a filter (a \"+\" in a value is written %2B)");
	if (colon)
		return bad(p, colon, "\":\" in a filter (in a value it is written %3A)");
	return parse_params(p, text, filter);
}

static int parse_rest(struct parsed *p, char *text)
{
	size_t n = name_length(text);

	if (is_bdf(text)) {
		p->base.scheme = "pci";
		p->base.rest = (struct r3_params){.head = text, .param = p->param};
		return 0;
	}
	if (!n || text[n] != ':')
		return bad(p, text + n, "neither \"SCHEME:\" nor a PCI address like 0000:01:00.0");
	text[n] = '\0';
	p->base.scheme = text;
	return parse_params(p, text + n + 1, &p->base.rest);
}

static unsigned count(const char *text, char c)
{
	unsigned n = 0;

	for (; *text; text++)
		n += *text == c;
	return n;
}

int r3_address_parse(const char *text, struct r3_address **out)
{
	size_t len = strnlen(text, TEXT_MAX + 1);
	struct r3_params *filter;
	struct parsed *p;
	unsigned nfilter;
	char *at;

	if (len > TEXT_MAX)
		return r3_error_set(ENAMETOOLONG, "address of more than %d bytes", TEXT_MAX);
	nfilter = count(text, '+');
	p = malloc(sizeof(*p) + nfilter * sizeof(struct r3_params) +
		   count(text, ',') * sizeof(struct r3_param) + len + 1);
	if (!p)
		return r3_error_set(ENOMEM, "out of memory");
	filter = (struct r3_params *)(p + 1);
	p->base = (struct r3_address){.nfilter = nfilter, .filter = filter};
	memset(filter, 0, nfilter * sizeof(*filter));
	p->param = (struct r3_param *)(filter + nfilter);
	at = (char *)(p->param + count(text, ','));
	p->copy = memcpy(at, text, len + 1);

	for (unsigned i = 0; i < nfilter; i++) {
		char *plus = strchr(at, '+');

		*plus = '\0';
		if (parse_filter(p, at, &filter[i]))
			goto err;
		at = plus + 1;
	}
	if (parse_rest(p, at))
		goto err;
	*out = &p->base;
	return 0;

err:
	free(p);
	return -EINVAL;
}

void r3_address_free(struct r3_address *address)
{
	free(address);
}

/* ---- printing ---- */

struct output {
	char *buf;
	size_t size, len;
};

static void put(struct output *out, char c)
{
	if (out->len + 1 < out->size)
		out->buf[out->len] = c;
	out->len++;
}

static void put_text(struct output *out, const char *text)
{
	while (*text)
		put(out, *text++);
}

/* Escape what separates, and what a terminal would act upon. */
static void put_encoded(struct output *out, const char *text, const char *separators)
{
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (strchr(separators, c) || c < ' ' || c == 0x7f) {
			put(out, '%');
			put(out, "0123456789ABCDEF"[c >> 4]);
			put(out, "0123456789ABCDEF"[c & 15]);
		} else {
			put(out, (char)c);
		}
	}
}

static void put_params(struct output *out, const struct r3_params *params, const char *separators)
{
	put_encoded(out, params->head, separators);
	for (unsigned i = 0; i < params->nparam; i++) {
		put(out, ',');
		put_text(out, params->param[i].key);
		if (!params->param[i].value)
			continue;
		put(out, '=');
		put_encoded(out, params->param[i].value, separators);
	}
}

size_t r3_address_print(const struct r3_address *address, char *buf, size_t size)
{
	struct output out = {.buf = buf, .size = size};

	for (unsigned i = 0; i < address->nfilter; i++) {
		put_params(&out, &address->filter[i], "%,+:");
		put(&out, '+');
	}
	put_text(&out, address->scheme);
	put(&out, ':');
	put_params(&out, &address->rest, "%,+");
	if (size)
		buf[out.len < size ? out.len : size - 1] = '\0';
	return out.len;
}
