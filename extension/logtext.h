/*
 * logtext.h
 *		What came from the network, as values of the delivery log.
 */
#ifndef WH_LOGTEXT_H
#define WH_LOGTEXT_H

#include "http.h"

/*
 * Bytes from the network as text in the server encoding, in the current
 * context; what is no text there becomes \xNN.  is_cut: the end may be the
 * middle of a character.
 */
extern Datum wh_log_text(const void *bytes, size_t length, bool is_cut);

/* Value of webhook.attempt.error_class; NULL after a success. */
extern const char *wh_log_error_class(HttpErrorClass error_class);

#endif							/* WH_LOGTEXT_H */
