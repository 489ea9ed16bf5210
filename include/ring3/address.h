/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Addresses name devices:
 *
 *      *(filter *("," key "=" value) "+") scheme ":" rest
 *
 * as in "delay,read=5us+qemu:nvme,size=1G". The leftmost filter is nearest the
 * driver. In values and in the rest, "%", ",", "+" and ":" stand for themselves
 * when percent-encoded (%25 %2C %2B %3A); in the rest ":" is plain as well. A bare
 * PCI address ("0000:01:00.0" or "01:00.0") means "pci:" followed by it. Printing
 * a parsed address gives its canonical form, which parses to the same address.
 */
#ifndef RING3_ADDRESS_H
#define RING3_ADDRESS_H

#include <ring3/api.h>

R3_BEGIN

/** One key with its decoded value; value is NULL where the key stood alone. */
struct r3_param {
	const char *key;
	const char *value;
};

/** A head and its parameters: "delay,read=5us" or "nvme,size=1G,null". */
struct r3_params {
	const char *head; /* decoded; "" when there is none */
	const struct r3_param *param;
	unsigned nparam;
};

struct r3_address {
	unsigned nfilter;
	const struct r3_params *filter; /* [0] is nearest the driver */
	const char *scheme;
	struct r3_params rest; /* the text behind the colon */
};

/** Parse @text. The result is one allocation, freed by r3_address_free().
 *  Errors: EINVAL not of the grammar (the text says at which character);
 *  ENAMETOOLONG above 4096 bytes; ENOMEM. Names are not looked up. */
R3_API int r3_address_parse(const char *text, struct r3_address **out);
R3_API void r3_address_free(struct r3_address *address); /* NULL is allowed */

/** Write the canonical form with a final NUL into @buf of @size bytes and return
 *  its length without the NUL, as snprintf() does (@size may be 0). */
R3_API size_t r3_address_print(const struct r3_address *address, char *buf, size_t size);

/** Look @key up. Returns whether it is there; *value is NULL where it stood alone. */
R3_API bool r3_params_get(const struct r3_params *params, const char *key, const char **value);

/** Refuse keys that nobody knows. @known is a NULL-ended list; an entry ending in
 *  "." allows every key that begins with it. @what names the owner in the text.
 *  Errors: EINVAL unknown key, or a key twice (the text lists the known ones). */
R3_API int r3_params_check(const struct r3_params *params, const char *what,
			   const char *const *known);

/** Values with units. Each leaves *out alone where the key is absent.
 *  Size: digits with K M G T (powers of 1024). Time: digits with ns us ms s.
 *  Errors: EINVAL not such a number, or outside [min, max] (the text says both). */
R3_API int r3_params_size(const struct r3_params *params, const char *key, uint64_t min,
			  uint64_t max, uint64_t *out);
R3_API int r3_params_time(const struct r3_params *params, const char *key, uint64_t min_ns,
			  uint64_t max_ns, uint64_t *out_ns);
R3_API int r3_params_number(const struct r3_params *params, const char *key, uint64_t min,
			    uint64_t max, uint64_t *out);
/** A flag: "key", "key=on|off". */
R3_API int r3_params_flag(const struct r3_params *params, const char *key, bool *out);

R3_END
#endif
