/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading a snapshot: strict, because a device that is made of half a file would be told
 * from a real one only by those who know the real one. */
#include "backend/snapshot/snapshot.h"
#include "bus/core.h"

#include <ring3/error.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLANKS " \t\r"
#define ROW    16u /* bytes of configuration space in a line */

const char *const r3_snapshot_flags[6] = {"read", "write", NULL, "port", "prefetch", "64bit"};
const char *const r3_snapshot_irqs[3] = {"intx", "msi", "msix"};

struct parser {
	struct r3_snapshot *to;
	const char *path;
	unsigned line;
	char *rest;     /* of the line */
	bool versioned; /* the first line has come */
	unsigned row;   /* of configuration space that may come next */
	size_t room;    /* for registers */
};

static int wrong(const struct parser *p, const char *fmt, ...) R3_PRINTF(2, 3);

static int wrong(const struct parser *p, const char *fmt, ...)
{
	char why[256];
	va_list args;

	va_start(args, fmt);
	vsnprintf(why, sizeof(why), fmt, args);
	va_end(args);
	return r3_error_set(EBADMSG, "snapshot: %s: line %u: %s", p->path, p->line, why);
}

/* The next word, or "" at the end of the line. */
static char *word(struct parser *p)
{
	char *at = p->rest + strspn(p->rest, BLANKS);

	p->rest = at + strcspn(at, BLANKS);
	if (*p->rest)
		*p->rest++ = '\0';
	return at;
}

static int end_of_line(struct parser *p)
{
	const char *more = word(p);

	return *more ? wrong(p, "\"%s\" is one word too many", more) : 0;
}

static int number(struct parser *p, const char *what, uint64_t min, uint64_t max, uint64_t *out)
{
	const struct r3_param param = {.key = what, .value = word(p)};
	const struct r3_params params = {.head = "", .param = &param, .nparam = 1};

	if (!r3_params_number(&params, what, min, max, out))
		return 0;
	return wrong(p, "\"%s\" is no %s: it must be a number between %#jx and %#jx", param.value,
		     what, (uintmax_t)min, (uintmax_t)max);
}

/* ---- one function for each kind of line ---- */

static int take_version(struct parser *p)
{
	uint64_t version;

	if (strcmp(word(p), "ring3-snapshot"))
		return wrong(p, "this is no snapshot: the first line must be \"ring3-snapshot 1\"");
	p->versioned = true;
	return number(p, "version that is known here", 1, 1, &version);
}

static int take_interrupts(struct parser *p)
{
	static const unsigned most[3] = {1, 32, PCI_MSIX_FLAGS_QSIZE + 1};
	const char *type = word(p);
	uint64_t n;

	for (unsigned i = 0; i < 3; i++) {
		if (strcmp(r3_snapshot_irqs[i], type))
			continue;
		if (p->to->nirqs[i])
			return wrong(p, "%s has been said before", type);
		int rc = number(p, "number of vectors", 1, most[i], &n);
		p->to->nirqs[i] = rc ? 0 : (unsigned)n;
		return rc;
	}
	return wrong(p, "\"%s\" is no type of interrupts: intx, msi or msix", type);
}

static int region_named(struct parser *p, unsigned *out)
{
	const char *name = word(p);

	for (unsigned i = 0; i < R3_SNAPSHOT_REGIONS; i++) {
		if (!strcmp(r3_region_name(i), name)) {
			*out = i;
			return 0;
		}
	}
	return wrong(p, "\"%s\" is no region: bar0 to bar5, rom or config", name);
}

static int take_flags(struct parser *p, unsigned *flags)
{
	*flags = 0;
	for (const char *flag = word(p); *flag; flag = word(p)) {
		unsigned bit = 0;

		while (bit < 6 && (!r3_snapshot_flags[bit] || strcmp(r3_snapshot_flags[bit], flag)))
			bit++;
		if (bit == 6 || *flags & 1u << bit)
			return wrong(p, "\"%s\" is no flag of a region, or is there twice", flag);
		*flags |= 1u << bit;
	}
	return 0;
}

/* What a BAR of such a size and such flags cannot be (PCI 3.0, 6.2.5). */
static int check_region(const struct parser *p, unsigned index, uint64_t size, unsigned flags)
{
	const unsigned bar_only = R3_REGION_PORT | R3_REGION_PREFETCH | R3_REGION_64BIT;

	if (index == R3_REGION_CONFIG) {
		if (size != PCI_CFG_SPACE_SIZE && size != PCI_CFG_SPACE_EXP_SIZE)
			return wrong(p, "a configuration space has 0x100 or 0x1000 bytes");
	} else if (size & (size - 1) || size < (flags & R3_REGION_PORT ? 4 : 16)) {
		return wrong(p, "no BAR has %#jx bytes", (uintmax_t)size);
	}
	if (size > UINT32_MAX && !(flags & R3_REGION_64BIT))
		return wrong(p, "it is larger than 32 bits allow");
	if ((index > R3_REGION_BAR5 && flags & bar_only) ||
	    (flags & R3_REGION_PORT && flags & (bar_only & ~(unsigned)R3_REGION_PORT)) ||
	    (flags & R3_REGION_64BIT && index == R3_REGION_BAR5))
		return wrong(p, "these flags do not go together, or not with this region");
	return 0;
}

static int take_region(struct parser *p)
{
	unsigned index = 0, flags;
	uint64_t size;
	int rc = region_named(p, &index);

	if (rc)
		return rc;
	if (p->to->region[index].size)
		return wrong(p, "%s has been said before", r3_region_name(index));
	rc = number(p, "size", 1, UINT64_C(1) << 62, &size);
	if (!rc)
		rc = take_flags(p, &flags);
	if (!rc)
		rc = check_region(p, index, size, flags);
	if (rc)
		return rc;
	p->to->region[index].size = size;
	p->to->region[index].flags = flags;
	return 0;
}

static int digit(char c)
{
	const char *digits = "0123456789abcdef", *at = c ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) : -1;
}

static int take_row(struct parser *p, const char *head)
{
	const uint64_t size = p->to->region[R3_REGION_CONFIG].size;
	size_t digits = strspn(head, "0123456789abcdef");
	unsigned off = 0;

	if (!digits || strcmp(head + digits, ":"))
		return wrong(p, "\"%s\" is nothing that is known here", head);
	for (; *head != ':' && off < size; head++)
		off = off * 16 + (unsigned)digit(*head);
	if (off < p->row || off % ROW || off >= size)
		return wrong(p,
			     "offset %03x: offsets are multiples of 010, rise, and end before "
			     "the size of the region config, which comes before them",
			     off);
	for (unsigned i = 0; i < ROW; i++) {
		const char *byte = word(p);

		if (digit(byte[0]) < 0 || digit(byte[1]) < 0 || byte[2])
			return wrong(p, "a line has 16 bytes of two hexadecimal digits");
		p->to->config[off + i] = (uint8_t)(digit(byte[0]) << 4 | digit(byte[1]));
	}
	p->row = off + ROW;
	return 0;
}

static int add_register(struct parser *p, const struct r3_snapshot_register *reg)
{
	if (p->to->nreg == R3_SNAPSHOT_REGISTERS)
		return wrong(p, "more than %u registers", R3_SNAPSHOT_REGISTERS);
	if (p->to->nreg == p->room) {
		size_t room = p->room ? 2 * p->room : 64;
		void *more = reallocarray(p->to->reg, room, sizeof(*reg));

		if (!more)
			return r3_error_set(ENOMEM, "snapshot: %s: out of memory", p->path);
		p->to->reg = more;
		p->room = room;
	}
	p->to->reg[p->to->nreg++] = *reg;
	return 0;
}

static int take_register(struct parser *p)
{
	struct r3_snapshot_register reg;
	uint64_t size, width;
	int rc = region_named(p, &reg.region);

	if (rc)
		return rc;
	size = p->to->region[reg.region].size;
	if (reg.region == R3_REGION_CONFIG || !size)
		return wrong(p, "a register lies in a BAR or ROM that a line before it tells of");
	rc = number(p, "offset in the region", 0, size - 1, &reg.off);
	if (!rc)
		rc = number(p, "width", 1, 8, &width);
	if (rc)
		return rc;
	if (width & (width - 1) || reg.off & (width - 1) || width > size - reg.off)
		return wrong(p, "a register has 1, 2, 4 or 8 bytes, at a multiple of that, "
				"inside of its region");
	reg.width = (unsigned)width;
	rc = number(p, "value of that width", 0, UINT64_MAX >> (64 - 8 * width), &reg.value);
	if (rc)
		return rc;
	if (p->to->nreg) {
		const struct r3_snapshot_register *last = &p->to->reg[p->to->nreg - 1];

		if (reg.region < last->region ||
		    (reg.region == last->region && reg.off < last->off + last->width))
			return wrong(p, "registers come in the order of regions and offsets, and "
					"do not overlap");
	}
	return add_register(p, &reg);
}

/* ---- the whole ---- */

static int take_line(struct parser *p, char *line)
{
	const char *head;
	int rc;

	p->rest = line;
	line[strcspn(line, "#")] = '\0';
	if (!line[strspn(line, BLANKS)])
		return 0;
	if (!p->versioned) {
		rc = take_version(p);
		return rc ? rc : end_of_line(p);
	}
	head = word(p);
	if (!strcmp(head, "interrupts"))
		rc = take_interrupts(p);
	else if (!strcmp(head, "region"))
		rc = take_region(p);
	else if (!strcmp(head, "register"))
		rc = take_register(p);
	else
		rc = take_row(p, head);
	return rc ? rc : end_of_line(p);
}

static int check_whole(const struct parser *p)
{
	const struct r3_snapshot *s = p->to;

	if (!p->versioned)
		return wrong(p, "this is no snapshot: there is no line \"ring3-snapshot 1\"");
	if (!s->region[R3_REGION_CONFIG].size)
		return wrong(p, "it ends without a region config");
	if ((s->config[PCI_VENDOR_ID] | s->config[PCI_VENDOR_ID + 1]) == 0 ||
	    (s->config[PCI_VENDOR_ID] & s->config[PCI_VENDOR_ID + 1]) == 0xff)
		return wrong(p, "it ends without the line 000: of configuration space, or that has "
				"no vendor");
	for (unsigned i = 0; i < R3_REGION_BAR5; i++)
		if (s->region[i].flags & R3_REGION_64BIT && s->region[i + 1].size)
			return wrong(p, "%s is the upper half of the BAR before it",
				     r3_region_name(i + 1));
	return 0;
}

int r3_snapshot_parse(const char *path, char *text, size_t len, struct r3_snapshot *out)
{
	struct parser p = {.to = out, .path = path};
	char *line = text, *end;
	int rc = 0;

	*out = (struct r3_snapshot){.nreg = 0};
	for (; !rc && line < text + len; line = end + 1) {
		p.line++;
		end = memchr(line, '\n', (size_t)(text + len - line));
		if (!end)
			rc = wrong(&p, "it ends in the middle of a line");
		else if (memchr(line, '\0', (size_t)(end - line)))
			rc = wrong(&p, "there is a NUL in it");
		if (rc)
			break;
		*end = '\0';
		rc = take_line(&p, line);
	}
	if (!p.line)
		p.line = 1; /* of an empty file */
	if (!rc)
		rc = check_whole(&p);
	if (rc)
		free(out->reg);
	return rc;
}
