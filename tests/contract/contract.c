/* SPDX-License-Identifier: BSD-2-Clause */
/* contract ADDRESS...: run the contract suite against each of them. A "qemu:" address without
 * a slot, or without a number of vectors where it can be had, gets random ones. */
#include "contract.h"
#include "fake/fake_variant.h"

#include <string.h>

const char *contract_address;
static uint64_t seed;

/* ---- opening ---- */

struct r3_device *contract_open(void)
{
	struct r3_address *address;
	struct r3_device *dev;
	int rc;

	assert_ok(r3_address_parse(contract_address, &address));
	if (strcmp(address->scheme, "fake"))
		rc = r3_device_open_parsed(address, NULL, &dev);
	else
		rc = fake_variant_open(address, NULL, &dev);
	r3_address_free(address);
	if (rc)
		fail_msg("%s: %s", contract_address, r3_error_text());
	return dev;
}

int contract_setup(void **state)
{
	struct contract *c = calloc(1, sizeof(*c));

	assert_non_null(c);
	c->fds = test_count_fds();
	c->random = seed++;
	c->dev = contract_open();
	*state = c;
	return 0;
}

int contract_teardown(void **state)
{
	struct contract *c = *state;

	r3_device_close(c->dev);
	assert_int_equal(test_count_fds(), c->fds);
	free(c);
	return 0;
}

/* ---- random places ---- */

static bool has_vectors_key(const struct r3_params *rest)
{
	return !strcmp(rest->head, "nvme") || !strcmp(rest->head, "virtio-blk");
}

/* The address to test for @text; for free(). */
static char *place(const char *text, uint64_t *random)
{
	struct r3_address *address;
	const char *value;
	char *out = malloc(strlen(text) + 64);
	int n;

	assert_non_null(out);
	assert_ok(r3_address_parse(text, &address));
	n = sprintf(out, "%s", text);
	if (!strcmp(address->scheme, "qemu")) {
		if (!r3_params_get(&address->rest, "addr", &value))
			n += sprintf(out + n, ",addr=%u", 1 + test_random_below(random, 24));
		if (has_vectors_key(&address->rest) &&
		    !r3_params_get(&address->rest, "vectors", &value))
			sprintf(out + n, ",vectors=%u", 2 + test_random_below(random, 63));
	}
	r3_address_free(address);
	return out;
}

static int run(const char *name, const struct CMUnitTest *tests, size_t n)
{
	return _cmocka_run_group_tests(name, tests, n, NULL, NULL);
}

static int run_all(void)
{
	int failed = 0;

	failed += run("life", contract_life, contract_nlife);
	failed += run("regions", contract_regions, contract_nregions);
	failed += run("pci", contract_pci, contract_npci);
	failed += run("irq", contract_irq, contract_nirq);
	failed += run("dma", contract_dma, contract_ndma);
	failed += run("walk", contract_walk, contract_nwalk);
	return failed;
}

int main(int argc, char **argv)
{
	int failed = 0;

	seed = test_seed();
	for (int i = 1; i < argc; i++) {
		char *address = place(argv[i], &seed);

		fprintf(stderr, "contract of %s\n", address);
		contract_address = address;
		failed += run_all();
		free(address);
	}
	return argc < 2 || failed ? 1 : 0;
}
