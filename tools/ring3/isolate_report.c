/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See isolate_report.h. Each process tells of its own sandbox, in JSON, when it is ready; what
 * they say comes from our own programs, and is read as if it did not.
 */
#include "isolate_report.h"

#include <errno.h>
#include <json-c/json.h>
#include <ring3/error.h>
#include <ring3/log.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MAX_MISSING 16
#define MAX_FDS     1024

struct missing {
	const char *part, *state, *why;
};

/** An entry of a manifest. */
struct descriptor {
	uint64_t fd;
	const char *purpose;
};

struct process {
	const char *role, *sandbox;
	uint64_t pid, uid;
	struct list missing; /* of struct missing */
	struct list fds;     /* of struct descriptor; the driver process alone says */
	struct missing item[MAX_MISSING];
	struct descriptor fd[MAX_FDS];
	struct json_object *json; /* what the strings belong to */
};

struct served {
	const char *uri;
};

struct listing {
	struct list exports;   /* of struct served */
	struct list processes; /* of struct process */
};

static const struct field export_fields[] = {
	FIELD(struct served, uri, STRING),
	{0},
};

static const struct field missing_fields[] = {
	FIELD(struct missing, part, STRING),
	FIELD(struct missing, state, STRING),
	FIELD(struct missing, why, STRING),
	{0},
};

static const struct field descriptor_fields[] = {
	FIELD(struct descriptor, fd, NUMBER),
	FIELD(struct descriptor, purpose, STRING),
	{0},
};

static const struct field process_fields[] = {
	FIELD(struct process, role, STRING),
	FIELD(struct process, pid, NUMBER),
	FIELD(struct process, uid, NUMBER),
	FIELD(struct process, sandbox, STRING),
	FIELD(struct process, missing, LIST, .fields = missing_fields,
	      .stride = sizeof(struct missing)),
	FIELD(struct process, fds, LIST, .fields = descriptor_fields,
	      .stride = sizeof(struct descriptor)),
	{0},
};

#define EXPORTS \
	FIELD(struct listing, exports, LIST, .fields = export_fields, \
	      .stride = sizeof(struct served), .bare = true)

static const struct field plain_fields[] = {
	EXPORTS,
	{0},
};

static const struct field isolated_fields[] = {
	EXPORTS,
	FIELD(struct listing, processes, LIST, .json_only = true, .fields = process_fields,
	      .stride = sizeof(struct process)),
	{0},
};

/** The string at @key; "" where there is none. */
static const char *text_at(struct json_object *object, const char *key)
{
	struct json_object *value = NULL;

	json_object_object_get_ex(object, key, &value);
	return json_object_is_type(value, json_type_string) ? json_object_get_string(value) : "";
}

/** The array at @key; NULL where there is none. */
static struct json_object *array_at(struct json_object *object, const char *key)
{
	struct json_object *value = NULL;

	json_object_object_get_ex(object, key, &value);
	return json_object_is_type(value, json_type_array) ? value : NULL;
}

static void read_missing(struct process *p, struct json_object *list)
{
	for (size_t i = 0; list && i < json_object_array_length(list) && i < MAX_MISSING; i++) {
		struct json_object *item = json_object_array_get_idx(list, i);

		p->item[p->missing.n++] = (struct missing){.part = text_at(item, "part"),
							   .state = text_at(item, "state"),
							   .why = text_at(item, "why")};
	}
}

/** A manifest groups its descriptors by what they are for. */
static void read_fds(struct process *p, struct json_object *groups)
{
	p->fds.item = groups ? p->fd : NULL;
	for (size_t i = 0; groups && i < json_object_array_length(groups); i++) {
		struct json_object *group = json_object_array_get_idx(groups, i);
		struct json_object *list = array_at(group, "fd");

		for (size_t k = 0; list && k < json_object_array_length(list); k++) {
			int64_t fd = json_object_get_int64(json_object_array_get_idx(list, k));

			if (p->fds.n < MAX_FDS)
				p->fd[p->fds.n++] = (struct descriptor){
					.fd = (uint64_t)fd, .purpose = text_at(group, "purpose")};
		}
	}
}

static void read_process(struct process *p, const struct session *s, enum server_part part)
{
	static const char *const roles[PARTS] = {"broker", "driver", "export"};
	const char *report = s->isolation.report[part];
	struct json_object *box = NULL;
	uid_t uid = s->isolation.uid[part];

	*p = (struct process){.role = roles[part],
			      .sandbox = "missing",
			      .pid = (uint64_t)s->children.part[part].pid,
			      .uid = uid ? uid : geteuid(),
			      .missing.item = p->item,
			      .json = report ? json_tokener_parse(report) : NULL};
	if (!p->json)
		return;
	if (!json_object_object_get_ex(p->json, "sandbox", &box))
		box = p->json; /* it is all there is */
	p->sandbox = text_at(box, "grade");
	read_missing(p, array_at(box, "missing"));
	read_fds(p, array_at(p->json, "fds"));
}

static void read_processes(struct process process[PARTS], const struct session *s)
{
	for (unsigned i = 0; i < PARTS; i++)
		read_process(&process[i], s, i);
}

static void free_processes(struct process process[PARTS])
{
	for (unsigned i = 0; i < PARTS; i++)
		json_object_put(process[i].json);
}

int report_run(const struct session *s, enum output_format format)
{
	struct served served[MAX_ENDPOINTS];
	struct process process[PARTS];
	struct listing listing = {.exports = {.item = served, .n = s->nendpoint},
				  .processes = {.item = process, .n = PARTS}};
	int rc;

	for (unsigned i = 0; i < s->nendpoint; i++)
		served[i].uri = s->endpoint[i].uri;
	if (!s->isolation.on)
		return output_object(format, "run", plain_fields, &listing);
	read_processes(process, s);
	rc = output_object(format, "run", isolated_fields, &listing);
	free_processes(process);
	return rc;
}

void report_missing(const struct session *s)
{
	struct process process[PARTS];
	char text[900] = "", seen[200] = " ";
	size_t used = 0;

	read_processes(process, s);
	for (unsigned i = 0; i < PARTS; i++) {
		for (size_t m = 0; m < process[i].missing.n; m++) {
			const struct missing *missing = &process[i].item[m];
			char word[40];

			/* what one lacks the others lack mostly, too: once is enough */
			snprintf(word, sizeof(word), " %.36s ", missing->part);
			if (strstr(seen, word) || used >= sizeof(text))
				continue;
			strncat(seen, word + 1, sizeof(seen) - strlen(seen) - 1);
			used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s (%s)",
						 used ? "; " : "", missing->part, missing->why);
		}
	}
	free_processes(process);
	if (used)
		r3_log(R3_LOG_WARN, "not fully isolated: %s", text);
}
