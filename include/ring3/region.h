/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Regions: registers, memory, ports and configuration space of a device.
 *
 * Accesses are little-endian, naturally aligned and of 1, 2, 4 or 8 bytes. Where
 * the region is mapped they are one load or store, else a message to the device's
 * carrier. A write is ordered after all earlier stores to memory, a read before
 * all later loads; mapped and message accesses are not ordered among each other:
 * read something back to flush writes. Writes may be posted.
 *
 * A read that cannot be done (removed device, out of range, misaligned) returns
 * all ones as a PCI bus does; such a write goes nowhere. r3_region_read()
 * and r3_region_write() say why.
 */
#ifndef RING3_REGION_H
#define RING3_REGION_H

#include <ring3/api.h>
#include <ring3/clock.h>

R3_BEGIN

/** Indexes of a PCI device's regions, as VFIO_PCI_*_REGION_INDEX. */
enum r3_region_index {
	R3_REGION_BAR0,
	R3_REGION_BAR1,
	R3_REGION_BAR2,
	R3_REGION_BAR3,
	R3_REGION_BAR4,
	R3_REGION_BAR5,
	R3_REGION_ROM,
	R3_REGION_CONFIG,
	R3_REGION_VGA,
	R3_REGION_IO, /* ports of a device that is not PCI */
	R3_REGION_MAX
};

enum r3_region_flags {
	R3_REGION_READ = 1 << 0,
	R3_REGION_WRITE = 1 << 1,
	R3_REGION_MAPPABLE = 1 << 2,
	R3_REGION_PORT = 1 << 3,     /* I/O ports, not memory */
	R3_REGION_PREFETCH = 1 << 4, /* reads have no side effects */
	R3_REGION_64BIT = 1 << 5,    /* a 64-bit BAR: the next index does not exist */
};

/** The first 32 bytes are frozen: the accessors below are compiled into drivers. */
struct r3_region {
	unsigned char *map; /* where byte map_off of the region is mapped */
	uint64_t map_off;
	uint64_t map_len; /* multiple of 8, like map_off; 0 when nothing is mapped */
	uint64_t size;    /* bytes */
	/* not frozen */
	struct r3_device *dev;
	unsigned index;
	unsigned flags;   /* enum r3_region_flags */
	const char *name; /* "bar0", "config", ... */
};

/** Access @count items of @width bytes from @off on, to or from @data in the
 *  CPU's byte order. A repeated access walks upwards. Says what is wrong.
 *  Errors: EINVAL width not 1, 2, 4, 8, or @off misaligned for it; ERANGE beyond
 *  the region; EACCES region cannot be read (written); ENODEV the device is gone
 *  (@data is all ones); ENODATA a snapshot does not have it; EIO. */
R3_API int r3_region_read(struct r3_region *region, uint64_t off, unsigned width, void *data,
			  uint32_t count);
R3_API int r3_region_write(struct r3_region *region, uint64_t off, unsigned width, const void *data,
			   uint32_t count);

/** The message side of the accessors below; use those. */
R3_API uint64_t r3_region_get(struct r3_region *region, uint64_t off, unsigned width);
R3_API void r3_region_put(struct r3_region *region, uint64_t off, unsigned width, uint64_t value);

/** Wait until (register & mask) == want, at most @timeout_ns on the device's
 *  clock. *last (may be NULL) gets the last value read.
 *  Errors: ETIMEDOUT; ENODEV the device is gone. */
R3_API int r3_region_wait32(struct r3_region *region, uint64_t off, uint32_t mask, uint32_t want,
			    uint64_t timeout_ns, uint32_t *last);

/** Stores to memory before it are visible to the device before stores after it. */
static inline void r3_barrier_write(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__asm__ __volatile__("" ::: "memory"); /* stores are not reordered with stores */
#elif defined(__aarch64__)
	__asm__ __volatile__("dmb oshst" ::: "memory");
#else
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}

/** Loads after it are not done before loads before it. */
static inline void r3_barrier_read(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__asm__ __volatile__("" ::: "memory"); /* loads are not reordered with loads */
#elif defined(__aarch64__)
	__asm__ __volatile__("dmb oshld" ::: "memory");
#else
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}

/* Is the aligned access of `width` bytes at `off` inside the mapping? map_len is a
 * multiple of 8, so an aligned access that begins inside also ends inside. It becomes 0
 * when the device goes, whichever thread notices. */
#define R3_REGION_MAPPED(region, off, width) \
	(__builtin_expect((off) - (region)->map_off < \
				  __atomic_load_n(&(region)->map_len, __ATOMIC_RELAXED), \
			  1) && \
	 ((off) & ((width)-1)) == 0)

#define R3_REGION_ACCESSORS(bits) \
	/* No ordering against memory: for registers that only the device looks at. */ \
	static inline uint##bits##_t r3_read##bits##_relaxed(struct r3_region *region, \
							     uint64_t off) \
	{ \
		if (R3_REGION_MAPPED(region, off, bits / 8)) { \
			const volatile void *at = region->map + (off - region->map_off); \
			return R3_REGION_CPU##bits(*(const volatile uint##bits##_t *)at); \
		} \
		return (uint##bits##_t)r3_region_get(region, off, bits / 8); \
	} \
	static inline void r3_write##bits##_relaxed(struct r3_region *region, uint64_t off, \
						    uint##bits##_t value) \
	{ \
		if (R3_REGION_MAPPED(region, off, bits / 8)) { \
			volatile void *at = region->map + (off - region->map_off); \
			*(volatile uint##bits##_t *)at = R3_REGION_CPU##bits(value); \
			return; \
		} \
		r3_region_put(region, off, bits / 8, value); \
	} \
	static inline uint##bits##_t r3_read##bits(struct r3_region *region, uint64_t off) \
	{ \
		uint##bits##_t value = r3_read##bits##_relaxed(region, off); \
		r3_barrier_read(); \
		return value; \
	} \
	static inline void r3_write##bits(struct r3_region *region, uint64_t off, \
					  uint##bits##_t value) \
	{ \
		r3_barrier_write(); \
		r3_write##bits##_relaxed(region, off, value); \
	}

#define R3_REGION_CPU8(x)  ((uint8_t)(x))
#define R3_REGION_CPU16(x) R3_LE16(x)
#define R3_REGION_CPU32(x) R3_LE32(x)
#define R3_REGION_CPU64(x) R3_LE64(x)

/** r3_read8/16/32/64(region, off), r3_write8/16/32/64(region, off, value), and the
 *  same with _relaxed. */
R3_REGION_ACCESSORS(8)
R3_REGION_ACCESSORS(16)
R3_REGION_ACCESSORS(32)
R3_REGION_ACCESSORS(64)

R3_END
#endif
