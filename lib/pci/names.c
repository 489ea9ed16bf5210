/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pci.ids in memory: the file as it is, its names cut into strings in place, and
 * one index sorted by key. The keys are made so that a file in order gives them in
 * order, which leaves nothing to sort.
 */
#include <ring3/error.h>
#include <ring3/pci.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The data base is 1.4 MB; what is larger than this is something else. */
#define MAX_FILE (64u << 20)

struct name {
	uint64_t key;
	uint32_t at; /* in text */
};

struct r3_pci_names {
	char *text;
	struct name *name;
	size_t n, room;
};

/* A vendor sorts before its devices, a class before its sub-classes, those before
 * their programming interfaces. */
static uint64_t vendor_key(uint32_t vendor)
{
	return (uint64_t)vendor << 17;
}

static uint64_t device_key(uint32_t vendor, uint32_t device)
{
	return vendor_key(vendor) | 1u << 16 | device;
}

static uint64_t class_key(uint32_t base, int sub, int interface)
{
	return UINT64_C(1) << 40 | (uint64_t)base << 20 | (uint64_t)(sub + 1) << 10 |
	       (uint64_t)(interface + 1);
}

static int add(struct r3_pci_names *names, uint64_t key, const char *name)
{
	if (names->n == names->room) {
		size_t room = names->room ? names->room * 2 : 1024;
		struct name *more = reallocarray(names->name, room, sizeof(*more));

		if (more == NULL)
			return r3_error_set(ENOMEM, "pci.ids: no memory for its index");
		names->name = more;
		names->room = room;
	}
	names->name[names->n].key = key;
	names->name[names->n++].at = (uint32_t)(name - names->text);
	return 0;
}

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* "HHHH  name": @digits of a number, then the name. -1 where it is anything else. */
static int32_t entry(char *line, unsigned digits, char **name)
{
	int32_t value = 0;

	for (; digits; digits--, line++) {
		int digit = hex(*line);

		if (digit < 0)
			return -1;
		value = value << 4 | digit;
	}
	if (*line != ' ' && *line != '\t')
		return -1;
	while (*line == ' ' || *line == '\t')
		line++;
	*name = line;
	return *line ? value : -1;
}

/* What the indented lines belong to. */
struct section {
	int32_t vendor, base, sub; /* -1: none */
};

static int parse_line(struct r3_pci_names *names, struct section *in, char *line)
{
	unsigned depth = 0;
	int32_t value;
	char *name;

	if (*line == '#' || *line == '\0')
		return 0;
	while (*line == '\t') {
		depth++;
		line++;
	}
	if (depth == 0) {
		*in = (struct section){-1, -1, -1};
		if (line[0] == 'C' && line[1] == ' ') {
			in->base = entry(line + 2, 2, &name);
			return in->base < 0
				       ? 0
				       : add(names, class_key((uint32_t)in->base, -1, -1), name);
		}
		in->vendor = entry(line, 4, &name);
		return in->vendor < 0 ? 0 : add(names, vendor_key((uint32_t)in->vendor), name);
	}
	if (depth == 1 && in->vendor >= 0) {
		value = entry(line, 4, &name);
		if (value >= 0)
			return add(names, device_key((uint32_t)in->vendor, (uint32_t)value), name);
	} else if (depth == 1 && in->base >= 0) {
		in->sub = entry(line, 2, &name);
		if (in->sub >= 0)
			return add(names, class_key((uint32_t)in->base, in->sub, -1), name);
	} else if (depth == 2 && in->sub >= 0) {
		value = entry(line, 2, &name);
		if (value >= 0)
			return add(names, class_key((uint32_t)in->base, in->sub, value), name);
	}
	return 0; /* subsystems, and what is none of these */
}

static int compare(const void *a, const void *b)
{
	const struct name *x = a, *y = b;

	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	return x->at < y->at ? -1 : x->at > y->at; /* the first of two is found first */
}

static int parse(struct r3_pci_names *names, size_t len)
{
	struct section in = {-1, -1, -1};
	char *line = names->text, *end = names->text + len;
	bool sorted = true;
	size_t i;

	while (line < end) {
		char *next = memchr(line, '\n', (size_t)(end - line));
		int rc;

		if (next == NULL)
			next = end;
		*next = '\0';
		/* it will be printed on terminals */
		for (char *c = line; c < next; c++)
			if ((unsigned char)*c < ' ' && *c != '\t')
				*c = *c == '\r' ? '\0' : '?';
		rc = parse_line(names, &in, line);
		if (rc)
			return rc;
		line = next + 1;
	}
	for (i = 1; i < names->n && sorted; i++)
		sorted = compare(&names->name[i - 1], &names->name[i]) < 0;
	if (!sorted)
		qsort(names->name, names->n, sizeof(*names->name), compare);
	return 0;
}

/* The file with a NUL behind it. */
static int load(int fd, const char *path, char **text, size_t *len)
{
	struct stat st;
	char *buf;
	size_t got = 0;

	if (fstat(fd, &st))
		return r3_error_set(errno, "%s: %m", path);
	if (!S_ISREG(st.st_mode) || st.st_size > MAX_FILE)
		return r3_error_set(EINVAL, "%s: is not a pci.ids file", path);
	buf = malloc((size_t)st.st_size + 1);
	if (buf == NULL)
		return r3_error_set(ENOMEM, "%s: no memory to read it", path);
	while (got < (size_t)st.st_size) {
		ssize_t n = read(fd, buf + got, (size_t)st.st_size - got);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			int rc = r3_error_set(errno, "%s: %m", path);

			free(buf);
			return rc;
		}
		if (n == 0)
			break;
		got += (size_t)n;
	}
	buf[got] = '\0';
	*text = buf;
	*len = got;
	return 0;
}

static int find_file(const char *path, const char **found)
{
	static const char *const places[] = {"/usr/share/misc/pci.ids",
					     "/usr/share/hwdata/pci.ids"};
	int fd = -1;

	if (path) {
		*found = path;
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
		return fd < 0 ? r3_error_set(errno, "%s: %m", path) : fd;
	}
	for (unsigned i = 0; i < sizeof(places) / sizeof(*places) && fd < 0; i++) {
		*found = places[i];
		fd = open(places[i], O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	}
	if (fd < 0)
		return r3_error_set(errno, "%s: %m: install the package pci.ids for names",
				    places[0]);
	return fd;
}

int r3_pci_names_open(const char *path, struct r3_pci_names **out)
{
	struct r3_pci_names *names;
	size_t len = 0;
	int rc, fd;

	fd = find_file(path, &path);
	if (fd < 0)
		return fd;
	names = calloc(1, sizeof(*names));
	if (names == NULL) {
		rc = r3_error_set(ENOMEM, "%s: no memory to read it", path);
		goto close;
	}
	rc = load(fd, path, &names->text, &len);
	if (rc)
		goto free;
	rc = parse(names, len);
	if (rc)
		goto free;
	*out = names;
	names = NULL;
free:
	r3_pci_names_close(names);
close:
	close(fd);
	return rc;
}

void r3_pci_names_close(struct r3_pci_names *names)
{
	if (names == NULL)
		return;
	free(names->name);
	free(names->text);
	free(names);
}

static const char *find(const struct r3_pci_names *names, uint64_t key)
{
	size_t low = 0, high;

	if (names == NULL)
		return NULL;
	high = names->n;
	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (names->name[mid].key < key)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == names->n || names->name[low].key != key)
		return NULL;
	return names->text + names->name[low].at;
}

const char *r3_pci_vendor_name(const struct r3_pci_names *names, uint16_t vendor)
{
	return find(names, vendor_key(vendor));
}

const char *r3_pci_device_name(const struct r3_pci_names *names, uint16_t vendor, uint16_t device)
{
	return find(names, device_key(vendor, device));
}

const char *r3_pci_class_name(const struct r3_pci_names *names, uint32_t class_code)
{
	uint32_t base = class_code >> 16 & 0xff;
	int sub = class_code >> 8 & 0xff, interface = class_code & 0xff;
	const char *name = find(names, class_key(base, sub, interface));

	if (name == NULL)
		name = find(names, class_key(base, sub, -1));
	if (name == NULL)
		name = find(names, class_key(base, -1, -1));
	return name;
}
