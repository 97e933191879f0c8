/*
 * logtext.c
 *		What came from the network, as values of the delivery log.
 *
 * Bytes of a receiver reach SQL through here only, never a message or a log
 * line of the server.
 */
#include "postgres.h"

#include "common/string.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"

#include "logtext.h"
#include "text.h"

Datum
wh_log_text(const void *bytes, size_t length, bool is_cut)
{
	char	   *utf8 = palloc(WH_TEXT_SANITISED_SIZE(length));
	size_t		size = wh_text_sanitise(bytes, length, utf8,
										WH_TEXT_SANITISED_SIZE(length),
										is_cut);
	char	   *text = NULL;

	if (GetDatabaseEncoding() == PG_UTF8 || pg_is_ascii(utf8))
		text = utf8;

	else if (GetDatabaseEncoding() == PG_SQL_ASCII)
		text = utf8;

	else
	{
		/* What the server encoding lacks becomes escapes as well. */
		char	   *ascii = palloc(size * 4 + 1);
		char	   *out = ascii;

		for (size_t i = 0; i < size; i++)
			out += sprintf(out, (utf8[i] & 0x80) ? "\\x%02x" : "%c",
						   (unsigned char) utf8[i]);
		text = ascii;
	}
	return CStringGetTextDatum(text);
}

const char *
wh_log_error_class(HttpErrorClass error_class)
{
	static const char *const names[] = {
		[HTTP_OK] = NULL, [HTTP_DNS] = "dns", [HTTP_CONNECT] = "connect",
		[HTTP_TLS] = "tls", [HTTP_TIMEOUT] = "timeout",
		[HTTP_BLOCKED] = "blocked", [HTTP_STATUS] = "http",
		[HTTP_PROTOCOL] = "protocol", [HTTP_INTERNAL] = "internal",
	};

	return names[error_class];
}
