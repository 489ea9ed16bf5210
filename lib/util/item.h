/* SPDX-License-Identifier: BSD-2-Clause */
/* One item of a register access, of 1, 2, 4 or 8 bytes, at an address that nobody promised
 * to be aligned: in the CPU's order, as calls pass it on, or little-endian, as it lies in
 * the memory of a device. */
#ifndef R3_UTIL_ITEM_H
#define R3_UTIL_ITEM_H

#include <ring3/api.h>
#include <string.h>

static inline uint64_t r3_item_get(const void *at, unsigned width)
{
	uint16_t u16;
	uint32_t u32;
	uint64_t u64;

	switch (width) {
	case 1:
		return *(const uint8_t *)at;
	case 2:
		memcpy(&u16, at, sizeof(u16));
		return u16;
	case 4:
		memcpy(&u32, at, sizeof(u32));
		return u32;
	default:
		memcpy(&u64, at, sizeof(u64));
		return u64;
	}
}

static inline void r3_item_put(void *at, unsigned width, uint64_t u64)
{
	uint32_t u32 = (uint32_t)u64;
	uint16_t u16 = (uint16_t)u64;

	switch (width) {
	case 1:
		*(uint8_t *)at = (uint8_t)u64;
		break;
	case 2:
		memcpy(at, &u16, sizeof(u16));
		break;
	case 4:
		memcpy(at, &u32, sizeof(u32));
		break;
	default:
		memcpy(at, &u64, sizeof(u64));
	}
}

static inline uint64_t r3_item_get_le(const void *at, unsigned width)
{
	uint64_t le = 0;

	memcpy(&le, at, width);
	return R3_LE64(le);
}

static inline void r3_item_put_le(void *at, unsigned width, uint64_t value)
{
	uint64_t le = R3_LE64(value);

	memcpy(at, &le, width);
}

#endif
