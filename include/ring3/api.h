/* SPDX-License-Identifier: BSD-2-Clause */
/* What every public header needs: visibility, attributes and byte order. */
#ifndef RING3_API_H
#define RING3_API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define R3_BEGIN extern "C" {
#define R3_END   }
#else
#define R3_BEGIN
#define R3_END
#endif

/* The library is built with hidden visibility; what carries R3_API is exported. */
#define R3_API               __attribute__((visibility("default")))
#define R3_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

/* Device registers and on-device structures are little-endian (PCI 3.0, 1.2). */
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define R3_LE16(x) ((uint16_t)(x))
#define R3_LE32(x) ((uint32_t)(x))
#define R3_LE64(x) ((uint64_t)(x))
#else
#define R3_LE16(x) __builtin_bswap16((uint16_t)(x))
#define R3_LE32(x) __builtin_bswap32((uint32_t)(x))
#define R3_LE64(x) __builtin_bswap64((uint64_t)(x))
#endif

#endif
