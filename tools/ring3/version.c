/* SPDX-License-Identifier: BSD-2-Clause */
/* ring3 version: which program, which library, and what is built into it. */
#include "command.h"
#include <errno.h>
#include <ring3/error.h>
#include <ring3/version.h>
#include <stdlib.h>

struct feature {
	const char *kind;
	const char *name;
	bool available;
	const char *summary;
	const char *remedy;
};

static const struct field feature_fields[] = {
	FIELD(struct feature, kind, STRING),
	FIELD(struct feature, name, STRING),
	FIELD(struct feature, available, BOOL),
	FIELD(struct feature, summary, STRING),
	FIELD(struct feature, remedy, STRING, .json_only = true),
	{0},
};

struct version {
	const char *ring3;
	const char *library;
	struct list features;
};

static const struct field version_fields[] = {
	FIELD(struct version, ring3, STRING),
	FIELD(struct version, library, STRING),
	FIELD(struct version, features, LIST, .fields = feature_fields,
	      .stride = sizeof(struct feature)),
	{0},
};

static int list_features(struct list *list)
{
	const struct r3_feature *from = r3_features();
	struct feature *feature;
	size_t n = 0;

	while (from[n].name)
		n++;
	feature = calloc(n + 1, sizeof(*feature));
	if (!feature)
		return r3_error_set(ENOMEM, "version: out of memory");
	for (size_t i = 0; i < n; i++) {
		feature[i] = (struct feature){
			.kind = from[i].kind,
			.name = from[i].name,
			.available = !from[i].missing,
			.summary = from[i].summary,
			.remedy = from[i].missing,
		};
	}
	*list = (struct list){feature, n};
	return 0;
}

static int version_run(const struct args *args)
{
	struct version version = {.ring3 = R3_VERSION, .library = r3_version()};
	int rc = 0;

	if (args_has(args, "features"))
		rc = list_features(&version.features);
	if (rc == 0)
		rc = output_object(args->format, "version", version_fields, &version);
	free((void *)version.features.item);
	return rc;
}

static const struct command_option options[] = {
	{"features", 'f', NULL, "list schemes, filters and drivers, built or not"},
	{0},
};

static const struct command_example examples[] = {
	{"ring3 version --features", "what this build can do"},
	{0},
};

const struct command command_version = {
	.name = "version",
	.summary = "print versions, and what is built in",
	.usage = "",
	.options = options,
	.examples = examples,
	.run = version_run,
};
