/*
 * encoding.c
 *		From the encoding of the database to UTF-8, that of the wire.
 *
 * In SQL_ASCII the server has checked nothing, and other encodings have bytes
 * that mean nothing.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "mb/pg_wchar.h"
#include "utils/memutils.h"

#include "encoding.h"

static const char *
convert(const char *bytes, int *length)
{
	int			encoding = GetDatabaseEncoding();
	Oid			conversion = FindDefaultConversionProc(encoding, PG_UTF8);
	Size		size = Min((Size) *length * MAX_CONVERSION_GROWTH + 1,
						   PG_INT32_MAX);
	unsigned char *utf8;
	int			converted;

	if (!OidIsValid(conversion))
		return NULL;
	utf8 = palloc_extended(size, MCXT_ALLOC_HUGE);
	converted = pg_do_encoding_conversion_buf(conversion, encoding, PG_UTF8,
											  (unsigned char *) bytes, *length,
											  utf8, size, true);
	if (converted != *length)
	{
		pfree(utf8);
		return NULL;
	}
	*length = strlen((char *) utf8);
	return (char *) utf8;
}

const char *
wh_encoding_to_utf8(const char *bytes, int *length)
{
	if (GetDatabaseEncoding() == PG_UTF8)
		return bytes;
	if (GetDatabaseEncoding() == PG_SQL_ASCII)
		return pg_verify_mbstr(PG_UTF8, bytes, *length, true) ? bytes : NULL;
	return convert(bytes, length);
}
