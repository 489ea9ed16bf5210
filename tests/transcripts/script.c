/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading sessions, and comparing messages with them: see script.h and README.md. */
#include "script.h"

#include "wire/vfio_user_caps.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

void script_fail(const struct script *script, const struct line *line, const char *fmt, ...)
{
	va_list args;

	fprintf(stderr, "%s:%u: ", script->path, line ? line->number : 0);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fprintf(stderr, "\n");
	exit(1);
}

/* ---- words ---- */

static void put(const struct script *script, struct line *line, uint64_t value, unsigned width,
		bool any)
{
	uint8_t v8 = (uint8_t)value;
	uint16_t v16 = (uint16_t)value;
	uint32_t v32 = (uint32_t)value;
	const void *from = width == 1   ? (void *)&v8
			   : width == 2 ? (void *)&v16
			   : width == 4 ? (void *)&v32
					: (void *)&value;

	if (line->len + width > SCRIPT_BYTES)
		script_fail(script, line, "the message is too long");
	memcpy(line->bytes + line->len, from, width);
	memset(line->mask + line->len, any ? 0 : 0xff, width);
	line->len += width;
}

/* A number by its digits, or dots; false: it is none. */
static bool number(const struct script *script, struct line *line, const char *word)
{
	size_t digits = strspn(word, "0123456789abcdef"), dots = strspn(word, "."), n;
	const char *times = strchr(word, '*');
	unsigned long repeat = 1;

	n = dots ? dots : digits;
	if (times && (size_t)(times - word) == n && times[1])
		repeat = strtoul(times + 1, NULL, 10);
	else if (word[n])
		return false;
	if (n != 2 && n != 4 && n != 8 && n != 16)
		return false;
	while (repeat--)
		put(script, line, dots ? 0 : strtoull(word, NULL, 16), (unsigned)n / 2, dots > 0);
	return true;
}

static void name_id(const struct script *script, struct line *line, const char *name)
{
	if (line->len)
		script_fail(script, line, "a message begins with its id");
	snprintf(line->id, sizeof(line->id), "%s", name);
	put(script, line, 0, 2, true);
}

static void message_word(const struct script *script, struct line *line, const char *word)
{
	if (!strcmp(word, "*"))
		line->rest = true;
	else if (!strcmp(word, "json"))
		line->rest = line->json = true;
	else if (!strcmp(word, "end"))
		line->end = true;
	else if (!strcmp(word, "id"))
		name_id(script, line, "the last");
	else if (!strncmp(word, "id:", 3))
		name_id(script, line, word + 3);
	else if (*word == '"')
		for (word++; *word && *word != '"'; word++)
			put(script, line, (unsigned char)*word, 1, false);
	else if (!number(script, line, word))
		script_fail(script, line, "\"%s\" is no part of a message", word);
}

/* The next word, NUL-ended; text in quotes keeps its opening one. NULL: the line has ended. */
static char *next_word(char **at)
{
	char *word = *at + strspn(*at, " \t");
	char *end;

	if (!*word || *word == '#')
		return NULL;
	if (*word == '"') {
		end = strchr(word + 1, '"');
		end = end ? end : word + strlen(word);
	} else {
		end = word + strcspn(word, " \t");
	}
	*at = *end ? end + 1 : end;
	*end = '\0';
	return word;
}

/* ---- lines ---- */

static void read_message(struct script *script, struct line *line, char *at)
{
	bool fds = false;
	char *word;

	while ((word = next_word(&at))) {
		if (!strcmp(word, "fds"))
			fds = true;
		else if (!fds)
			message_word(script, line, word);
		else if (line->nfds < SCRIPT_WORDS)
			line->fds[line->nfds++] = word;
	}
}

/* What is written as its size is the size of what is written. */
static void check_message(const struct script *script, const struct line *line, bool broken)
{
	uint32_t size;

	if (broken || line->len < 16 || line->rest)
		return;
	memcpy(&size, line->bytes + 4, sizeof(size));
	if (size != line->len)
		script_fail(script, line, "the message has %u bytes, not %u", line->len, size);
}

static void read_lines(struct script *script)
{
	struct line *line = NULL;
	bool broken = false;
	unsigned number = 0;

	for (char *at = script->text, *next; *at; at = next) {
		next = at + strcspn(at, "\n");
		if (*next)
			*next++ = '\0';
		number++;
		if (!at[strspn(at, " \t")] || *at == '#')
			continue;
		if (*at == ' ' || *at == '\t') {
			if (!line || line->kind == LINE_STEP)
				script_fail(script, line, "continues no message (line %u)", number);
			read_message(script, line, at);
			continue;
		}
		if (line && line->kind != LINE_STEP)
			check_message(script, line, broken);
		if (script->n == SCRIPT_LINES)
			script_fail(script, line, "too many lines");
		line = &script->line[script->n++];
		line->number = number;
		broken = at[1] == '!';
		if (*at == '>' || *at == '<') {
			line->kind = *at == '>' ? LINE_SENT : LINE_EXPECTED;
			if (at[1] == '?')
				line->word[line->nwords++] = at + 1; /* may come, or not */
			read_message(script, line, at + 1 + (at[1] == '!' || at[1] == '?'));
			continue;
		}
		line->kind = LINE_STEP;
		for (char *word; (word = next_word(&at)) && line->nwords < SCRIPT_WORDS;)
			line->word[line->nwords++] = word;
	}
	if (line && line->kind != LINE_STEP)
		check_message(script, line, broken);
}

void script_read(struct script *script, const char *path)
{
	const char *base = strrchr(path, '/');
	FILE *f = fopen(path, "rb");
	size_t room = 1 << 16, n;

	*script = (struct script){.path = path};
	script->for_server = !strncmp(base ? base + 1 : path, "server-", 7);
	script->text = calloc(1, room);
	if (!f || !script->text)
		script_fail(script, NULL, "%s", strerror(errno));
	n = fread(script->text, 1, room - 1, f);
	fclose(f);
	if (n == room - 1)
		script_fail(script, NULL, "the file is too long");
	read_lines(script);
}

void script_free(struct script *script)
{
	for (unsigned i = 0; i < script->nfds; i++)
		close(script->fd[i].fd);
	free(script->text);
}

/* ---- messages ---- */

static uint16_t *id_of(struct script *script, const struct line *line)
{
	unsigned i = 0;

	while (i < script->nids && strcmp(script->id[i].name, line->id))
		i++;
	if (i == SCRIPT_NAMES)
		script_fail(script, line, "too many names");
	if (i == script->nids)
		memcpy(script->id[script->nids++].name, line->id, sizeof(line->id));
	return &script->id[i].id;
}

void script_fill(struct script *script, const struct line *line, unsigned char *out)
{
	memcpy(out, line->bytes, line->len);
	if (*line->id)
		memcpy(out, id_of(script, line), sizeof(uint16_t));
}

static const char *check_json(const unsigned char *text, unsigned len)
{
	struct r3_vfio_user_caps caps;

	if (!len || text[len - 1])
		return "text without its NUL";
	if (!strstr((const char *)text, "\"capabilities\""))
		return "no capabilities";
	return r3_vfio_user_caps_decode((const char *)text, len - 1, &caps) ? "no good JSON" : NULL;
}

const char *script_mismatch(struct script *script, const struct line *line,
			    const unsigned char *bytes, unsigned len, unsigned nfds)
{
	static char why[100];

	if (len < line->len || (len > line->len && !line->rest)) {
		snprintf(why, sizeof(why), "%u bytes instead of %u", len, line->len);
		return why;
	}
	for (unsigned i = 0; i < line->len; i++) {
		if (!((bytes[i] ^ line->bytes[i]) & line->mask[i]))
			continue;
		snprintf(why, sizeof(why), "byte %u of command %u is %02x instead of %02x", i,
			 bytes[2], bytes[i], line->bytes[i]);
		return why;
	}
	if (nfds != line->nfds) {
		snprintf(why, sizeof(why), "%u descriptors instead of %u", nfds, line->nfds);
		return why;
	}
	if (*line->id)
		memcpy(id_of(script, line), bytes, sizeof(uint16_t));
	return line->json ? check_json(bytes + line->len, len - line->len) : NULL;
}

/* ---- descriptors ---- */

static int make_memory(const char *what, uint64_t len)
{
	int seals = !strncmp(what, "open", 4)     ? 0
		    : !strncmp(what, "sealed", 6) ? F_SEAL_SEAL
						  : F_SEAL_SHRINK;
	int fd = memfd_create("transcript", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, (off_t)len) < 0 || (seals && fcntl(fd, F_ADD_SEALS, seals) < 0))
		return -1;
	return fd;
}

static int make_fd(const char *name)
{
	int ends[2];

	if (!strncmp(name, "eventfd:", 8))
		return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (!strncmp(name, "pipe:", 5)) {
		if (pipe2(ends, O_CLOEXEC) < 0)
			return -1;
		close(ends[0]);
		return ends[1];
	}
	if (strchr(name, ':') && strrchr(name, ':') != strchr(name, ':'))
		return make_memory(name, strtoull(strchr(name, ':') + 1, NULL, 0));
	return -1;
}

static void add_fd(struct script *script, const struct line *line, const char *name, int fd)
{
	const char *last = strrchr(name, ':');

	if (script->nfds == SCRIPT_NAMES)
		script_fail(script, line, "too many descriptors");
	snprintf(script->fd[script->nfds].name, sizeof(script->fd->name), "%s",
		 last ? last + 1 : name);
	script->fd[script->nfds++].fd = fd;
}

int script_fd(struct script *script, const struct line *line, const char *name)
{
	const char *last = strrchr(name, ':');
	int fd;

	for (unsigned i = 0; i < script->nfds; i++)
		if (!strcmp(script->fd[i].name, last ? last + 1 : name))
			return script->fd[i].fd;
	fd = make_fd(name);
	if (fd < 0)
		script_fail(script, line, "there is no descriptor %s, nor can it be made", name);
	add_fd(script, line, name, fd);
	return fd;
}

void script_keep_fd(struct script *script, const struct line *line, unsigned i, int fd)
{
	add_fd(script, line, line->fds[i], fd);
}

/* ---- steps of both sides ---- */

uint64_t script_number(const struct script *script, const struct line *line, unsigned word)
{
	char *end;
	uint64_t value;

	if (word >= line->nwords)
		script_fail(script, line, "%s wants more", line->word[0]);
	value = strtoull(line->word[word], &end, 0);
	if (*end)
		script_fail(script, line, "%s is no number", line->word[word]);
	return value;
}

/* "count NAME N": an eventfd has counted so much since it was last looked at. */
static void step_count(struct script *script, const struct line *line)
{
	uint64_t want = script_number(script, line, 2), count = 0;

	if (read(script_fd(script, line, line->word[1]), &count, sizeof(count)) < 0)
		count = 0;
	if (count != want)
		script_fail(script, line, "%llu instead of %llu", (unsigned long long)count,
			    (unsigned long long)want);
}

/* "holds NAME OFFSET "text"": so does the file. "put" writes it. */
static void step_file(struct script *script, const struct line *line)
{
	int fd = script_fd(script, line, line->word[1]);
	off_t off = (off_t)script_number(script, line, 2);
	const char *text = line->nwords > 3 ? line->word[3] + 1 : "";
	char there[64] = "";
	size_t len = strlen(text);

	if (!strcmp(line->word[0], "put")) {
		if (pwrite(fd, text, len, off) != (ssize_t)len)
			script_fail(script, line, "%s", strerror(errno));
		return;
	}
	if (len >= sizeof(there) || pread(fd, there, len, off) != (ssize_t)len ||
	    memcmp(there, text, len))
		script_fail(script, line, "it holds \"%s\"", there);
}

bool script_common_step(struct script *script, const struct line *line)
{
	if (!strcmp(line->word[0], "count"))
		step_count(script, line);
	else if (!strcmp(line->word[0], "put") || !strcmp(line->word[0], "holds"))
		step_file(script, line);
	else
		return false;
	return true;
}
