/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Runs a fuzz target without libFuzzer, so that every check does: first the files of a
 * folder, then so many random inputs, each made of one of those files or of nothing.
 * R3_SEED repeats a run.
 */
#include "unit.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum { MOST_FILES = 256, MOST_LEN = 512 };

struct file {
	uint8_t data[MOST_LEN];
	size_t len;
};

static struct file files[MOST_FILES];
static unsigned nfiles;

static int read_corpus(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;

	if (!dir) {
		perror(path);
		return -1;
	}
	while (nfiles < MOST_FILES && (entry = readdir(dir))) {
		char name[4096];
		FILE *f;

		if (entry->d_name[0] == '.')
			continue;
		snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
		f = fopen(name, "rb");
		if (!f) {
			perror(name);
			closedir(dir);
			return -1;
		}
		files[nfiles].len = fread(files[nfiles].data, 1, MOST_LEN, f);
		nfiles++;
		fclose(f);
	}
	closedir(dir);
	return 0;
}

static size_t random_input(uint64_t *seed, uint8_t *data)
{
	size_t len = test_random_below(seed, MOST_LEN + 1);
	size_t kept = 0;

	if (nfiles && test_random_below(seed, 4)) {
		const struct file *file = &files[test_random_below(seed, nfiles)];

		kept = len = file->len;
		memcpy(data, file->data, len);
	}
	for (size_t i = kept; i < len; i++)
		data[i] = (uint8_t)test_random(seed);
	for (unsigned n = len ? test_random_below(seed, 9) : 0; n; n--)
		data[test_random_below(seed, (unsigned)len)] = (uint8_t)test_random(seed);
	return len;
}

int main(int argc, char **argv)
{
	uint64_t seed = test_seed();
	unsigned n = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 0) : 0;
	uint8_t data[MOST_LEN];

	if (argc < 2 || read_corpus(argv[1]) < 0) {
		fprintf(stderr, "usage: %s CORPUS [RUNS]\n", argv[0]);
		return 2;
	}
	for (unsigned i = 0; i < nfiles; i++)
		LLVMFuzzerTestOneInput(files[i].data, files[i].len);
	for (unsigned i = 0; i < n; i++)
		LLVMFuzzerTestOneInput(data, random_input(&seed, data));
	printf("%u files, %u random inputs\n", nfiles, n);
	return nfiles ? 0 : 1;
}
