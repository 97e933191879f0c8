/*
 * text.h
 *		Bytes from the network as text, and text as header fields.
 *
 * In a delivery's life: when an attempt has ended, what the receiver sent is
 * made storable here before it goes near a statement.  The header checks are
 * asked when settings change, long before the first request.
 *
 * Needs no transaction and takes no lock: libc only, no PostgreSQL header.  No
 * result depends on the locale.
 */
#ifndef WH_TEXT_H
#define WH_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* Enough room for any input of that many bytes, with NUL */
#define WH_TEXT_SANITISED_SIZE(in_length) (4 * (size_t) (in_length) + 1)

/*
 * Write arbitrary bytes as UTF-8 text that PostgreSQL stores and a terminal
 * only displays.  Returns the length written, without the NUL that ends it.
 *
 * Valid UTF-8 stays as it is.  NUL, other control characters of C0 but tab, LF
 * and CR, DEL, C1 and each byte that is not part of valid UTF-8 are written as
 * \xNN, byte by byte, in lower case.  A backslash stays a backslash: the form
 * is for reading and cannot be turned back.
 *
 * is_cut says that we stopped reading, not that the sender stopped sending: a
 * character that lacks its end there is dropped rather than escaped.  When
 * out_size is too small, the text ends before the first character or escape
 * that does not fit.
 */
extern size_t wh_text_sanitise(const unsigned char *in, size_t in_length,
							   char *out, size_t out_size, bool is_cut);

/*
 * Write asterisks over each occurrence of the value of a header, given as its
 * line without CR LF, and of the value's last word, such as the token of "Bearer
 * token"; and over the beginning of one at the end, where a text may have been
 * cut.  What has less than 8 characters is no secret.
 */
extern void wh_text_mask_value(char *bytes, size_t length, const char *line);

/*
 * Is it UTF-8 as PostgreSQL means it: RFC 3629 without NUL?
 */
extern bool wh_text_is_utf8(const char *s, size_t length);

/*
 * Is it a field name, a token of RFC 9110, 5.6.2?
 */
extern bool wh_text_header_name_is_valid(const char *name);

/*
 * Is it a field value in ASCII (RFC 9110, 5.5): visible characters, and spaces
 * and tabs between them?  An empty one is refused: libcurl would leave out the
 * field.
 */
extern bool wh_text_header_value_is_valid(const char *value);

/* Limits of the headers of an endpoint's own */
#define WH_HEADER_NAME_MAX 64
#define WH_HEADER_VALUE_MAX 4096
#define WH_HEADERS_MAX 16
#define WH_HEADERS_SIZE_MAX 8192	/* names and values together */

/*
 * Is it the name of a header that an endpoint may not set: one of the
 * connection (RFC 9110, 7.6.1), of the framing, a signature, or one that we
 * make?  prefixes is the list in webhook.header_prefix.
 */
extern bool wh_text_header_is_reserved(const char *name, const char *prefixes);

#endif
