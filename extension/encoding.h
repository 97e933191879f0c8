/*
 * encoding.h
 *		From the encoding of the database to UTF-8, that of the wire.
 */
#ifndef WH_ENCODING_H
#define WH_ENCODING_H

/*
 * These bytes in UTF-8; their length becomes that of the result.  The bytes
 * themselves where nothing is to be converted, else a palloc'd string that a
 * NUL ends.  NULL: they cannot be converted.  In a transaction.
 */
extern const char *wh_encoding_to_utf8(const char *bytes, int *length);

#endif							/* WH_ENCODING_H */
