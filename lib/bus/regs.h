/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Names of registers, for whoever shows an access to people: the trace filter, a
 * snapshot, a debugger. Nothing that drives a device needs them.
 *
 * Whoever knows a kind of device keeps one struct r3_reg_set beside it, and one row in
 * lib/all.c. place() is asked once for each device that the set matches and says where
 * on it the registers lie; for most devices that is one call with a fixed table:
 *
 *      static const struct r3_reg regs[] = {
 *              R3_REG("CTRL", 0x00, 4, .flags = R3_REG_QUIET),
 *              R3_REG("RXQ#_TAIL", 0x100, 4, .count = 8, .stride = 0x40),
 *      };
 *
 *      static int place(struct r3_device *dev, struct r3_reg_map *map)
 *      {
 *              return R3_REG_PLACE(map, R3_REGION_BAR0, 0, regs);
 *      }
 *
 * Where registers move (a capability says in which BAR they are, a field says how far
 * apart), place() reads that from @dev, checks it like anything that a device says, and
 * may build its table on the stack: the map copies entries, and keeps only the pointers
 * to their names, which are string literals.
 */
#ifndef RING3_BUS_REGS_H
#define RING3_BUS_REGS_H

#include <ring3/device.h>

enum r3_reg_flags {
	/** Reading it changes nothing, at any time, on any device of the set: a snapshot
	 *  may. Without it nobody reads the register for its own sake. */
	R3_REG_QUIET = 1 << 0,
};

/** A register, or an array of equal ones. Where entries overlap, the first is the name. */
struct r3_reg {
	const char *name; /* the specification's; # stands for the index: "SQ#TDBL" */
	uint64_t off;     /* from the base that place() gives */
	uint8_t width;    /* 1, 2, 4 or 8 bytes */
	uint8_t flags;    /* enum r3_reg_flags */
	uint32_t count;   /* of an array; 0 and 1: one register */
	uint32_t stride;  /* bytes from one to the next */
};

#define R3_REG(name_, off_, width_, ...) \
	{ \
		.name = name_, .off = off_, .width = width_, ##__VA_ARGS__ \
	}

struct r3_reg_map;

#define R3_REG_ANY 0xffffffffu

struct r3_reg_set {
	const char *name; /* "nvme" */
	/* which PCI devices; R3_REG_ANY in a field matches all, class_mask 0 any class */
	uint32_t vendor, device;
	uint32_t class_code, class_mask;
	/** Add what @dev has to @map. The device is open, perhaps in use, and BARs answer
	 *  only where PCI_COMMAND says so: reads that fail give all ones. Writes nothing.
	 *  Nothing found is 0 too. Errors: ENOMEM. */
	int (*place)(struct r3_device *dev, struct r3_reg_map *map);
};

/** All of them, NULL-ended; lib/all.c. */
extern const struct r3_reg_set *const r3_reg_sets[];

/** For place(): @n registers at @base of region @region (enum r3_region_index).
 *  Errors: ENOMEM. */
int r3_reg_place(struct r3_reg_map *map, unsigned region, uint64_t base, const struct r3_reg *reg,
		 unsigned n);
#define R3_REG_PLACE(map, region, base, table) \
	r3_reg_place(map, region, base, table, sizeof(table) / sizeof((table)[0]))

/** The names that @dev has now; an empty map where nobody knows it. It does not refer to
 *  the device afterwards. From the device's thread. Errors: ENOMEM. */
int r3_reg_map_create(struct r3_device *dev, struct r3_reg_map **out);
/** A map never changes; it is shared by those who hold a reference, in any thread. */
struct r3_reg_map *r3_reg_map_ref(struct r3_reg_map *map);
void r3_reg_map_unref(struct r3_reg_map *map); /* NULL is allowed */

#define R3_REG_NAME_MAX 96 /* with its NUL; longer ones are cut */

/** What an access at [off, off+width) of a region touches: "CC"; "CAP+4" where it begins
 *  inside of one; "PCI_VENDOR_ID,PCI_DEVICE_ID" where it covers several. False: nothing
 *  that has a name; @buf is "" then. */
bool r3_reg_name(const struct r3_reg_map *map, unsigned region, uint64_t off, unsigned width,
		 char buf[R3_REG_NAME_MAX]);

/** One register of a device. */
struct r3_reg_found {
	char name[R3_REG_NAME_MAX];
	unsigned region;
	uint64_t off;
	unsigned width;
	unsigned flags;
};

/** Register @at of @map, arrays counted entry by entry, in the order of the tables.
 *  False: there are no more. */
bool r3_reg_get(const struct r3_reg_map *map, uint64_t at, struct r3_reg_found *out);

#endif
