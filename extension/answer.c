/*
 * answer.c
 *		What a receiver answers, as far as it is kept.
 *
 * Runs inside libcurl's callbacks.  Pure C without locks, transactions or
 * palloc; see answer.h.
 */
#include <string.h>

#include "answer.h"

#define STATUS_AT 9				/* "HTTP/1.1 " */

void
wh_answer_clear(Answer *answer)
{
	answer->head_length = answer->head_received = answer->body_length = 0;
	answer->is_head_cut = answer->is_body_cut = false;
	answer->fault = ANSWER_FINE;
}

static void
keep_head(Answer *answer, const char *line, size_t length)
{
	size_t		room = WH_ANSWER_HEAD_SIZE - answer->head_length;

	answer->is_head_cut = length > room;
	if (answer->is_head_cut)
		length = room;
	memcpy(answer->head + answer->head_length, line, length);
	answer->head_length += length;
	if (!answer->is_head_cut)
		return;
	memcpy(answer->head + answer->head_length, WH_ANSWER_CUT,
		   strlen(WH_ANSWER_CUT));
	answer->head_length += strlen(WH_ANSWER_CUT);
}

bool
wh_answer_add_head(Answer *answer, const char *line, size_t length)
{
	if (length > 5 && memcmp(line, "HTTP/", 5) == 0)
	{
		answer->head_length = 0;
		answer->is_head_cut = false;
		if (length >= STATUS_AT + 3 && memcmp(line + STATUS_AT, "101", 3) == 0)
			answer->fault = ANSWER_SWITCHES_PROTOCOL;
	}
	if (!answer->is_head_cut)
		keep_head(answer, line, length);
	answer->head_received += length;
	if (answer->head_received > WH_ANSWER_HEAD_LIMIT)
		answer->fault = ANSWER_TOO_MANY_HEADERS;
	return answer->fault == ANSWER_FINE;
}

bool
wh_answer_add_body(Answer *answer, const void *bytes, size_t length)
{
	size_t		room = answer->body_size - answer->body_length;

	answer->is_body_cut |= length > room;
	if (length < room)
		room = length;
	if (room > 0)
		memcpy(answer->body + answer->body_length, bytes, room);
	answer->body_length += room;
	return !answer->is_body_cut;
}
