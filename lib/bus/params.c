/* SPDX-License-Identifier: BSD-2-Clause */
/* The values of an address: looked up, checked for keys that nobody knows, and read as
 * numbers with units. */
#include <ring3/address.h>
#include <ring3/clock.h>
#include <ring3/error.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

bool r3_params_get(const struct r3_params *params, const char *key, const char **value)
{
	for (unsigned i = 0; i < params->nparam; i++) {
		if (!strcmp(params->param[i].key, key)) {
			*value = params->param[i].value;
			return true;
		}
	}
	return false;
}

static bool is_known(const char *key, const char *const *known)
{
	for (; *known; known++) {
		size_t n = strlen(*known);
		bool prefix = n && (*known)[n - 1] == '.';

		if (prefix ? !strncmp(key, *known, n) && key[n] : !strcmp(key, *known))
			return true;
	}
	return false;
}

static int unknown(const char *key, const char *what, const char *const *known)
{
	char list[384] = "none";
	size_t n = 0;

	for (; *known && n < sizeof(list); known++)
		n += (size_t)snprintf(list + n, sizeof(list) - n, "%s%s%s", n ? ", " : "", *known,
				      (*known)[strlen(*known) - 1] == '.' ? "NAME" : "");
	return r3_error_set(EINVAL, "%s: unknown key \"%s\"; it knows: %s", what, key, list);
}

int r3_params_check(const struct r3_params *params, const char *what, const char *const *known)
{
	for (unsigned i = 0; i < params->nparam; i++) {
		const char *key = params->param[i].key;

		if (!is_known(key, known))
			return unknown(key, what, known);
		for (unsigned j = 0; j < i; j++)
			if (!strcmp(params->param[j].key, key))
				return r3_error_set(EINVAL, "%s: key \"%s\" is given twice", what,
						    key);
	}
	return 0;
}

struct unit {
	const char *name;
	uint64_t factor;
};

static const struct unit size_units[] = {
	{"", 1},
	{"K", UINT64_C(1) << 10},
	{"M", UINT64_C(1) << 20},
	{"G", UINT64_C(1) << 30},
	{"T", UINT64_C(1) << 40},
	{NULL, 0},
};

static const struct unit time_units[] = {
	{"ns", 1}, {"us", R3_NSEC_PER_USEC}, {"ms", R3_NSEC_PER_MSEC}, {"s", R3_NSEC_PER_SEC},
	{NULL, 0},
};

static const struct unit no_units[] = {{"", 1}, {NULL, 0}};

/* Digits, or 0x and hexadecimal digits, and one of the units. */
static bool parse_number(const char *text, const struct unit *units, uint64_t *out)
{
	bool is_hex = text[0] == '0' && text[1] == 'x';
	unsigned base = is_hex ? 16 : 10;
	const char *at = is_hex ? text + 2 : text, *first = at;
	uint64_t value = 0;

	for (;; at++) {
		unsigned digit;

		if (*at >= '0' && *at <= '9')
			digit = (unsigned)(*at - '0');
		else if (is_hex && (*at | 0x20) >= 'a' && (*at | 0x20) <= 'f')
			digit = (unsigned)((*at | 0x20) - 'a') + 10;
		else
			break;
		if (__builtin_mul_overflow(value, base, &value) ||
		    __builtin_add_overflow(value, digit, &value))
			return false;
	}
	if (at == first)
		return false;
	for (; units->name; units++)
		if (!strcmp(at, units->name))
			return !__builtin_mul_overflow(value, units->factor, out);
	return false;
}

static int get_number(const struct r3_params *params, const char *key, const struct unit *units,
		      const char *what, uint64_t min, uint64_t max, uint64_t *out)
{
	const char *text;
	uint64_t value;

	if (!r3_params_get(params, key, &text))
		return 0;
	if (!text || !parse_number(text, units, &value) || value < min || value > max)
		return r3_error_set(EINVAL, "%s: %s=%s is not %s between %ju and %ju", params->head,
				    key, text ? text : "", what, (uintmax_t)min, (uintmax_t)max);
	*out = value;
	return 0;
}

int r3_params_size(const struct r3_params *params, const char *key, uint64_t min, uint64_t max,
		   uint64_t *out)
{
	return get_number(params, key, size_units, "a size (digits with K, M, G or T)", min, max,
			  out);
}

int r3_params_time(const struct r3_params *params, const char *key, uint64_t min_ns,
		   uint64_t max_ns, uint64_t *out_ns)
{
	return get_number(params, key, time_units, "a time (digits with ns, us, ms or s; in ns)",
			  min_ns, max_ns, out_ns);
}

int r3_params_number(const struct r3_params *params, const char *key, uint64_t min, uint64_t max,
		     uint64_t *out)
{
	return get_number(params, key, no_units, "a number", min, max, out);
}

int r3_params_flag(const struct r3_params *params, const char *key, bool *out)
{
	const char *text;

	if (!r3_params_get(params, key, &text))
		return 0;
	if (text && strcmp(text, "on") && strcmp(text, "off"))
		return r3_error_set(EINVAL,
				    "%s: %s=%s: it is a flag: \"%s\", \"%s=on\" or "
				    "\"%s=off\"",
				    params->head, key, text, key, key, key);
	*out = !text || !strcmp(text, "on");
	return 0;
}
