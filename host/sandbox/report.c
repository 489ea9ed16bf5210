/* SPDX-License-Identifier: BSD-2-Clause */
/* What stands of a sandbox, for people and for programs. */
#include "host/sandbox/parts.h"

#include <json-c/json.h>
#include <stdarg.h>
#include <stdio.h>

static const char *const part_name[SANDBOX_PARTS] = {
	[SANDBOX_UID] = "uid",
	[SANDBOX_CAPS] = "capabilities",
	[SANDBOX_PRIVS] = "no_new_privs",
	[SANDBOX_NAMESPACES] = "namespaces",
	[SANDBOX_FILES] = "files",
	[SANDBOX_SYSCALLS] = "syscalls",
	[SANDBOX_LIMITS] = "limits",
	[SANDBOX_MEMORY] = "memory",
};

static const char *const state_name[] = {
	[SANDBOX_MISSING] = "missing",
	[SANDBOX_PARTLY] = "partly",
	[SANDBOX_FULL] = "full",
	[SANDBOX_OFF] = "off",
};

static const char *const profile_name[SANDBOX_PROFILES] = {
	[SANDBOX_DRIVER] = "driver",
	[SANDBOX_BROKER] = "broker",
	[SANDBOX_EXPORT] = "export",
};

const char *sandbox_part_name(enum sandbox_part part)
{
	return part_name[part];
}

const char *sandbox_state_name(enum sandbox_state state)
{
	return state_name[state];
}

const char *sandbox_profile_name(enum sandbox_profile which)
{
	return profile_name[which];
}

void sandbox_say(struct sandbox_report *report, enum sandbox_part part, enum sandbox_state state,
		 const char *fmt, ...)
{
	va_list args;

	report->part[part].state = state;
	va_start(args, fmt);
	vsnprintf(report->part[part].why, sizeof(report->part[part].why), fmt, args);
	va_end(args);
}

enum sandbox_state sandbox_grade(const struct sandbox_report *report)
{
	unsigned full = 0, some = 0;

	for (unsigned i = 0; i < SANDBOX_PARTS; i++) {
		full += report->part[i].state == SANDBOX_FULL;
		some += report->part[i].state == SANDBOX_PARTLY;
	}
	if (full == SANDBOX_PARTS)
		return SANDBOX_FULL;
	return full || some ? SANDBOX_PARTLY : SANDBOX_MISSING;
}

void sandbox_report_text(const struct sandbox *box, const struct sandbox_report *report, char *text,
			 size_t size)
{
	int used = snprintf(text, size, "sandbox %s: %s", profile_name[box->profile],
			    state_name[sandbox_grade(report)]);

	for (unsigned i = 0; i < SANDBOX_PARTS && used >= 0 && (size_t)used < size; i++)
		if (report->part[i].state != SANDBOX_FULL)
			used += snprintf(text + used, size - (size_t)used, "; %s %s: %s",
					 part_name[i], state_name[report->part[i].state],
					 report->part[i].why);
}

static struct json_object *lack(const struct sandbox_report *report, unsigned i)
{
	struct json_object *part = json_object_new_object();

	if (!part)
		return NULL;
	json_object_object_add(part, "part", json_object_new_string(part_name[i]));
	json_object_object_add(part, "state",
			       json_object_new_string(state_name[report->part[i].state]));
	json_object_object_add(part, "why", json_object_new_string(report->part[i].why));
	return part;
}

struct json_object *sandbox_report_json(const struct sandbox *box,
					const struct sandbox_report *report)
{
	struct json_object *object = json_object_new_object();
	struct json_object *full = json_object_new_array();
	struct json_object *missing = json_object_new_array();

	if (!object || !full || !missing) {
		json_object_put(object);
		json_object_put(full);
		json_object_put(missing);
		return NULL;
	}
	for (unsigned i = 0; i < SANDBOX_PARTS; i++) {
		bool stands = report->part[i].state == SANDBOX_FULL;

		json_object_array_add(stands ? full : missing,
				      stands ? json_object_new_string(part_name[i])
					     : lack(report, i));
	}
	json_object_object_add(object, "profile",
			       json_object_new_string(profile_name[box->profile]));
	json_object_object_add(object, "grade",
			       json_object_new_string(state_name[sandbox_grade(report)]));
	json_object_object_add(object, "full", full);
	json_object_object_add(object, "missing", missing);
	return object;
}
