/* SPDX-License-Identifier: BSD-2-Clause */
/* Snapshots: what is taken of a device and opened again, what is refused in a file, and a
 * parser that is given all kinds of broken ones. */
#include "backend/snapshot/snapshot.h"
#include "bus/regs.h"
#include "fake/fake_device.h"
#include "stub/nvme_stub.h"
#include "unit.h"

#include <ring3/dma.h>
#include <ring3/error.h>
#include <ring3/irq.h>
#include <ring3/pci.h>
#include <ring3/snapshot.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

static char path[64];

static int setup(void **state)
{
	sprintf(path, P_tmpdir "/ring3-test-snapshot-%d", getpid());
	return 0;
}

static int teardown(void **state)
{
	unlink(path);
	return 0;
}

static void write_text(const char *text, size_t len)
{
	FILE *file = fopen(path, "we");

	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, len, file), len);
	assert_int_equal(fclose(file), 0);
}

static int open_text(const char *text, struct r3_device **dev)
{
	char address[80];

	write_text(text, strlen(text));
	sprintf(address, "snapshot:%s", path);
	return r3_device_open(address, NULL, dev);
}

static struct r3_device *open_good(const char *text)
{
	struct r3_device *dev;

	if (open_text(text, &dev))
		fail_msg("%s", r3_error_text());
	return dev;
}

/* Whatever a driver that only looks does. */
static void look_at(struct r3_device *dev)
{
	struct r3_pci_cap caps[64];
	struct r3_reg_found found;
	struct r3_reg_map *map;
	struct r3_pci_bar bar;
	struct r3_pci_id id;
	uint64_t item;

	r3_pci_identify(dev, &id);
	r3_pci_caps(dev, caps, 64);
	for (unsigned i = 0; i < R3_REGION_MAX; i++) {
		struct r3_region *region;

		r3_pci_get_bar(dev, i, &bar);
		if (r3_device_region(dev, i, &region))
			continue;
		r3_read32(region, 0);
		r3_read8(region, region->size - 1);
		r3_write32(region, 0, UINT32_MAX);
		r3_region_read(region, (region->size - 8) & ~UINT64_C(7), 8, &item, 1);
	}
	assert_int_equal(r3_reg_map_create(dev, &map), 0);
	for (uint64_t i = 0; i < 200 && r3_reg_get(map, i, &found); i++)
		;
	r3_reg_map_unref(map);
}

/* ---- taken and opened again ---- */

static void same_regions(struct r3_device *a, struct r3_device *b)
{
	for (unsigned i = 0; i < R3_REGION_MAX; i++) {
		struct r3_region *x, *y;
		int rc = r3_device_region(a, i, &x);

		assert_int_equal(r3_device_region(b, i, &y), rc);
		if (rc)
			continue;
		assert_int_equal(x->size, y->size);
		assert_int_equal(x->flags & ~(unsigned)R3_REGION_MAPPABLE, y->flags);
		assert_string_equal(x->name, y->name);
	}
}

static void round_trip(void **state)
{
	struct nvme_stub *stub = nvme_stub_new(NULL, NULL);
	struct r3_device *live = nvme_stub_device(stub), *dev;
	struct r3_region *config, *live_config, *bar, *live_bar;
	char *text, *again;
	size_t len;

	assert_int_equal(r3_device_region(live, R3_REGION_CONFIG, &live_config), 0);
	assert_int_equal(r3_device_region(live, R3_REGION_BAR0, &live_bar), 0);
	assert_int_equal(r3_snapshot_take(live, &text, &len), 0);
	assert_int_equal(strlen(text), len);
	assert_int_equal(r3_pci_read16(live, PCI_COMMAND), 0); /* decodes no longer */
	dev = open_good(text);

	assert_int_equal(r3_device_region(dev, R3_REGION_CONFIG, &config), 0);
	for (unsigned off = 0; off < config->size; off += 4)
		assert_int_equal(r3_read32(config, off), r3_read32(live_config, off));
	same_regions(live, dev);
	assert_memory_equal(dev->info.nirqs, live->info.nirqs, sizeof(dev->info.nirqs));
	assert_int_equal(r3_device_region(dev, R3_REGION_BAR0, &bar), 0);
	r3_pci_enable(live, R3_PCI_MEMORY, 0);
	assert_int_equal(r3_read64(bar, NVME_REG_CAP), r3_read64(live_bar, NVME_REG_CAP));
	assert_int_equal(r3_read32(bar, NVME_REG_VS), r3_read32(live_bar, NVME_REG_VS));
	/* an access inside, and one of several */
	assert_int_equal(r3_read16(bar, NVME_REG_CAP + 6), r3_read64(bar, NVME_REG_CAP) >> 48);
	assert_int_equal(r3_read32(bar, 0x1000), UINT32_MAX);

	/* and a snapshot of it is the same again */
	assert_int_equal(r3_snapshot_take(dev, &again, &len), 0);
	assert_string_equal(again, text);
	free(again);
	free(text);
	r3_device_close(dev);
	r3_device_close(live);
}

#define HEAD    "ring3-snapshot 1\n"
#define CONFIG  "region config 0x100 read write\n"
#define ROW_000 "000: 36 1b 10 00 00 00 10 00 02 02 08 01 00 00 00 00\n"
#define LEAST   HEAD CONFIG ROW_000

static void only_looking(void **state)
{
	struct r3_device *dev = open_good(
		HEAD CONFIG
		"region bar0 0x4000 read write 64bit\nregion bar2 0x20 read write port\n" ROW_000
		"010: 04 00 00 fe 00 00 00 00 01 c0 00 00 00 00 00 00\n"
		"interrupts msix 2\nregister bar0 0x1c 4 0x01020304\n");
	struct r3_region *bar, *config;
	struct r3_arena *arena;
	struct r3_irq_set *irq;
	uint32_t value = 0;
	uint64_t wide;
	unsigned proved;

	assert_int_equal(r3_device_region(dev, 0, &bar), 0);
	assert_int_equal(r3_device_region(dev, R3_REGION_CONFIG, &config), 0);
	assert_int_equal(r3_region_read(bar, 0x1c, 4, &value, 1), 0);
	assert_int_equal(value, 0x01020304);
	assert_int_equal(r3_read8(bar, 0x1e), 0x02);
	assert_int_equal(r3_region_read(bar, 0x20, 4, &value, 1), -ENODATA);
	assert_non_null(strstr(r3_error_text(), "does not have this register"));
	assert_int_equal(r3_region_read(bar, 0x18, 8, &wide, 1), -ENODATA);

	assert_int_equal(r3_region_write(bar, 0x1c, 4, &value, 1), -EACCES);
	assert_int_equal(r3_region_write(config, PCI_VENDOR_ID, 2, &value, 1), -EACCES);
	assert_non_null(strstr(r3_error_text(), "cannot be written"));
	r3_write32(bar, 0x1c, 5);
	assert_int_equal(r3_read32(bar, 0x1c), 0x01020304);
	r3_pci_write16(dev, PCI_VENDOR_ID, 5);
	assert_int_equal(r3_pci_read16(dev, PCI_VENDOR_ID), 0x1b36);

	assert_int_equal(r3_device_arena(dev, &arena), -EOPNOTSUPP);
	assert_int_equal(r3_irq_enable(dev, R3_IRQ_MSIX, 1, 2, &irq), -EOPNOTSUPP);
	assert_int_equal(r3_device_reset(dev, R3_RESET_ANY), -EOPNOTSUPP);
	assert_int_equal(r3_device_quiesce(dev, R3_QUIESCE_DMA, &proved), 0);
	assert_int_equal(r3_device_fd(dev), -1);
	r3_device_close(dev);
}

static void bars_can_be_sized(void **state)
{
	struct r3_device *dev =
		open_good(HEAD CONFIG "region bar0 0x4000 read write prefetch 64bit\n"
				      "region bar2 0x20 read write port\n"
				      "region rom 0x800 read\n" ROW_000
				      "010: 0c 00 00 fe 01 00 00 00 01 c0 00 00 00 00 00 00\n");

	assert_int_equal(r3_pci_read32(dev, PCI_BASE_ADDRESS_0), 0xfe00000c);
	r3_pci_write32(dev, PCI_BASE_ADDRESS_0, UINT32_MAX);
	r3_pci_write32(dev, PCI_BASE_ADDRESS_1, UINT32_MAX);
	r3_pci_write32(dev, PCI_BASE_ADDRESS_2, UINT32_MAX);
	r3_pci_write32(dev, PCI_BASE_ADDRESS_3, UINT32_MAX);
	r3_pci_write32(dev, PCI_ROM_ADDRESS, UINT32_MAX);
	assert_int_equal(r3_pci_read32(dev, PCI_BASE_ADDRESS_0), 0xffffc00c);
	assert_int_equal(r3_pci_read32(dev, PCI_BASE_ADDRESS_1), UINT32_MAX);
	assert_int_equal(r3_pci_read32(dev, PCI_BASE_ADDRESS_2), 0xffffffe1);
	assert_int_equal(r3_pci_read32(dev, PCI_BASE_ADDRESS_3), 0);
	assert_int_equal(r3_pci_read32(dev, PCI_ROM_ADDRESS), 0xfffff801);
	r3_pci_write32(dev, PCI_BASE_ADDRESS_0, 0xfe000000);
	assert_int_equal(r3_pci_read32(dev, PCI_BASE_ADDRESS_0), 0xfe00000c);
	assert_int_equal(r3_pci_enable(dev, R3_PCI_MEMORY | R3_PCI_IO | R3_PCI_MASTER, 0), 0);
	assert_int_equal(r3_pci_enable(dev, 0, R3_PCI_MEMORY), 0);
	r3_device_close(dev);
}

/* Registers whose reading does something stay unread, and so does what has no name. */
static void nothing_else_is_read(void **state)
{
	struct nvme_stub *stub = nvme_stub_new(NULL, NULL);
	struct r3_device *live = nvme_stub_device(stub);
	char *text;
	size_t len;

	assert_int_equal(r3_snapshot_take(live, &text, &len), 0);
	assert_non_null(strstr(text, "register bar0 0x1c 4 0x00000000 # CSTS\n"));
	assert_null(strstr(text, "PMRSTS"));
	assert_null(strstr(text, "TDBL"));
	assert_null(strstr(text, "MSIX0"));
	free(text);
	r3_device_close(live);
}

static void what_has_no_snapshot(void **state)
{
	struct fake_device *fake = fake_device_new(NULL);
	char *text;
	size_t len;

	assert_int_equal(fake_device_adopt(fake), 0);
	fake->fail_rw = -EIO;
	assert_int_equal(r3_snapshot_take(&fake->base, &text, &len), -ENODEV);
	fake->fail_rw = 0;
	fake->base.info.caps &= ~(unsigned)R3_CAP_PCI;
	assert_int_equal(r3_snapshot_take(&fake->base, &text, &len), -EOPNOTSUPP);
	fake->base.info.caps |= R3_CAP_PCI;
	fake_device_remove(fake);
	assert_int_equal(r3_snapshot_take(&fake->base, &text, &len), -ENODEV);
	r3_device_close(&fake->base);
}

/* ---- files ---- */

static void what_a_file_may_be(void **state)
{
	static const char *const good[] = {
		LEAST,
		"\n# a device\n\n  ring3-snapshot\t1 # the version\n" CONFIG ROW_000,
		HEAD "region config 0x100 read write\r\n" ROW_000 "# done\n",
		HEAD "region config 256\n" ROW_000,
		LEAST "0f0: 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 ff\ninterrupts intx 1\n",
		LEAST
		"region bar0 16\nregister bar0 0 8 0xffffffffffffffff\nregister bar0 8 1 255\n",
		LEAST "region bar0 0x4000000000000000 64bit\n",
	};

	for (unsigned i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct r3_device *dev = open_good(good[i]);

		look_at(dev);
		r3_device_close(dev);
	}
}

static void what_it_may_not_be(void **state)
{
	static const struct {
		const char *text, *why;
	} bad[] = {
		{"", "line 1: this is no snapshot"},
		{"# nothing\n", "no line \"ring3-snapshot 1\""},
		{"\n\nhello\n", "line 3: this is no snapshot"},
		{"ring3-snapshot 2\n", "line 1: \"2\" is no version that is known here"},
		{"ring3-snapshot\n", "line 1: \"\" is no version"},
		{"ring3-snapshot 1 0\n", "line 1: \"0\" is one word too many"},
		{HEAD, "line 1: it ends without a region config"},
		{HEAD CONFIG, "line 2: it ends without the line 000:"},
		{HEAD CONFIG "000: 36 1b", "line 3: it ends in the middle of a line"},
		{HEAD CONFIG "000: ff ff 10 00 00 00 10 00 02 02 08 01 00 00 00 00\n", "no vendor"},
		{HEAD ROW_000, "line 2: offset 000"},
		{LEAST ROW_000, "line 4: offset 000: offsets are multiples of 010, rise"},
		{LEAST "008: 36 1b 10 00 00 00 10 00 02 02 08 01 00 00 00 00\n",
		 "line 4: offset 008"},
		{LEAST "100: 36 1b 10 00 00 00 10 00 02 02 08 01 00 00 00 00\n",
		 "line 4: offset 100"},
		{LEAST "fffffffffffffffff:\n", "line 4: offset"},
		{LEAST "0F0: 36\n", "line 4: \"0F0:\" is nothing that is known"},
		{LEAST "0f0 36\n", "line 4: \"0f0\" is nothing that is known"},
		{LEAST ":\n", "line 4: \":\" is nothing"},
		{LEAST "0f0: 36 1b 10 00 00 00 10 00 02 02 08 01 00 00 00\n",
		 "line 4: a line has 16"},
		{LEAST "0f0: 36 1b 10 00 00 00 10 00 02 02 08 01 00 00 00 0\n",
		 "line 4: a line has"},
		{LEAST "0f0: 36 1b 10 00 00 00 10 00 02 02 08 01 00 00 00 00 1\n", "too many"},
		{LEAST CONFIG, "line 4: config has been said before"},
		{LEAST "region bar6 16\n", "line 4: \"bar6\" is no region"},
		{LEAST "region vga 16\n", "\"vga\" is no region"},
		{LEAST "region bar0 17\n", "no BAR has 0x11 bytes"},
		{LEAST "region bar0 8 read\n", "no BAR has 0x8 bytes"},
		{LEAST "region bar0 0\n", "\"0\" is no size"},
		{LEAST "region bar0 -1\n", "\"-1\" is no size"},
		{LEAST "region bar0 99999999999999999999\n", "is no size"},
		{LEAST "region bar0 0x100000000 read\n", "larger than 32 bits"},
		{LEAST "region bar5 0x1000 64bit\n", "do not go together"},
		{LEAST "region bar0 0x1000 64bit port\n", "do not go together"},
		{LEAST "region rom 0x1000 64bit\n", "do not go together"},
		{LEAST "region bar0 0x1000 red\n", "\"red\" is no flag"},
		{LEAST "region bar0 0x1000 read read\n", "is there twice"},
		{LEAST "region bar1 16\nregion bar0 16 64bit\n", "bar1 is the upper half"},
		{HEAD "region config 0x200\n", "0x100 or 0x1000 bytes"},
		{LEAST "interrupts msi 33\n", "\"33\" is no number of vectors"},
		{LEAST "interrupts msi 0\n", "is no number of vectors"},
		{LEAST "interrupts pin 1\n", "\"pin\" is no type of interrupts"},
		{LEAST "interrupts msi 1\ninterrupts msi 1\n", "line 5: msi has been said before"},
		{LEAST "register bar0 0 4 0\n", "a register lies in a BAR or ROM"},
		{LEAST "register config 0 4 0\n", "a register lies in a BAR or ROM"},
		{LEAST "region bar0 16\nregister bar0 16 4 0\n", "\"16\" is no offset"},
		{LEAST "region bar0 16\nregister bar0 0 3 0\n", "1, 2, 4 or 8 bytes"},
		{LEAST "region bar0 16\nregister bar0 2 4 0\n", "1, 2, 4 or 8 bytes"},
		{LEAST "region bar0 16\nregister bar0 0 4 0x100000000\n",
		 "is no value of that width"},
		{LEAST "region bar0 16\nregister bar0 0 4\n", "\"\" is no value"},
		{LEAST "region bar0 16\nregister bar0 4 4 0\nregister bar0 0 8 0\n",
		 "line 6: registers "
		 "come in the order"},
		{LEAST "region bar0 16\nregister bar0 0 8 0\nregister bar0 4 4 0\n",
		 "do not overlap"},
	};
	struct r3_device *dev;

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(open_text(bad[i].text, &dev), -EBADMSG);
		if (!strstr(r3_error_text(), bad[i].why) || !strstr(r3_error_text(), path))
			fail_msg("\"%s\": no \"%s\" in: %s", bad[i].text, bad[i].why,
				 r3_error_text());
	}
	write_text(LEAST "# \0\n", sizeof(LEAST) + 3);
	char address[80];
	sprintf(address, "snapshot:%s", path);
	assert_int_equal(r3_device_open(address, NULL, &dev), -EBADMSG);
	assert_non_null(strstr(r3_error_text(), "line 4: there is a NUL in it"));
}

static void refused(const char *address, int rc, const char *why)
{
	struct r3_device *dev;

	assert_int_equal(r3_device_open(address, NULL, &dev), rc);
	if (!strstr(r3_error_text(), why))
		fail_msg("%s: no \"%s\" in: %s", address, why, r3_error_text());
}

static void what_is_no_file(void **state)
{
	refused("snapshot:", -EINVAL, "which file?");
	refused("snapshot:/nonexistent/x", -ENOENT, "/nonexistent/x: No such file");
	refused("snapshot:/", -EINVAL, "is not a file");
	refused("snapshot:/dev/zero", -EINVAL, "is not a file");
	refused("snapshot:x,y=1", -EINVAL, "unknown key \"y\"");
}

static void too_large(void **state)
{
	char *text = malloc(R3_SNAPSHOT_FILE + 1), address[80];
	struct r3_device *dev;

	memset(text, '\n', R3_SNAPSHOT_FILE + 1);
	write_text(text, R3_SNAPSHOT_FILE + 1);
	sprintf(address, "snapshot:%s", path);
	assert_int_equal(r3_device_open(address, NULL, &dev), -EFBIG);
	free(text);
}

/* ---- mutations ---- */

/* One change of what people and disks do to files. */
static size_t mutate(char *text, size_t len, size_t room, uint64_t *random)
{
	static const char *const words[] = {
		"0x", "-1", "region ", "register bar0 ", "ffffffffffffffff",    "\n",
		"#",  ":",  "config",  " 64bit",         "99999999999999999999"};
	size_t at = len ? test_random(random) % len : 0, n, from;
	const char *word = words[test_random_below(random, sizeof(words) / sizeof(words[0]))];

	switch (test_random_below(random, 7)) {
	case 0: /* a bit */
		text[at] ^= (char)(1 << test_random_below(random, 8));
		return len;
	case 1: /* a byte */
		text[at] = (char)test_random(random);
		return len;
	case 6: /* another number */
		text[at] = "0123456789abcdef"[test_random_below(random, 16)];
		return len;
	case 2: /* cut off */
		return at;
	case 3: /* left out */
		n = test_random(random) % (len - at ? len - at : 1);
		n = n > 40 ? 40 : n;
		memmove(text + at, text + at + n, len - at - n);
		return len - n;
	case 4: /* repeated */
		from = len ? test_random(random) % len : 0;
		n = len - from < 40 ? len - from : 40;
		if (len + n > room)
			return len;
		memmove(text + at + n, text + at, len - at);
		memmove(text + at, text + from + (from >= at ? n : 0), n);
		return len + n;
	default: /* a word that does not belong there */
		n = strlen(word);
		if (len + n > room)
			return len;
		memmove(text + at + n, text + at, len - at);
		memcpy(text + at, word, n);
		return len + n;
	}
}

static void mutations(void **state)
{
	uint64_t random = test_seed();
	struct nvme_stub *stub = nvme_stub_new(NULL, NULL);
	struct r3_device *live = nvme_stub_device(stub);
	unsigned good = 0, bad = 0;
	char *text, *broken;
	size_t len, room;

	assert_int_equal(r3_snapshot_take(live, &text, &len), 0);
	room = len + 4096;
	broken = malloc(room);
	for (unsigned round = 0; round < 4000; round++) {
		struct r3_snapshot snapshot;
		size_t n = len;
		int rc;

		memcpy(broken, text, len);
		for (unsigned i = 1 + test_random_below(&random, 3); i; i--)
			n = mutate(broken, n, room, &random);
		if (round % 20 == 0) { /* all the way, through a file */
			char address[80];
			struct r3_device *dev;

			write_text(broken, n);
			sprintf(address, "snapshot:%s", path);
			rc = r3_device_open(address, NULL, &dev);
			if (!rc) {
				look_at(dev);
				r3_device_close(dev);
			}
		} else {
			rc = r3_snapshot_parse("broken", broken, n, &snapshot);
			if (!rc)
				free(snapshot.reg);
		}
		good += !rc;
		bad += rc != 0;
		if (rc) {
			assert_int_equal(rc, -EBADMSG);
			assert_non_null(strstr(r3_error_text(), ": line "));
		}
	}
	/* else it shows nothing */
	assert_true(good > 50);
	assert_true(bad > 1000);
	free(broken);
	free(text);
	r3_device_close(live);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trip),
		cmocka_unit_test(only_looking),
		cmocka_unit_test(bars_can_be_sized),
		cmocka_unit_test(nothing_else_is_read),
		cmocka_unit_test(what_has_no_snapshot),
		cmocka_unit_test(what_a_file_may_be),
		cmocka_unit_test(what_it_may_not_be),
		cmocka_unit_test(what_is_no_file),
		cmocka_unit_test(too_large),
		cmocka_unit_test(mutations),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
